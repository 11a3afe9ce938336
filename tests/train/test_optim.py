"""Optimisers by group, and schedules."""

from dataclasses import replace

import pytest
import torch

from dmlteach import losses, methods, models
from dmlteach.errors import DMLTeachError
from dmlteach.methods import Group
from dmlteach.train import optim


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
