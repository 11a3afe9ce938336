"""A loss, sampler, backbone or data set of one's own trains, resumes and is told apart from a changed one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dmlteach import data, load_model, losses, samplers
from dmlteach.errors import DMLTeachError
from dmlteach.train import TrainConfig, fit
from tests.train.mine import Pairs
from tests.train.runs import ENVIRONMENT, TINY, assert_equal_runs, tiny, train_and_kill, weights

FILE = Path(__file__).with_name("mine.py")
SHORT = {"method": "contrastive", "batches_per_epoch": 2, "epochs": 2}
PEER = "pytorch_metric_learning"
WITH_MINER = {
    "loss": f"{PEER}.losses:MultiSimilarityLoss",
    "loss_options": {
        "alpha": 2,
        "miner": f"{PEER}.miners:MultiSimilarityMiner",
        "miner_options": {"epsilon": 0.2},
    },
}


def mine(name):
    return f"{FILE}:{name}"


# A part of one's own, and what of ours does the same.
SAME = {
    "a loss that is a function": ({"loss": mine("pairs"), "loss_options": {"margin": 2.0}},
                                  {"loss_options": {"margin": 2.0}}),
    "a loss that is a module": ({"loss": mine("Pairs")}, {}),
    "a sampler": ({"sampler": mine("Balanced"), "sampler_options": {"images_per_class": 4}}, {}),
    "a backbone": ({"backbone": mine("Network")}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("own", "ours"), SAME.values(), ids=SAME.keys())
def test_a_part_of_ones_own_trains_as_ours_that_does_the_same(tmp_path, own, ours):
    first, second = fit(tiny(tmp_path, "own", **SHORT, **own)), fit(tiny(tmp_path, "ours", **SHORT, **ours))
    theirs = weights(second.path)
    assert all(value.equal(theirs[key]) for key, value in weights(first.path).items())
    assert first.metrics["final"]["recall@1"] == second.metrics["final"]["recall@1"]


def test_so_does_a_data_set_which_is_called_after_its_file_where_the_recipe_is_the_same(tmp_path):
    """Recipes are adapted to Omniglot by its name, so all that this changes is said here."""
    recipe = {
        "backbone": "omniglot_cnn", "weights": "none", "transform": "drawing", "learning_rate": 1e-3,
        "schedule": "constant", "loss_options": {"margin": 5.0}, "weight_decay": 1e-4,
        "dataset_options": {"rotations": False}, "sampler_options": {"images_per_class": 4},
    }  # fmt: skip
    own = fit(tiny(tmp_path, "own", **SHORT, **recipe, dataset=mine("load")))
    ours = fit(tiny(tmp_path, "ours", **SHORT, **recipe))
    assert_equal_runs(own.path, ours.path)
    kept = json.loads((own.path / "data.json").read_text())
    assert kept["dataset"] == "mine"
    assert data.load(mine("load"), "fit", rotations=True).name == "mine"
    assert repr(data.load(mine("load"), "test")) == "ImageDataset('mine', 'test', 13180 images, 659 classes)"


KILLED = {
    "a loss with vectors of the classes": {"loss": mine("Proxies"), "loss_options": {"scale": 4.0}},
    "a loss that draws at random": {"loss": mine("Noisy")},
    "a sampler": {"sampler": mine("Balanced")},
    "a backbone": {"backbone": mine("Network")},
    "a data set": {"dataset": mine("load"), "backbone": "omniglot_cnn", "transform": "drawing"},
    "a loss of the peer with a miner": WITH_MINER,
    "a loss of the peer with proxies": {"loss": f"{PEER}.losses:ProxyAnchorLoss"},
}


@pytest.mark.parametrize("own", KILLED.values(), ids=KILLED.keys())
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, own):
    config = {**TINY, **SHORT, **own, "save_every": 0, "output": str(tmp_path / "killed")}
    train_and_kill(config, "0.1", moment="save_if_due")
    resumed = fit(TrainConfig(**{**config, "resume": True}))
    assert_equal_runs(resumed.path, fit(tiny(tmp_path, "straight", **SHORT, **own)).path)


def test_its_learned_vectors_are_a_group_of_the_optimizer_and_move(tmp_path):
    seen = []
    options = {**SHORT, "loss": mine("Proxies")}
    fit(tiny(tmp_path, **options), after_epoch=lambda run: seen.append(
        ([group["name"] for group in run.parts.optimizer.param_groups],
         run.parts.objective.loss.vectors.detach().clone())
    ))  # fmt: skip
    assert all("loss" in names for names, _ in seen)
    assert not seen[0][1].equal(seen[-1][1])
    assert run_config(tmp_path / "run")["recipe"]["normalize"] is True  # as the class says of its geometry


def run_config(folder):
    return json.loads((folder / "config.json").read_text())


def test_the_run_names_source_and_hash_and_a_changed_source_is_not_resumed(tmp_path):
    source = tmp_path / "copy.py"
    shutil.copy(FILE, source)
    options = {**SHORT, "loss": f"{source}:Pairs"}
    ended = fit(tiny(tmp_path, **options))
    kept = {"loss": {"name": f"{source}:Pairs", "file": "copy.py", "sha256": sha256(source)}}
    assert run_config(ended.path)["sources"] == kept
    assert torch.load(ended.path / "checkpoint.pt", weights_only=True)["sources"] == kept
    source.write_text(source.read_text().replace("5.0", "4.0"))
    with pytest.raises(
        DMLTeachError,
        match=r"copy\.py, which holds the loss of the run in .*run, has changed since the run was made: put "
        r"it back as it was, or train on from the run's weights \(--checkpoint .*run, another --output\)",
    ):
        fit(tiny(tmp_path, **options, resume=True))
    other = fit(tiny(tmp_path, "other", **options))  # run as it stands now
    theirs = weights(ended.path)
    assert not all(value.equal(theirs[key]) for key, value in weights(other.path).items())


def test_another_part_is_not_called_a_changed_one(tmp_path):
    fit(tiny(tmp_path, **SHORT, loss=mine("Pairs")))
    with pytest.raises(
        DMLTeachError, match=r"was made with loss='.*:Pairs', not '.*:Noisy'; resume it with the"
    ):
        fit(tiny(tmp_path, **SHORT, loss=mine("Noisy"), resume=True))


def sha256(path):
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


def test_the_command_line_takes_them_relative_to_where_it_is_called(tmp_path):
    shutil.copy(FILE, tmp_path / "mine.py")

    def dmlteach(*arguments):
        command = [sys.executable, "-m", "dmlteach", *arguments]
        place = {**ENVIRONMENT, "PYTHONPATH": str(FILE.parents[2])}
        return subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, timeout=300)

    train = ["train", "--method", "contrastive", "--classes", "24", "--batch-size", "48", "--epochs", "2"]
    train += ["--batches-per-epoch", "2", "--embedding-dim", "16", "--no-progress", "--eval-every", "0"]
    own = ["--loss", "mine.py:pairs", "--loss-option", "margin=2", "--backbone", "mine.py:Network"]
    limited = dmlteach(*train, *own, "--output", "run", "--max-minutes", "1e-9")
    assert limited.returncode == 0, limited.stderr
    assert "ended it after 1 step" in limited.stdout
    resumed = dmlteach(*train, *own, "--output", "run", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    straight = fit(tiny(tmp_path, "straight", **SHORT, loss=mine("pairs"), loss_options={"margin": 2},
                        backbone=mine("Network")))  # fmt: skip
    theirs = weights(straight.path)
    assert all(value.equal(theirs[key]) for key, value in weights(tmp_path / "run").items())

    evaluate = ["evaluate", "--checkpoint", "run", "--classes", "24"]
    unnamed = dmlteach(*evaluate)
    assert unnamed.returncode == 2
    assert "is not dmlteach's but mine.py:Network, which is run only if you name it" in unnamed.stderr
    named = dmlteach(*evaluate, "--backbone", "mine.py:Network")
    assert named.returncode == 0, named.stderr
    assert f"{straight.metrics['final']['recall@1']:.4f}" in named.stdout
    wrong = dmlteach(*train, "--loss", "mine.py:pears")
    assert wrong.returncode == 2
    assert "unknown loss in mine.py 'pears'; did you mean 'pairs'?" in wrong.stderr


def test_a_model_file_runs_no_source_unless_it_is_named(tmp_path, monkeypatch):
    """The file says where its network came from; what stands there may be anybody's."""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "mine.py"
    shutil.copy(FILE, own)
    run = fit(tiny(tmp_path, **SHORT, backbone="mine.py:Network"))
    own.write_text("raise SystemExit('it was run')\n")
    with pytest.raises(
        DMLTeachError, match=r"but mine\.py:Network, which is run only if you name it: load_model"
    ):
        load_model(run.path)
    moved = tmp_path / "moved.py"
    shutil.copy(FILE, moved)
    model = load_model(run.path, backbone="moved.py:Network")
    images = torch.rand(4, 1, 28, 28)
    assert model(images).equal(run.model(images))
    moved.write_text(moved.read_text() + "\n# another version\n")
    with pytest.warns(UserWarning, match=r"moved\.py has changed since .*model\.safetensors was written"):
        load_model(run.path, backbone="moved.py:Network")
    ours = fit(tiny(tmp_path, "ours", **SHORT))
    with pytest.raises(DMLTeachError, match=r"was given with .*whose backbone is omniglot_cnn: leave it out"):
        load_model(ours.path, backbone="moved.py:Network")


