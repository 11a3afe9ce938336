"""The script that kills trainings: in its quick form, every run survives."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.mark.slow
def test_every_run_survives_kills_full_disks_ctrl_c_second_trainings_and_removed_folders():
    command = [sys.executable, "-m", "benchmarks.faults", "--quick"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row.split("|")[1:-1] for row in done.stdout.splitlines() if row.startswith("| ")][1:]
    counts = {fault.strip(): [int(number) for number in numbers] for fault, *numbers in rows}
    for fault in ("kill at a moment, 1", "kill at a random time, 1", "disk full", "folder removed"):
        faults, runs, same = counts[fault]
        assert faults >= runs == same > 0, fault
    for fault in ("kill at a moment, 2", "kill at a random time, 2", "Ctrl-C", "two in one folder"):
        assert counts[fault][1] > 0, fault
    assert counts["the loss becomes NaN"][0] == 2
