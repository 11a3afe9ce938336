"""Optimisers by parameter group, and learning-rate schedules that know how far a run has come."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.methods import Group, Method
from dmlteach.models import Model

SCHEDULES: dict[str, set[str]] = {
    "constant": set(),
    "cosine": {"warmup"},
    "step": {"factor", "every", "at"},
    "plateau": {"factor", "patience"},
}

OPTIMIZERS: dict[str, Callable[[list], torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


class Optimizers:
    """Several optimisers that step together; most recipes have one, some learn a part by another rule."""

    def __init__(self, parts: list[torch.optim.Optimizer]):
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            kinds = [{name: type(value) for name, value in group.items()} for group in part.param_groups]
            part.load_state_dict(state)
            for group, kind in zip(part.param_groups, kinds, strict=True):
                if any(type(group[name]) is not kind[name] for name in kind):
                    raise ValueError("the optimizer has other options")
            kept = list(part.state.items())
            if len({frozenset((name, type(v)) for name, v in values.items()) for _, values in kept}) > 1:
                raise ValueError("the optimizer lacks a part of what it knows of a parameter")
            if not all(_fits(name, v, parameter) for parameter, values in kept for name, v in values.items()):
                raise ValueError("the optimizer knows parameters of another shape")


def _fits(name: str, value: Any, parameter: Tensor) -> bool:
    """Whether an optimizer may keep this of a parameter: its steps, or a running mean of its shape."""
    if isinstance(value, Tensor):
        return value.shape == (() if name == "step" else parameter.shape)
    return value is None or (name == "step" and type(value) in (int, float))


def build(recipe: Method, model: Model, loss: nn.Module) -> Optimizers:
    """The recipe's optimisers over three groups: backbone, head, and the loss's own parameters.

    Raises:
        DMLTeachError: no such group or optimiser.
    """
    parts = {"backbone": model.backbone, "head": model.head, "loss": loss}
    unknown = set(recipe.groups) - set(parts)
    if unknown:
        raise unknown_name("parameter group", unknown.pop(), parts)
    by_optimizer: dict[str, list[dict[str, Any]]] = {recipe.optimizer: []}
    for name, module in parts.items():
        group = recipe.groups.get(name, Group())
        decay = recipe.weight_decay if group.weight_decay is None else group.weight_decay
        rate = recipe.learning_rate * group.factor
        parameters = list(module.parameters())
        if parameters:
            by_optimizer.setdefault(group.optimizer or recipe.optimizer, []).append(
                {"name": name, "params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
            )
    for name in by_optimizer:
        if name not in OPTIMIZERS:
            raise unknown_name("optimizer", name, OPTIMIZERS)
    return Optimizers([OPTIMIZERS[name](groups) for name, groups in by_optimizer.items()])


def clip_gradients(parameters: list[nn.Parameter], recipe: Method) -> None:
    """Keep each entry of the gradient, or its norm, within what the recipe says, if it does.

    Args:
        parameters: with their gradients.
        recipe: of the run.
    """
    if recipe.clip is not None:
        nn.utils.clip_grad_value_(parameters, recipe.clip)
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)


class Schedule:
    """Learning-rate factor: constant, cosine with linear warm-up, step, or plateau on the training loss."""

    def __init__(self, name: str, options: dict[str, Any], epochs: int):
        if name not in SCHEDULES:
            raise unknown_name("schedule", name, SCHEDULES)
        for option in options:
            if option not in SCHEDULES[name]:
                raise unknown_name(f"option of the {name} schedule", option, SCHEDULES[name])
        self.name, self.options, self.epochs = name, options, max(epochs, 1)
        self.best, self.waited, self.reduction = math.inf, 0, 1.0

    def factor(self, progress: float) -> float:
        """Factor on the base rates, `progress` epochs (with fraction) into the run."""
        if self.name == "cosine":
            warmup = self.options.get("warmup", 0.0)
            rise = min(1.0, (progress + 1e-3) / warmup) if warmup else 1.0
            return rise * 0.5 * (1 + math.cos(math.pi * min(progress / self.epochs, 1.0)))
        if self.name == "step":
            at = self.options.get("at")
            every = self.options.get("every", 10)
            steps = progress // every if at is None else sum(progress >= epoch for epoch in at)
            return self.options.get("factor", 0.1) ** steps
        return self.reduction

    def epoch_ended(self, loss: float) -> None:
        """Plateau: after more than `patience` epochs without a better loss, multiply by `factor`."""
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.name == "plateau" and self.waited > self.options.get("patience", 5):
            self.reduction *= self.options.get("factor", 0.5)
            self.waited = 0

    def apply(self, optimizer: Optimizers, progress: float) -> None:
        """Set the rates of all groups."""
        factor = self.factor(progress)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited, "reduction": self.reduction}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.waited, self.reduction = state["best"], int(state["waited"]), state["reduction"]


class EarlyStopping:
    """Says when the training loss has not improved for `patience` epochs; None never says so."""

    def __init__(self, patience: int | None):
        if patience is not None and patience < 1:
            raise DMLTeachError(f"early_stopping must be at least 1 epoch, not {patience}.")
        self.patience, self.best, self.waited = patience, math.inf, 0

    def epoch_ended(self, loss: float) -> bool:
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.waited = state["best"], int(state["waited"])
