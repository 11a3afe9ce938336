"""Options by name: which ones there are, and which values of them mean something."""

import inspect
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from dmlteach.errors import DMLTeachError, unknown_name

LARGEST_SEED = 2**63 - 1  # torch's generators take no more

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "a text",
    NoneType: "none",
    dict: "names with their values",
}


def check_options(
    what: str, known: Mapping[str, inspect.Parameter], given: Mapping[str, Any], extra: Sequence[str] = ()
) -> None:
    """Refuse options that do not exist, and values that are not of the kind an option is annotated with.

    Args:
        what: whose options they are, e.g. "the triplet loss".
        known: options by name, as `inspect.signature` gives them.
        given: names and values.
        extra: further names that exist, whose values are checked elsewhere.

    Raises:
        DMLTeachError: the first option that cannot be taken, and what can.
    """
    for name, value in given.items():
        if name in extra:
            continue
        if name not in known:
            if not (known or extra):
                raise DMLTeachError(f"{what} has no options; {name!r} was given.")
            raise unknown_name(f"option of {what}", name, [*known, *extra])
        check_type(f"option {name} of {what}", known[name].annotation, value)


def check_type(what: str, kind: Any, value: object) -> None:
    """Refuse a value that is not of a kind; numbers must be finite.

    Args:
        what: what the value is for, e.g. "epochs".
        kind: an annotation: int, float, bool, str, None, Literal, a union, a sequence or a function of such.
        value: what was given.

    Raises:
        DMLTeachError: says which values there are.
    """
    if get_origin(kind) is Literal and isinstance(value, str) and value not in get_args(kind):
        raise unknown_name(what, value, get_args(kind))
    if not _is_of(value, kind):
        raise DMLTeachError(f"{what} must be {_in_words(kind)}, not {value!r}.")


def options_of(kind: Callable, facts: Collection[str] = ()) -> dict[str, inspect.Parameter]:
    """Options of a class or a function, by name: what it takes, but for arguments that are facts.

    Args:
        kind: the class or function.
        facts: names of its arguments that are no options.
    """
    known = _signature(kind).parameters.items()
    return {n: p for n, p in known if n not in facts and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def takes_any(kind: Callable) -> bool:
    """Whether a class or a function takes options under any name, as `**options`.

    Args:
        kind: the class or function.
    """
    return any(p.kind == p.VAR_KEYWORD for p in _signature(kind).parameters.values())


def _signature(kind: Callable) -> inspect.Signature:
    """With annotations as types, where they can be read as such."""
    try:
        return inspect.signature(kind, eval_str=True)
    except Exception:  # an annotation names what is imported for a type checker only
        return inspect.signature(kind)


def one_of(what: str, value: object, known: Collection) -> None:
    """Refuse a name that is not known.

    Args:
        what: it names, e.g. "loss".
        value: what was given.
        known: every valid name.

    Raises:
        DMLTeachError: names the closest one, and all.
    """
    if value not in known:
        raise unknown_name(what, value, known)


def at_least(name: str, value: float, least: float, because: str = "") -> None:
    """Refuse a value below `least`, and NaN.

    Args:
        name: of the option.
        value: what was given.
        least: the smallest value that means something.
        because: the reason, where it is not plain.

    Raises:
        DMLTeachError: says the smallest value.
    """
    if not value >= least:
        raise _out_of_range(name, f"at least {least}", value, because)


def positive(name: str, value: float, because: str = "") -> None:
    """Refuse 0, what is below it, and NaN.

    Args:
        name: of the option.
        value: what was given.
        because: the reason, where it is not plain.

    Raises:
        DMLTeachError: says so.
    """
    if not value > 0:
        raise _out_of_range(name, "positive", value, because)


def between(name: str, value: float, least: float, most: float, because: str = "") -> None:
    """Refuse a value outside `least` … `most`, and NaN.

    Args:
        name: of the option.
        value: what was given.
        least, most: the first and the last value that mean something.
        because: the reason, where it is not plain.

    Raises:
        DMLTeachError: says both.
    """
    if not least <= value <= most:
        raise _out_of_range(name, f"from {least:,} to {most:,}", value, because)


def share(name: str, value: float) -> None:
    """Refuse what is no share of something: 0 or less, more than 1, and NaN.

    Args:
        name: of the option.
        value: what was given.

    Raises:
        DMLTeachError: says so.
    """
    if not 0 < value <= 1:
        raise _out_of_range(name, "above 0 and at most 1", value)


def _out_of_range(name: str, allowed: str, value: float, because: str = "") -> DMLTeachError:
    return DMLTeachError(f"{name} must be {allowed}, not {value}" + (f": {because}." if because else "."))


def check_seed(seed: object, name: str = "seed") -> None:
    """Refuse what is no seed for every generator that is used here.

    Args:
        seed: what was given.
        name: of the option.

    Raises:
        DMLTeachError: says which numbers are seeds.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) <= LARGEST_SEED:
        raise DMLTeachError(f"{name} must be a whole number from 0 to {LARGEST_SEED}, not {seed!r}.")


def pair(text: str, what: str, example: str) -> tuple[str, str]:
    """Name and value of an option as it is written on a command line, NAME=VALUE.

    Args:
        text: e.g. "num-targets=5".
        what: what is written so, in the plural, for the error.
        example: of such an option, likewise.

    Returns:
        The name with underscores, and the value as it stands there, which may be empty.

    Raises:
        DMLTeachError: the name or the sign between the two is missing.
    """
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not (name and equals):
        raise DMLTeachError(f"{what} are written NAME=VALUE, e.g. {example}, not {text!r}.")
    return name, value.strip()


def value_of(text: str) -> Any:
    """A number, true, false, none, a list or what else JSON holds; what is none of these is a text.

    Args:
        text: as it is written on a command line.
    """
    special = {"true": True, "false": False, "none": None}
    try:
        return special[text.lower()] if text.lower() in special else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_of(value: object, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if kind in (Any, inspect.Parameter.empty):
        return True
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple and inner[-1:] != (...,):
        return _is_list(value, len(inner)) and all(map(_is_of, value, inner))  # type: ignore[call-overload]
    if origin in (tuple, list, Sequence):
        return _is_list(value) and all(_is_of(one, inner[0]) for one in value)  # type: ignore[attr-defined]
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    if origin is Callable:
        return callable(value)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return not isinstance(kind, type) or isinstance(value, kind)  # of other annotations nothing is known


def _is_list(value: object, length: int | None = None) -> bool:
    return isinstance(value, list | tuple) and length in (None, len(value))


def _in_words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, inner))
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is tuple and inner[-1:] != (...,):
        return f"a list of {len(inner)}, each {_in_words(inner[0])}"
    if origin in (dict, Mapping):
        return "names with their values"
    if origin is Callable:
        return "a function"
    if origin in (tuple, list, Sequence):
        return f"a list, each {_in_words(inner[0])}"
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))
