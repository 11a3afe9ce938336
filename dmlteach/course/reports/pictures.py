"""What a report shows: maps, queries and hubs; names of files where images may not be shown."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dmlteach.course import Text
from dmlteach.course import recordings as pretrained
from dmlteach.course.reports.subject import Images, Measured, Row, Subject, TestSet
from dmlteach.course.reports.text import percent
from dmlteach.metrics import PairDistances, hubness, pair_distances
from dmlteach.neighbors import nearest, nearest_others
from dmlteach.plots.curves import training_curves
from dmlteach.plots.distances import distance_histogram
from dmlteach.plots.retrieval import occurrences, pick_queries, retrieval_grid
from dmlteach.plots.style import Picture
from dmlteach.plots.tsne import FEWEST, MAX_HIGHLIGHTS, kept_neighbours, tsne, tsne_map

NEIGHBOURS = 10  # of each query, among which hubs are counted
FEWEST_FOR_HUBS = 100  # images; among fewer, ten neighbours are a large part of all
APART = "not the test set of the result above, so the numbers cannot be compared."
SHOWN = 4  # images beside each query


def curve(subject: Subject, before: tuple[float | None, str]) -> list[Text | Picture]:
    """Loss and Recall@1 by epoch with the untrained network as a line; nothing where none is recorded.

    Args:
        subject: what the report is about.
        before: of `before_on_val`.
    """
    if subject.shipped in pretrained.RECORDED:
        recorded = pretrained.recordings(subject.shipped)
        images, classes = len(recorded.labels), len(recorded.labels.unique())
        said = (
            f"Recall@1 by epoch is among {images:,} of the test drawings only, of {classes} classes: {APART}"
        )
        figure = training_curves({subject.name: recorded}, "some test drawings", recorded.recall[0])
        return [Text(said), figure]
    rows = subject.metrics.get("epochs")
    if not rows:
        return []
    (recall, why), start = before, "at the start" if subject.config.get("checkpoint") else "untrained"
    figure = training_curves({subject.name: subject.metrics}, untrained=recall, start=start)
    measured = [row["val"] for row in rows if "val" in row]
    if not measured:
        return [figure]
    count = measured[-1].get("num_classes")
    held_out = f"the {count} val classes" if count else "the val classes"
    said = f"Recall@1 by epoch is on {held_out}, which were held back from training: {APART}"
    if recall is None:
        said += f" What the network reached on them before the first step is not known: {why}."
    return [Text(said), figure]


class Found(NamedTuple):
    """The nearest images of every query.

    Attributes:
        rows: (Q, k) of the gallery, nearest first; without a gallery, of the queries.
        labels: (M,) class of what is searched.
        offset: where the gallery begins when its images stand behind those of the queries.
        collapsed: whether all images have one embedding, so that none is nearer than another.
    """

    rows: Tensor
    labels: Tensor
    offset: int
    collapsed: bool = False


def find(measured: Measured, test: TestSet) -> Found:
    """The nearest ten (or all, where there are fewer) of every query.

    Args:
        measured: the network on the test set.
        test: the images.
    """
    k = min(NEIGHBOURS, test.searched)
    if test.gallery is None:
        rows = nearest_others(measured.queries, torch.arange(len(measured.queries)), k)[1]
        return Found(rows, test.queries.labels, 0, measured.collapsed)
    rows = nearest(measured.queries, measured.gallery, k)[1]
    return Found(rows, test.gallery.labels, len(test.queries), measured.collapsed)


def random_queries(
    found: Found, test: TestSet, images: Images | None, count: int, seed: int
) -> Picture | None:
    """Queries drawn at random with their nearest images; nothing where images may not be shown, or collapse.

    Args:
        found: the neighbours of every query.
        test: the images.
        images: their pixels, or None.
        count: of queries; fewer where there are not so many classes.
        seed: of the choice.
    """
    if images is None or found.collapsed:
        return None
    able = int((torch.bincount(test.queries.labels) > 1).sum())
    return _grid(found, test, images, pick_queries(test.queries.labels, min(count, able), seed))


def worst_queries(
    measured: Measured, found: Found, test: TestSet, images: Images | None, count: int
) -> list[Text | Picture]:
    """The queries whose first right image comes last; nothing of a collapsed network.

    Args:
        measured: the network on the test set.
        found: the neighbours of every query.
        test: the images.
        images: their pixels; None gives names of files.
        count: of queries, at most.
    """
    if found.collapsed:
        return []
    wrong = int((measured.places > 1).sum())
    if not wrong:
        return [Text("Every query finds a right image first.")]
    worst = measured.places.argsort(descending=True, stable=True)[: min(count, wrong)]
    places = [f"{place:,}" for place in measured.places[worst].tolist()]
    total = int((measured.places > 0).sum())
    said = Text(
        f"{wrong:,} of {total:,} queries find a wrong image first. Here are the {len(worst)} whose first "
        f"right image comes last: at place {', '.join(places)} of {test.searched:,}."
    )
    if images is None:
        return [said, _table(found, test, worst, ("first right at", places))]
    return [said, _grid(found, test, images, worst, [f"right at\n{place}" for place in places])]


def hubs(found: Found, test: TestSet, images: Images | None, count: int) -> list[Text | Picture]:
    """The images that stand among the neighbours of most others; none in a small set or a collapsed network.

    Args:
        found: the neighbours of every query.
        test: the images.
        images: their pixels; None gives names of files.
        count: of hubs.

    Source: Radovanović, Nanopoulos, Ivanović, "Hubs in space", JMLR 2010.
    """
    size, k = len(found.labels), found.rows.shape[1]
    if size < FEWEST_FOR_HUBS or found.collapsed:
        return []
    counts = occurrences(found.rows, size)
    how = hubness(counts)
    top = counts.argsort(descending=True, stable=True)[:count]
    said = Text(
        f"Each query has its {k} nearest images. An image is among them {how.mean:.1f} times on average; the "
        f"one found most often {how.most:,} times, and {percent(how.never)} of the images never. The "
        f"skewness of these counts is {how.skewness:.2f}: 0 where they lie evenly about their mean, and "
        "large where few images are found by very many queries."
    )
    shown = [f"{number:,}" for number in counts[top].tolist()]
    finders = [_finders(found.rows, hub) for hub in top.tolist()]
    if images is None:
        searched = test.queries if test.gallery is None else test.gallery
        rows = [
            f"| {_file(searched, hub)} | {number} |" for hub, number in zip(top.tolist(), shown, strict=True)
        ]
        return [said, Text("\n".join(["| image | among the nearest of |", "|---|---|", *rows]))]
    labels = torch.cat([test.queries.labels, found.labels]) if found.offset else found.labels
    figure = retrieval_grid(
        images,
        labels,
        top + found.offset,
        _filled(finders),
        [f"found\n{number}×" for number in shown],
        heading="hub",
    )
    figure.alt = (
        f"{len(top)} hubs, one a row, each followed by images that have it among their {k} nearest. They "
        f"are found {', '.join(shown)} times. A tick marks an image of the hub's class, a cross one of "
        "another class."
    )
    return [said, Text("Each row: a hub, and images that have it among their nearest."), figure]


def distances(rows: Sequence[Row], test: TestSet, seed: int) -> list[Text | Picture]:
    """How far images of one class are apart, and of two; nothing of a collapsed network or of a single class.

    Args:
        rows: the networks of the first table; those measured here are drawn, the first is the report's.
        test: the images.
        seed: of the choice of pairs.
    """
    measured = {row.name: row.found for row in rows if isinstance(row.found, Measured)}
    this, *_ = measured.values()
    if this.collapsed or test.queries.num_classes < 2:
        return []
    found = {name: _pairs(network, test, seed) for name, network in measured.items()}
    first, *others = (f"{percent(pairs.confused)} under {name}" for name, pairs in found.items())
    beside = f" ({', '.join(others)})" if others else ""
    count = len(next(iter(found.values())).same)
    said = (
        f"{count:,} times an image is drawn at random (again and again, if there are fewer): its distance to "
        "a random image of the same class, and to one of another. The image of another class is the nearer "
        "one in "
        f"{first}{beside}; it would be 50.0 % by chance. Each network has a unit of its own."
    )
    return [Text(said), distance_histogram(found)]


def _pairs(network: Measured, test: TestSet, seed: int) -> PairDistances:
    if test.gallery is None:
        return pair_distances(network.queries, test.queries.labels, seed=seed)
    both = torch.cat([network.queries, network.gallery])
    return pair_distances(both, torch.cat([test.queries.labels, test.gallery.labels]), seed=seed)


def _finders(rows: Tensor, hub: int) -> Tensor:
    """Queries that have `hub` among their neighbours, those that have it nearer first; the first few."""
    query, place = (rows == hub).nonzero(as_tuple=True)
    return query[place.argsort(stable=True)][:SHOWN]


def _filled(finders: list[Tensor]) -> Tensor:
    """(H, most) as one tensor: as many as all hubs have."""
    most = min(len(one) for one in finders)
    return torch.stack([one[:most] for one in finders])


def _grid(
    found: Found, test: TestSet, images: Images, queries: Tensor, names: list[str] | None = None
) -> Picture:
    labels = torch.cat([test.queries.labels, found.labels]) if found.offset else found.labels
    return retrieval_grid(images, labels, queries, found.rows[queries, :SHOWN] + found.offset, names)


def _table(found: Found, test: TestSet, queries: Tensor, column: tuple[str, list[str]]) -> Text:
    """Queries and their nearest by the names of their files and classes."""
    searched = test.queries if test.gallery is None else test.gallery
    lines = [f"| query | {column[0]} | nearest image |", "|---|---|---|"]
    for query, value in zip(queries.tolist(), column[1], strict=True):
        first = int(found.rows[query, 0])
        lines.append(f"| {_file(test.queries, query)} | {value} | {_file(searched, first)} |")
    return Text("\n".join(lines))


def _file(dataset, row: int) -> str:
    """The file of an image, or its row and class where images are no files."""
    if dataset.paths is not None:
        return f"`{dataset.paths[row]}`"
    return f"image {row} of class {dataset.class_names[int(dataset.labels[row])]}"


def embedding_map(
    measured: Measured, test: TestSet, images: Images | None, most: int, seed: int
) -> list[Text | Picture]:
    """A t-SNE map of the images of some classes, drawn at random, up to eight of them in colour.

    There is none of a collapsed network.

    Args:
        measured: the network on the test set.
        test: the images.
        images: their pixels; None draws points.
        most: images on it; 0 leaves it out.
        seed: of the choice and of the map.
    """
    if not most or measured.collapsed:
        return []
    queries = test.queries
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(queries.num_classes, generator=generator)  # (C,) classes in random order
    place = drawn.argsort()[queries.labels]
    rows = place.argsort(stable=True)[:most]  # class by class
    if len(rows) < FEWEST:
        return [Text(f"A map needs {FEWEST} images or more; there are {len(rows)}.")]
    labels = queries.labels[rows]
    colored = drawn[: min(MAX_HIGHLIGHTS, len(labels.unique()))].tolist()
    points = tsne(measured.queries[rows], seed=seed)
    pixels = None if images is None else torch.stack([images[row] for row in rows.tolist()])
    figure = tsne_map(points, labels, pixels, colored, names=queries.class_names)
    k = min(NEIGHBOURS, max(1, (len(rows) - 1) // 4))
    kept, by_chance = kept_neighbours(measured.queries[rows], points, k), k / (len(rows) - 1)
    every = f"{len(rows):,} of the " * (len(rows) < len(queries)) + f"{len(queries):,}"
    said = Text(
        f"A point is an image: {every} test images, of {len(labels.unique())} classes; "
        f"{len(colored)} of them have a colour and a shape. Of the {k} nearest in the embedding the map "
        f"keeps {percent(kept, 0)} (places drawn at random would keep {percent(by_chance, 0)}). Sizes of "
        "groups and distances between them mean nothing."
    )
    return [said, figure]
