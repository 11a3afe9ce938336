"""`precision="fp64"`: all that a training computes is float64, in checkpoint, model file and numbers, too."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dmlteach import export, losses, models
from dmlteach.cli import app
from dmlteach.data import load
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import evaluate
from dmlteach.evaluation.before_training import network
from dmlteach.interfaces import Space
from dmlteach.samplers import create
from dmlteach.train import fit
from tests.train.runs import assert_equal_runs, tiny
from tests.train.test_one_and_two_processes import SMALL

FP64 = {**SMALL, "precision": "fp64", "schedule": "constant", "batches_per_epoch": 3}
COUNTS = ("step", "active_tuples")


def floats(tree) -> list[torch.Tensor]:
    """All tensors of numbers in a checkpoint's part, but those that count: steps, and the share of tuples."""
    if isinstance(tree, torch.Tensor):
        return [tree] if tree.is_floating_point() else []
    if isinstance(tree, dict):
        return [t for key, value in tree.items() if key not in COUNTS for t in floats(value)]
    return [t for value in tree for t in floats(value)] if isinstance(tree, list | tuple) else []


@pytest.fixture
def finished(tmp_path):
    """A run in float64, with its network."""
    options = {"method": "contrastive", "memory": 64, "das": True, "sampler": "local"}
    return fit(tiny(tmp_path, **{**FP64, **options}))


def test_weights_optimizer_bank_memory_and_statistics_are_float64(finished):
    state = torch.load(finished.path / "checkpoint.pt", weights_only=True)
    for part in ("model", "objective", "optimizer", "meter"):
        assert {t.dtype for t in floats(state[part])} == {torch.float64}, part
    assert state["objective"]["memory.embeddings"].any() and state["objective"]["das.bank"].any()
    for name in ("loss", "positive_distance", "negative_distance", "embedding_norm", "spread"):
        value = finished.metrics["epochs"][-1][name]
        assert float(np.float32(value)) != value  # not one of fp32, written with more digits


def test_it_is_the_training_of_fp32_with_more_digits(tmp_path):
    first = {}
    for precision in ("fp32", "fp64"):
        options = {"method": "sst", "sampler": "class_balanced", "epochs": 1, "precision": precision}
        run = fit(tiny(tmp_path, precision, **{**FP64, **options}))
        first[precision] = torch.load(run.path / "checkpoint.pt", weights_only=True)["meter"]["losses"][0]
    assert first["fp32"] == pytest.approx(first["fp64"], rel=1e-5)  # the same images, from the same start
    assert first["fp32"] == float(np.float32(first["fp32"])) and first["fp64"] != float(
        np.float32(first["fp64"])
    )


def test_it_resumes_to_the_same_bits_and_never_in_another_precision(tmp_path):
    straight = fit(tiny(tmp_path, "straight", **FP64, method="sst"))
    options = {**FP64, "method": "sst", "epochs": 1}
    fit(tiny(tmp_path, "resumed", **options))
    with pytest.raises(
        DMLTeachError, match="made with precision='fp64', not 'fp32'; resume it with the same"
    ):
        fit(tiny(tmp_path, "resumed", **{**options, "precision": "fp32", "resume": True}))
    resumed = fit(tiny(tmp_path, "resumed", **{**options, "epochs": 2, "resume": True}))
    assert_equal_runs(resumed.path, straight.path)