def test_a_run_starts_from_a_network_of_ones_own_if_it_is_named(tmp_path):
    first = fit(tiny(tmp_path, "first", **SHORT, backbone=mine("Network")))
    given = {**SHORT, "checkpoint": str(first.path), "embedding_dim": None}
    with pytest.raises(DMLTeachError, match="which is run only if you name it"):
        fit(tiny(tmp_path, "second", **given))
    second = fit(tiny(tmp_path, "second", **given, backbone=mine("Network")))
    assert second.metrics["untrained"]["recall@1"] == first.metrics["final"]["recall@1"]


def test_what_a_loss_does_not_say_of_its_tuples_is_left_out_of_bar_and_metrics(tmp_path):
    bars = []
    run = fit(tiny(tmp_path, **SHORT, loss=mine("Pairs")), after_epoch=lambda run: bars.append(
        run.meter.brief() if run.epoch else {}
    ))  # fmt: skip
    assert bars[-1].keys() == {"loss", "images/s"}
    row = run.metrics["epochs"][-1]
    assert "active_tuples" not in row and row["spread"] > 0


# --- objects beside the config


def test_objects_train_as_what_they_are_named_by(tmp_path):
    labels = data.load("omniglot", "train", rotations=True).first_classes(24).labels
    sampler = samplers.create("class_balanced", labels, 48, seed=0, images_per_class=4)
    options = {**SHORT, "batch_size": None}
    for name, loss in (("module", Pairs(2.0)), ("ours", losses.create("contrastive", margin=2.0))):
        given = fit(tiny(tmp_path, name, **options), loss=loss, sampler=sampler)
        config = run_config(given.path)["config"]
        assert config["loss"] == f"object:{type(loss).__name__}"
        assert config["sampler"] == "object:ClassBalanced"
        sampler = samplers.create("class_balanced", labels, 48, seed=0, images_per_class=4)
    named = fit(tiny(tmp_path, "named", **SHORT, loss_options={"margin": 2.0}))
    theirs = weights(named.path)
    for name in ("module", "ours"):
        assert all(value.equal(theirs[key]) for key, value in weights(tmp_path / name).items())


