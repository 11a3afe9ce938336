"""What a training survives: `python -m benchmarks.faults [--quick] [--seed N] [--only METHOD …]`.

Trainings of several methods, in one process and in two, are killed at chosen moments (in the middle of each
file, before and after it takes its name, in planning, after a step, in evaluations) and at random times, with
a checkpoint after every step and with those of epochs only; some are killed again while they resume. Then
disks are full, folders removed, Ctrl-C pressed, and second trainings started in the same folder. Each run
must resume and end with the same bits in its weights as one that nothing has happened to (two processes:
must resume; their bits are compared too). Prints each run with what was done to it, and a table; stops with
exit code 1 at the first that loses something. Needs Linux or macOS.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.children import FINISHED, INTERRUPTED, MISTAKE, Lost, Training

METHODS = (
    "triplet", "sst", "margin", "proxy_anchor", "htl", "hdc", "bier", "smart_mining", "clustering",
    "soft_triple",
)  # fmt: skip
IN_TWO = ("sst", "margin", "proxy_anchor")  # also in two processes
TINY = {
    "classes": 8, "batch_size": 32, "batches_per_epoch": 2, "epochs": 2, "embedding_dim": 16,
    "progress": False,
}  # fmt: skip
SAVE_EVERY = (0, 300)  # seconds: after each step; after each epoch
FILES = {"config.json", "data.json", "checkpoint.pt", "metrics.json", "metrics.jsonl", "model.safetensors"}
TIMES = re.compile("second|elapsed")  # in the names of numbers that differ from run to run


@dataclass(frozen=True)
class Subject:
    """What is trained, and how.

    Attributes:
        method: its recipe.
        ranks: processes.
        save_every: seconds between checkpoints.
        more: further options.
    """

    method: str
    ranks: int = 1
    save_every: float = 0
    more: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.method}, {self.ranks} process{'es' * (self.ranks > 1)}, save_every {self.save_every}"


class Faults:
    """Does things to trainings and looks at what is left.

    Args:
        home: an empty folder for all of them.
        seed: of every choice.
    """

    def __init__(self, home: Path, seed: int):
        self.home, self.random = home, random.Random(seed)
        self.number = 0
        self.references: dict[tuple[Any, ...], tuple[Path, float]] = {}
        self.traces: dict[Subject, list[str]] = {}
        self.counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    # ── trainings ─────────────────────────────────────────────────────────────────────────────────────

    def folder(self) -> Path:
        self.number += 1
        return self.home / f"run-{self.number}"

    def start(self, subject: Subject, folder: Path, **what: Any) -> Training:
        """Train into `folder`, continuing what is there; `what` as for `children.start`."""
        config = {**TINY, **dict(subject.more), "method": subject.method, "save_every": subject.save_every}
        config |= {"output": str(folder), "resume": True}
        log = what.pop("log", folder.with_suffix(".log"))
        return children.start(config, log, ranks=subject.ranks, **what)

    def reference(self, subject: Subject) -> tuple[Path, float]:
        """Folder of the same training, left in peace, and its seconds."""
        key = (subject.method, subject.ranks, subject.more)
        if key not in self.references:
            self.moments(subject)
        return self.references[key]

    def moments(self, subject: Subject) -> list[str]:
        """Names of all moments of such a training when nothing happens to it."""
        if subject not in self.traces:
            folder, begun = self.folder(), time.monotonic()
            training = self.start(subject, folder)
            self.expect(training.wait(), FINISHED, folder)
            self.traces[subject] = training.moments()
            key = (subject.method, subject.ranks, subject.more)
            self.references.setdefault(key, (folder, time.monotonic() - begun))
        return self.traces[subject]

    def expect(self, codes: list[int], code: int, folder: Path) -> None:
        """Raise unless all processes ended so."""
        if set(codes) != {code}:
            said = folder.with_suffix(".log").read_text()
            raise Lost(f"{folder.name} ended with {codes} instead of {code}:\n{said}")

    def resume(self, subject: Subject, folder: Path) -> bool:
        """Continue to the end; whether the weights have the same bits as without faults.

        Raises:
            Lost: it does not end, or something is missing, or (one process) something differs.
        """
        self.expect(self.start(subject, folder).wait(), FINISHED, folder)
        return self.compare(subject, folder)

    def compare(self, subject: Subject, folder: Path) -> bool:
        reference, _ = self.reference(subject)
        found = {path.name for path in folder.iterdir()}
        if found != FILES:
            raise Lost(f"{folder.name} holds {sorted(found)}")
        for name in ("metrics.json", "config.json"):
            json.loads((folder / name).read_text())
        weights = [(run / "model.safetensors").read_bytes() for run in (folder, reference)]
        same = weights[0] == weights[1] and numbers(folder) == numbers(reference)
        if not same and subject.ranks == 1:
            raise Lost(f"{folder.name} ended with other weights or numbers than without faults")
        shutil.rmtree(folder)
        return same

    def note(self, fault: str, line: str, same: bool, faults: int = 1) -> None:
        count = self.counts[fault]
        count["faults"] += faults
        count["runs"] += 1
        count["same"] += same
        print(f"{fault}: {line}; resumed{', same bits' * same}", flush=True)

    # ── kills ─────────────────────────────────────────────────────────────────────────────────────────

    def kill_at(self, subject: Subject, moment: str, at: int, who: int | None = None) -> None:
        """SIGKILL at a moment: to one rank of several, or to all at once; then again while it resumes."""
        folder = self.folder()
        training = self.start(subject, folder, act=children.signalled(signal.SIGKILL), at=at, who=who or 0)
        if subject.ranks > 1 and who is None:
            while not training.codes:
                training.look()
            training.kill()
        codes = training.wait()
        if codes[who or 0] != -signal.SIGKILL:
            raise Lost(f"{folder.name} was not killed at {moment!r}: {codes}\n{training.said()}")
        again = self.random.random() < 0.3 and self.kill_within(subject, folder)
        line = f"{subject}, at {moment!r} ({at}){f' of rank {who}' if who is not None else ''}"
        line += f", again {again}" if again else ""
        self.note(f"kill at a moment, {subject.ranks}", line, self.resume(subject, folder), 1 + bool(again))

    def kill_sometime(self, subject: Subject) -> None:
        """SIGKILL to all processes at a random time."""
        folder = self.folder()
        while not (when := self.kill_within(subject, folder)):
            shutil.rmtree(folder)
        line = f"{subject}, {when}"
        self.note(f"kill at a random time, {subject.ranks}", line, self.resume(subject, folder))

    def kill_within(self, subject: Subject, folder: Path) -> str:
        """Continue in `folder` and kill; says when, or nothing where the training had ended before."""
        delay = self.random.uniform(0, self.reference(subject)[1])
        training = self.start(subject, folder)
        end = time.monotonic() + delay
        while time.monotonic() < end and not training.codes:
            time.sleep(0.002)
            training.look()
        training.kill()
        if FINISHED in training.wait():
            return ""
        last = (training.moments() or ["its start"])[-1]
        return f"after {delay:.3f} s, past {last!r}"

    # ── what else happens ─────────────────────────────────────────────────────────────────────────────

    def fill_disk_at(self, subject: Subject, moment: str, at: int) -> None:
        """The disk is full in the middle of a file (at the descriptor: /dev/full)."""
        folder = self.folder()
        training = self.start(subject, folder, act=children.full, at=at)
        self.expect(training.wait(), MISTAKE, folder)
        self.one_sentence(training, "is full")
        self.nothing_half_written(folder)
        line = f"{subject}, {moment!r} ({at})"
        self.note("disk full", line, self.resume(subject, folder))

    def fill_small_disk(self, subject: Subject) -> None:
        """A file system of its own that is too small for the checkpoint, then has room."""
        disk = self.folder()
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            print("a small disk: left out, since nobody but root may mount one", flush=True)
            return
        try:
            folder = disk / "run"
            log = {"log": disk.with_suffix(".log")}
            training = self.start(subject, folder, **log)
            self.expect(training.wait(), MISTAKE, disk)
            self.one_sentence(training, "is full")
            self.nothing_half_written(folder)
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            self.expect(self.start(subject, folder, **log).wait(), FINISHED, disk)
            self.note("disk full", f"{subject}, a file system of 64 kB", self.compare(subject, folder))
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def remove_folder_at(self, subject: Subject, moment: str, at: int) -> None:
        """Somebody removes the folder of the run, which goes on."""
        folder = self.folder()
        training = self.start(subject, folder, act=lambda file: shutil.rmtree(folder), at=at)
        self.expect(training.wait(), FINISHED, folder)
        self.note("folder removed", f"{subject}, {moment!r} ({at})", self.compare(subject, folder))

    def interrupt_at(self, subject: Subject, moment: str, at: int, number: int, who: int = 0) -> None:
        """Ctrl-C or SIGTERM to one process; all of them end, or finish where nothing is left to train."""
        folder = self.folder()
        codes = self.start(subject, folder, act=children.signalled(number), at=at, who=who).wait()
        if set(codes) not in ({INTERRUPTED}, {FINISHED}):
            raise Lost(f"{folder.name}, {moment!r}: {codes}\n{folder.with_suffix('.log').read_text()}")
        line = f"{subject}, {signal.Signals(number).name} at {moment!r} ({at}) of rank {who}"
        self.note("Ctrl-C", line, self.resume(subject, folder))

    def train_twice(self, subject: Subject, at: int) -> None:
        """A second training in a folder gets one sentence and changes nothing; a kill frees the folder."""
        folder = self.folder()
        first = self.start(subject, folder, act=children.wait, at=at)
        while len(first.moments()) <= at:
            time.sleep(0.01)
        before = contents(folder)
        second = self.start(subject, folder, log=folder.with_suffix(".second.log"))
        self.expect(second.wait(), MISTAKE, folder.with_suffix(".second"))
        self.one_sentence(second, "another training is at work in")
        if contents(folder) != before:
            raise Lost(f"{folder.name} was changed by a second training")
        first.kill()
        first.wait()
        self.note("two in one folder", f"{subject}, at moment {at}", self.resume(subject, folder))

    def explode(self, subject: Subject) -> None:
        """The loss becomes NaN: every process says so, and one writes which images it was."""
        folder = self.folder()
        training = self.start(subject, folder)
        self.expect(training.wait(), MISTAKE, folder)
        self.one_sentence(training, "the loss became")
        self.nothing_half_written(folder)
        batches = json.loads((folder / "nan_batches.json").read_text())
        if not batches or not all(batch["images"] for batch in batches):
            raise Lost(f"{folder.name} does not name the batches before the NaN")
        self.counts["the loss becomes NaN"]["faults"] += 1
        print(f"the loss becomes NaN: {subject}; every process ended with the sentence", flush=True)

    def one_sentence(self, training: Training, words: str) -> None:
        """Each process has said one line, which has these words in it."""
        lines = [line for line in training.said().splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith("[")]  # what gloo tells of its connections
        wanted = len(training.processes)
        if len(lines) != wanted or not all(li.startswith("error: ") and words in li for li in lines):
            raise Lost(f"instead of one sentence with {words!r}:\n{training.said()}")

    def nothing_half_written(self, folder: Path) -> None:
        left = [path.name for path in folder.rglob("*") if path.suffix in (".part", ".lock")]
        if left:
            raise Lost(f"{folder.name} still holds {left}")


def numbers(folder: Path) -> Any:
    """What metrics.json says, without times."""

    def timeless(content: Any) -> Any:
        if isinstance(content, dict):
            return {name: timeless(value) for name, value in content.items() if not TIMES.search(name)}
        return [timeless(value) for value in content] if isinstance(content, list) else content

    return timeless(json.loads((folder / "metrics.json").read_text()))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spread(moments: list[str], count: int, choose: random.Random, *kinds: str) -> Iterator[tuple[str, int]]:
    """Moments of as many kinds as there may be: "step 0.1" and "step 1.2" are of one, "step".

    Args:
        moments: names, in order.
        count: how many; 0 for one of each kind.
        choose: of all that are of a kind.
        *kinds: beginnings of those that count; all where there are none.
    """
    places = defaultdict(list)
    for place, name in enumerate(moments):
        if name.startswith(kinds or ""):
            places[re.sub(r" \d.*", "", name)].append(place)
    chosen = choose.sample(sorted(places), min(count, len(places))) if count else sorted(places)
    for kind in chosen:
        place = choose.choice(places[kind])
        yield moments[place], place


# ── plans ─────────────────────────────────────────────────────────────────────────────────────────────


def kills(faults: Faults, methods: list[str], quick: bool) -> None:
    """Of every method, with frequent and with rare checkpoints; of some in two processes."""
    chosen, at_random, in_two = (2, 1, 1) if quick else (3, 2, 3)
    for index, method in enumerate(methods):
        for save_every in SAVE_EVERY[index % 2 :][:1] if quick else SAVE_EVERY:
            subject = Subject(method, save_every=save_every)
            for moment, at in spread(faults.moments(subject), chosen, faults.random):
                faults.kill_at(subject, moment, at)
            for _ in range(at_random):
                faults.kill_sometime(subject)
    for index, method in enumerate(m for m in IN_TWO[: 1 if quick else 3] if m in methods):
        subject = Subject(method, 2, SAVE_EVERY[index % 2])
        for count, (moment, at) in enumerate(spread(faults.moments(subject), in_two, faults.random)):
            faults.kill_at(subject, moment, at, 0 if count == 2 else None)
        for _ in range(in_two):
            faults.kill_sometime(subject)


def every_moment(faults: Faults, subject: Subject) -> None:
    """A kill at each kind of moment there is."""
    for moment, at in spread(faults.moments(subject), 0, faults.random):
        faults.kill_at(subject, moment, at)


def other_faults(faults: Faults, methods: list[str], quick: bool) -> None:
    """Disk full, folder removed, Ctrl-C, two in one folder, NaN."""
    one, two = Subject(methods[0]), Subject(methods[0], 2)
    short = Subject(methods[0], 2, 300, (("batches_per_epoch", 1), ("epochs", 3)))  # epochs of one step
    moments = faults.moments(one)
    count = 2 if quick else 0
    for moment, at in spread(moments, count, faults.random, "opening", "writing checkpoint"):
        faults.fill_disk_at(one, moment, at)
    faults.fill_small_disk(one)
    gone = ("planned", "step", "ended", "evaluat", "finishing", "named checkpoint", "named model")
    for moment, at in spread(moments, count, faults.random, *gone):
        faults.remove_folder_at(one, moment, at)
    for subject in (one, short) if quick else (one, Subject(methods[1]), two, short):
        of_subject = faults.moments(subject)
        for moment, at in spread(
            of_subject, count, faults.random, "plan", "step", "end", "evaluat", "writing"
        ):
            number = faults.random.choice((signal.SIGINT, signal.SIGTERM))
            faults.interrupt_at(subject, moment, at, number, faults.random.randrange(subject.ranks))
    for subject in (one, two):
        faults.train_twice(subject, faults.moments(subject).index("step 1.1"))
        exploding = Subject(subject.method, subject.ranks, 0, (("learning_rate", 1e30),))
        faults.explode(exploding)


def table(faults: Faults) -> list[str]:
    """Lines of Markdown: each fault, how often, and what became of the runs."""
    lines = ["| fault, processes | faults | runs that resumed | with the same bits |", "|---|---|---|---|"]
    for fault, count in faults.counts.items():
        lines.append(f"| {fault} | {count['faults']:.0f} | {count['runs']:.0f} | {count['same']:.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each, in a minute")
    parser.add_argument("--seed", type=int, default=0, help="of every choice")
    parser.add_argument("--only", nargs="*", default=None, help="methods; default ten")
    args = parser.parse_args()
    methods = args.only or list(METHODS[:3] if args.quick else METHODS)
    begun = time.monotonic()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dmlteach-faults-") as home:
        os.environ.setdefault("DMLTEACH_CACHE", f"{home}/cache")
        children.prepare()
        faults = Faults(Path(home), args.seed)
        plans: list[Callable[[], None]] = [
            lambda: kills(faults, methods, args.quick),
            lambda: other_faults(faults, methods, args.quick),
        ]
        if not args.quick:
            plans.append(lambda: every_moment(faults, Subject(methods[0])))
        try:
            for plan in plans:
                plan()
        except Lost as lost:
            print(f"LOST: {lost}", flush=True)
            sys.exit(1)
    print("\n".join(["", *table(faults)]))
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
