"""A damaged file of any kind is read, made anew or refused in one sentence: no traceback, no crash.

`--mutations 10000` is as thorough as before a release; `tests/mutations.py` says what is done to files.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of memory are set where Unix has them")

from dmlteach.errors import DMLTeachError
from tests import mutations

AT_ONCE = 2_500  # cases of one process


def damaged_and_read(seed: int, count: int, folder: Path) -> tuple[list[dict], list[dict]]:
    """What a process found: a line of numbers for each kind of file, and the failures."""
    command = [sys.executable, "-m", "tests.mutations", str(seed), str(count), str(folder)]
    limit = 900 + count  # seconds; each case has a limit of its own
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=mutations.CHECKOUT)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"the interpreter ended in case {lines[-1:]}:\n{done.stderr[-3000:]}"
    return [line["result"] for line in lines if "result" in line], [
        line for line in lines if "failed" in line
    ]


def test_a_damaged_file_is_read_made_anew_or_refused_in_one_sentence(request, tmp_path):
    count = request.config.getoption("--mutations")
    found, failures = [], []
    for seed, start in enumerate(range(0, count, AT_ONCE)):
        results, failed = damaged_and_read(seed, min(AT_ONCE, count - start), tmp_path / str(seed))
        found, failures = found + results, failures + failed
    print(*(json.dumps(line) for line in found), sep="\n")
    assert not failures, "\n".join(f"{f['failed']} {f['file']}: {f['error']}" for f in failures)
    numbers: Counter[str] = Counter()
    for line in found:
        numbers += Counter({name: line[name] for name in ("read", "refused")})
        assert line["peak_gb"] < 2 and line["slowest"] < mutations.MOST_SECONDS
    assert {line["kind"] for line in found} == set(mutations.KINDS)
    assert numbers.total() == pytest.approx(count, abs=len(found))
    assert min(numbers.values()) > count / 10  # some are read, and some refused: the damage is of both kinds


def raising(error: BaseException, cause: BaseException | None = None):
    def read(folder, path):
        raise error from cause

    return mutations.Kind(lambda folder: [], read)


@pytest.mark.parametrize(
    "kind, expected",
    [
        (mutations.Kind(lambda folder: [], lambda folder, path: None), "read"),
        (raising(DMLTeachError("a sentence")), "refused"),
        (raising(DMLTeachError("")), "failed"),
        (raising(KeyError("a")), "failed"),
        (raising(DMLTeachError("a sentence"), cause=MemoryError()), "failed"),
        (raising(DMLTeachError("a sentence"), cause=TimeoutError()), "failed"),
        (raising(SystemExit(1)), "failed"),
    ],
)
def test_what_is_neither_read_nor_refused_counts_as_failed(kind, expected, tmp_path, capsys):
    assert mutations.one_case(kind, "images", 3, 5, tmp_path, tmp_path / "a.png") == expected
    told = capsys.readouterr().out
    assert ("[" in told) == (expected == "failed")
    if told:
        assert json.loads(told)["failed"] == ["images", 3, 5]


def test_equal_seeds_damage_equally(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"epochs": [{"loss": 1.5}] * 20}))
        for number in range(50):
            mutations.damage(tmp_path / f"{name}.json", mutations.np.random.default_rng([7, number]))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
