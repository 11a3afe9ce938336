"""Papermill executes the chapters that changed, and the report of the course."""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import takewhile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dmlteach import files
from dmlteach.course.sources import CURE, PACKAGE, SLIDE, code_of_notebook
from dmlteach.errors import DMLTeachError, need
from dmlteach.files import read_json

PROFILES = ("fast", "full")
KERNEL = "python3"
ORDER = "order.txt"  # beside the chapters: a name a line
MAX_JOBS = 4  # a kernel may take 2 GB
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
# What the report of the course is about; `dmlteach report` takes any other values.
REPORTS: dict[str, dict[str, Any]] = {"benchmark": {"checkpoint": "sst", "map_points": 600}, "comparison": {}}


def notebooks(checkout: Path) -> dict[str, Path]:
    """The chapters, in reading order: their numbers, as they are shown, and their files, named by subject.

    Raises:
        DMLTeachError: the order is not there, or one of the chapters.
    """
    folder = checkout / "notebooks"
    order = folder / ORDER
    names = order.read_text(encoding="utf-8").split() if order.exists() else []
    found = {f"{number:02}": folder / f"{name}.ipynb" for number, name in enumerate(names)}
    missing = [path for path in found.values() if not path.exists()] if found else [order]
    if missing:
        raise DMLTeachError(f"{missing[0]} is missing: install dmlteach again, or clone the repository anew.")
    return found


def plan(checkout: Path, profile: str) -> list[dict[str, Any]]:
    """What `execute` needs for each notebook: source, target, parameters, key."""
    chosen = {} if profile == "fast" else {"profile": profile}
    sources: list[tuple[Path, dict[str, Any]]] = [(path, chosen) for path in notebooks(checkout).values()]
    reports = {checkout / "notebooks" / "reports" / f"{name}.ipynb": REPORTS[name] for name in REPORTS}
    sources += [(report, parameters) for report, parameters in reports.items() if report.exists()]
    tasks = []
    for source, parameters in sources:
        target = checkout / "build" / "notebooks" / source.relative_to(checkout / "notebooks")
        used = hash_files(PACKAGE, [*code_of_notebook(source), *_other_files(PACKAGE)])
        text = [used, hashlib.sha256(_without_slides(source)).hexdigest(), json.dumps(parameters)]
        key = hashlib.sha256("\n".join(text).encode()).hexdigest()
        tasks.append({"source": source, "target": target, "parameters": parameters, "key": key})
    return tasks


def _without_slides(notebook: Path) -> bytes:
    """A notebook without the texts of its slides, which change nothing that a cell puts out."""
    content = read_json(notebook, CURE)
    for cell in content["cells"]:
        cell["metadata"].pop(SLIDE, None)
    return f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode()


def hash_files(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files.

    Args:
        folder: below which they lie.
        files: in any order.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _other_files(package: Path) -> list[Path]:
    """Data, shipped states and front ends: what is no code, and may be read by any notebook.

    None reads the front end of the slides.
    """
    slides = package / "course" / "slides"
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".py")
    return [path for path in files if "__pycache__" not in path.parts and slides not in path.parents]


def is_current(task: dict[str, Any]) -> bool:
    """Whether the executed notebook is there and came from the same notebook, code and parameters."""
    try:
        executed = read_json(task["target"], "")
        return executed["metadata"]["dmlteach"]["key"] == task["key"]
    except (ValueError, KeyError, TypeError, IndexError):  # absent or damaged
        return False


# --- executing