def test_what_objects_cannot_do_is_one_sentence(tmp_path):
    loss = Pairs()
    with pytest.raises(
        DMLTeachError, match="a loss given as an object is kept nowhere.*cannot be resumed; write"
    ):
        fit(tiny(tmp_path, **SHORT, resume=True), loss=loss)
    with pytest.raises(DMLTeachError, match=r"loss=Pairs is a class: give an object, Pairs\(…\)"):
        fit(tiny(tmp_path, **SHORT), loss=Pairs)
    with pytest.raises(DMLTeachError, match="loss='sst' was given beside loss=, an object"):
        fit(tiny(tmp_path, **SHORT, loss="sst"), loss=loss)
    with pytest.raises(DMLTeachError, match="loss_options=.* was given beside loss=, an object"):
        fit(tiny(tmp_path, **SHORT, loss_options={"margin": 1.0}), loss=loss)
    other = samplers.create("random", torch.arange(60) % 6, 30)
    with pytest.raises(
        DMLTeachError, match="chooses among 60 images and the run trains on 480, or their classes"
    ):
        fit(tiny(tmp_path, **{**SHORT, "batch_size": None}), sampler=other)
    with pytest.raises(
        DMLTeachError, match="batch_size=48 was given beside sampler=, an object whose batches hol"
    ):
        fit(tiny(tmp_path, **SHORT), sampler=samplers.create("random", torch.arange(60) % 6, 30))
    with pytest.raises(DMLTeachError, match="object:int is no loss: it must be a subclass"):
        fit(tiny(tmp_path, **SHORT), loss=3)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
    fit(tiny(tmp_path, **SHORT), loss=loss)
    with pytest.raises(
        DMLTeachError, match="was made with such an object: a loss given as an object is kept"
    ):
        fit(tiny(tmp_path, **SHORT, resume=True))


