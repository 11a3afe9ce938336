"""Runs the reader's code: for 20 seconds of work at most, and with mistakes told as the reader's own line."""

import contextvars
import ctypes
import linecache
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import psutil
from torch import Tensor

LIMIT = 20.0  # seconds of work that one check may take
PATIENCE = 3  # times as long it may last where other programs keep the processor, or it waits
TRIES = 4  # times that code which ran too long is asked to end
PACKAGE = str(Path(__file__).parents[2])
LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class RaisedError(Exception):
    """The reader's code raised; `str` says what and where, `inputs` are those it was called with."""

    def __init__(self, words: str, inputs: tuple):
        super().__init__(words)
        self.inputs = inputs


class TooLongError(Exception):
    """The reader's code was stopped; `str` says after how long and where."""


class _Stop(BaseException):
    """Raised inside code that runs too long; no `except Exception` of the reader catches it."""


def ask(function: Callable, *inputs: Any) -> Any:
    """What the reader's function returns for copies of `inputs`.

    Args:
        function: the reader's.
        inputs: tensors are copied, so that a function that changes them changes nothing here.

    Raises:
        RaisedError: the function raised.
    """
    try:
        return function(*(x.clone() if isinstance(x, Tensor) else x for x in inputs))
    except Exception as error:
        raise RaisedError(f"your code raised {_said(error)}{_where(error.__traceback__)}", inputs) from error
    except SystemExit as error:
        raise RaisedError(f"your code ended Python{_where(error.__traceback__)}", inputs) from error


def within_limit(work: Callable[[], Any], seconds: float | None = None) -> Any:
    """Do `work` in a thread of its own, and give up on it when it takes too long.

    A thread, because it can be stopped on every system and in every notebook, also when this one is not
    the main thread; what cannot be stopped (a single call into C that does not return) is left behind.

    Args:
        work: a function without arguments; its result or exception is passed on.
        seconds: of work, default `LIMIT`; thrice as many may pass.

    Raises:
        TooLongError: it was stopped.
    """
    seconds = LIMIT if seconds is None else seconds
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    # the context carries what a notebook knows about its cell, so that prints appear below it
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    try:
        gave_up = _wait(thread, seconds)
    except KeyboardInterrupt:
        _stop(thread)
        raise
    if gave_up:
        where = _where(sys._current_frames().get(thread.ident or 0))
        stopped = _stop(thread)
        if not result:  # it may have ended in the last moment
            advice = "" if stopped else "; it still runs in the background: restart Python (or the kernel)"
            what = "your code" if where else "the check"  # which may have waited for something of ours
            raise TooLongError(f"{what} was stopped after {gave_up:g} s{where}{advice}")
    if not result:
        raise failure[0]
    return result[0]


def _wait(thread: threading.Thread, seconds: float) -> float | None:
    """Wait for the thread; after how many seconds it was too much, None where it has ended before.

    It waits in short steps, so that Ctrl-C is heard on every system.
    """
    end = time.monotonic() + PATIENCE * seconds
    while thread.is_alive() and time.monotonic() < end:
        thread.join(min(0.2, seconds / 5))
        if thread.is_alive() and _worked(thread.native_id) > seconds:
            return seconds
    return PATIENCE * seconds if thread.is_alive() else None


def _worked(thread: int | None) -> float:
    """Seconds that a thread of this process had a processor; 0 where the system does not tell."""
    try:
        times = psutil.Process().threads()
    except (psutil.Error, OSError):
        return 0.0
    return next((t.user_time + t.system_time for t in times if t.id == thread), 0.0)


def _stop(thread: threading.Thread) -> bool:
    """Raise inside the thread, again if it is caught there; whether the thread has ended."""
    for _ in range(TRIES):
        number = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(_Stop))
        thread.join(0.5)
        if not thread.is_alive():
            return True
    return False


# --- the reader's own line


def _said(error: BaseException) -> str:
    """The exception as Python would print it, in one line."""
    return " ".join(traceback.format_exception_only(error)[-1].split())


def _where(at: TracebackType | FrameType | None) -> str:
    """`, in cell In[5], line 3: return 1 / x` of the innermost line that is the reader's; or nothing."""
    lines = traceback.walk_tb(at) if isinstance(at, TracebackType) else _outermost_first(at)
    own = [(frame, line) for frame, line in lines if _is_the_readers(frame.f_code.co_filename)]
    if not own:
        return ""
    frame, number = own[-1]
    file = frame.f_code.co_filename
    source = linecache.getline(file, number, frame.f_globals).strip()
    return f", in {_name(file)}, line {number}" + (f": {source}" if source else "")


def _outermost_first(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    return reversed(list(traceback.walk_stack(frame))) if frame else iter(())


def _is_the_readers(file: str) -> bool:
    inside = (PACKAGE, *LIBRARIES)
    return not file.startswith("<frozen") and not any(Path(file).is_relative_to(folder) for folder in inside)


def _name(file: str) -> str:
    """A notebook's cell by its number, a file by its name."""
    shell = _shell()
    if shell is not None and (named := shell.compile.format_code_name(file)):
        return " ".join(named).replace("Cell", "cell")
    return Path(file).name


def _shell() -> Any:
    """The running IPython, or None; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
