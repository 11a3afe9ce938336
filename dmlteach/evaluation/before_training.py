"""The untrained network's numbers, which a run keeps, beside those of a trained one on the same images."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dmlteach.data import ImageDataset, provenance
from dmlteach.errors import DMLTeachError
from dmlteach.models import Model, create, usual_weights
from dmlteach.models import load as load_model

# Numbers that must agree for two evaluations to be of the same queries and classes.
COUNTS = ("num_queries", "num_left_out", "num_classes")


def untrained(
    checkpoint: str | Path,
    measured: Mapping[str, Any],
    dataset: str,
    split: str,
    options: Mapping[str, Any],
    images: ImageDataset | None = None,
) -> tuple[dict[str, Any] | None, str]:
    """What the network of a run reached before its first step, where that was measured on the same images.

    Args:
        checkpoint: run folder or model file.
        measured: what `evaluate` returns for the trained network.
        dataset, split: what that was measured on.
        options: of the data set, as of `data.load`.
        images: the queries; they are compared with what the run kept of its own, options are then no matter.

    Returns:
        The numbers, and ""; or None, and in one line why they are not known.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        return None, f"{checkpoint} is a model file; a run's folder knows it."
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config, recipe = settings["config"], settings["recipe"]
        numbers = json.loads((folder / "metrics.json").read_text(encoding="utf-8")).get("untrained")
        own = {k: v for k, v in config["dataset_options"].items() if k not in recipe["train_options"]}
        same = (config["dataset"], own) == (dataset, dict(options)) and split == "test"
        kept = None if images is None else provenance.are_the_same(folder, split, images)
        same = same if kept is None else kept and split == "test"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, f"{checkpoint} holds no config.json and metrics.json of a run that can be read."
    if numbers is None:
        return None, f"the run {checkpoint} was made before it was measured."
    if not same or any(numbers.get(count) != measured.get(count) for count in COUNTS):
        classes, cut = numbers.get("num_classes", "other"), config.get("classes")
        same = cut and split == "test" and dataset == config["dataset"]
        again = f" (give --classes {cut}, as the training had)" if same else ""
        what = f"{classes} test classes of {config['dataset']}"
        return None, f"the run measured it on {what}, not on these images{again}."
    if not any(name in numbers for name in measured if name.startswith("recall@")):
        return None, "the run measured it at other K of Recall@K."
    return numbers, ""


def network(config: Mapping[str, Any], recipe: Mapping[str, Any], trained: Model) -> tuple[Model | None, str]:
    """The network of a run before its first step, made again: random from the seed, or from what it started.

    Nothing is downloaded. Another version of torch can draw other random weights: compare its numbers with
    those that the run recorded.

    Args:
        config, recipe: of the run, as its config.json has them.
        trained: its network.

    Returns:
        The network, and ""; or None, and in half a sentence why it is not there.
    """
    start, spec = config.get("checkpoint"), trained.spec
    phases = dict(recipe.get("phases", ()))  # of runs made before the steps had a name of their own
    if not start and (recipe.get("head_steps") or phases.get("initialize heads")):
        return None, "its learners were made independent on the training images"
    dim = recipe.get("embedding_dim", sum(trained.head.dims))
    given = config.get("weights") or usual_weights(spec.backbone)
    weights = {"none": None, "imagenet": "cached"}.get(given, given)
    try:
        if start:
            return load_model(start).to(trained.dtype), ""
        network = create(
            spec.backbone, dim, weights=weights, normalize=spec.normalize,
            image_size=spec.image_size, keep_aspect=spec.keep_aspect, head=spec.head,
            head_options=spec.head_options, seed=config.get("seed", 0),
        )  # fmt: skip
        return network.to(trained.dtype), ""
    except DMLTeachError:
        return None, f"the weights it started from ({start or given}) are not here"


def called(checkpoint: str | Path) -> str:
    """What to call the numbers of a run before its first step: "untrained", or "before" after a checkpoint.

    Args:
        checkpoint: run folder or model file.
    """
    try:
        config = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))["config"]
        return "before" if config.get("checkpoint") else "untrained"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "untrained"