# --- mistakes


WRONG = {
    "def f(z): return z.sum()": ("loss", "f", "is no loss: it must be a subclass of"),
    "def f(z, y): return z": ("loss", "f", r"gives a tensor \(16, 16\) of .*, where a loss gives one real"),
    "def f(z, y): return 0.5": ("loss", "f", "gives a float, where a loss gives one real number"),
    "def f(z, y): return z.sum() * 1j": ("loss", "f", r"gives a tensor \(\) of torch.complex64, where"),
    "raise SystemExit(3)": ("loss", "f", "ends the program when it is imported; what it does as a program"),
    "import torch": ("loss", "f", "holds no class or function of its own, so no loss 'f'"),
    "def f(z, y): return z.detach().sum()": ("loss", "f", "gives a number without a gradient: compute it"),
    "def f(z, y):\n    return z.some()": (
        "loss", "f", r"fails on a batch of 16 embeddings: AttributeError: .*'some' \(wrong\.py, line 2\)"
    ),
    "class F:\n    def __init__(self, size): pass\n    def __call__(self, z, y): return z.sum()": (
        "loss", "F", "the .*wrong.py:F loss needs size"
    ),
    "def f(z, y): return z.sum(": ("loss", "f", r"wrong\.py, line 1: '\(' was never closed"),
    "import no_such_thing": ("loss", "f", "fails when it is imported: ModuleNotFoundError"),
    "1 / 0": ("loss", "f", r"fails when it is imported: ZeroDivisionError: .*\(wrong\.py, line 1\)"),
    "f = 3": ("loss", "f", "is 3, where a loss is a class or a function"),
    "class F: pass": ("sampler", "F", "is no sampler: it must be a subclass of dmlteach.interfaces.Sampler"),
    "def f(): return 3": ("backbone", "f", "makes a int, where a backbone is a torch.nn.Module"),
    "import torch\ndef f(): return torch.nn.Conv2d(3, 4, 3)": (
        "backbone", "f", r"gives \(2, 4, 222, 222\) for a batch of images 2x3x224x224, where .* flatten"
    ),
    "import torch\ndef f(): return torch.nn.Linear(3, 4)": (
        "backbone", "f", "cannot take a batch of images 2x3x224x224 .*channels = 1"
    ),
    "def f(split, root=None): return 3": ("dataset", "f", "gives a int, where a data set is"),
    "def f(split): return 3": ("dataset", "f", "fails: TypeError"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "wrong"), WRONG.items(), ids=[f"{w[0]} {i}" for i, w in enumerate(WRONG.values())]
)
def test_what_is_wrong_with_a_part_is_one_sentence_and_nothing_is_written(tmp_path, source, wrong):
    part, name, message = wrong
    (tmp_path / "wrong.py").write_text(source + "\n")
    with pytest.raises(DMLTeachError, match=message) as told:
        fit(tiny(tmp_path, **SHORT, **{part: f"{tmp_path}/wrong.py:{name}"}))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


LATER = {  # a loss that is as it should be on the first batch
    "if n > 2: raise ValueError('odd')": r"fails on a batch of \d+ embeddings: ValueError: odd \(late\.py",
    "if n > 2: return z": r"gives a tensor \(\d+, \d+\) of torch.float32, where a loss",
    "if n > 2: return z.detach().sum()": "gives a number without a gradient",
}


@pytest.mark.parametrize(("line", "message"), LATER.items())
def test_a_loss_that_fails_while_it_trains_is_one_sentence_that_names_it(tmp_path, line, message):
    source = f"n = 0\n\ndef f(z, y):\n    global n\n    n += 1\n    {line}\n    return z.square().sum()\n"
    (tmp_path / "late.py").write_text(source)
    with pytest.raises(DMLTeachError, match=rf"late\.py:f {message}"):
        fit(tiny(tmp_path, **SHORT, loss=f"{tmp_path}/late.py:f"))


