"""Optimisers by parameter group, and learning-rate schedules that know how far a run has come."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dmlteach.methods import PARTS, Group, Method
from dmlteach.models import Model
from dmlteach.options import at_least, one_of
from dmlteach.registry import Registry

OPTIMIZERS: dict[str, Callable[[list], torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}
TINY = 1e-30  # beside the epsilon of every rule and whatever a weight is added to, as good as 0
FORGET_EVERY = 100  # steps; a running mean takes longer from there to where a CPU slows down


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

    @torch.no_grad()
    def forget_tiny(self) -> None:
        """Make 0 of weights, and of running means of gradients, that have shrunk below 1e-30.

        Weight decay shrinks what learns nothing more, such as a channel that is never positive, until it is
        below 1e-38: a CPU takes many times longer for each such number, a GPU does not.
        """
        for part in self.parts:
            for parameter, means in part.state.items():
                for numbers in (parameter, *means.values()):
                    if isinstance(numbers, Tensor):
                        numbers.masked_fill_(numbers.abs() < TINY, 0)

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
    for name in recipe.groups:
        one_of("parameter group", name, PARTS)
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
        one_of("optimizer", name, OPTIMIZERS)
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


def _constant(progress: float, epochs: int, reduction: float) -> float:
    return 1.0


def _cosine(progress: float, epochs: int, reduction: float, warmup: float = 0.0) -> float:
    rise = min(1.0, (progress + 1e-3) / warmup) if warmup else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * min(progress / epochs, 1.0)))


def _step(
    progress: float,
    epochs: int,
    reduction: float,
    factor: float = 0.1,
    every: float = 10,
    at: Sequence[float] | None = None,
) -> float:
    return factor ** (progress // every if at is None else sum(progress >= epoch for epoch in at))


def _plateau(progress: float, epochs: int, reduction: float, factor: float = 0.5, patience: int = 5) -> float:
    return reduction


# The factor on the rates, `progress` epochs (with fraction) into a run of so many; the others are options.
SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "step": _step,
    "plateau": _plateau,
}
OF_LENGTH = {"cosine"}  # whose rates follow from the number of epochs
_REGISTRY = Registry("schedule", SCHEDULES, facts=("progress", "epochs", "reduction"))


class Waiting:
    """Counts the epochs since the training loss was last better, by more than the share `tolerance`."""

    def __init__(self, tolerance: float = 0.0):
        self.tolerance, self.best, self.waited = tolerance, math.inf, 0

    def epoch_ended(self, loss: float) -> None:
        share = self.tolerance * abs(self.best) if math.isfinite(self.best) else 0.0  # a loss may be negative
        if loss < self.best - share:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.waited = state["best"], int(state["waited"])


class Schedule:
    """Learning-rate factor: constant, cosine with linear warm-up, step, or plateau on the training loss.

    Args:
        name: one of `SCHEDULES`.
        options: factor and patience (plateau), factor and every or at (step), warmup (cosine), in epochs.
        epochs: of the run.

    Raises:
        DMLTeachError: an unknown name or option, or a value of another kind.
    """

    def __init__(self, name: str, options: dict[str, Any], epochs: int):
        _REGISTRY.check(name, options)
        defaults = {option: p.default for option, p in _REGISTRY.options(name).items()}
        self.name, self.options, self.epochs = name, defaults | options, max(epochs, 1)
        self.waiting, self.reduction = Waiting(tolerance=1e-4), 1.0

    def factor(self, progress: float) -> float:
        """Factor on the base rates, `progress` epochs (with fraction) into the run."""
        return SCHEDULES[self.name](progress, self.epochs, self.reduction, **self.options)

    def epoch_ended(self, loss: float) -> None:
        """Plateau: after more than `patience` epochs without a better loss, multiply by `factor`."""
        self.waiting.epoch_ended(loss)
        if self.name == "plateau" and self.waiting.waited > self.options["patience"]:
            self.reduction *= self.options["factor"]
            self.waiting.waited = 0

    def apply(self, optimizer: Optimizers, progress: float) -> None:
        """Set the rates of all groups."""
        factor = self.factor(progress)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def state_dict(self) -> dict[str, float]:
        return {**self.waiting.state_dict(), "reduction": self.reduction}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.waiting.load_state_dict(state)
        self.reduction = state["reduction"]


class EarlyStopping:
    """Says when the training loss has not improved for `patience` epochs; None never says so."""

    def __init__(self, patience: int | None):
        if patience is not None:
            at_least("early_stopping", patience, 1)
        self.patience, self.waiting = patience, Waiting()

    def epoch_ended(self, loss: float) -> bool:
        self.waiting.epoch_ended(loss)
        return self.patience is not None and self.waiting.waited >= self.patience

    def state_dict(self) -> dict[str, float]:
        return self.waiting.state_dict()

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.waiting.load_state_dict(state)
