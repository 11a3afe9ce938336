"""Models as files: weights and spec in one safetensors file, and the networks that are shipped."""

import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import torch

from dmlteach import files
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.models.backbones import build_backbone
from dmlteach.models.model import Model, Spec, assemble

SHIPPED = ("untrained", "softmax", "triplet", "sst")


def save(model: Model, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write weights and spec as one safetensors file, whole or not at all.

    Args:
        model: what to save.
        path: of the file.
        dtype: store floats as this type, e.g. torch.float16 for half the size; default as they are.

    Raises:
        DMLTeachError: the file cannot be written.
    """
    from safetensors.torch import save as as_bytes  # its own writer lets nobody else read the file

    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if dtype is not None:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    with files.whole(path) as file:
        file.write(as_bytes(state, metadata={"dmlteach": json.dumps(asdict(model.spec))}))


def load(path: str | Path) -> Model:
    """A saved model, in evaluation mode, on the CPU.

    Args:
        path: a run's folder, or its model.safetensors.

    Raises:
        DMLTeachError: no such file, or one that is not a dmlteach model.
    """
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise DMLTeachError(f"no checkpoint at {path}; give a run's folder or its model.safetensors.")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            metadata = (opened.metadata() or {}).get("dmlteach")
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except SafetensorError:
        metadata = None
    if metadata is None:
        raise DMLTeachError(
            f"{file} is not a dmlteach checkpoint; expected the model.safetensors of `dmlteach train`."
        )
    saved = json.loads(metadata)
    spec = Spec(**{**saved, "mean": tuple(saved["mean"]), "std": tuple(saved["std"])})
    net, num_features, _, _ = build_backbone(spec.backbone)
    model = assemble(net, num_features, spec)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model.eval()


def pretrained(name: str) -> Model:
    """A shipped Omniglot network: "untrained", "softmax", "triplet" or "sst"; nothing is downloaded.

    Args:
        name: which state; `dmlteach.pretrained.card(name)` tells its recipe and numbers.
    """
    if name not in SHIPPED:
        raise unknown_name("shipped model", name, SHIPPED)
    with resources.as_file(resources.files("dmlteach") / "pretrained" / f"{name}.safetensors") as file:
        return load(file)
