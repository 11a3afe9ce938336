"""Runs of sweeps that cost nothing: workers that only answer, and run folders that only look like some."""

import json
from pathlib import Path
from typing import Any

import pytest

from dmlteach.sweep import workers

# A worker that trains nothing: it notes its run, and answers.
QUICK = """
import json, sys
config = json.loads(sys.argv[1])
with open({log!r}, "a") as log:
    print(config["output"], file=log)
final = {{"recall@1": 0.5, "num_classes": 24, "num_queries": 480}}
print(json.dumps({{"state": "done", "metrics": {{"untrained": None, "val": None, "final": final}}}}))
"""


def worker(path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> Path:
    """From here on, workers run this code."""
    path.write_text(code)
    monkeypatch.setattr(workers, "PROGRAM", (str(path),))
    return path


UNTRAINED = [0.2, 0.25, 0.3]


def metrics_of(recall: float, seed: int, val: float = 0.4, classes: int = 659) -> dict[str, Any]:
    about = {"num_classes": classes, "num_queries": 20 * classes}
    final = {"recall@1": recall, "map@r": recall / 2, "train_seconds": 100 * recall, **about}
    before = {"recall@1": UNTRAINED[seed], "map@r": 0.05, **about}
    return {"untrained": before, "val": {"recall@1": val, **about, "num_classes": 9}, "final": final}


def a_run(folder: Path, recall: float, classes: int = 659, **options: Any) -> Path:
    """A run folder as `dmlteach train` leaves it, as far as it is read here."""
    folder.mkdir(parents=True)
    metrics = metrics_of(recall, options.get("seed", 0), classes=classes)
    epochs = [{"epoch": 0, "loss": 1.0, "seconds": 1.0, "val": metrics["val"]}]
    content = {"untrained": metrics["untrained"], "epochs": epochs, "final": metrics["final"]}
    (folder / "metrics.json").write_text(json.dumps(content))
    (folder / "config.json").write_text(json.dumps({"config": {"method": "sst", "seed": 0, **options}}))
    return folder
