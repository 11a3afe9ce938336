"""Whatever is typed, a command ends in a result or in one sentence: never in a traceback.

The lines are made from the commands themselves: each option of each command meets the odd values of its kind,
so an option that is added tomorrow is tried tomorrow.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from dmlteach import models
from dmlteach.cli import app
from dmlteach.course import execute
from dmlteach.course.assignments import Assignment, handing_out
from dmlteach.errors import DMLTeachError
from tests.sweep.runs import QUICK, a_run, worker

NUMBERS = ["-1", "0", "18446744073709551616", "nan", "inf", "", "two", "1e9", "1,2"]
WORDS = ["", "sts", "none", "../..", "a" * 300, "é\u202eb", "-", "0"]
PATHS = ["", "nowhere/at/all", "junk.bin", "images", "/dev/null", "junk.bin/below", "a" * 300, "~nobody/x"]
PAIRS = [
    "", "=", "x", "=1", "x=1", "margin=", "margin=nan", "margin=[1]", "margin={}", "margin=abc", "margin=-1",
    "num_targets=0", "num_targets=1.5", "copies=-1", "scale_range=3", "images_per_class=0", "rotations=7",
    "images_per_class=x", "seed=-1", "val_fraction=2", "val_fraction=x", "layers=[]", "weights=1", "root=x",
]  # fmt: skip
# What lets a command end within a second where an odd value turns out to be a good one.
SMALL = {
    "train": (
        "--method triplet --sampler class_balanced --classes 8 --batch-size 16 --epochs 1 "
        "--batches-per-epoch 1 --dataset-option rotations=false --device cpu --no-progress --output run"
    ),
    "sweep": (
        "mine.yaml --sampler class_balanced --classes 8 --batch-size 16 --epochs 1 "
        "--batches-per-epoch 1 --dataset-option rotations=false --device cpu --output run"
    ),
    "compare": "trained --output compared",
    "evaluate": "--checkpoint model.safetensors --classes 4 --device cpu",
    "embed": "--checkpoint model.safetensors --classes 4 --device cpu --output z.npz",
    "search": "images/a/0.png --gallery images --checkpoint model.safetensors --device cpu",
    "export": "--checkpoint model.safetensors --output model.pt2",
    "report": "--method triplet --dataset omniglot --output report",
    "figures": "gradients_sst --folder drawn",
    "methods": "sst",
    "doctor": "",
    "course": "",
    "slides": "01 --output lecture",
    "lab": "00",
    "playground": "",
    "progress": "--export progress.json",
    "bundle": "--torch-index http://127.0.0.1:9",
    "assignment make": "01 --out handed_out",
    "assignment collect": "assigned --output marks.csv",
    "data list": "",
    "data check": "folder --root images",
    "data get": "cub200",
}
CHOSEN = [
    "train --image-size 32", "train --image-size 1", "train --embedding-dim 100000000",
    "train --learning-rate 1e30", "train --batch-size 100000", "train --batch-size 1", "train --classes 1",
    "train --classes 2", "train --loss contrastive --loss-option margin=-1",
    "train --loss proxy_anchor --loss-option num_classes=3",
    "train --loss-option margin=1 --loss-option margin=2", "train --backbone squeezenet1_0 --weights none",
    "sweep --loss-option margin=1 --loss-option margin=2", "sweep --recall-at 2,4",
    "train --loss soft_triple --loss-option centers_per_class=1.5",
    "train --loss margin --loss-option cutoff=-1", "train --loss hdc",
    "train --method hdc --loss-option dims=[1]", "train --method hdc --head-option hidden=-1",
    "train --method hdc --head-option layers=foo", "train --method bier --head-option weights=foo",
    "train --method bier --head-option proportions=[0]", "train --das --das-option copies=1.5",
    "train --das --das-option scale_range=[2]", "train --das --das-option shift=abc",
    "train --das-option copies=2", "train --das --das-option detach=3",
    "train --sampler local --sampler-option num_targets=x",
    "train --sampler smart --sampler-option kappa=x", "train --sampler smart --sampler-option search=x",
    "train --sampler random --sampler-option seed=1",
    "train --sampler class_balanced --sampler-option labels=1", "train --dataset-option name=foo",
    "train --dataset-option split=foo", "train --precision fp16",
    "train --method contrastive --memory 100000000000000", "train --backbone timm/nope",
    "train --weights nope.pth", "train --dataset folder --root images",
    "train --dataset cub200 --root nowhere", "train --checkpoint junk.bin", "train --resume --seed 1",
    "train --output /dev/null", "train --output /proc/x", "train --device cuda:1",
    "evaluate --across sideways", "evaluate --backbone resnet18", "evaluate --recall-at 0",
    "evaluate --split val", "embed --images images", "embed --output z.txt", "search --k 0",
    "sweep nowhere.yaml", "sweep junk.bin", "sweep --seeds 3-1", "sweep --methods sst,sts",
    "sweep --learning-rate 1e-3,,3e-3", "sweep --loss-option margin=0.1,x", "sweep --dataset cub200",
    "sweep --jobs 0", "train --seeds 3-1", "train --seeds 1 --seed 1", "compare images",
    "export --output model.txt", "data check omniglot --root images", "data get omniglot --root images",
    "lab 77", "slides 77", "figures nothing", "assignment make 77", "assignment make --salt x",
    "assignment make --exercise sst.bound", "assignment make --name ../up", "assignment collect images",
    "assignment collect --due yesterday",
]  # fmt: skip
DIVERGED = ("not finite", "the loss became")  # said after the first steps, so the run's folder is there


COMMAND = typer.main.get_command(app)  # made once, and not for each of a thousand lines


def commands() -> dict[str, typer.core.TyperCommand]:
    top = dict(COMMAND.commands)
    groups = {group: top.pop(group).commands for group in ("data", "assignment")}
    return top | {
        f"{group} {name}": command for group, inner in groups.items() for name, command in inner.items()
    }


def odd_values(option) -> list[str]:
    """The odd values of an option's kind."""
    if option.bare_type in (int, float):
        return NUMBERS
    if option.metavar == "NAME=VALUE":
        return PAIRS
    return PATHS if option.metavar in ("PATH", "DIR", "FILE") else WORDS