def default_jobs() -> int:
    """One job per CPU core this process may use, at most 4."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_JOBS)


def execute_all(tasks: list[dict[str, Any]], jobs: int, force: bool, say: Callable[[str], None]) -> None:
    """Execute the notebooks that are not current, `jobs` at a time; the first failure ends it."""
    need("papermill", "course")
    waiting = [t for t in tasks if force or not is_current(t)]
    say(f"{len(waiting)} of {len(tasks)} notebooks to execute, {min(jobs, len(waiting) or 1)} at a time")
    if not waiting:
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(execute, **task): task for task in waiting}
        for done, future in enumerate(as_completed(running), 1):
            name = running[future]["source"].stem
            try:
                seconds, cpu_seconds = future.result()
                say(f"[{done}/{len(waiting)}] {name}: {seconds:.0f} s, {cpu_seconds:.0f} s of CPU time")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


class CellError(DMLTeachError):
    """A notebook stopped; `name` and `value` are those of the exception its cell raised."""

    def __init__(self, message: str, name: str = "", value: str = ""):
        super().__init__(message, name, value)
        self.message, self.name, self.value = message, name, value

    def __str__(self) -> str:
        return self.message


def execute(
    source: Path,
    target: Path,
    parameters: dict[str, Any],
    key: str = "",
    threads: int = 1,
    live: bool = False,
) -> tuple[float, float]:
    """Execute one notebook in a kernel of this interpreter; the target appears when it has succeeded.

    Args:
        source: the notebook, with a cell tagged "parameters".
        target: where the executed notebook goes.
        parameters: values for that cell.
        key: what the result depends on, stored in it for `is_current`.
        threads: 1 for one CPU thread; 0 leaves their number to torch.
        live: show here what the notebook prints, while it runs.

    Returns:
        Seconds it took, and seconds of CPU time (0 on Windows).

    Raises:
        CellError: a cell failed; the notebook up to there is kept beside the target.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError

    from dmlteach.course.exercises.progress import VARIABLE  # loads torch

    started, work = time.perf_counter(), children_seconds()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".failed.ipynb")
    with nobody() as reader, kernel_of_this_python(threads, {VARIABLE: reader}):
        try:
            papermill.execute_notebook(
                source, partial, parameters, kernel_name=KERNEL, language="python", progress_bar=False,
                cwd=target.parent, request_save_on_cell_execute=False, autosave_cell_every=0,
                stdout_file=sys.stdout if live else None, stderr_file=sys.stderr if live else None,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            raise failure(source, partial, error) from None
        except DeadKernelError:
            raise CellError(
                f"{source.name}: its Python process ended, most often because memory ran out. "
                "Close other programs, or execute one notebook at a time: dmlteach course --jobs 1"
            ) from None
    notebook = nbformat.read(partial, as_version=4)
    tidy(notebook)
    notebook.metadata["dmlteach"] = {"key": key}
    files.write_text(target, nbformat.writes(notebook))
    partial.unlink()
    return time.perf_counter() - started, children_seconds() - work


def failure(source: Path, partial: Path, error: Any) -> CellError:
    """One message that names the notebook, the cell and what it said."""
    lines = str(error.source).strip().splitlines()
    shown = "\n".join(f"    {line}" for line in lines[:8] + (["…"] if len(lines) > 8 else []))
    message = f"{source.name} stopped in cell {error.cell_index} with {error.ename}: {error.evalue}\n{shown}"
    where = f"\nThe notebook up to there, with the traceback: {partial}"
    return CellError(message + where, error.ename, error.evalue)


def children_seconds() -> float:
    """CPU time of the kernels this process has started and seen end (0 on Windows)."""
    times = os.times()
    return times.children_user + times.children_system


def tidy(notebook: Any) -> None:
    """Keep what a reader of the page needs: no progress bars, widget state, times or paths of this run."""
    for name in ("widgets", "papermill"):
        notebook.metadata.pop(name, None)
    before = None
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            silent = "remove-output" in tags_of(cell)
            cell.outputs = [] if silent else [o for o in cell.outputs if not is_progress(o)]
            if "injected-parameters" in tags_of(cell):  # as much hidden as those they replace
                cell.metadata.tags += [t for t in tags_of(before) if t in ("hide-input", "remove-input")]
        before = cell
    put_title(notebook)
    notebook.cells = without_empty_sections(notebook.cells)


def tags_of(cell: Any) -> list[str]:
    """Tags of a notebook's cell."""
    return cell.metadata.get("tags", [])


def put_title(notebook: Any) -> None:
    """The first cell becomes what the cell tagged "title" has computed."""
    for cell in notebook.cells:
        if "title" in tags_of(cell) and cell.outputs:
            notebook.cells[0].source = cell.outputs[0]["data"]["text/markdown"]
            cell.outputs = []


def without_empty_sections(cells: list[Any]) -> list[Any]:
    """The cells without headings tagged "section" below which nothing came out."""
    kept = []
    for i, cell in enumerate(cells):
        below = takewhile(lambda other: other.cell_type == "code", cells[i + 1 :])
        if "section" not in tags_of(cell) or any(other.outputs for other in below):
            kept.append(cell)
    return kept


def is_progress(output: Any) -> bool:
    """Whether an output only tells that images are decoded, which happens once on each machine."""
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return text.strip().startswith("Preparing ")


@contextmanager
def nobody() -> Iterator[str]:
    """The progress file of a reader who has done nothing: no guess of anybody is drawn into a page."""
    with tempfile.TemporaryDirectory(prefix="dmlteach-nobody-") as folder:
        yield str(Path(folder) / "progress.json")


@contextmanager
def kernel_of_this_python(threads: int = 0, variables: dict[str, str] | None = None) -> Iterator[None]:
    """Within it, the Jupyter kernel "python3" is this very interpreter, whatever else is installed.

    Args:
        threads: 1 for one CPU thread; 0 leaves their number to torch.
        variables: of its environment, beside those of this process.
    """
    more = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", **(variables or {})}
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=50"],
        "display_name": "Python 3 (dmlteach)",
        "language": "python",
        "metadata": {"debugger": True},
        "env": {**(ONE_THREAD if threads == 1 else {}), **more},
    }
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory(prefix="dmlteach-kernel-") as folder:
        home = Path(folder) / "kernels" / KERNEL
        home.mkdir(parents=True)
        (home / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join([folder, *([before] if before else [])])
        try:
            yield
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before
