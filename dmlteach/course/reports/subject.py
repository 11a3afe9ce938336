"""What a report is about: a network, what is known of its training, and how it does on the test set."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dmlteach import data, files, foreign, metrics, models
from dmlteach.course import recordings as pretrained
from dmlteach.course.reports import commands
from dmlteach.data import CachedImages, ImageDataset, provenance
from dmlteach.embeddings import cached_for, embed
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import before_training, evaluate, recall
from dmlteach.inputs import is_collapsed
from dmlteach.metrics.query_statistics import mean_interval
from dmlteach.models import Model
from dmlteach.train import FREE, Run, TrainConfig, fit

OMNIGLOT_CLASSES = 659  # of the whole test
SAME = 0.002  # difference of Recall@1 up to which a network that was made again is the one of before
BEFORE = "val_before_training.json"  # beside a run: Recall@1 of the untrained network on the val classes


class Subject(NamedTuple):
    """A network and what is known of it; of a model file without a run, nothing but the network.

    Attributes:
        model: in evaluation mode.
        name: what to call it, e.g. "sst".
        run: folder of its training, or None.
        config, recipe: of the training; empty where unknown.
        metrics: content of the run's metrics.json; empty where unknown.
        made_with: device, threads, versions and date of the training; empty where unknown.
        shipped: its name among the shipped networks, or "".
    """

    model: Model
    name: str
    run: Path | None
    config: dict[str, Any]
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    made_with: dict[str, Any]
    shipped: str = ""

    @property
    def dataset(self) -> str | None:
        """The data set it was trained on; None where unknown."""
        return self.config.get("dataset")


def train(config: TrainConfig) -> Path:
    """Train in `config.output`, or continue there; a training that has ended is left as it is.

    Args:
        config: with `output`, and `resume` set.

    Returns:
        The run's folder.

    Raises:
        DMLTeachError: as `fit`; or the training that has ended there had other options.
    """
    folder = Path(str(config.output))
    if read_json(folder / "metrics.json").get("final") and (folder / models.MODEL_FILE).is_file():
        _check_same(folder, config)
        further = f"{commands.training(asdict(config))} --resume --output {folder.absolute()}"
        print(f"The training in {folder.absolute()} has ended: it is evaluated and drawn only.")
        print(f"To train on after a time limit: {further}")
    else:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *place: print(f"note: {message}")
            fit(config, after_epoch=_note_untrained)
    return folder


def _note_untrained(run: Run) -> None:
    """Before the first step: Recall@1 on the val classes, where the curve begins."""
    val = run.parts.val
    if val is None or run.epoch or run.step or not run.world.is_main:
        return
    scores = evaluate(run.model, val.queries, ks=(1,), device=run.device.type)
    files.write_json(run.folder / BEFORE, {"recall@1": scores["recall@1"]})


def _check_same(folder: Path, config: TrainConfig) -> None:
    saved = read_json(folder / "config.json").get("config", {})
    for field in fields(TrainConfig):
        asked = asdict(config)[field.name]
        # a run made before the option was there has its default
        was = saved.get(field.name, asdict(TrainConfig())[field.name])
        if field.name not in FREE and was != asked:
            raise DMLTeachError(
                f"{folder.absolute()} holds a training with {field.name}={was!r}, not {asked!r}: choose "
                "another --output, or give the same options to report on it."
            )


def read_json(file: Path) -> dict[str, Any]:
    """Content of a file of a run; nothing where there is no such file.

    Args:
        file: e.g. metrics.json.

    Raises:
        DMLTeachError: the file is damaged.
    """
    if not file.is_file():
        return {}
    cure = "Train anew, or restore the file."
    content = files.read_json(file, cure)
    if not isinstance(content, dict):
        raise files.damaged(file, "it is no JSON object", cure)
    return content


def open_subject(place: str | Path, backbone: str | None = None) -> Subject:
    """The network of a run folder or model file, or a shipped one, with what is known of its training.

    Args:
        place: of the run or file, or one of `models.SHIPPED`.
        backbone: of the network, where it is not dmlteach's: only what the user names is run.

    Raises:
        DMLTeachError: there is none, or it cannot be read.
    """
    path = Path(place)
    if str(place) in models.SHIPPED and not path.exists():
        card = pretrained.card(str(place))
        recipe = card["recipe"] if isinstance(card["recipe"], dict) else {}
        config = card.get("config", {"dataset": "omniglot", "seed": 0})
        known = {name: card[name] for name in ("epochs", "steps", "train_seconds", "ended") if name in card}
        final = {"final": known} if known else {}
        model = models.pretrained(str(place))
        return Subject(model, str(place), None, config, recipe, final, card["made_with"], str(place))
    model = models.load(path, backbone if foreign.is_foreign(backbone) else None)
    folder = path if path.is_dir() else path.parent
    made = read_json(folder / "config.json") if path.is_dir() or path.name == models.MODEL_FILE else {}
    config = made.get("config", {})
    return Subject(
        model,
        _name(config) if config else path.stem,
        folder if config else None,
        config,
        made.get("recipe", {}),
        read_json(folder / "metrics.json") if config else {},
        made.get("made_with", {}),
    )


def open_baseline(place: str | None, dataset: str, root: str | None) -> Subject | None:
    """The network to compare with, looked at before a training begins.

    Args:
        place: as of `open_subject`; None for none.
        dataset, root: of the test set that it has to embed.

    Raises:
        DMLTeachError: it cannot be read, or reads images of another kind.
    """
    if place is None:
        return None
    baseline, channels = open_subject(place), data.load_test(dataset, root)[0].channels
    if baseline.model.spec.channels != channels:
        raise DMLTeachError(
            f"baseline={place} reads {baseline.model.spec.channels}-channel images, {dataset} has "
            f"{channels}: choose a baseline for such images."
        )
    return baseline


def _name(config: Mapping[str, Any]) -> str:
    """The method, and what was put in the place of its parts."""
    changed = [f"{part} {foreign.called(config[part])}" for part in ("loss", "sampler") if config.get(part)]
    return config["method"] + f" with {' and '.join(changed)}" * bool(changed)


def options_of_test(subject: Subject) -> dict[str, Any]:
    """Options of the data set with which a training's test images were loaded.

    Args:
        subject: the trained network.
    """
    of_training = subject.recipe.get("train_options", {})
    given = subject.config.get("dataset_options", {})
    return {name: value for name, value in given.items() if name not in of_training}


class TestSet(NamedTuple):
    """What is searched for, and in what.

    Attributes:
        queries: the test images.
        gallery: what they search, where it is another set; None: each searches all the others.
        notes: sentences about what has changed since the training, or is not known.
    """

    queries: ImageDataset
    gallery: ImageDataset | None
    notes: tuple[str, ...] = ()

    @property
    def searched(self) -> int:
        """Images that each query is compared with."""
        return recall.searched(self.queries, self.gallery)


def test_set(dataset: str, root: str | None, subject: Subject) -> TestSet:
    """The test images: of the data set of a training, its own classes, cut as it cut them.

    Args:
        dataset, root: as of `data.load`.
        subject: the network to test.
    """
    own = subject.dataset == dataset
    options = options_of_test(subject) if own else {}
    found = data.load_for_run(subject.run, dataset, "test", root, **options)
    classes = subject.config.get("classes") if own else None
    gallery = found.gallery and found.gallery.first_classes(classes)
    return TestSet(found.images.first_classes(classes), gallery, tuple(found.notes))


class Measured:
    """A network on a test set.

    Args:
        model: the network.
        test: its queries and gallery.
        device: "auto", "cpu", "cuda" or "mps".
        ks: K of Recall@K.

    Attributes:
        queries, gallery: embeddings (Q, D) and (M, D); of one set, both are the same.
        ks: K of Recall@K.
        scores: what `evaluate` returns.
        places: (Q,) where each query finds its first right image; 0 where it has none to find.
    """

    def __init__(self, model: Model, test: TestSet, device: str, ks: tuple[int, ...]):
        self.labels, self.ks = test.queries.labels, ks
        self.queries = self.gallery = embed(model, test.queries, device)
        others: tuple[Tensor, ...] = ()
        if test.gallery is not None:
            self.gallery = embed(model, test.gallery, device)
            others = (self.gallery, test.gallery.labels)
        self.scores = metrics.retrieval_metrics(self.queries, self.labels, ks, *others)
        self.places = metrics.first_match_ranks(self.queries, self.labels, *others)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of Recall@1, over classes."""
        counts = self.places > 0
        return mean_interval(self.places[counts] == 1, self.labels[counts])

    @cached_property
    def collapsed(self) -> bool:
        """Whether all images have one embedding, so that nothing can be told of their order."""
        one_set = self.gallery is self.queries
        return is_collapsed(self.queries if one_set else torch.cat([self.queries, self.gallery]))

    def difference(self, other: "Measured") -> tuple[float, tuple[float, float]]:
        """How much better Recall@1 is than another network's on the same queries, with its interval.

        Args:
            other: measured on the same test set.
        """
        counts = self.places > 0
        each = (self.places == 1).double() - (other.places == 1).double()  # (Q,)
        return each[counts].mean().item(), mean_interval(each[counts], self.labels[counts])


