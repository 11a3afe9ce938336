"""Model files and weights as others leave them: wrapped, of a newer version, damaged."""

import argparse
import json
import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import save_file

from dmlteach import models
from dmlteach.errors import DMLTeachError

# ── weights of a backbone ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def state():
    return torchvision.models.resnet18().state_dict()


class Settings:
    """A class of somebody's training program, which readers of the weights do not have."""

    def __init__(self, **options):
        self.__dict__.update(options)


class Options(dict):
    """A table of somebody's own kind."""


def parallel(state):
    return {f"module.{key}": value for key, value in state.items()}


WRAPPED = {
    "plain": lambda state: state,
    "DataParallel": parallel,
    "under state_dict": lambda state: {"state_dict": state},
    "under model": lambda state: {"epoch": 3, "model": state},
    "DataParallel under state_dict": lambda state: {
        "state_dict": parallel(state),
        "best_acc1": torch.tensor(7.0),
    },
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "inside a larger network": lambda state: (
        {f"net.backbone.{k}": v for k, v in state.items()} | {"head": torch.ones(3)}
    ),
    "two tables deep": lambda state: {"checkpoint": {"network": OrderedDict(state)}},
    "beside arguments": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1)},
    "beside a class of their own": lambda state: {
        "model": state,
        "settings": Settings(path=Path("runs"), lr=0.1),
    },
    "beside a table of their own kind": lambda state: {"model": state, "options": Options(lr=0.1)},
    "beside an optimizer": lambda state: {
        "model": state,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}},
    },
    "the same weights twice": lambda state: {"model": state, "best": dict(state)},
}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_weights_are_found_in_whatever_they_are_wrapped(tmp_path, state, wrapping):
    torch.save(WRAPPED[wrapping](state), tmp_path / "weights.pth")
    model = models.create("resnet18", 16, weights=tmp_path / "weights.pth")
    own = model.backbone.state_dict()
    assert own and all(torch.equal(own[key], state[key]) for key in own)


