"""`dmlteach data check folder`: what a newcomer reads about the own pictures, in any terminal."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dmlteach.cli import app


def run(*arguments: str):
    return CliRunner().invoke(app, [*arguments])


def folder_of(root: Path, names: list[str], per_class: int = 2) -> Path:
    pixels = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            noise = pixels.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / name / f"{number}.png")
    return root


def test_data_check_of_a_folder_fits_the_terminal_and_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    root = folder_of(tmp_path / "pictures", [f"product number {i:02}" for i in range(24)])
    good = run("data", "check", "folder", "--root", str(root))
    assert good.exit_code == 0 and good.output.startswith("folder: complete\n  ")
    assert max(len(line) for line in good.output.splitlines() if str(root) not in line) <= 60
    (root / "product number 03" / "0.png").write_bytes(b"\x89PNG\r\n, cut off")
    bad = run("data", "check", "folder", "--root", str(root))
    assert bad.exit_code == 1 and bad.output.startswith("folder: NOT complete\n")
    assert f"{root}/product number 03/0.png" in " ".join(bad.output.split())


def test_data_check_takes_the_options_of_the_division_and_quick(tmp_path):
    root = folder_of(tmp_path / "pictures", [f"c{i}" for i in range(12)])
    Image.new("RGB", (64, 64)).save(root / "c1" / "cut.jpg")
    (root / "c1" / "cut.jpg").write_bytes((root / "c1" / "cut.jpg").read_bytes()[:-30])
    arguments = ["data", "check", "folder", "--root", str(root)]
    assert run(*arguments).exit_code == 1
    quick = run(*arguments, "--quick")
    assert quick.exit_code == 0 and "only the heads" in quick.output
    divisions = {run(*arguments, "--dataset-option", f"seed={seed}").output for seed in range(3)}
    assert len(divisions) == 3
    mistyped = run(*arguments, "--dataset-option", "sede=1")
    assert mistyped.exit_code == 2 and "did you mean 'seed'" in mistyped.stderr
    assert run("data", "check", "omniglot", "--dataset-option", "seed=1").exit_code == 2


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_names_that_the_terminal_cannot_show_stop_no_command(tmp_path, encoding):
    names = ["日本", "two", "three", "four", "five", os.fsdecode(b"caf\xe9")]
    root = folder_of(tmp_path / "pictures", names, 1)
    (root / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xff.png")).write_bytes(b"damaged")
    done = subprocess.run(
        [sys.executable, "-m", "dmlteach", "data", "check", "folder", "--root", str(root), "--quick"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert done.stdout.startswith(b"folder: NOT complete")
