"""Embeddings as a file, for use elsewhere: NumPy's .npz, or a Parquet table."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from dmlteach import files
from dmlteach.data import ImageDataset
from dmlteach.errors import DMLTeachError

FORMATS = (".npz", ".parquet")


def check(path: str | Path) -> None:
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

    An .npz holds "embeddings" (N, D) float32; "paths" (N,), where images are files; "labels" (N,) and
    "class_names" (C,), where there are classes: row i is of class_names[labels[i]], of none where the
    label is -1. A .parquet holds the columns path, label, class and embedding, a list of D numbers.

    Args:
        path: of the file, .npz or .parquet; its folder is made.
        embeddings: (N, D), row i of image i.
        images: what was embedded.

    Raises:
        DMLTeachError: as `check` does, or the disk does not take the file.
    """
    check(path)
    write_into = _write_npz if Path(path).suffix == ".npz" else _write_parquet
    with files.whole(path) as file:
        write_into(file, embeddings.float().numpy(), images)


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
