"""Seconds and memory of every chapter, for plans of lessons: `python -m benchmarks.chapters [NAME …]`.

Each is executed alone, with one thread, in a process of its own that ends before the next begins; written to
chapters.json and chapters.md. `python -m benchmarks.record` takes the table into docs/teaching.md.
"""

import argparse
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from benchmarks.__main__ import machine
from dmlteach.course import execute, material

HOME = Path(__file__).parent
FILE, PAGE = "chapters.json", "chapters.md"
LOOKS = 0.1  # seconds between two looks at what a chapter holds


def measured(source: Path) -> dict[str, float]:
    """What executing one notebook takes.

    Args:
        source: the notebook.

    Returns:
        "seconds" by the clock, "cpu_seconds" of all its processes, and "peak_bytes" that they held together.
    """
    with tempfile.TemporaryDirectory() as folder, _watched() as held:
        seconds, cpu_seconds = execute.execute(source, Path(folder) / source.name, {})
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1), "peak_bytes": max(held)}


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Bytes that the processes below this one hold together, again and again."""
    held, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(LOOKS):
            held.append(sum(map(_resident, psutil.Process().children(recursive=True))))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield held
    finally:
        ended.set()
        looking.join()


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it has ended
        return 0


def measure(chapters: Mapping[str, Path]) -> Iterator[tuple[str, dict[str, float]]]:
    """Name of each chapter, and what it takes; one after the other.

    Args:
        chapters: notebooks by their numbers.
    """
    for path in chapters.values():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            yield path.stem, alone.submit(measured, path).result()


def page(content: Mapping[str, Any], chapters: Mapping[str, Path]) -> Iterator[str]:
    """The table as Markdown, in the order of the course.

    Args:
        content: of chapters.json.
        chapters: notebooks by their numbers.
    """
    yield "| chapter | seconds of one core | memory, GB |"
    yield "|---|---|---|"
    for number, path in chapters.items():
        row = content["chapters"][path.stem]
        title = f"[{number} {titles()[path.stem]}](../notebooks/{path.name})"
        yield f"| {title} | {row['cpu_seconds']:.0f} | {row['peak_bytes'] / 1e9:.1f} |"
    yield ""
    yield (
        f"Executed from its first cell to its last on {content['machine']['processor']}, with one thread. "
        "Memory is what the processes of a chapter hold together at their peak."
    )


def titles() -> dict[str, str]:
    """Titles of the chapters, by the names of their notebooks."""
    from dmlteach.course.exercises import CHAPTERS

    return {chapter.name: chapter.title for chapter in CHAPTERS}


def main(words: Sequence[str] | None = None) -> None:
    every = execute.notebooks(material.CHECKOUT)
    parser = argparse.ArgumentParser("python -m benchmarks.chapters", description=__doc__)
    names = [path.stem for path in every.values()]
    parser.add_argument("names", nargs="*", metavar="NAME", help="chapters; default all")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the table")
    args = parser.parse_args(words)
    for name in args.names:
        if name not in names:
            parser.error(f"unknown chapter {name!r}; known: {', '.join(names)}")
    file = args.output / FILE
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"chapters": {}}
    content["machine"] = machine()
    chosen = {n: path for n, path in every.items() if path.stem in (args.names or names)}
    for name, row in measure(chosen):
        content["chapters"][name] = row
        print(name, row, flush=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if set(names) <= set(content["chapters"]):
        (args.output / PAGE).write_text("\n".join(page(content, every)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