def test_weights_written_before_torch_had_zip_files_are_read_too(tmp_path, state):
    content = {"state_dict": parallel(state), "args": argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    model = models.create("resnet18", 16, weights=tmp_path / "weights.pth")
    assert torch.equal(model.backbone.conv1.weight, state["conv1.weight"])


def test_a_model_file_of_ours_gives_its_backbone(tmp_path):
    trained = models.create("resnet18", 8, image_size=64, seed=3)
    models.save(trained, tmp_path / "model.safetensors")
    model = models.create("resnet18", 16, weights=tmp_path / "model.safetensors")
    assert torch.equal(model.backbone.conv1.weight, trained.backbone.conv1.weight)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("was_run",)


def test_a_program_inside_a_weights_file_is_never_run(tmp_path, state, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": state, "evil": Evil()}, "weights.pth")
    with pytest.raises(DMLTeachError, match="not a readable weights file"):
        models.create("resnet18", 16, weights="weights.pth")
    assert os.listdir() == ["weights.pth"]


def other(state):
    return {key: value + 1 for key, value in state.items()}


REFUSED = {
    "of another network": (
        lambda s: torchvision.models.resnet50().state_dict(),
        "of another shape.*Choose the backbone",
    ),
    "in part": (
        lambda s: {"model": {k: v for k, v in s.items() if "layer4" not in k}},
        "tensors missing.*Choose the backbone",
    ),
    "under other names": (
        lambda s: {"a.b": torch.ones(2)},
        "called e.g. 'a.b', and none called like.*Choose the backbone",
    ),
    "no weights": (lambda s: {"epoch": 3, "args": None}, "holds no tensors with names"),
    "a list": (lambda s: [1, 2], "holds no tensors with names"),
    "one tensor": (lambda s: torch.ones(3), "holds no tensors with names"),
    "values that are no tensors": (lambda s: dict.fromkeys(s, 1.5), "holds no tensors with names"),
    "two that differ": (
        lambda s: {"student": s, "teacher": other(s)},
        "several sets.*'student'.*'teacher'.*Save the one",
    ),
    "sparse": (
        lambda s: {**s, "conv1.weight": s["conv1.weight"].to_sparse()},
        "cannot be put into resnet18|not a readable",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_with_the_right_advice(tmp_path, state, what):
    content, message = REFUSED[what]
    torch.save(content(state), tmp_path / "weights.pth")
    with pytest.raises(DMLTeachError, match=message) as error:
        models.create("resnet18", 16, weights=tmp_path / "weights.pth")
    assert str(tmp_path / "weights.pth") in str(error.value)


# ── model files ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def rewritten(tmp_path):
    """A model file whose description or tensors are changed."""

    def write(change=lambda spec, state: None, text: str | None = None, head: str = "linear") -> Path:
        path = tmp_path / "model.safetensors"
        models.save(models.create("omniglot_cnn", 12, head=head), path)
        with safe_open(path, "pt") as opened:
            spec = json.loads(opened.metadata()["dmlteach"])
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        change(spec, state)
        save_file(state, path, metadata={"dmlteach": json.dumps(spec) if text is None else text})
        return path

    return write


@pytest.mark.parametrize("head", ["linear", "cascade", "bier"])
def test_a_model_file_that_nobody_touched_is_read(rewritten, head):
    assert models.load(rewritten(head=head)).spec.head == head


def test_a_model_file_of_an_older_version_is_read(rewritten):
    assert models.load(rewritten(lambda spec, state: [spec.pop(k) for k in ("head", "feature_scale")]))


def test_a_model_file_of_a_newer_version_says_so(rewritten):
    with pytest.raises(
        DMLTeachError, match=r"model\.safetensors.*a newer dmlteach.*'pooling'.*update dmlteach"
    ):
        models.load(rewritten(lambda spec, state: spec.update(pooling="gem")))


@pytest.mark.parametrize(
    "name, value",
    [
        ("backbone", "resnet5"),
        ("backbone", 3),
        ("backbone", None),
        ("backbone", "resnet18"),
        ("embedding_dim", 0),
        ("embedding_dim", "12"),
        ("embedding_dim", 10**8),
        ("embedding_dim", True),
        ("embedding_dim", 13),
        ("image_size", 10**7),
        ("image_size", -1),
        ("image_size", 64),
        ("image_size", 28.0),
        ("resize", 20),
        ("channels", 0),
        ("channels", 3),
        ("mean", []),
        ("mean", "0"),
        ("mean", [float("nan")]),
        ("std", [0.0]),
        ("std", [None]),
        ("std", [1e300]),
        ("normalize", "no"),
        ("keep_aspect", 2),
        ("head", []),
        ("head", "gem"),
        ("head_options", [1]),
        ("head_options", {"hidden": 10**9}),
        ("head_options", {"a": 1}),
        ("feature_scale", float("inf")),
        ("feature_scale", 10**400),
    ],
)
def test_an_odd_value_in_a_model_file_is_one_sentence(rewritten, name, value):
    path = rewritten(lambda spec, state: spec.update({name: value}))
    with pytest.raises(DMLTeachError, match="cannot be rebuilt") as error:
        models.load(path)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "[" * 100_000, "NaN", '{"backbone": "omniglot_cnn"}']
)
def test_a_description_that_is_none_is_one_sentence(rewritten, text):
    with pytest.raises(
        DMLTeachError, match=r"model\.safetensors (cannot be rebuilt|is not a dmlteach checkpoint)"
    ):
        models.load(rewritten(text=text))


@pytest.mark.parametrize(
    "change",
    [
        lambda spec, state: state.pop("head.linear.bias"),
        lambda spec, state: state.update(more=torch.ones(2)),
        lambda spec, state: state.update({"head.linear.bias": torch.ones(3)}),
        lambda spec, state: state.clear(),
    ],
)
def test_tensors_that_do_not_fit_are_one_sentence(rewritten, change):
    with pytest.raises(
        DMLTeachError, match=r"model\.safetensors (cannot be rebuilt|is not a dmlteach checkpoint)"
    ):
        models.load(rewritten(change))
