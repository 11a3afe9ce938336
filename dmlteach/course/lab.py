"""JupyterLab at a chapter: where it lies in a checkout, else in the reader's copy of the course."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dmlteach.course import execute, material
from dmlteach.errors import DMLTeachError, need, unknown_name


def open_lab(notebook: str, folder: str | None, browser: bool, port: int, say: Callable[[str], None]) -> int:
    """Open JupyterLab at a chapter and wait until it ends; its kernel "python3" is this Python.

    Args:
        notebook: number or start of the name of a chapter.
        folder: where the reader's copy of the course is or will be. None: in a checkout the checkout itself,
            without a copy; else `material.usual_folder`.
        browser: open a browser window.
        port: of JupyterLab.
        say: receives what the copy has done, line by line.

    Returns:
        Exit code of JupyterLab.

    Raises:
        DMLTeachError: there is no such chapter or port, JupyterLab is not installed, or the copy fails.
    """
    if not 0 < port < 2**16:
        raise DMLTeachError(f"--port takes a number from 1 to {2**16 - 1}, not {port}.")
    page = _page(notebook)
    need("jupyterlab", "course")
    root = material.home()
    if folder or material.is_installed():
        root = (Path(folder).expanduser() if folder else material.usual_folder()).absolute()
        for sentence in material.copy(root).sentences():
            say(sentence)
    command = [
        *(sys.executable, "-m", "jupyterlab", f"--port={port}", f"--ServerApp.root_dir={root}"),
        f"--LabApp.default_url=/lab/tree/{page}",  # from the root, so that links to docs/ work
        *([] if browser else ["--no-browser"]),
        *(["--allow-root"] if _is_root() else []),
    ]
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is JupyterLab's: it asks before it stops
    with execute.kernel_of_this_python():
        return subprocess.call(command, cwd=root)


def _page(notebook: str) -> str:
    """A chapter's place below the folder of the course."""
    found = execute.notebooks(material.home())
    for number, path in found.items():
        if number == notebook or path.stem.startswith(notebook):
            return path.relative_to(material.home()).as_posix()
    raise unknown_name("notebook", notebook, [path.stem for path in found.values()])


def _is_root() -> bool:
    """As in a container, where JupyterLab would refuse to start; Windows has no such user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
