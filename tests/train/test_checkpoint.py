"""A checkpoint that lacks a part, or holds an odd one, is one sentence that names it and the cure."""

import copy

import pytest
import torch

from dmlteach.device import choose_device
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.train import Run, TrainConfig, checkpoint, fit
from dmlteach.train.build import KEPT


def config(folder, **options) -> TrainConfig:
    return TrainConfig(
        method="triplet", loss="margin", sampler="smart", classes=8, batch_size=24, batches_per_epoch=2,
        epochs=2, embedding_dim=8, eval_every=0, device="cpu", progress=False, output=str(folder), **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """The checkpoint of a run with a sampler, a loss and an optimizer that all have something to keep."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(config(folder))
    return checkpoint.read(folder)


def resumed(folder, state, **options) -> Run:
    folder.mkdir(exist_ok=True)
    checkpoint.write(folder, state)
    run = Run(config(folder, resume=True, **options), choose_device("cpu"), World())
    run.start()
    return run


def test_a_checkpoint_that_nobody_touched_resumes(tmp_path, state):
    assert resumed(tmp_path / "run", state).epoch == 2


def test_the_parts_checked_are_those_the_trainer_writes(state):
    assert set(KEPT) < set(checkpoint.PARTS) <= set(state)


@pytest.mark.parametrize("part", sorted(checkpoint.PARTS))
@pytest.mark.parametrize("value", ["missing", None, "text", 3.5, [], {}, [1], {"a": 1}, torch.ones(2)])
def test_a_part_that_is_missing_or_odd_is_one_sentence(tmp_path, state, part, value):
    if (part, repr(value)) in [("history", "[]"), ("elapsed", "3.5")]:
        return  # such may be there
    damaged = {**state, part: value}
    if isinstance(value, str) and value == "missing":
        del damaged[part]
    with pytest.raises(DMLTeachError) as error:
        resumed(tmp_path / "run", damaged)
    said = str(error.value)
    assert len(said.splitlines()) == 1
    if "was made with" not in said:  # an empty config is another run's
        assert str(tmp_path / "run" / "checkpoint.pt") in said
        assert "remove it to start the run anew" in said


def change(state, path, value):
    state = copy.deepcopy(state)
    *way, last = path
    place = state
    for key in way:
        place = place[key]
    place[last] = value(place[last]) if callable(value) else value
    return state


@pytest.mark.parametrize("path, value", [
    (("model", "head.linear.bias"), torch.ones(3)),
    (("model", "head.linear.bias"), "text"),
    (("objective", "loss.beta"), torch.ones(99)),
    (("optimizer", 0, "param_groups", 0, "lr"), "fast"),
    (("optimizer", 0, "param_groups", 0, "betas"), None),
    (("optimizer", 0, "param_groups"), []),
    (("optimizer", 0, "state", 0, "exp_avg"), torch.ones(7)),
    (("optimizer", 0, "state", 0, "exp_avg"), None),
    (("optimizer", 0, "state", 0), lambda kept: {"step": kept["step"]}),
    (("optimizer",), lambda parts: parts * 2),
    (("schedule", "waited"), "twice"),
    (("position",), (0, -1, True, False)),
    (("position",), (0, 1)),
    (("position",), (0, 1, "yes", False)),
    (("meter", "losses"), ["low"]),
    (("meter", "stats"), [{"active_tuples": 1}]),
    (("history", 0), {"epoch": 0}),
    (("history", 0, "loss"), None),
    (("elapsed",), float("nan")),
    (("threads",), True),
    (("sampler", "rows", 0), lambda rows: rows + 10**6),
    (("sampler", "rows", 0), lambda rows: rows.float()),
    (("sampler", "rows"), lambda rows: rows[1:]),
    (("sampler", "triplets", 0), lambda triplets: triplets + 100),
    (("sampler", "triplets", 0), lambda triplets: triplets[:, :2]),
    (("sampler", "kappa"), "hard"),
    (("sampler", "trace"), [(1, 2, 3)]),
])  # fmt: skip
def test_an_odd_value_deep_inside_is_one_sentence(tmp_path, state, path, value):
    state = change(state, ("sampler", "planned"), True)
    with pytest.raises(DMLTeachError, match=r"checkpoint\.pt is not a dmlteach checkpoint of this run"):
        resumed(tmp_path / "run", change(state, path, value))


@pytest.mark.parametrize("content", [b"", b"PK", b"{}", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_checkpoint_is_one_sentence(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DMLTeachError, match=r"checkpoint\.pt is not a dmlteach checkpoint"):
        checkpoint.read(tmp_path)
