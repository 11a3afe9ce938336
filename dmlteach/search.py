"""Search own images: the images of a gallery that a model places nearest to a query."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.cells import cell_len
from torch import Tensor

from dmlteach.data import ImageDataset, pictures
from dmlteach.data.pictures import NO_CLASS
from dmlteach.distances import cosine_to, distance, squared_distances_to
from dmlteach.embeddings import cached_for, embed
from dmlteach.errors import DMLTeachError, printable
from dmlteach.inputs import collapse_sentence, is_collapsed
from dmlteach.models import Model

BLOCK = 65_536  # images of the gallery compared at once: that bounds the memory


@dataclass(frozen=True)
class Found:
    """What a search found. Queries can differ in how many neighbours they have.

    Attributes:
        queries: the images asked for, Q of them.
        gallery: the images searched.
        classes: of each query, as a label of the gallery; -1 where it is not known.
        rows: of each query, (k,) rows of the gallery, nearest first.
        scores: of each query, (k,) cosines or distances.
        measure: "cosine", where the model's embeddings have one length, or "distance".
        collapsed: whether all images, queries too, have one embedding, so that their order says nothing.
    """

    queries: ImageDataset
    gallery: ImageDataset
    classes: list[int]
    rows: list[Tensor]
    scores: list[Tensor]
    measure: str
    collapsed: bool = False

    def class_name(self, label: int) -> str:
        """What a class of the gallery is called; "" for no class."""
        return "" if label == NO_CLASS else self.gallery.class_names[label]

    def is_right(self, query: int, row: int) -> bool | None:
        """Whether an image of the gallery is of the query's class; None where either has none known."""
        own, other = self.classes[query], int(self.gallery.labels[row])
        return None if NO_CLASS in (own, other) else own == other


def find(
    model: Model,
    gallery: str | Path,
    images: Sequence[str | Path],
    k: int = 5,
    device: str = "auto",
    progress: bool = False,
) -> Found:
    """The k images below a folder that are nearest to each query; a query never finds its own file.

    A query's class is known if it lies in the gallery, or in a folder called like a class of it.

    Args:
        model: an embedding network.
        gallery: folder of images, with a folder for each class or without.
        images: paths of the queries.
        k: neighbours of each query; where the gallery has fewer, all of them.
        device: "auto", "cpu", "cuda" or "mps".
        progress: show a bar.

    Returns:
        The neighbours; of equally near ones, the first by name comes first.

    Raises:
        DMLTeachError: a file or folder that is missing, empty or no image; no other image to find;
            embeddings that are not finite.
    """
    if k < 1:
        raise DMLTeachError(f"k = {k} neighbours: choose 1 or more.")
    asked = pictures.named(images, model.spec.channels)
    searched = pictures.load(gallery, model.spec.channels)
    itself = _rows_of_same_files(asked, searched)
    if any(len(rows) == len(searched) for rows in itself):
        raise DMLTeachError(f"{gallery} holds no image but the query; put more images there.")
    queries = _embed_once(model, asked, device)  # first: a query that cannot be read is told at once
    places = embed(model, searched, device, progress=progress)
    scores = _scores(model, queries, places)
    rows, kept = [], []
    for row_scores, own in zip(scores, itself, strict=True):
        order = row_scores.argsort(stable=True, descending=model.on_sphere)
        nearest = order[~torch.isin(order, own)][:k]
        rows.append(nearest)
        kept.append(row_scores[nearest])
    classes = [_class_of(asked, i, searched, own) for i, own in enumerate(itself)]
    measure = "cosine" if model.on_sphere else "distance"
    return Found(asked, searched, classes, rows, kept, measure, is_collapsed(torch.cat([queries, places])))


def table(found: Found) -> str:
    """The neighbours of every query as lines of text.

    Args:
        found: by `find`.
    """
    blocks = []
    if found.collapsed:
        said = collapse_sentence(len(found.queries) + len(found.gallery))
        blocks.append(said[0].upper() + said[1:])
    for query, (path, label) in enumerate(zip(found.queries.paths or [], found.classes, strict=True)):
        known = f"  (class {printable(found.class_name(label))})" if label != NO_CLASS else ""
        cells = [["", found.measure, "", "class", "image"], *_cells(found, query)]
        # without classes, these columns are empty
        columns = [c for c in zip(*cells, strict=True) if any(c[1:])]
        padded = []
        for column in columns:
            width = max(map(cell_len, column))  # in a terminal, e.g. Chinese is twice as wide
            padded.append([cell + " " * (width - cell_len(cell)) for cell in column])
        lines = ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]
        blocks.append("\n".join([printable(path) + known, *(f"  {line}" for line in lines)]))
    return "\n\n".join(blocks)


def _cells(found: Found, query: int) -> list[list[str]]:
    """Rank, score, right or wrong, class and path of each neighbour."""
    paths = found.gallery.paths or []
    words = {True: "right", False: "wrong", None: ""}
    return [
        [
            f"{rank:>2}",
            f"{score:.4f}",
            words[found.is_right(query, row)],
            printable(found.class_name(int(found.gallery.labels[row]))),
            printable(paths[row]),
        ]
        for rank, (row, score) in enumerate(
            zip(found.rows[query].tolist(), found.scores[query].tolist(), strict=True), 1
        )
    ]


def _embed_once(model: Model, images: ImageDataset, device: str) -> Tensor:
    """Embeddings of a few images, which leave nothing in the cache."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return embed(model, cached_for(model, images, progress=False, folder=folder), device)


def _scores(model: Model, queries: Tensor, gallery: Tensor) -> Tensor:
    """(Q, D) and (M, D) → (Q, M) cosines or distances, in float64: copies of an image are 0 apart."""
    q = queries.double()
    blocks = gallery.split(BLOCK)
    if model.on_sphere:
        return torch.cat([cosine_to(q, block) for block in blocks], 1)
    return torch.cat([distance(squared_distances_to(q, block)) for block in blocks], 1)


def _rows_of_same_files(queries: ImageDataset, gallery: ImageDataset) -> list[Tensor]:
    """For each query, the rows of the gallery that are the same file."""
    known = pictures.files_of(gallery)
    return [
        torch.tensor([row for row, file in enumerate(known) if pictures.same_file(query, file)])
        for query in pictures.files_of(queries)
    ]


def _class_of(queries: ImageDataset, query: int, gallery: ImageDataset, own: Tensor) -> int:
    if len(own):
        return int(gallery.labels[own[0]])
    folder = pictures.files_of(queries)[query].path.absolute().parent.name
    return gallery.class_names.index(folder) if folder in gallery.class_names else NO_CLASS
