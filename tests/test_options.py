"""Options are refused by name and by kind, in one sentence, wherever they are given."""

import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from dmlteach import TrainConfig, data, fit, losses, models, samplers
from dmlteach.errors import DMLTeachError
from dmlteach.options import (
    at_least,
    between,
    check_options,
    check_seed,
    check_type,
    one_of,
    pair,
    positive,
    share,
    value_of,
)

KINDS: list[tuple[Any, list, list]] = [
    (int, [0, -3, 10**30], [True, 1.0, "1", None, [1]]),
    (float, [0, 1.5, -2], [float("nan"), float("inf"), True, "1.5", None]),
    (bool, [True, False], [0, 1, "true", None]),
    (str, ["", "x"], [1, None, b"x"]),
    (int | None, [None, 3], [3.0, "none"]),
    (Literal["a", "b"], ["a"], ["c", 1, None]),
    (tuple[float, float], [(1, 2), [0.5, 2]], [3, [1], [1, 2, 3], ["a", "b"]]),
    (Sequence[int], [[], [1, 2], (3,)], ["12", 3, [1.5]]),
    (dict[str, Any], [{}, {"a": 1}], [[], "a", None]),
    (Any, [None, 3, "x"], []),
]


@pytest.mark.parametrize(("kind", "good", "bad"), KINDS, ids=[str(kind) for kind, *_ in KINDS])
def test_a_value_is_taken_where_it_is_of_the_kind_and_only_there(kind, good, bad):
    for value in good:
        check_type("it", kind, value)
    for value in bad:
        with pytest.raises(DMLTeachError, match="it must be |unknown it"):
            check_type("it", kind, value)


def test_unknown_names_get_a_suggestion_and_the_list_of_names():
    known = inspect.signature(lambda margin: None).parameters
    with pytest.raises(DMLTeachError, match=r"unknown option of x 'margni'; did you mean 'margin'\?"):
        check_options("x", known, {"margni": 1})
    with pytest.raises(DMLTeachError, match="x has no options; 'margin' was given"):
        check_options("x", {}, {"margin": 1})


@pytest.mark.parametrize(
    ("check", "good", "bad", "said"),
    [
        (
            lambda v: at_least("it", v, 0),
            [0, 0.5, 10**9],
            [-1, -1e-9, math.nan],
            "it must be at least 0, not ",
        ),
        (lambda v: positive("it", v), [1, 1e-9], [0, -1.0, math.nan], "it must be positive, not "),
        (lambda v: between("it", v, 1, 9), [1, 9, 2.5], [0, 10, math.nan], "it must be from 1 to 9, not "),
        (lambda v: share("it", v), [1, 1e-9], [0, 1.1, math.nan], "it must be above 0 and at most 1, not "),
        (lambda v: one_of("it", v, ("a", "b")), ["a", "b"], ["c", None], "unknown it "),
    ],
)
def test_a_value_is_taken_where_it_is_in_range_and_only_there(check, good, bad, said):
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(DMLTeachError, match=f"{said}{value!r}"):
            check(value)


def test_a_reason_ends_the_sentence():
    with pytest.raises(DMLTeachError, match=r"^it must be positive, not 0: it is a length\.$"):
        positive("it", 0, because="it is a length")


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 1.0, True, "0", None])
def test_what_is_no_seed_for_every_generator_is_refused(seed):
    with pytest.raises(DMLTeachError, match="seed must be a whole number from 0"):
        check_seed(seed)


def test_the_largest_seed_is_one_for_torch_and_numpy():
    check_seed(2**63 - 1)
    torch.Generator().manual_seed(2**63 - 1)


@pytest.mark.parametrize("name", losses.names())
def test_every_loss_refuses_values_of_another_kind(name):
    needed = {"num_classes": 4, "embedding_dim": 8, "dims": (8, 8, 8)}
    known = losses.options(name)
    given = {k: v for k, v in needed.items() if k in known}
    for option, parameter in known.items():
        if option in needed:
            continue
        for wrong in ("ten", float("nan"), {}, [[]]):
            if parameter.annotation is str and isinstance(wrong, str):
                wrong = 3
            with pytest.raises(DMLTeachError, match=rf"option {option} of the {name} loss (must be |'ten')"):
                losses.create(name, **given, **{option: wrong})


@pytest.mark.parametrize("name", samplers.names())
def test_every_sampler_refuses_values_of_another_kind(name):
    labels = torch.arange(8).repeat_interleave(4)
    for option in samplers.options(name):
        with pytest.raises(DMLTeachError, match=rf"option {option} of the {name} sampler (must be |'ten')"):
            samplers.create(name, labels, 16, **{option: "ten"})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": "3"}, "epochs must be a whole number or none, not '3'"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"das": "yes"}, "das must be true or false or none"),
        ({"loss_options": ["margin"]}, "loss_options must be"),
        ({"image_size": 32}, "omniglot_cnn cannot take images of 32 × 32 pixels"),
        ({"image_size": 1}, "omniglot_cnn cannot take images of 1 × 1 pixels"),
        ({"embedding_dim": 10**8}, "embedding_dim must be from 1 to 65,536"),
        (
            {"loss": "proxy_anchor", "loss_options": {"num_classes": 3}},
            "num_classes of the proxy_anchor loss",
        ),
        ({"sampler": "random", "sampler_options": {"seed": 1}}, "random sampler has no options"),
        ({"dataset_options": {"name": "x"}}, "unknown option of data set 'omniglot' 'name'"),
    ],
)
def test_a_training_refuses_before_anything_is_written(wrong, said, tmp_path):
    small = {"classes": 8, "batch_size": 16, "device": "cpu", "progress": False}
    with pytest.raises(DMLTeachError, match=said):
        fit(TrainConfig(output=str(tmp_path / "run"), **small, **wrong))
    assert not (tmp_path / "run").exists()


def test_paths_may_be_paths(tmp_path: Path):
    config = TrainConfig(output=tmp_path / "run", root=tmp_path)
    assert (config.output, config.root) == (str(tmp_path / "run"), str(tmp_path))


@pytest.mark.parametrize("size", [25, 28, 30])
def test_sizes_that_a_network_can_take_are_taken(size):
    model = models.create("omniglot_cnn", 8, image_size=size)
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 8)


def test_a_data_set_refuses_options_without_looking_at_the_data():
    for options, said in [
        ({"rotation": True}, "did you mean 'rotations'"),
        ({"seed": 2**64}, "seed must be a whole number"),
        ({"val_fraction": "half"}, "option val_fraction of data set 'omniglot' must be a finite number"),
    ]:
        with pytest.raises(DMLTeachError, match=said):
            data.check_options("omniglot", options)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("True", True),
        ("none", None),
        ("[1, 2]", [1, 2]),
        ("hard", "hard"),
        ("a=b", "a=b"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_what_is_written_on_a_command_line_is_a_value_of_its_kind_or_a_text(text, value):
    name, written = pair(f"num-targets = {text}", "options", "num_targets=5")
    assert name == "num_targets" and value_of(written) == value and type(value_of(written)) is type(value)


@pytest.mark.parametrize("text", ["margin", "=1", " =1", ""])
def test_a_pair_without_a_name_or_a_value_is_one_sentence_that_shows_one(text):
    with pytest.raises(DMLTeachError, match="^things are written NAME=VALUE, e.g. a=1, not "):
        pair(text, "things", "a=1")
