"""The values that a sweep runs through: as a command line writes them, or as a YAML file does."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from dmlteach.errors import DMLTeachError, need, unknown_name
from dmlteach.options import check_seed, value_of
from dmlteach.train.config import TrainConfig

MOST = 100_000  # runs of a sweep
PLURAL = {"method": "methods", "dataset": "datasets", "seed": "seeds"}
NOT_SWEPT = ("output", "resume", "progress")  # a sweep sees to them itself
SWEPT = {field.name: field for field in fields(TrainConfig) if field.name not in NOT_SWEPT}

Choices = dict[tuple[str, ...], list[Any]]  # (option,) or (option, name in it) → values

_FIELDS = {PLURAL.get(name, name): field for name, field in SWEPT.items()} | SWEPT


def choices(given: Mapping[str, Any]) -> Choices:
    """Values of each option, from what a user wrote.

    Args:
        given: by the name of an option of `dmlteach train` (or methods, datasets, seeds): a text with
            commas between the values, one value, or a list of them; of options of a part, such by name.

    Raises:
        DMLTeachError: there is no such option, or a text that cannot be read.
    """
    found: Choices = {}
    for written, value in given.items():
        name = written.replace("-", "_")
        if name not in _FIELDS:
            raise unknown_name("option of a sweep", written, {PLURAL.get(name, name) for name in SWEPT})
        field = _FIELDS[name]
        if field.default is MISSING:
            if not isinstance(value, Mapping):
                raise DMLTeachError(
                    f"{name} are names with their values, e.g. {{num_targets: [3, 5]}}, not {value!r}."
                )
            for option, values in value.items():
                found[field.name, str(option)] = _values(f"{name} {option}", values, value_of)
        else:
            found[field.name,] = _of_field(field, value)
    return found


def read_file(path: str | Path) -> list[dict[str, Any]]:
    """What a YAML file asks for: one table of options and values, or a list of tables that are run through
    one after the other.

    Args:
        path: of the file.

    Raises:
        DMLTeachError: it cannot be read, or is no such file.
    """
    need("yaml", "cli")
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DMLTeachError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DMLTeachError(f"{path} is no text in UTF-8; write the sweep as YAML.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise DMLTeachError(
            f"{path} is no YAML{where} ({reason}); write e.g. methods: [sst, triplet]"
        ) from error
    tables = content if isinstance(content, list) else [content]
    if not tables or not all(isinstance(table, dict) and table for table in tables):
        raise DMLTeachError(
            f"{path} must hold options with values, e.g. methods: [sst, triplet], or a list of such tables."
        )
    return [{str(name): value for name, value in table.items()} for table in tables]


def merged(table: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A table of a file, with what stands on the command line instead of what the file says of the same.

    Args:
        table: of the file.
        given: on the command line.
    """
    taken = set(map(_canonical, given))
    return {name: value for name, value in table.items() if _canonical(name) not in taken} | dict(given)


def seeds(text: str) -> list[int]:
    """Seeds from "0-4", "0,1,2" or "0-2,7".

    Args:
        text: as it is written on a command line.

    Raises:
        DMLTeachError: it is written otherwise.
    """
    found: list[int] = []
    for piece in pieces("seeds", text):
        ends = re.fullmatch(r"(\d{1,19})(?:-(\d{1,19}))?", piece)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if not first <= last < first + MOST:
            raise DMLTeachError(f"seeds are written as 0-4, 0,1,2 or 0-2,7, not {text!r}.")
        found += range(first, last + 1)
    return found


def pieces(name: str, text: str) -> list[str]:
    """A text without the commas between its values; those in brackets and in quotation marks stay.

    Args:
        name: of the option, for the error.
        text: as it is written on a command line.

    Raises:
        DMLTeachError: nothing stands between two commas.
    """
    found, depth, quoted = [""], 0, False
    for sign in text:
        quoted ^= sign == '"'
        depth += (sign in "[{") - (sign in "]}") if not quoted else 0
        if sign == "," and depth <= 0 and not quoted:
            found.append("")
        else:
            found[-1] += sign
    found = [piece.strip() for piece in found]
    if "" in found:
        raise DMLTeachError(f"{name} has an empty value in {text!r}; write e.g. 0.1,0.2.")
    return found


def _canonical(name: str) -> str:
    field = _FIELDS.get(name.replace("-", "_"))
    return field.name if field else name


def _of_field(field: Field, value: Any) -> list[Any]:
    """Values of an option of its own: texts are read as numbers or truths where it takes such."""
    kinds = get_args(field.type) if get_origin(field.type) in (Union, UnionType) else (field.type,)
    if field.name == "seed":
        several = _several(field.name, value)
        found = [seed for one in several for seed in (seeds(one) if isinstance(one, str) else [one])]
        for seed in found:
            check_seed(seed)
        return found
    if any(get_origin(kind) is tuple for kind in kinds):  # its commas are its own
        return _several(field.name, value)

    def read(text: str) -> Any:
        if not {bool, int, float} & {*kinds}:
            return value_of(text) if text.startswith('"') else text
        found = value_of(text)
        return float(found) if float in kinds and type(found) is int else found

    found = _values(field.name, value, read)
    return [float(one) if float in kinds and type(one) is int else one for one in found]


def _values(name: str, value: Any, read: Any) -> list[Any]:
    if isinstance(value, str):
        return [read(piece) for piece in pieces(name, value)]
    return [read(one) if isinstance(one, str) else one for one in _several(name, value)]


def _several(name: str, value: Any) -> list[Any]:
    several = value if isinstance(value, list) else [value]
    if not several:
        raise DMLTeachError(f"{name} has no value; name one, or leave it out.")
    return several
