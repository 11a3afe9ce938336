"""Seconds until `dmlteach --help` has answered."""

import subprocess
import sys

from benchmarks.measure import in_turns, ratio

COMMANDS = {
    "dmlteach": [sys.executable, "-m", "dmlteach", "--help"],
    "python": [sys.executable, "-c", "pass"],
}


def rows(quick: bool) -> list[dict]:
    def runner(command: list[str]):
        return lambda: subprocess.run(command, check=True, capture_output=True)

    functions = {name: runner(command) for name, command in COMMANDS.items()}
    in_turns(functions, 1)  # compiles the modules
    seconds = in_turns(functions, 3 if quick else 7)
    return [
        {
            "what": "`dmlteach --help`",
            "peer": "an empty Python program",
            "seconds": seconds,
            "ratio": ratio(seconds, "python", "dmlteach"),
            "goal_seconds": 0.5,
        }
    ]
