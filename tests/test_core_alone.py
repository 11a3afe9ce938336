"""The library alone: without any package of an optional part it imports, trains and evaluates."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_environment import PROJECT

# In a process of its own: what another part needs cannot be imported, as if it were not installed.
ALONE = """
import sys
from importlib.machinery import PathFinder
class Installed:
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in {absent!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
{code}
"""
TRAIN = """
import torch
import dmlteach
from dmlteach import data, losses, metrics, models, samplers
from dmlteach.embeddings import embed
options = dict(classes=24, batch_size=48, embedding_dim=16, epochs=1, eval_every=0, progress=False)
for method in ("sst", "htl", "smart_mining", "clustering", "margin"):
    result = dmlteach.fit(dmlteach.TrainConfig(method=method, output=f"{folder}/{method}", **options))
model = dmlteach.load_model(f"{folder}/sst")
test = data.load("omniglot", "test").subset_classes(range(24))
print(dmlteach.evaluate(model, test)["recall@1"] > 1 / 24)
z = embed(model, test)
print(metrics.recall_at_k(z, test.labels, (1,))[1] > 1 / 24)
print(losses.sst_loss(z[:40], test.labels[:40]).isfinite().item(), len(samplers.names()) > 4)
from dmlteach.embeddings import write
write(f"{folder}/z.npz", z, test)
print([name for name in ("matplotlib", "faiss", "pandas", "typer", "rich", "IPython") if name in sys.modules])
"""


def needed(names: list[str]) -> set[str]:
    """Distributions that some of them need, themselves included."""
    found, waiting = set(), [canonicalize_name(Requirement(name).name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            wanted = requires(name) or []
        except PackageNotFoundError:
            continue
        parsed = [Requirement(text) for text in wanted]
        waiting += [
            canonicalize_name(r.name) for r in parsed if not r.marker or r.marker.evaluate({"extra": ""})
        ]
    return found


def alone(code: str) -> subprocess.CompletedProcess:
    core = needed(PROJECT["dependencies"])
    absent = {
        module
        for module, packages in packages_distributions().items()
        if not {canonicalize_name(p) for p in packages} & core
    }
    absent -= {"dmlteach", "pip", "setuptools", "pkg_resources", "_distutils_hack"}
    assert {"matplotlib", "faiss", "typer", "anywidget", "pandas"} <= absent and "torch" not in absent
    program = ALONE.format(absent=sorted(absent), code=code)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)


def test_the_core_alone_imports_trains_and_evaluates(tmp_path):
    done = alone(f"folder = {str(tmp_path)!r}\n{TRAIN}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[-2] == "[]"
    assert "False" not in done.stdout


def test_what_an_optional_part_needs_is_one_sentence_with_the_part():
    done = alone("from dmlteach.__main__ import main\nmain()")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.search(r"needs (typer|rich|shellingham): pip install 'dmlteach\[cli\]'", done.stderr)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("from dmlteach.plots import curves", "plots"),
        ("import dmlteach; dmlteach.widgets.TSNEGrid", "course"),
        ("from dmlteach.widgets import TSNEGrid", "course"),
    ],
)
def test_an_import_that_lacks_its_part_says_which_to_install(line, part):
    done = alone(line)
    assert done.returncode == 1
    assert f"is not installed; it comes with: pip install 'dmlteach[{part}]'" in done.stderr.splitlines()[-1]
