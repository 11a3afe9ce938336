"""Losses of others: a class or function of embeddings and labels, as pytorch-metric-learning's are."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dmlteach import foreign
from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Loss, Tuples
from dmlteach.options import one_of

TRIED = 16  # embeddings of the batch on which a loss is tried
_OF_A_MINER = ("miner", "miner_options")
# What the trainer, or a miner, says to a loss; all other arguments of a function are its options.
_NO_OPTIONS = ("indices_tuple", "ref_emb", "ref_labels")


class Foreign(Loss):
    """A loss of another package or of the user, `function(embeddings, labels)`, as the trainer calls it.

    Args:
        function: the loss; a module's parameters are learned with the network's.
        name: to call it by where it fails.
        takes_tuples: it also takes pytorch-metric-learning's `indices_tuple`, which is then what the miner
            chooses, or else the triplets of the sampler.
        miner: `miner(embeddings, labels)` chooses tuples in every batch.

    What it draws at random from torch's global generator follows from the step, as for all losses. Targets of
    the sampler mean nothing to it, and it cannot compare with a memory.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        name: str,
        takes_tuples: bool = False,
        miner: Callable | None = None,
    ):
        super().__init__()
        self.function, self.name, self.takes_tuples, self.miner = function, name, takes_tuples, miner

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        try:
            with _global_draws_by(generator):
                value = self.function(embeddings, labels, **self._chosen(embeddings, labels, tuples))
        except DMLTeachError:
            raise
        except Exception as error:
            batch = f"a batch of {len(labels)} embeddings"
            raise foreign.failed(f"{self.name} fails on {batch}", error) from error
        return _one_number(value, embeddings, self.name)

    def _chosen(self, embeddings: Tensor, labels: Tensor, tuples: Tuples | None) -> dict[str, Any]:
        if self.miner is not None:
            return {"indices_tuple": self.miner(embeddings, labels)}
        if self.takes_tuples and tuples is not None and tuples.triplets is not None:
            return {"indices_tuple": tuples.triplets.unbind(1)}
        return {}


@dataclass(frozen=True)
class Maker:
    """Makes a `Foreign` loss; says of it what a class of ours says of its own.

    Attributes:
        found: the class, whose options are its constructor's, or the function, whose options are its further
            arguments.
        name: it was found by.
        takes_tuples: see `Foreign`.
        geometry: its own, if it says one; that of pytorch-metric-learning's losses is the sphere by default.
        compares: with learned class vectors, if it asks for the number of classes.
        uses, needs_space: see `dmlteach.interfaces.Loss`.
    """

    found: Callable[..., Any]
    name: str
    takes_tuples: bool
    geometry: Literal["euclidean", "sphere"]
    compares: str
    uses: frozenset[str] = frozenset()
    needs_space: bool = False
    imprint = Loss.imprint

    @property
    def __signature__(self) -> inspect.Signature:
        known = _parameters(self.found)
        if not isinstance(self.found, type):
            known = [p for p in known[2:] if p.name not in _NO_OPTIONS]
        if self.takes_tuples:
            kinds: list[Any] = [str | None, dict | None]
            miner = [
                inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
                for n, kind in zip(_OF_A_MINER, kinds, strict=True)
            ]
            rest = [p for p in known if p.kind == p.VAR_KEYWORD]
            own = {p.name for p in known}
            known = [*(p for p in known if p not in rest), *(p for p in miner if p.name not in own), *rest]
        return inspect.Signature(known)

    def __call__(
        self, miner: str | None = None, miner_options: dict[str, Any] | None = None, **options: Any
    ) -> Foreign:
        make = self.found if isinstance(self.found, type) else partial(partial, self.found)
        chooses = None
        if miner is not None:
            if not foreign.is_foreign(miner):
                raise DMLTeachError(
                    f"a miner is named by its source, package.module:NAME or FILE.py:NAME, not {miner!r}."
                )
            chooses = foreign.made(miner, foreign.find(miner, "miner"), **(miner_options or {}))
        elif miner_options:
            raise DMLTeachError(f"miner_options={miner_options} were given without a miner.")
        loss = Foreign(make(**options), self.name, self.takes_tuples, chooses)
        loss.geometry, loss.compares, loss.uses = self.geometry, self.compares, self.uses
        return loss


