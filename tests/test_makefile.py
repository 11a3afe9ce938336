"""The Makefile makes an environment where there is none, respects one that is there, and calls Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the Makefile reads, and no environment."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "dmlteach", tmp_path / "dmlteach", ignore=shutil.ignore_patterns("*.npz"))
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    # `make test` runs this test: its own flags and level must not reach the inner make.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("target", ["course", "test", "lab", "figures", "report", "bundle", "bench"])
def test_every_target_makes_the_environment_first(clone, target):
    planned = make(clone, "--dry-run", target).stdout
    assert planned.index("-m venv .venv") < planned.index("pip install")
    assert ".venv/bin/python -m" in planned.splitlines()[-1]


def test_it_installs_again_when_the_requirements_changed(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".installed").touch()
    assert "pip install" not in make(clone, "--dry-run", "course").stdout
    (clone / "pyproject.toml").write_text((clone / "pyproject.toml").read_text() + "\n")
    assert "pip install" in make(clone, "--dry-run", "course").stdout


def test_an_existing_environment_is_used_and_nothing_is_installed(clone):
    planned = make(clone, "--dry-run", "course", f"PYTHON={sys.executable}").stdout
    assert f"{sys.executable} -m dmlteach course" in planned
    assert "pip install" not in planned and ".venv/bin/python -m" not in planned.replace(sys.executable, "")
    assert make(clone, "existing-environment", f"PYTHON={sys.executable}").returncode == 0


def test_an_existing_environment_that_lacks_packages_is_told_which(clone):
    pyproject = clone / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"rich>=13"', '"rich>=13", "no-such-package>=2"'))
    done = make(clone, "course", f"PYTHON={sys.executable}")
    assert done.returncode != 0
    assert "lacks: no-such-package>=2" in done.stderr
    assert "pip install -e" in done.stderr
    assert not (clone / "build").exists()


def test_a_python_that_is_too_old_is_one_clear_error(clone):
    done = make(clone, "course", "SYSTEM_PYTHON=false")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert not (clone / ".venv").exists()


def test_help_says_what_each_target_does(clone):
    assert "render the site: build/course/index.html" in make(clone).stdout
