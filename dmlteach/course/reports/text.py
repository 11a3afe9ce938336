"""What a report says: every number and every direction in its sentences is computed here."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import torch

from dmlteach import data, metrics, models
from dmlteach.course import Text, published
from dmlteach.course.reports import commands
from dmlteach.course.reports.subject import Measured, Row, Subject, TestSet, options_of_test
from dmlteach.course.statements import signed
from dmlteach.data import provenance as provenance_of_run
from dmlteach.device import choose_device, environment
from dmlteach.inputs import collapse_sentence

UNKNOWN = "not known"
FEW_CLASSES = 20  # below, a bootstrap over classes is rough
SETTINGS = (
    "paper", "loss", "loss_options", "sampler", "sampler_options", "das", "das_options", "memory", "imprint",
    "backbone", "head", "embedding_dim", "normalize", "batch_size", "batches_per_epoch", "epochs",
    "optimizer", "learning_rate", "weight_decay", "schedule", "schedule_options", "transform",
    "train_options",
)  # fmt: skip


def percent(share: float, decimals: int = 1) -> str:
    """79.4 %, of a fraction.

    Args:
        share: 0 … 1.
        decimals: after the point.
    """
    return f"{100 * share:.{decimals}f} %"


# ── the result ────────────────────────────────────────────────────────────────────────────────────────


def title(subject: Subject, test: TestSet, measured: Measured) -> Text:
    """Heading and first lines: method, data, number, interval, and what it was measured on.

    Args:
        subject: what the report is about.
        test: on which images.
        measured: the network on them.
    """
    name = test.queries.name
    given = f" (95 % interval {_range(measured.interval)})" if _has_width(measured.interval) else ""
    heading = f"# {subject.name} on {name}: Recall@1 {percent(measured.scores['recall@1'])}{given}"
    paper = f"Recipe: {subject.recipe['paper']}. " if subject.recipe.get("paper") else ""
    return Text(f"{heading}\n\n{paper}{_test_sentence(test)} {unseen(subject, test)} {_day(date.today())}.")


def unseen(subject: Subject, test: TestSet) -> str:
    """One sentence: whether the network has been trained on the classes of the test set.

    Args:
        subject: what the report is about.
        test: the images it is tested on.
    """
    name = test.queries.name
    if subject.shipped == "untrained":
        return "It has not been trained at all."
    if subject.dataset is None:
        return "Which classes the network was trained on is not known."
    if subject.dataset != name:
        return f"The network was trained on another data set, {subject.dataset}."
    if test.notes:
        return " ".join(note[:1].upper() + note[1:] for note in test.notes)
    if name == "domainnet":
        return "The network was trained on other images of the same classes."
    return "The network was trained on other classes."


def result_table(rows: Sequence[Row], test: TestSet) -> Text:
    """The first table: this network, the untrained one, a classifier, all on the same test set.

    Args:
        rows: the networks, this one first.
        test: the images.
    """
    lines = ["| network | Recall@1 | 95 % interval | R-precision | MAP@R |", "|---|---|---|---|---|"]
    for i, (name, found, note) in enumerate(rows):
        label = (f"**{name}**" if i == 0 else name) + f", {note}" * bool(note)
        lines.append(f"| {label} | {' | '.join(_numbers(found))} |")
    return Text("\n".join([*lines, "", _test_sentence(test) + " Every number is of this test set."]))


def _numbers(found: Measured | Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["not measured", "", "", ""]
    scores, interval = (found.scores, found.interval) if isinstance(found, Measured) else (found, None)
    shown = _range(interval) if interval and _has_width(interval) else ""
    return [percent(scores["recall@1"]), shown, percent(scores["r_precision"]), percent(scores["map@r"])]


def _test_sentence(test: TestSet) -> str:
    images, classes = f"{len(test.queries):,} test images", f"{test.queries.num_classes:,} classes"
    if test.gallery is None:
        return f"Each of the {images} of {classes} searches all the others."
    return f"Each of the {images} of {classes} searches the {len(test.gallery):,} images of a gallery."


def result_sentences(rows: Sequence[Row], test: TestSet) -> Text:
    """How this network stands to the others and to chance, and what the interval means.

    Args:
        rows: as of `result_table`.
        test: the images.
    """
    this = rows[0].found
    assert isinstance(this, Measured)
    sentences = [_sentence_of_collapse(this)] if this.collapsed else []
    sentences += [compare(this, row) for row in rows[1:] if row.found is not None]
    sentences.append(f"A search that picks at random would reach {percent(chance(test), 2)}.")
    if left_out := this.scores["num_left_out"]:
        sentences.append(f"{left_out:,} queries have no other image of their class to find and do not count.")
    return Text(" ".join(sentences) + "\n\n" + interval_sentence(this, test))


def _sentence_of_collapse(this: Measured) -> str:
    count = len(this.queries) if this.gallery is this.queries else len(this.queries) + len(this.gallery)
    said = collapse_sentence(count)
    return said[0].upper() + said[1:]


def compare(this: Measured, other: Row) -> str:
    """One sentence: above, below or equal, by how much, and whether the test set tells them apart.

    Args:
        this: the network of the report.
        other: a row of the table that has numbers.
    """
    if isinstance(other.found, Measured):
        difference, interval = this.difference(other.found)
    else:
        assert other.found is not None
        difference, interval = this.scores["recall@1"] - other.found["recall@1"], (0.0, 0.0)
    distance = abs(100 * difference)
    points = f"{distance:.1f} points" if distance >= 0.05 else "less than 0.1 points"
    where = f"{points} {'above' if difference > 0 else 'below'}" if difference else "equal to"
    sentence = f"Its Recall@1 is {where} that of {other.name}"
    if _has_width(interval):
        low, high = map(signed, interval)
        sentence += f" (95 % interval of the difference: {low} to {high} points"
        if interval[0] <= 0 <= interval[1]:
            sentence += ", which holds 0: this test set does not tell the two apart"
        sentence += ")"
    return sentence + "."


def interval_sentence(measured: Measured, test: TestSet) -> str:
    """What the interval is, and what it is not.

    Args:
        measured: whose interval.
        test: the images.
    """
    classes = test.queries.num_classes
    if not _has_width(measured.interval):
        return f"There is no interval: all {classes} classes have the same Recall@1, so nothing varies."
    few = f" Of only {classes} classes it is rough, and rather too narrow." * (classes < FEW_CLASSES)
    return (
        "The interval is a bootstrap over the test classes: as many are drawn with replacement, with all "
        "their queries, 2,000 times. It says how much the number depends on which classes were tested, and "
        f"nothing about other seeds of a training.{few}"
    )


def chance(test: TestSet) -> float:
    """Recall@1 of a search that picks one image at random, over the queries that have something to find.

    Args:
        test: the images.
    """
    own = int(test.gallery is None)
    searched = test.queries if test.gallery is None else test.gallery
    size = torch.bincount(searched.labels, minlength=test.queries.num_classes)
    matches = size[test.queries.labels] - own  # (Q,)
    return (matches[matches > 0].double().mean() / test.searched).item()


def further_table(rows: Sequence[Row], test: TestSet, left_out: Sequence[int], seed: int) -> Text:
    """Recall@K, R-precision, MAP@R and NMI, with what each asks; – where a network's was not measured.

    Args:
        rows: the first table's networks, that of the report first.
        test: the images.
        left_out: the K that are more than the images searched.
        seed: of the k-means behind NMI.
    """
    this = rows[0].found
    assert isinstance(this, Measured)
    names = [name for name in this.scores if name.startswith("recall@")] + ["r_precision", "map@r"]
    heads = [f"Recall@{name.removeprefix('recall@')}" for name in names[:-2]] + [
        "R-precision",
        "MAP@R",
        "NMI",
    ]
    lines = ["| network | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for row in [row for row in rows if row.found is not None]:
        lines.append(f"| {row.name} | " + " | ".join(_further(row.found, names, seed)) + " |")
    explained = (
        "*Recall@K*: a right image is among the nearest K. *R-precision* and *MAP@R*: of the nearest R "
        "images, where R is how many right ones there are, how many are right, and how early. *NMI* compares "
        f"k-means clusters with the classes. All are of the {test.queries.num_classes:,} test classes."
    )
    if any("–" in line for line in lines):
        explained += " –: neither recorded by the run nor measured here."
    if left_out:
        few = ", ".join(f"Recall@{k}" for k in left_out)
        explained += f" {few}: left out, as a query searches only {test.searched} images."
    return Text("\n".join([*lines, "", explained]))


def _further(found: Measured | Mapping[str, Any] | None, names: Sequence[str], seed: int) -> list[str]:
    """Cells of the numbers with these names, and of NMI, for which embeddings are needed."""
    scores = found.scores if isinstance(found, Measured) else found or {}
    cells = [percent(scores[name]) if name in scores else "–" for name in names]
    clusters = metrics.nmi(found.queries, found.labels, seed=seed) if isinstance(found, Measured) else None
    return [*cells, "–" if clusters is None else percent(clusters)]


def published_table(subject: Subject, test: TestSet, measured: Measured) -> Text | None:
    """Published results beside this one; nothing where none are known for the data set.

    Args:
        subject: what the report is about.
        test: the images.
        measured: the network on them.
    """
    name, spec = test.queries.name, subject.model.spec
    if not published.has_recall(name):
        return None
    method = subject.config.get("method", subject.name)
    table = published.beside(name, method, measured.scores["recall@1"], backbone=spec.backbone)
    return Text(
        f"{table}\n\nThis run: {spec.backbone}, embeddings of {sum(subject.model.head.dims)} numbers, images "
        f"of {spec.image_size} pixels. The others are as published; they differ in network, image size and "
        "length of training, and several chose the best epoch by the test set, which this report does not. "
        "Compare methods in one setting, not across this table."
    )


# ── the training ──────────────────────────────────────────────────────────────────────────────────────


def training_sentence(subject: Subject) -> Text:
    """How long training was, and why it ended; what is not recorded is said to be unknown.

    Args:
        subject: what the report is about.
    """
    if not subject.recipe:
        return Text("No training is recorded beside this network.")
    known = {name: value for name, value in _length(subject).items() if value != UNKNOWN}
    length = ", ".join(f"{value} {name.removesuffix('s' * (value == '1'))}" for name, value in known.items())
    ended = subject.metrics.get("final", {}).get("ended")
    sentences = [f"Trained for {length}." if length else "How long it was trained is not recorded."]
    if ended:
        sentences.append(f"{ended[0].upper()}{ended[1:].rstrip('.')}.")
    return Text(" ".join(sentences))


def _length(subject: Subject) -> dict[str, str]:
    """Steps, whole epochs and time of a training."""
    final, rows = subject.metrics.get("final", {}), subject.metrics.get("epochs", [])
    recorded = "steps" in final or bool(subject.shipped)  # earlier runs counted a begun epoch as a whole one
    steps = final.get("steps", sum(row.get("steps", 0) for row in rows))
    if subject.shipped and subject.recipe.get("batches_per_epoch") and "epochs" in final:
        steps = final["epochs"] * subject.recipe["batches_per_epoch"]
    return {
        "steps": f"{steps:,}" if steps else UNKNOWN,
        "whole epochs": f"{final['epochs']:,}" if recorded and "epochs" in final else UNKNOWN,
        "of training time": _duration(final["train_seconds"]) if "train_seconds" in final else UNKNOWN,
    }


def settings_table(subject: Subject) -> Text | None:
    """The recipe as it was used; nothing where it is unknown.

    Args:
        subject: what the report is about.
    """
    known = {name: subject.recipe.get(name) for name in SETTINGS}
    known["train_options"] = {**(known["train_options"] or {}), **subject.config.get("dataset_options", {})}
    rows = [
        f"| {name.replace('_', ' ')} | {_setting(value)} |"
        for name, value in known.items()
        if value not in (None, {}, False, 0, "")
    ]
    return Text("\n".join(["| setting | value |", "|---|---|", *rows])) if rows else None


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {one}" for name, one in value.items())
    return "yes" if value is True else str(value)


def retrieval_sentence(measured: Measured, shown: bool, choice: str) -> Text:
    """How to read a grid of images, or why there is none.

    Args:
        measured: the network on the test set.
        shown: whether images are shown.
        choice: the parameter show_images.
    """
    if measured.collapsed:
        return Text(f"{_sentence_of_collapse(measured)} So there are no neighbours to show, and no map.")
    if shown:
        return Text(
            "A tick in a solid frame is an image of the query's class, a cross in a dashed frame is not."
        )
    if choice == "none":
        return Text("Images are not shown, as was asked for.")
    return Text(
        "Images are not shown: nobody has said that those of this data set may be passed on. "
        "In a report of your own, `--parameter show_images=all` shows them."
    )


# ── where it comes from ───────────────────────────────────────────────────────────────────────────────


def provenance(subject: Subject, test: TestSet, chosen: Mapping[str, Any]) -> Text:
    """Everything needed to judge and to repeat the report.

    Args:
        subject: what the report is about.
        test: the images it is tested on.
        chosen: the parameters of the report.
    """
    spec, here = subject.model.spec, environment(choose_device(chosen["device"]))
    parameters = sum(p.numel() for p in subject.model.parameters())
    rows = {
        "network": f"{spec.backbone}, {parameters:,} parameters, embeddings of "
        f"{sum(subject.model.head.dims)} numbers, images of {spec.image_size} pixels",
        "weights it started from": _start(subject),
    }
    rows |= {name.removeprefix("of "): value for name, value in _length(subject).items()}
    rows |= {"training ended": subject.metrics.get("final", {}).get("ended", UNKNOWN)}
    rows |= {f"training: {name}": value for name, value in _made_with(subject.made_with).items()}
    rows |= {f"this report: {name}": value for name, value in _made_with(here).items()}
    rows |= {"seed": f"{subject.config['seed']}" if "seed" in subject.config else UNKNOWN}
    rows |= splits(subject, test, chosen["root"])
    if subject.shipped:
        rows |= {"to repeat the training": f"`python -m dmlteach.course.recordings {subject.shipped}`"}
    elif subject.config:
        rows |= {"to repeat the training": f"`{commands.training(subject.config)}`"}
    rows |= {"to repeat this report": f"`{commands.report(chosen)}`"}
    return Text(
        "\n".join(
            ["| what | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
        )
    )


def _start(subject: Subject) -> str:
    """Whose weights the network had before its first step."""
    if subject.config.get("checkpoint"):
        return str(subject.config["checkpoint"])
    given = subject.config.get("weights") or models.usual_weights(subject.model.spec.backbone)
    return "random" if given == "none" else "ImageNet" if given in ("imagenet", "cached") else str(given)


def _made_with(made: Mapping[str, Any]) -> dict[str, str]:
    versions = ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())
    count = made.get("threads")
    threads = f", {count} CPU thread{'s' * (count != 1)}" if count else ""
    processor = f" ({made['processor']})" if "processor" in made else ""
    return {
        "date": made.get("date", UNKNOWN),
        "device": made.get("device", UNKNOWN) + processor + threads,
        "versions": versions or UNKNOWN,
    }


def splits(subject: Subject, test: TestSet, root: str | None) -> dict[str, str]:
    """Images and classes of the training, of val and of the test.

    Args:
        subject: what the report is about.
        test: the images it is tested on.
        root: of the data set.
    """
    rows = {}
    if subject.dataset == test.queries.name:
        for split, (images, classes) in _training_splits(subject, root).items():
            what = "validation" if split == "val" else "trained on"
            rows[what] = f"{images:,} images of {classes:,} classes"
    else:
        rows["trained on"] = subject.dataset or UNKNOWN
    gallery = f", gallery of {len(test.gallery):,} images" if test.gallery is not None else ""
    rows["test"] = f"{len(test.queries):,} images of {test.queries.num_classes:,} classes{gallery}"
    return rows


def _training_splits(subject: Subject, root: str | None) -> dict[str, tuple[int, int]]:
    """Images and classes by split, as the run kept them; of earlier runs, as they are loaded today."""
    kept = provenance_of_run.read(subject.run) if subject.run else None
    if kept is not None:
        known = {split: kept["splits"][split] for split in ("train", "fit", "val") if split in kept["splits"]}
        return {split: (part["images"], len(part["classes"])) for split, part in known.items()}
    config, plain = subject.config, options_of_test(subject)
    whole = {**subject.recipe.get("train_options", {}), **config.get("dataset_options", {})}
    parts = {"fit": whole, "val": plain} if config.get("eval_every") else {"train": whole}
    found = {}
    for split, options in parts.items():
        loaded = data.load_for_run(subject.run, config["dataset"], split, root, **options).images
        loaded = loaded.first_classes(config.get("classes"))
        found[split] = len(loaded), loaded.num_classes
    return found


# ── wording ───────────────────────────────────────────────────────────────────────────────────────────


def _has_width(interval: tuple[float, float]) -> bool:
    return interval[1] > interval[0]


def _range(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f} %"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
