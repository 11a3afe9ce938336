"""Resumable checkpoints: one file, replaced as a whole, that holds everything a run needs to continue."""

import json
import os
from pathlib import Path
from typing import Any

import torch

from dmlteach.errors import DMLTeachError

FILE = "checkpoint.pt"


def write(folder: Path, state: dict[str, Any]) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old or the new one, whole."""
    part = folder / f"{FILE}.part"
    with open(part, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / FILE)


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


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    part.replace(path)


def write_json_lines(path: Path, rows: list[Any]) -> None:
    """Write one JSON value a line, the file as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
    part.replace(path)