def odd_lines(name: str, command) -> Iterator[list[str]]:
    """The command with one odd value each, and the chosen lines of it."""
    small = SMALL[name].split()
    for option in command.params:
        if getattr(option, "is_flag", False) or option.name == "help":
            continue
        for value in odd_values(option):
            named = option.param_type_name == "option"
            yield [*name.split(), *([*small, option.opts[0], value] if named else [value, *small[1:]])]
    for line in CHOSEN:
        if line.startswith(f"{name} "):
            yield [*name.split(), *small, *line.removeprefix(f"{name} ").split()]


LINES = {name: list(odd_lines(name, command)) for name, command in commands().items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, images and a file of noise; nothing starts a server, a kernel or a download."""
    rng = np.random.default_rng(0)
    for c in "abcdefgh":
        (tmp_path / "images" / c).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / c / f"{i}.png")
    (tmp_path / "junk.bin").write_bytes(rng.bytes(1000))
    models.save(models.pretrained("untrained"), tmp_path / "model.safetensors")
    (tmp_path / "mine.yaml").write_text("methods: triplet")
    a_run(tmp_path / "trained", 0.5)
    handed_out = Assignment(name="week", notebooks={"pairs_and_triplets": ["triplet.collapse"]})
    (notebook,) = handing_out.make(handed_out, tmp_path / "assigned")
    handed_in = tmp_path / "assigned" / "submitted" / "ann" / "week" / notebook.name
    handed_in.parent.mkdir(parents=True)
    handed_in.write_text(notebook.read_text())
    worker(tmp_path / "quick.py", monkeypatch, QUICK.format(log=str(tmp_path / "log")))

    def started(*_, **__):
        raise DMLTeachError("it would start now.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", lambda app: COMMAND)
    monkeypatch.setattr(execute, "execute", started)
    monkeypatch.setattr(execute, "execute_all", started)
    monkeypatch.setattr("dmlteach.data.download.fetch", started)
    monkeypatch.setattr("dmlteach.course.bundle.bundle.WORK", tmp_path / "wheels")
    monkeypatch.setattr("dmlteach.course.bundle.wheels._build", lambda folder: folder / "dmlteach.whl")
    monkeypatch.setattr("dmlteach.course.bundle.wheels._get_pip", lambda folder: folder / "pip.whl")
    monkeypatch.setattr("dmlteach.course.bundle.wheels._run", started)
    monkeypatch.setattr("subprocess.call", lambda *_, **__: 0)  # JupyterLab
    monkeypatch.setattr("dmlteach.course.exercises.progress.file", lambda: tmp_path / "kept.json")
    return tmp_path


def what_went_wrong(result: SimpleNamespace, place: Path) -> str | None:
    """None where the command ended in a result or in one sentence."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{type(result.exception).__name__}: {result.exception}"
    if result.exit_code not in (0, 1, 2):
        return f"exit code {result.exit_code}"
    said = result.stderr
    if result.exit_code == 2 and not ("error: " in said.lower() and len(said.strip().splitlines()[-1]) > 20):
        return f"no sentence: {said!r}"
    if result.exit_code == 2 and (place / "run").exists() and not any(word in said for word in DIVERGED):
        return f"refused after something was written: {said!r}"
    return None


@pytest.mark.parametrize("name", LINES)
def test_no_odd_line_ends_in_a_traceback_or_leaves_something_behind_when_it_is_refused(name, place):
    wrong = []
    for line in LINES[name]:
        result = CliRunner().invoke(app, line)
        said = what_went_wrong(result, place)
        wrong += [f"{' '.join(line)[-90:]} → {said}"] if said else []
        if (place / "run").exists():
            (place / "run").rename(place / f"run-{len(list(place.glob('run-*')))}")
    assert not wrong, "\n".join(wrong)


def test_there_are_more_than_a_thousand_odd_lines_and_every_command_has_some():
    assert sum(map(len, LINES.values())) > 1000
    assert {name for name, lines in LINES.items() if not lines} <= {"doctor", "data list"}
