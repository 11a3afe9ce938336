"""CI lets no test skip: the hooks in conftest.py, run on a small suite of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_runs():
    pass

@pytest.mark.xfail(strict=True, reason="known")
def test_expected_to_fail():
    assert False

{skipping}
"""
MARKED = "@pytest.mark.skip(reason='no browser')\ndef test_marked():\n    pass"
INSIDE = "def test_inside():\n    pytest.skip('no browser')"
WHOLE_FILE = "pytest.skip('no browser', allow_module_level=True)"


def run(folder: Path, skipping: str, no_skip: str) -> subprocess.CompletedProcess:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_suite.py").write_text(SUITE.format(skipping=skipping))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    environment = {**os.environ, "DMLTEACH_NO_SKIP": no_skip, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)  # options of plugins, which are not loaded here
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


@pytest.mark.parametrize("skipping", [MARKED, INSIDE, WHOLE_FILE], ids=["marked", "inside", "whole file"])
def test_a_skip_fails_in_ci_and_says_why(tmp_path, skipping):
    done = run(tmp_path, skipping, no_skip="1")
    assert done.returncode != 0
    assert "no browser" in done.stdout
    assert "lets no test skip" in done.stdout


def test_a_skip_passes_elsewhere(tmp_path):
    done = run(tmp_path, MARKED, no_skip="")
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_an_expected_failure_is_no_skip(tmp_path):
    done = run(tmp_path, "", no_skip="1")
    assert done.returncode == 0, done.stdout
    assert "1 xfailed" in done.stdout