def as_loss(found: Any, name: str) -> "type[Loss] | Loss | Maker":
    """What was found by a foreign name, as what makes a loss; an object, as the loss.

    Args:
        found: a class, a function or an object.
        name: it was found by.

    Raises:
        DMLTeachError: it is no loss; says what one must have.
    """
    one_of(f"geometry of {name}", getattr(found, "geometry", "sphere"), ("euclidean", "sphere"))
    if isinstance(found, Loss) or (isinstance(found, type) and issubclass(found, Loss)):
        return found
    owner = found if isinstance(found, type) or inspect.isroutine(found) else type(found)
    called = owner
    if isinstance(owner, type):
        called = getattr(owner, "forward" if issubclass(owner, nn.Module) else "__call__")
    takes = [p.name for p in _parameters(called)][1 if isinstance(owner, type) else 0 :]
    if len(takes) < 2 or isinstance(called, type):
        raise DMLTeachError(
            f"{name} is no loss: it must be a subclass of dmlteach.interfaces.Loss, or a class or function "
            "that is called with (embeddings, labels)."
        )
    tuples = "indices_tuple" in takes
    maker = Maker(
        found,
        name,
        tuples,
        getattr(found, "geometry", "sphere" if tuples else "euclidean"),
        "learned class vectors" if _asks_for_classes(owner) else "examples",
        frozenset({"triplets"}) if tuples else frozenset(),
    )
    if not foreign.is_object(name):
        return maker
    loss = Foreign(found, name, tuples)
    loss.geometry, loss.compares, loss.uses = maker.geometry, maker.compares, maker.uses
    return loss


def check(loss: Loss, name: str, num_classes: int, like: Tensor) -> None:
    """Try a foreign loss on a copy, with a batch of random embeddings, before anything is written.

    Args:
        loss: the loss, on the device; one that plans from the embeddings of all images is not tried.
        name: it was found by.
        num_classes: C.
        like: (·, D), of the embeddings' dtype, on the device where it trains.

    Raises:
        DMLTeachError: it fails, or what it gives cannot be minimized.
    """
    if loss.needs_space:
        return
    device = like.device
    draw = torch.randn(TRIED, like.shape[1], generator=torch.Generator().manual_seed(0))
    draw = normalize(draw) if loss.geometry == "sphere" else draw
    embeddings = draw.to(like).requires_grad_()
    labels = torch.arange(TRIED, device=device) % min(4, num_classes)
    try:
        with torch.random.fork_rng(devices=[]):
            value = deepcopy(loss)(embeddings, labels, generator=torch.Generator(device).manual_seed(0))
    except DMLTeachError:
        raise
    except Exception as error:
        raise foreign.failed(f"{name} fails on a batch of {TRIED} embeddings", error) from error
    _one_number(value, embeddings, name)


def _one_number(value: Any, embeddings: Tensor, name: str) -> Tensor:
    """What a loss gave, if it can be minimized; a 0 that depends on nothing has the gradient 0."""
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        shape = (
            f"a tensor {tuple(value.shape)} of {value.dtype}"
            if isinstance(value, Tensor)
            else f"a {type(value).__name__}"
        )
        raise DMLTeachError(
            f"{name} gives {shape}, where a loss gives one real number, a tensor of shape ()."
        )
    if value.device.type != embeddings.device.type:
        raise DMLTeachError(
            f"{name} gives a number on {value.device}, and the embeddings are on {embeddings.device}."
        )
    if value.requires_grad or not embeddings.requires_grad:
        return value
    if value.item() == 0:  # as where no pair of a batch is beyond a margin
        return 0 * embeddings.sum()
    raise DMLTeachError(
        f"{name} gives a number without a gradient: compute it from the embeddings with torch, without "
        "detach(), item() or NumPy."
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C
        return []


def _asks_for_classes(kind: Callable[..., Any]) -> bool:
    return any(p.name == "num_classes" for p in _parameters(kind))


@contextmanager
def _global_draws_by(generator: torch.Generator | None) -> Iterator[None]:
    """Within it, torch's global random numbers follow from a generator, and are as before afterwards."""
    if generator is None:
        yield
        return
    with torch.random.fork_rng(devices=[generator.device] if generator.device.type == "cuda" else []):
        torch.manual_seed(generator.initial_seed())
        yield