class Row(NamedTuple):
    """A network of the first table.

    Attributes:
        name: what it is.
        found: measured here; or only its numbers, as its run recorded them; or None, not measured.
        note: where the number comes from.
    """

    name: str
    found: Measured | Mapping[str, Any] | None
    note: str = ""


def rows_of(
    subject: Subject, measured: Measured, test: TestSet, baseline: Subject | None, device: str
) -> list[Row]:
    """The first table's networks: this one, the untrained one, a classifier, on the same test set.

    Args:
        subject: what the report is about.
        measured: it on the test set.
        test: the images.
        baseline: a network to stand for the classifier; on Omniglot's whole test the shipped one does.
        device: "auto", "cpu", "cuda" or "mps".
    """
    rows = [Row(subject.name, measured, "this report")]
    if subject.shipped != "untrained":
        rows.append(_untrained(subject, measured, test, device))
    if baseline is not None:
        seen = _told(baseline, test)
        found = Measured(baseline.model, test, device, measured.ks)
        rows.append(Row(f"the baseline {baseline.name}", found, " ".join(seen).rstrip(".")))
    elif test.queries.name == "omniglot" and test.queries.num_classes == OMNIGLOT_CLASSES:
        if subject.shipped != "softmax":
            classifier = Measured(models.pretrained("softmax"), test, device, measured.ks)
            rows.append(Row("the shipped classifier", classifier, "softmax"))
    else:
        rows.append(Row("a classifier", None, "name one by --parameter baseline=RUN"))
    return rows


