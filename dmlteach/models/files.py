"""Models as files: weights and spec in one safetensors file, and the networks that are shipped."""

import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor

from dmlteach import files, foreign
from dmlteach.errors import DMLTeachError
from dmlteach.models.backbones import build_backbone, facts
from dmlteach.models.model import HEADS, Model, Spec, assemble
from dmlteach.options import one_of

MOST_PIXELS = 4_096  # of the side of an image
MODEL_FILE = "model.safetensors"  # in the folder of a run
_SOURCE = "sha256 of the backbone's source"
SHIPPED = ("untrained", "softmax", "triplet", "sst", "lifted_modified")


def save(model: Model, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write weights and spec as one safetensors file, whole or not at all.

    Args:
        model: what to save.
        path: of the file.
        dtype: store floats as this type, e.g. torch.float16 for half the size; default as they are.

    Raises:
        DMLTeachError: the file cannot be written.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if dtype is not None:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    about = {"dmlteach": json.dumps(asdict(model.spec))}
    for source in foreign.sources({"backbone": model.spec.backbone}).values():
        about[_SOURCE] = source["sha256"]
    with files.whole(path) as file:  # safetensors' own writer lets nobody else read the file
        file.write(as_bytes(state, metadata=about))


def load(path: str | Path, backbone: str | None = None) -> Model:
    """A saved model, in evaluation mode, on the CPU; in fp32, or in float64 if it was trained in it.

    Args:
        path: a run's folder, or its model.safetensors.
        backbone: of a network whose backbone is not ours, its source, e.g. "mine.py:MyNet": a file says where
            its network came from, and what stands there is only run when the caller names it.

    Raises:
        DMLTeachError: no such file, or one that is not a dmlteach model; a foreign backbone is not named, or
            one is and the network has none.
    """
    path = Path(path)
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file() and (path / "checkpoint.pt").is_file():
        raise DMLTeachError(
            f"the run in {path} has not ended, and writes its model when it does. Continue it with --resume; "
            "--max-minutes ends it early."
        )
    if not file.is_file():
        raise DMLTeachError(f"no checkpoint at {path}; give a run's folder or its model.safetensors.")
    metadata, state = _read(file)
    if foreign.is_foreign(backbone):
        foreign.find(str(backbone), "backbone")  # that it is not there says nothing of the file
    try:
        said = json.loads(metadata["dmlteach"])
        _check_named(said, backbone, file, metadata.get(_SOURCE))
        spec = _spec(said if backbone is None else {**said, "backbone": backbone})
        rows = sum(len(tensor) for tensor in state.values() if tensor.ndim)
        if (
            max(spec.embedding_dim or 0, spec.head_options.get("hidden", 0)) > rows
        ):  # before room is made for it
            raise ValueError("its head is larger than all of its tensors")
        net, num_features, _, _ = build_backbone(spec.backbone)
        model = assemble(net, num_features, spec)
        own = model.state_dict()
        wrong = own.keys() ^ state.keys() | {
            k for k in own.keys() & state.keys() if own[k].shape != state[k].shape
        }
        if wrong:
            raise ValueError(f"{len(wrong)} tensors do not fit its network, e.g. {min(wrong)}")
        if {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float64}:
            model.double()
        model.load_state_dict(state)  # each tensor becomes what the network's is
    except _NotNamedError:
        raise
    except Exception as error:  # an odd value fails wherever it is used first
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DMLTeachError(
            f"{file} cannot be rebuilt: {reason.rstrip('.')}. If it is damaged, copy it again or train anew; "
            "if a newer dmlteach wrote it, update dmlteach."
        ) from error
    return model.eval()


class _NotNamedError(DMLTeachError):
    """A network whose backbone is not ours was to be built without the caller's word, or the reverse."""


def _check_named(said: Any, backbone: str | None, file: Path, sha256: str | None) -> None:
    """Run no code that a file names; of what the caller names, say if it has changed."""
    own = said.get("backbone") if isinstance(said, dict) else None
    if backbone is None and foreign.is_foreign(own):
        raise _NotNamedError(
            f"the backbone of {file} is not dmlteach's but {own}, which is run only if you name it: "
            f"load_model(…, backbone={own!r}), or --backbone {own} beside --checkpoint."
        )
    if backbone is None:
        return
    if not foreign.is_foreign(own) or not foreign.is_foreign(backbone):
        raise _NotNamedError(
            f"backbone={backbone!r} was given with {file}, whose backbone is {own}: leave it out, or name "
            "the file and class of one of your own."
        )
    (source,) = foreign.sources({"backbone": backbone}).values()
    if sha256 not in (None, source["sha256"]):
        warnings.warn(
            f"{source['file']} has changed since {file} was written: its weights fit, but it may compute "
            "something else with them.",
            stacklevel=3,
        )


def _read(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What a model file says of itself, and its tensors."""
    metadata: dict[str, str] = {}
    state = {}
    with suppress(Exception), safe_open(file, framework="pt") as opened:  # a damaged file raises many kinds
        metadata = opened.metadata() or {}
        state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    if "dmlteach" not in metadata or not state:
        raise DMLTeachError(
            f"{file} is not a dmlteach checkpoint, or a damaged one; expected the model.safetensors of "
            "`dmlteach train`, which --resume of its run writes anew."
        )
    return metadata, state


def _spec(saved: Any) -> Spec:
    """What a network was built for, with every value in its range: a wrong one could take all the memory.

    Raises:
        ValueError: something is missing, unknown or out of its range.
    """
    if not isinstance(saved, dict):
        raise ValueError("its description is no table")
    unknown = sorted(set(saved) - {field.name for field in fields(Spec)})
    if unknown:
        raise ValueError(f"a newer dmlteach wrote it, whose networks have {unknown[0]!r}")
    missing = [f.name for f in fields(Spec) if f.default is f.default_factory and f.name not in saved]
    if missing:
        raise ValueError(f"it does not say {missing[0]!r} of its network")
    for name, value in saved.items():
        if not _ALLOWED[name](value):
            raise ValueError(f"it says {name} = {str(value)[:40]!r} of its network")
    spec = Spec(**{**saved, "mean": tuple(saved["mean"]), "std": tuple(saved["std"])})
    if not len(spec.mean) == len(spec.std) == spec.channels or spec.image_size > spec.resize:
        raise ValueError("what it says of its images does not fit together")
    sizes = facts(spec.backbone).sizes
    if sizes is not None and spec.image_size not in sizes:
        raise ValueError(f"it says image_size = {spec.image_size} of {spec.backbone}")
    return spec


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_moderate(value: Any) -> bool:
    return files.is_number(value) and abs(value) < 1e6


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(_is_moderate(value) for value in values)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "backbone": lambda value: isinstance(value, str),
    "embedding_dim": lambda value: value is None or _whole(1, 2**31)(value),
    "image_size": _whole(1, MOST_PIXELS),
    "resize": _whole(1, 2 * MOST_PIXELS),
    "channels": _whole(1, 3),
    "mean": _are_numbers,
    "std": lambda values: _are_numbers(values) and all(value > 0 for value in values),
    "normalize": _is_bool,
    "freeze_batch_norm": _is_bool,
    "keep_aspect": _is_bool,
    "head": lambda value: value in list(HEADS),
    "head_options": lambda value: isinstance(value, dict) and len(str(value)) < 10_000,
    "feature_scale": _is_moderate,
}


def pretrained(name: str) -> Model:
    """A shipped Omniglot network; nothing is downloaded.

    Args:
        name: "untrained", "softmax", "triplet", "sst" or "lifted_modified"; `card(name)` tells its recipe and
            numbers.

    Raises:
        DMLTeachError: there is no such network.
    """
    with resources.as_file(_shipped(f"{name}.safetensors")) as file:
        return load(file)


def card(name: str) -> dict[str, Any]:
    """How a shipped network was made, and what it reaches on all 13,180 evaluation drawings.

    Of a trained one also what the network reached before training ("untrained"), the seconds that it took and
    where ("train_seconds", "made_with"), and Recall@1 of trainings with other seeds ("recall@1_by_seed").

    Args:
        name: one of `models.SHIPPED`.

    Raises:
        DMLTeachError: there is no such network.
    """
    return json.loads(_shipped(f"{name}.json").read_text(encoding="utf-8"))


def _shipped(file: str) -> Traversable:
    name = file.partition(".")[0]
    one_of("shipped model", name, SHIPPED)
    return resources.files("dmlteach.models") / "shipped" / file
