"""A method's recipe in words: part by part, as published, as a data set has it, and why."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dmlteach import methods
from dmlteach.methods import Group, Method
from dmlteach.train import TrainConfig, resolve


class Row(NamedTuple):
    """A part of a recipe: as published, as a data set has it, and why that differs ("" where it does not)."""

    part: str
    published: str
    here: str
    why: str


def recipe_on(method: str, dataset: str) -> list[Row]:
    """The recipe of a method, part by part, as published and as a data set adapts it, and why.

    Args:
        method: our id.
        dataset: its name.
    """
    as_it_is, here = methods.get(method), resolve(TrainConfig(method=method, dataset=dataset))
    one, other = _parts(as_it_is), _parts(here)
    why = methods.ADAPTATIONS.get(dataset, methods.Adaptation()).why
    reasons = _changed(as_it_is, here)
    return [
        Row(part, one[part], other[part], " ".join(why[name] for name in reasons[part] if name in why))
        for part in one
        if one[part] or other[part]
    ]


def _parts(recipe: Method) -> dict[str, str]:
    """What a recipe says, in words; "" where it says nothing of a part."""
    sampler = {key: value for key, value in recipe.sampler_options.items() if key != "images_per_class"}
    each = recipe.sampler_options.get("images_per_class")
    clip = f"entries of the gradient at ± {recipe.clip:g}" if recipe.clip else ""
    if recipe.clip_norm:
        clip = f"norm of the gradient at {recipe.clip_norm:g}"
    return {
        "loss": _with_options(recipe.loss, recipe.loss_options),
        "batch": f"{recipe.batch_size} images" + (f", {each} of a class" if each else ""),
        "sampler": _with_options(recipe.sampler, sampler),
        "backbone": recipe.backbone,
        "head": _with_options(recipe.head, recipe.head_options),
        "embedding": f"D = {recipe.embedding_dim}" + (", on the unit sphere" if recipe.normalize else ""),
        "images": _with_options(recipe.transform, recipe.train_options),
        "optimizer": f"{recipe.optimizer}, decay {recipe.weight_decay:g}",
        "rate": ", ".join(
            [f"{recipe.learning_rate:g}", *map(_factor, recipe.groups, recipe.groups.values())]
        ),
        "schedule": _with_options(recipe.schedule, recipe.schedule_options),
        "epochs": f"at most {recipe.epochs}" if recipe.early_stopping else f"{recipe.epochs}",
        "stops early": f"after {recipe.early_stopping} without a lower loss" if recipe.early_stopping else "",
        "class vectors": f"from the means of {recipe.imprint} images" if recipe.imprint else "",
        "frozen": f"the backbone, for {recipe.frozen_epochs} epochs" if recipe.frozen_epochs else "",
        "learners": f"made independent in {recipe.head_steps} steps" if recipe.head_steps else "",
        "bounded": clip,
    }


def _changed(one: Method, other: Method) -> dict[str, list[str]]:
    """For each part, what of it differs, by the names under which an adaptation says why."""
    fields = {
        "batch": ["batch_size"], "backbone": ["backbone"], "embedding": ["embedding_dim"],
        "images": ["transform", "train_options"], "optimizer": ["optimizer"], "schedule": ["schedule"],
        "rate": ["learning_rate", "groups"], "epochs": ["epochs"], "stops early": ["early_stopping"],
        "class vectors": ["imprint"], "frozen": ["frozen_epochs"], "bounded": ["clip_norm"],
        "head": [], "learners": [], "loss": [], "sampler": [],
    }  # fmt: skip
    found = {
        part: [name for name in names if getattr(one, name) != getattr(other, name)]
        for part, names in fields.items()
    }
    if one.loss_options != other.loss_options:
        found["loss"].append(one.loss)
    before, after = dict(one.sampler_options), dict(other.sampler_options)
    if before.pop("images_per_class", None) != after.pop("images_per_class", None):
        found["batch"].append("images_per_class")
    if before != after:
        found["sampler"].append(one.sampler)
    return found


def _with_options(what: str, options: Mapping[str, Any]) -> str:
    return ", ".join([what, *(f"{key}={value}" for key, value in options.items())])


def _factor(part: str, group: Group) -> str:
    own = f" by {group.optimizer}" if group.optimizer else ""
    own += "" if group.weight_decay is None else f" with decay {group.weight_decay:g}"
    return f"{part} × {group.factor:g}{own}"