def _told(baseline: Subject, test: TestSet) -> list[str]:
    """What is different between a baseline's data and the images that it is measured on."""
    if baseline.run is None:
        return []
    return provenance.tested(baseline.run, test.queries, "test", None, options_of_test(baseline))


def _untrained(subject: Subject, measured: Measured, test: TestSet, device: str) -> Row:
    """The network before its first step, by what its run recorded of the same images.

    Where the network can be made again and reaches the recorded number, it is measured, for its interval.
    """
    name = "the network it started from" if subject.config.get("checkpoint") else "the untrained network"
    if subject.shipped:
        return Row(
            name, Measured(models.pretrained("untrained"), test, device, measured.ks), "random weights"
        )
    if subject.run is None:
        return Row(name, None, "a model file alone has not recorded it")
    options = options_of_test(subject)
    found, _ = before_training.untrained(
        subject.run, measured.scores, test.queries.name, "test", options, test.queries
    )
    if found is None or "recall@1" not in found:
        return Row(name, None, "its run has not recorded it on these images")
    network, why = before_training.network(subject.config, subject.recipe, subject.model)
    if network is not None:
        again = Measured(network, test, device, measured.ks)
        if abs(again.scores["recall@1"] - found["recall@1"]) <= max(SAME, 1.5 / found["num_queries"]):
            return Row(name, again, "before the first step")
        why = "made again here, it has another Recall@1"
    return Row(name, found, f"before the first step; no interval: {why}")


def before_on_val(subject: Subject, test: TestSet, root: str | None, device: str) -> tuple[float | None, str]:
    """Recall@1 of the network before its first step on the val classes of its run, where the curve begins.

    Args:
        subject: the trained network.
        test: the images that the report is about.
        root: where their data set is.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        The number, and ""; or None, and in half a sentence why it is not known.
    """
    config = subject.config
    if subject.run is None or not any("val" in row for row in subject.metrics.get("epochs", [])):
        return None, "no run is known that measured on such classes"
    recorded = read_json(subject.run / BEFORE).get("recall@1")
    if recorded is not None:
        return recorded, ""
    network, why = before_training.network(config, subject.recipe, subject.model)
    if network is None:
        return None, why
    place = root if test.queries.name == subject.dataset else config["root"]
    try:
        found = data.load_for_run(subject.run, config["dataset"], "val", place, **options_of_test(subject))
    except DMLTeachError:
        return None, "the val images of its training are not here"
    images = found.images.first_classes(config.get("classes"))
    if not provenance.are_the_same(subject.run, "val", images):
        return None, "the val images are not known to be those of its training"
    return evaluate(network, images, ks=(1,), device=device)["recall@1"], ""


ks_that_fit = recall.that_fit  # the name by which reports call it


class Images:
    """Queries, then gallery, as squares by row: uint8 (C, S, S), about as the network sees them.

    Args:
        model: whose size is taken.
        test: of which images.
    """

    def __init__(self, model: Model, test: TestSet):
        self.parts: list[CachedImages] = [
            cached_for(model, part, progress=False)
            for part in (test.queries, test.gallery)
            if part is not None
        ]

    def __getitem__(self, row: int) -> Tensor:
        first = self.parts[0]
        part, row = (first, row) if row < len(first) else (self.parts[1], row - len(first))
        found = part.gather(torch.tensor([row]))
        if isinstance(found, Tensor):
            return found[0]
        height, width = found.sizes[0].tolist()
        side = min(height, width)
        whole = found.data.view(height, width, found.channels).permute(2, 0, 1)
        square = whole[:, (height - side) // 2 :, (width - side) // 2 :][:, :side, :side]
        scaled = nn.functional.interpolate(square[None].float(), (part.size, part.size), mode="bilinear")
        return scaled[0].round().to(torch.uint8)