def test_its_model_file_is_evaluated_and_embedded_in_float64(finished, tmp_path):
    source = SMALL["backbone"]
    model = models.load(finished.path, source)
    assert model.dtype == torch.float64
    test = load("omniglot", "test", classes=SMALL["classes"])
    final = finished.metrics["final"]
    again = evaluate(model, test, device="cpu")
    assert {name: final[name] for name in again} == again
    z = embed(model, test, device="cpu")
    assert z.dtype == torch.float64 and not torch.equal(z, z.float().double())

    backbone = ["--backbone", source, "--classes", str(SMALL["classes"]), "--device", "cpu"]
    command = [
        "evaluate",
        "--checkpoint",
        str(finished.path),
        *backbone,
        "--output",
        str(tmp_path / "e.json"),
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "e.json").read_text())["recall@1"] == final["recall@1"]
    file = tmp_path / "z.npz"
    command = [
        "embed",
        "--checkpoint",
        str(finished.path),
        *backbone,
        "--split",
        "test",
        "--output",
        str(file),
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert np.array_equal(np.load(file)["embeddings"], z.numpy())


def test_a_run_goes_by_its_own_precision_whatever_its_checkpoint_had(finished, tmp_path):
    seen = []
    options = {**SMALL, "method": "softmax", "epochs": 1, "batches_per_epoch": 1, "embedding_dim": None}
    for precision in ("fp32", "bf16", "fp64"):
        config = {**options, "precision": precision, "checkpoint": str(finished.path)}
        fit(tiny(tmp_path, precision, **config), after_epoch=seen.append)
    begun = [run.model.dtype for run in seen[::2]]
    assert begun == [torch.float32, torch.float32, torch.float64]
    own = models.load(finished.path, SMALL["backbone"]).state_dict()
    assert all(torch.isfinite(t).all() for t in own.values())


def test_the_untrained_network_is_made_again_in_float64(finished):
    said = json.loads((finished.path / "config.json").read_text())
    made, why = network(said["config"], said["recipe"], models.load(finished.path, SMALL["backbone"]))
    assert why == "" and made.dtype == torch.float64
    test = load("omniglot", "test", classes=SMALL["classes"])
    recorded = finished.metrics["untrained"]
    assert evaluate(made, test, device="cpu")["recall@1"] == recorded["recall@1"]


def test_an_exported_program_computes_in_float64_and_says_so(tmp_path):
    model = models.create("omniglot_cnn", 8).double().eval()
    export.write(model, tmp_path / "model.pt2")
    images = torch.randint(
        0, 256, (3, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    found = torch.export.load(tmp_path / "model.pt2").module()(images)
    spec = model.spec
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (spec.mean, spec.std))
    expected = model((images.double() / 255 - mean) / std)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert json.loads((tmp_path / "model.pt2.json").read_text())["output"]["dtype"] == "float64"


# ── what samplers and losses plan on ──────────────────────────────────────────────────────────────────

TINY_STEP = 2.0**-40  # far below the rounding of fp32 beside 1


@pytest.mark.parametrize("name", ["local", "local_classes", "smart"])
def test_samplers_plan_by_differences_that_only_float64_has(name):
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(-500, 500, (96, 3), generator=generator).double()
    labels = torch.arange(96) % 12
    options = {"smart": {"kappa": 0.5}, "local_classes": {"images_per_class": 4}}.get(name, {})

    def plan(embeddings):
        sampler = create(name, labels, 24, 0, **options)
        sampler.plan(0, Space(embeddings, labels))
        return [
            (list(b), None if b.tuples is None or b.tuples.targets is None else b.tuples.targets.tolist())
            for b in sampler
        ]

    assert plan(1 + TINY_STEP * places) == plan(places)
    assert plan((1 + TINY_STEP * places).float()) != plan(places)  # all images in one place


def test_the_class_tree_of_the_hierarchical_loss_is_float64():
    loss = losses.create("hierarchical_triplet", num_classes=4, plain_epochs=0).double()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(24, 3, generator=generator, dtype=torch.float64)
    labels = torch.arange(24) % 4
    loss.plan(0, Space(z, labels))
    r = z / z.norm(dim=1, keepdim=True)
    for c in range(4):
        own = r[labels == c]
        pairs = (own[:, None] - own).square().sum(2)
        assert float(loss.spreads[c]) == pytest.approx(float(pairs.sum() / 30), rel=1e-11)
    assert float(loss.thresholds[0]) == pytest.approx(float(loss.spreads.mean()), rel=1e-14)


# ── what cannot be float64 ────────────────────────────────────────────────────────────────────────────

FP32_ONLY = """
import torch
from torch import nn

class Narrow(nn.Module):
    channels, image_size = 1, 28
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 8)
    def forward(self, images):
        return self.layer(images.float().flatten(1))

def loss(embeddings, labels):
    return (embeddings @ torch.ones(embeddings.shape[1], 1)).square().mean()
"""


@pytest.mark.parametrize(
    ("part", "name", "says"),
    [
        ("backbone", "Narrow", "Narrow cannot compute in float64"),
        ("loss", "loss", "loss fails on a batch of 16"),
    ],
)
def test_a_part_that_knows_fp32_only_is_one_sentence_before_anything_is_written(tmp_path, part, name, says):
    (tmp_path / "own.py").write_text(FP32_ONLY)
    own = {part: f"{tmp_path / 'own.py'}:{name}"}
    options = {**SMALL, "method": "contrastive", "epochs": 1, "batches_per_epoch": 1, **own}
    with pytest.raises(DMLTeachError, match=says) as error:
        fit(tiny(tmp_path, **options, precision="fp64"))
    assert str(error.value).startswith(str(own[part])) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
    fit(tiny(tmp_path, **options))


def test_apples_gpus_are_refused_in_one_sentence_before_anything_is_written(tmp_path):
    with pytest.raises(DMLTeachError, match="Apple's GPUs have no float64"):
        fit(tiny(tmp_path, **{**FP64, "device": "mps"}))
    assert not (tmp_path / "run").exists()
    with pytest.raises(DMLTeachError, match="Apple's GPUs have no float64"):
        embed(models.create("omniglot_cnn", 8).double(), load("omniglot", "test", classes=1), device="mps")
