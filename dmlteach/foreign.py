"""Parts that are not ours: a class or function by its source, `path/mine.py:Name` or `package.module:Name`.

A file is run under a private module name, anew whenever its content has changed. Its own folder, and for a
package the current one, are where its imports are looked for last.
"""

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from dmlteach.errors import DMLTeachError, unknown_name

_OBJECT = "object"  # in the place of a source: an object that the caller holds
_FILES: dict[Path, tuple[str, ModuleType]] = {}  # those that were run, with the hash of their content
_OBJECTS: dict[str, Any] = {}


def is_foreign(name: object) -> bool:
    """Whether a name says where a part is written, and not what one of ours is called.

    Args:
        name: e.g. "triplet", "mine.py:MyLoss" or "package.module:MyLoss".
    """
    place, colon, attribute = str(name).rpartition(":")
    return bool(place and colon and attribute.isidentifier()) or str(name).endswith(".py")


def is_object(name: object) -> bool:
    """Whether a name stands for an object, see `under_names`.

    Args:
        name: of a part.
    """
    return str(name) in _OBJECTS or str(name).startswith(f"{_OBJECT}:")


def called(name: str) -> str:
    """What to call a part in few words: "MyLoss"; of `mine.py:load`, a data set, "mine"; ours by their name.

    Args:
        name: of a part.
    """
    if not is_foreign(name):
        return name
    place, _, attribute = name.rpartition(":")
    file = place.replace("\\", "/").rpartition("/")[2].removesuffix(".py")
    return file.rpartition(".")[2] if attribute == "load" else attribute


def absolute(name: Any) -> Any:
    """The same part under a name that holds in other folders too.

    Args:
        name: of a part; what names no file stays as it is.
    """
    place, colon, attribute = str(name).rpartition(":")
    if not is_foreign(name) or not place.endswith(".py"):
        return name
    return f"{Path(place).expanduser().absolute()}{colon}{attribute}"


def find(name: str, what: str) -> Any:
    """The class, function or object that a name stands for; a file is run again if it has changed since.

    Args:
        name: a foreign one.
        what: is looked for, e.g. "loss".

    Raises:
        DMLTeachError: no such file, package or name in it, or it fails when it is imported.
    """
    place, _, attribute = name.rpartition(":")
    if place == _OBJECT:
        return _object(name, what)
    if not attribute.isidentifier():
        raise DMLTeachError(f"{name} is a file: say which {what} in it, {name}:NAME.")
    module = module_of_file(place, what) if place.endswith(".py") else _of_package(place, name)
    if not hasattr(module, attribute):
        own = [
            key
            for key, value in vars(module).items()
            if callable(value)
            and not key.startswith("_")
            and getattr(value, "__module__", None) == module.__name__
        ]
        if not own:
            raise DMLTeachError(f"{place} holds no class or function of its own, so no {what} {attribute!r}.")
        raise unknown_name(f"{what} in {place}", attribute, own)
    found = getattr(module, attribute)
    if not callable(found):
        raise DMLTeachError(f"{name} is {found!r:.40}, where a {what} is a class or a function.")
    return found


def made(name: str, make: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a class or function makes; that it cannot is one sentence.

    Args:
        name: it was found by.
        make: the class or function.
        *arguments: for it.
        **options: for it.

    Raises:
        DMLTeachError: it raises.
    """
    try:
        return make(*arguments, **options)
    except DMLTeachError:
        raise
    except Exception as error:
        raise failed(f"{name} fails", error) from error


def failed(sentence: str, error: Exception) -> DMLTeachError:
    """The error for foreign code that has raised: what happened, and in which line of which file.

    Args:
        sentence: its beginning, e.g. "mine.py:MyLoss fails".
        error: what was raised.
    """
    package = Path(__file__).parent  # the line to mend is not one of ours
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(package)
    ]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    reason = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    said = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return DMLTeachError(f"{sentence}: {said}{where}.")


def sources(parts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """File and SHA-256 of what is foreign among parts, to be kept beside what was made with them.

    Args:
        parts: names by kind of part, e.g. {"loss": "mine.py:MyLoss", "sampler": "local"}.
    """
    return {
        part: _source(name, part)
        for part, name in parts.items()
        if isinstance(name, str) and is_foreign(name) and not is_object(name)
    }


@contextmanager
def under_names(objects: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Within it, objects are found by the names it gives, e.g. {"loss": "object:MyLoss"}.

    Args:
        objects: by kind of part; None for none.
    """
    names = {}
    for part, given in objects.items():
        if given is not None:
            kind = given.__name__ if inspect.isroutine(given) else type(given).__name__
            name = free = f"{_OBJECT}:{kind if kind.isidentifier() else 'function'}"
            while free in _OBJECTS:
                free = f"{name}_{len(_OBJECTS) + 1}"
            names[part], _OBJECTS[free] = free, given
    try:
        yield names
    finally:
        for name in names.values():
            del _OBJECTS[name]


def _object(name: str, what: str) -> Any:
    if name not in _OBJECTS:
        raise DMLTeachError(
            f"{name} was an object in the memory of another program; a {what} in a file has a name that is "
            "found again, e.g. mine.py:MyPart."
        )
    return _OBJECTS[name]


def module_of_file(place: str, what: str) -> ModuleType:
    """The module that a file is, run anew where its content has changed.

    Args:
        place: path of the file.
        what: is looked for in it, e.g. "loss".

    Raises:
        DMLTeachError: there is no such file, or it fails.
    """
    path = Path(place).expanduser().resolve()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DMLTeachError(
            f"no file {place} to take a {what} from ({error.strerror}); paths start from {Path.cwd()}."
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if path in _FILES and _FILES[path][0] == digest:
        return _FILES[path][1]
    module = ModuleType(f"dmlteach_foreign_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and the like look it up there
    try:
        with _imports_also_from(path.parent):
            exec(compile(content, str(path), "exec"), vars(module))
    except SyntaxError as error:
        raise DMLTeachError(f"{place}, line {error.lineno}: {error.msg}.") from None
    except SystemExit:
        raise DMLTeachError(
            f"{place} ends the program when it is imported; what it does as a program belongs under "
            "if __name__ == '__main__':"
        ) from None
    except Exception as error:
        raise failed(f"{place} fails when it is imported", error) from error
    _FILES[path] = digest, module
    return module


def _of_package(place: str, name: str) -> ModuleType:
    try:
        with _imports_also_from(Path.cwd()):
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if f"{place}.".startswith(f"{missing}."):
            raise DMLTeachError(
                f"there is no module {missing} for {name}: install its package (pip install "
                f"{missing.partition('.')[0].replace('_', '-')}), or give the path of a file, FILE.py:NAME."
            ) from None
        raise failed(f"{place} fails when it is imported", error) from error
    except Exception as error:
        raise failed(f"{place} fails when it is imported", error) from error


@contextmanager
def _imports_also_from(folder: Path) -> Iterator[None]:
    """Modules that are found nowhere else are looked for in a folder."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _source(name: str, what: str) -> dict[str, str]:
    found, place = find(name, what), name.rpartition(":")[0]
    if place.endswith(".py"):
        path = Path(place).expanduser().resolve()
        return {"name": name, "file": path.name, "sha256": _FILES[path][0]}
    module = sys.modules[getattr(found, "__module__", None) or place]
    file = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    return {"name": name, "file": f"{module.__name__.replace('.', '/')}.py", "sha256": digest}
