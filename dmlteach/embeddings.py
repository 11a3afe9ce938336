"""Embeddings of a data set by a model: (M, D), and as a file for use elsewhere (.npz or Parquet)."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from dmlteach import files
from dmlteach.data import ImageDataset
from dmlteach.data.augment import Augmentation
from dmlteach.data.cache import CachedImages, Mode, cached
from dmlteach.device import choose_device, moved
from dmlteach.distances import wide
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import check_finite
from dmlteach.models import Model

FORMATS = (".npz", ".parquet")


def cached_for(
    model: Model,
    dataset: ImageDataset | CachedImages,
    progress: bool = True,
    folder: str | Path | None = None,
) -> CachedImages:
    """The data set decoded at the size, and in the shape, this model's images are cropped from.

    Args:
        model: whose input is prepared.
        dataset: images; those that are decoded already are given back.
        progress: show a bar while decoding.
        folder: where decoded images are kept; by default the user's cache folder.

    Raises:
        DMLTeachError: the model reads drawings of one channel and the images have three, or the reverse.
    """
    if dataset.channels != model.spec.channels:
        raise DMLTeachError(
            f"{model.spec.backbone} reads {model.spec.channels}-channel images, and these have "
            f"{dataset.channels}: drawings have 1, photographs 3. Choose another model or data set."
        )
    if isinstance(dataset, CachedImages):
        return dataset
    mode: Mode = "short_side" if model.spec.keep_aspect else "square"
    return cached(dataset, model.spec.resize, mode, folder, progress)


def embed(
    model: Model,
    dataset: ImageDataset | CachedImages,
    device: str = "auto",
    batch_size: int = 256,
    progress: bool = False,
    world: World | None = None,
    rows: Tensor | None = None,
) -> Tensor:
    """Embeddings of every image with the test-time transform (centre crop), in evaluation mode.

    Args:
        model: an embedding network; afterwards it is in the mode and on the device where it was.
        dataset: images, or images already decoded at the model's size.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: images per pass.
        progress: show a bar.
        world: processes that share the work; every one gets all embeddings.
        rows: (R,) images to embed; default all.

    Returns:
        (M, D) on the CPU, row i is image i; with `rows`, (R, D) in their order. They are float64 if the
        model is, else fp32.

    Raises:
        DMLTeachError: the images do not fit the model or cannot be read, an embedding is not finite, or the
            device has no float64 and the model computes in it.
    """
    world = world or World()
    target = choose_device(device, float64=model.dtype == torch.float64)
    images = cached_for(model, dataset, progress)
    spec = model.spec
    center = Augmentation("none", spec.image_size, spec.mean, spec.std, dtype=model.dtype)
    rows = torch.arange(len(images)) if rows is None else rows
    mine = world.rows(len(rows))
    starts = range(mine.start, mine.stop, batch_size)
    parts = []
    with torch.no_grad(), _in_evaluation(model, target):
        for start in tqdm(starts, desc="embed", unit="batch", disable=not progress, leave=False):
            chosen = rows[start : min(start + batch_size, mine.stop)]
            pixels = moved(images.gather(chosen), target)
            parts.append(wide(model(center.apply(pixels, torch.empty(len(chosen), 0)))))
        own = torch.cat(parts) if parts else model.of_no_image()
    embeddings = world.gather_rows(own, len(rows)).cpu()
    check_finite(embeddings)
    return embeddings


@contextmanager
def _in_evaluation(model: Model, device: torch.device) -> Iterator[None]:
    """The model in evaluation mode on a device; afterwards, whatever happens, as it was."""
    modes = [(module, module.training) for module in model.modules()]
    home = next(model.parameters()).device
    try:
        model.eval().to(device)
        yield
    finally:
        model.to(home)
        for module, was_training in modes:
            module.training = was_training


def check_file(path: str | Path) -> None:
    """Refuse, before the work, a file that `write` could not write.

    Args:
        path: of the file.

    Raises:
        DMLTeachError: its ending is neither .npz nor .parquet, Parquet's package is missing, or there can be
            no file in its place.
    """
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise DMLTeachError(f"embeddings are written as {' or '.join(FORMATS)}, not as {str(path)!r}.")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise DMLTeachError(
            f"{path} needs pyarrow: pip install 'dmlteach[parquet]' (or write to a file .npz)."
        )
    files.check_place(path)


def write(path: str | Path, embeddings: Tensor, images: ImageDataset) -> None:
    """Write embeddings with the paths and classes of their images, whole or not at all.

    An .npz holds "embeddings" (N, D), float32, or float64 if they are; "paths" (N,), where images are
    files; "labels" (N,) and "class_names" (C,), where there are classes: row i is of
    class_names[labels[i]], of none where the label is -1. A .parquet holds the columns path, label, class
    and embedding, a list of D numbers.

    Args:
        path: of the file, .npz or .parquet; its folder is made.
        embeddings: (N, D), row i of image i.
        images: what was embedded.

    Raises:
        DMLTeachError: as `check_file` does, or the disk does not take the file.
    """
    check_file(path)
    write_into = _write_npz if Path(path).suffix == ".npz" else _write_parquet
    with files.whole(path) as file:
        write_into(file, wide(embeddings).numpy(), images)


def _write_npz(file: BinaryIO, embeddings: np.ndarray, images: ImageDataset) -> None:
    columns = {"embeddings": embeddings}
    if images.paths is not None:
        columns["paths"] = np.array(images.paths)
    if images.class_names:
        columns["labels"] = images.labels.numpy()
        columns["class_names"] = np.array(images.class_names)
    np.savez(file, **columns)  # type: ignore[arg-type]


def _write_parquet(file: BinaryIO, embeddings: np.ndarray, images: ImageDataset) -> None:
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, Any] = {}
    if images.paths is not None:
        columns["path"] = images.paths
    if images.class_names:
        names = [*images.class_names, None]  # label -1 is the last
        columns["label"] = images.labels.numpy()
        columns["class"] = [names[label] for label in images.labels.tolist()]
    columns["embedding"] = list(embeddings)
    parquet.write_table(pyarrow.table(columns), file)
