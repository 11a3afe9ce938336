"""A model as a file that runs where dmlteach is not installed: a program of torch.export."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import dmlteach
from dmlteach import files
from dmlteach.errors import DMLTeachError
from dmlteach.models import Model

SUFFIX = ".pt2"


class Embedder(nn.Module):
    """A model with its normalisation inside: uint8 images (N, C, S, S) → embeddings (N, D).

    Args:
        model: an embedding network.
    """

    mean: Tensor  # (C, 1, 1), of pixels in 0 … 1
    std: Tensor

    def __init__(self, model: Model):
        super().__init__()
        spec = model.spec
        self.model = model
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values, dtype=model.dtype).view(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> Tensor:
        return self.model((images.to(self.mean.dtype) / 255 - self.mean) / self.std)


def write(model: Model, path: str | Path) -> Path:
    """Write a model as FILE.pt2, and beside it FILE.pt2.json: what goes in, what comes out and how.

    The program takes any number of uint8 images at once, and needs nothing but torch:
    `torch.export.load("FILE.pt2").module()`. It computes in what the model does, fp32 or float64.

    Args:
        model: an embedding network.
        path: of the file; its folder is made.

    Returns:
        The JSON file.

    Raises:
        DMLTeachError: the ending is not .pt2, torch.export cannot follow the network, or the disk does not
            take the files.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise DMLTeachError(f"an exported model is a file *{SUFFIX}, not {str(path)!r}.")
    description = path.with_name(path.name + ".json")
    for place in (path, description):
        files.check_place(place)
    program = _program(model)
    with files.whole(path) as file:
        torch.export.save(program, file)
        files.write_json(description, describe(model, path.name))
    return description


def describe(model: Model, file: str) -> dict[str, Any]:
    """What the exported program takes and gives, in words and numbers.

    Args:
        model: what is exported.
        file: name of the program's file.
    """
    spec = model.spec
    resized = f"the short side to {spec.resize}" if spec.keep_aspect else f"to {spec.resize} x {spec.resize}"
    return {
        "input": {
            "dtype": "uint8",
            "shape": ["N", spec.channels, spec.image_size, spec.image_size],
            "values": "ink: 255 where the pen was, 0 for paper" if spec.channels == 1 else "RGB, 0 to 255",
            "prepare": f"resize {resized} pixels, bilinear with antialiasing; then cut out the central "
            f"{spec.image_size} x {spec.image_size}. Do not normalise: the program does.",
        },
        "output": {
            "dtype": str(model.dtype).removeprefix("torch."),
            "shape": ["N", sum(model.head.dims)],
            "compare by": "cosine" if model.on_sphere else "Euclidean distance",
        },
        "use": f"program = torch.export.load({json.dumps(file)}).module(); embeddings = program(images)",
        "written by": {"dmlteach": dmlteach.__version__, "torch": torch.__version__},
    }


def _program(model: Model) -> torch.export.ExportedProgram:
    """Traced with two images; the number of images stays open."""
    spec = model.spec
    embedder = Embedder(deepcopy(model).cpu().to(memory_format=torch.contiguous_format)).eval()
    images = torch.zeros(2, spec.channels, spec.image_size, spec.image_size, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad():
            program = torch.export.export(embedder, (images,), dynamic_shapes={"images": {0: batch}})
    except Exception as error:  # tracing fails in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DMLTeachError(
            f"torch.export cannot follow {spec.backbone} ({reason}). Choose another backbone, or use this "
            "one with dmlteach.load_model."
        ) from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # names folders of this computer
    return program
