"""Optimisers by group, and schedules."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from dmlteach import losses, methods, models
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.methods import Group
from dmlteach.train import Run, optim
from tests.train.runs import tiny


@pytest.fixture
def model():
    return models.create("omniglot_cnn", 8)


@pytest.fixture
def loss():
    return losses.create("margin", num_classes=3)


def test_groups_have_their_rates_decays_and_rules(model, loss):
    groups = {"head": Group(factor=3), "loss": Group(factor=10, weight_decay=0, optimizer="sgd")}
    recipe = replace(methods.get("margin"), learning_rate=0.01, weight_decay=0.5, groups=groups)
    built = optim.build(recipe, model, loss)
    found = {g["name"]: (pytest.approx(g["lr"]), g["weight_decay"]) for g in built.param_groups}
    assert found == {"backbone": (0.01, 0.5), "head": (0.03, 0.5), "loss": (0.1, 0)}
    adam, sgd = built.parts
    assert isinstance(adam, torch.optim.Adam)
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["params"] == list(loss.parameters())


def test_every_group_takes_the_step_of_its_rule(model, loss):
    recipe = replace(
        methods.get("margin"), learning_rate=0.01, weight_decay=0, groups={"loss": Group(optimizer="sgd")}
    )
    built = optim.build(recipe, model, loss)
    weight, beta = model.head.linear.weight, loss.beta
    before = weight.detach().clone(), beta.detach().clone()
    built.zero_grad()
    (3 * weight.sum() + 3 * beta.sum()).backward()
    built.step()
    torch.testing.assert_close(weight, before[0] - 0.01)  # Adam: the rate, whatever the gradient
    torch.testing.assert_close(beta, before[1] - 0.03)  # SGD: the rate times the gradient


def test_what_has_shrunk_to_nothing_becomes_0_and_all_else_keeps_its_bits(model, loss):
    recipe = replace(methods.get("margin"), weight_decay=0, groups={"loss": Group(optimizer="sgd")})
    built = optim.build(recipe, model, loss)
    (model.head.linear.weight.sum() + loss.beta.sum()).backward()
    built.step()
    adam, sgd = built.parts
    weight, beta = model.head.linear.weight, loss.beta
    means = adam.state[weight]["exp_avg"], sgd.state[beta]["momentum_buffer"]
    shrunk = torch.tensor([1e-40, -1e-38, 9e-31])  # the first cannot be told from 0 in full precision
    with torch.no_grad():
        for numbers in (weight[0], means[0][1], beta, means[1]):
            numbers[:3] = shrunk
        weight[2, 0] = -2e-30
    expected = [numbers.clone() for numbers in (weight, *means, beta)]
    expected[0][0, :3] = expected[1][1, :3] = expected[2][:3] = expected[3][:3] = 0
    built.forget_tiny()
    for numbers, kept in zip((weight, *means, beta), expected, strict=True):
        assert torch.equal(numbers.view(torch.int32), kept.view(torch.int32))


def test_a_training_on_the_cpu_forgets_the_weights_of_a_channel_that_is_never_positive(tmp_path):
    """Nothing but weight decay changes them: below 1e-38, where a CPU slows down, they would stay."""
    run = Run(tiny(tmp_path, device="cpu", batches_per_epoch=2), torch.device("cpu"), World())
    run.start()
    run.plan_epoch()
    norm = [part for part in run.model.backbone.modules() if isinstance(part, nn.GroupNorm)][-1]
    weights = run.model.head.linear.weight
    dead = slice(0, weights.shape[1] // norm.num_channels)  # features of the first channel
    left = []
    for batch in run.remaining_batches():
        with torch.no_grad():
            norm.weight[0], norm.bias[0], weights[:, dead] = 0.0, -1.0, 1e-40
        run.train_on(*batch)
        left.append(weights[:, dead].detach().view(torch.int32).ne(0).any().item())
    assert left == [False, True]  # the first of every 100 steps, and one between


def test_states_of_all_rules_are_kept(model, loss):
    recipe = replace(methods.get("margin"), weight_decay=0, groups={"loss": Group(optimizer="sgd")})
    first, second = (optim.build(recipe, model, loss) for _ in range(2))
    (model.head.linear.weight.sum() + loss.beta.sum()).backward()
    first.step()
    second.load_state_dict(first.state_dict())
    moments = second.parts[0].state[model.head.linear.weight]["exp_avg"]
    torch.testing.assert_close(moments, first.parts[0].state[model.head.linear.weight]["exp_avg"])
    assert second.parts[1].state[loss.beta]["momentum_buffer"].eq(1).all()


def test_the_schedule_reaches_every_rule(model, loss):
    recipe = replace(methods.get("margin"), learning_rate=0.01, groups={"loss": Group(optimizer="sgd")})
    built = optim.build(recipe, model, loss)
    optim.Schedule("step", {"factor": 0.5, "every": 1}, 3).apply(built, 1.0)
    assert [g["lr"] for g in built.param_groups] == [0.005] * 3


@pytest.mark.parametrize(
    ("name", "options", "at", "factor"),
    [
        ("constant", {}, 7.5, 1),
        ("cosine", {}, 5, 0.5),
        ("cosine", {"warmup": 2.0}, 0.999, 0.5 * (1 + math.cos(0.0999 * math.pi)) / 2),
        ("cosine", {}, 12, 0),
        ("step", {}, 25.5, 0.01),
        ("step", {"factor": 0.5, "at": (2, 4)}, 3.9, 0.5),
        ("step", {"factor": 0.5, "at": (2, 4)}, 4, 0.25),
    ],
)
def test_a_schedule_is_where_its_definition_says(name, options, at, factor):
    assert optim.Schedule(name, options, epochs=10).factor(at) == pytest.approx(factor, abs=1e-12)


def test_a_plateau_reduces_the_rate_after_patience_and_early_stopping_ends_at_patience():
    schedule, stopping = optim.Schedule("plateau", {"patience": 2}, 10), optim.EarlyStopping(3)
    factors, ends = [], []
    for loss in (1.0, 0.9, 0.9, 0.89999, 0.89998, 0.89997, 0.8):
        schedule.epoch_ended(loss)
        factors.append(schedule.factor(0))
        ends.append(stopping.epoch_ended(loss))
    # A ten-thousandth better is no better for the rate, but it is for stopping.
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5]
    assert not any(ends)
    assert [stopping.epoch_ended(0.8) for _ in range(3)] == [False, False, True]


def test_a_plateau_of_a_negative_loss_is_one_too():
    schedule, factors = optim.Schedule("plateau", {"patience": 2}, 10), []
    for loss in (0.1, 0.0, -1.0, -1.0, -1.00005, -0.99995, -2.0, -2.001):
        schedule.epoch_ended(loss)
        factors.append(schedule.factor(0))
    assert factors == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    "make", [lambda: optim.Schedule("plateau", {}, 10), lambda: optim.EarlyStopping(patience=4)]
)
def test_waiting_goes_on_after_a_checkpoint(make):
    straight, first, second = make(), make(), make()
    losses = [1.0, 2.0, 3.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
    before = [part.epoch_ended(loss) for part in (straight, first) for loss in losses[:6]]
    second.load_state_dict(first.state_dict())
    after = [[part.epoch_ended(loss) for loss in losses[6:]] for part in (straight, second)]
    assert after[0] == after[1] and len(before) == 12
    assert straight.state_dict() == second.state_dict() != make().state_dict()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosin", {}, "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ("cosine", {"warm": 1.0}, "unknown option of the cosine schedule 'warm'; did you mean 'warmup'?"),
        ("constant", {"factor": 1.0}, "the constant schedule has no options; 'factor' was given."),
        ("step", {"factor": "half"}, "option factor of the step schedule must be a finite number"),
    ],
)
def test_a_schedule_refuses_what_it_does_not_know(name, options, message):
    with pytest.raises(DMLTeachError) as error:
        optim.Schedule(name, options, 10)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamm"}, "did you mean 'adam'?"),
        ({"groups": {"loss": Group(optimizer="sdg")}}, "did you mean 'sgd'?"),
        ({"groups": {"los": Group()}}, "did you mean 'loss'?"),
    ],
)
def test_unknown_names_are_one_error(model, loss, changes, message):
    with pytest.raises(DMLTeachError) as error:
        optim.build(replace(methods.get("margin"), **changes), model, loss)
    assert message in str(error.value)