def test_a_zero_that_depends_on_nothing_has_the_gradient_zero(tmp_path):
    """As of a hinge that no pair of a batch opens."""
    (tmp_path / "zero.py").write_text("import torch\n\ndef f(z, y):\n    return torch.zeros(())\n")
    before = []
    options = {**SHORT, "loss": f"{tmp_path}/zero.py:f", "weight_decay": 0.0}
    ended = fit(tiny(tmp_path, **options), after_epoch=lambda run: before.append(
        {name: value.detach().clone() for name, value in run.model.named_parameters()}
    ))  # fmt: skip
    assert all(value.equal(before[0][name]) for name, value in ended.model.named_parameters())


PLANS = {
    "raise KeyError('rows')": "fails as it plans epoch 1: KeyError",
    "return [[0, 1]], None": "must compose three things",
    "return None": "must compose three things",
    "return ([0, 1] for _ in range(2)), None, {}": "must give its batches as a list",
    "return [[0, 10**7]], None, {}": "chose an image that is not there: rows go from 0 to",
    "return [[-1, 0]], None, {}": "chose an image that is not there",
    "return [[]], None, {}": "must give each batch as whole numbers, .* at least one",
    "return [[0.5, 1.5]], None, {}": "must give each batch as whole numbers",
    "return [[0, 1]], None, {'x': self}": "must report plain, finite numbers",
    "return [[0, 1]], None, {'x': float('nan')}": "must report plain, finite numbers",
}


@pytest.mark.parametrize(("line", "message"), PLANS.items())
def test_what_a_sampler_of_ones_own_plans_is_looked_at(tmp_path, line, message):
    source = "from dmlteach.interfaces import Sampler\n\nclass S(Sampler):\n"
    source += f"    def _compose(self, rng, space, last_loss):\n        {line}\n"
    (tmp_path / "plans.py").write_text(source)
    with pytest.raises(DMLTeachError, match=message):
        fit(tiny(tmp_path, **SHORT, sampler=f"{tmp_path}/plans.py:S"))


def test_a_sampler_of_ones_own_that_gives_no_batch_is_told_as_that(tmp_path):
    source = "from dmlteach.interfaces import Sampler\n\nclass S(Sampler):\n"
    source += "    def _compose(self, rng, space, last_loss):\n        return [], None, {}\n"
    (tmp_path / "none.py").write_text(source)
    ended = fit(tiny(tmp_path, **SHORT, sampler=f"{tmp_path}/none.py:S")).metrics["final"]["ended"]
    assert ended.endswith("none.py:S gave no batch.")


def test_options_are_checked_by_the_signature(tmp_path):
    for options, message in (
        ({"margn": 1.0}, "unknown option of the .*Pairs loss 'margn'; did you mean 'margin'"),
        ({"margin": "wide"}, "option margin of the .*Pairs loss must be a finite number, not 'wide'"),
    ):
        with pytest.raises(DMLTeachError, match=message):
            fit(tiny(tmp_path, **SHORT, loss=mine("Pairs"), loss_options=options))
    with pytest.raises(DMLTeachError, match="num_classes of the .* loss follows from data and network"):
        fit(tiny(tmp_path, **SHORT, loss=mine("Proxies"), loss_options={"num_classes": 3}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 64}, "which the .*Pairs loss cannot compare with; these losses can"),
        ({"imprint": 3}, "of which the .*Pairs loss has none"),
        ({"loss": f"{PEER}.losses:ProxyAnchorLoss", "das": True}, "with learned class vectors; use das with"),
    ],
    ids=["memory", "imprint", "das"],
)
def test_what_a_foreign_loss_cannot_be_combined_with_is_one_sentence(tmp_path, options, message):
    with pytest.raises(DMLTeachError, match=message):
        fit(tiny(tmp_path, **SHORT, **{"loss": mine("Pairs"), **options}))


def test_das_goes_before_a_loss_of_ones_own_as_before_ours(tmp_path):
    own = fit(tiny(tmp_path, "own", **SHORT, loss=mine("Pairs"), das=True))
    ours = fit(tiny(tmp_path, "ours", **SHORT, das=True))
    theirs = weights(ours.path)
    assert all(value.equal(theirs[key]) for key, value in weights(own.path).items())
