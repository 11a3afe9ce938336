"""Read JSON files that somebody may have damaged."""

import json
from pathlib import Path
from typing import Any

from dmlteach.errors import DMLTeachError


def read_json(path: Path, cure: str) -> Any:
    """What a JSON file holds.

    Args:
        path: of the file.
        cure: a sentence that says what to do where it is damaged.

    Raises:
        DMLTeachError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DMLTeachError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error) or type(error).__name__, cure) from error


def damaged(path: Path, reason: str, cure: str) -> DMLTeachError:
    """The error for a file that holds something else than it should.

    Args:
        path: of the file.
        reason: what is wrong with it.
        cure: a sentence that says what to do.
    """
    return DMLTeachError(f"{path} is damaged ({reason}). {cure}")
