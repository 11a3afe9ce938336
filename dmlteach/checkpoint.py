"""Resumable checkpoints: one file, replaced as a whole, that holds everything a run needs to continue."""

from pathlib import Path
from typing import Any

import torch

from dmlteach import files
from dmlteach.errors import DMLTeachError

FILE = "checkpoint.pt"


def write(folder: Path, state: dict[str, Any]) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old or the new one, whole.

    Raises:
        DMLTeachError: it cannot be written; the old one stays.
    """
    with files.whole(folder / FILE) as file:
        torch.save(state, file)


def read(folder: Path) -> dict[str, Any] | None:
    """The folder's checkpoint, or None where none was saved yet.

    Raises:
        DMLTeachError: the file is not a dmlteach checkpoint.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "dmlteach" not in state:
            raise ValueError("no dmlteach state inside")
        return state
    except Exception as error:
        raise DMLTeachError(
            f"{file} is not a dmlteach checkpoint ({type(error).__name__}); remove it to start the run anew."
        ) from None
