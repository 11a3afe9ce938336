"""The card of a method: its numbers are those of the committed files, its sentences name what there is."""

import csv
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

import dmlteach.course
from dmlteach import losses, methods, samplers
from dmlteach.cli import app
from dmlteach.course.cards import card
from dmlteach.course.cards.advice import ADVICE
from dmlteach.course.cards.recipe import recipe_on
from dmlteach.models.model import HEADS
from dmlteach.options import options_of
from dmlteach.train import TrainConfig, resolve

COURSE = Path(dmlteach.course.__file__).parent


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """The benchmark's trainings of the recipes themselves, as the file has them."""
    with open(COURSE / "measured.csv", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if not row["variant"]]


@pytest.fixture(scope="module")
def finals(rows) -> dict[str, dict[str, float]]:
    """Recall@1 by method and seed."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["stage"] == "final":
            found.setdefault(row["method"], {})[row["seed"]] = float(row["recall"])
    return found


def half(values) -> float:
    return stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5


@pytest.mark.parametrize("method", methods.names())
def test_place_mean_and_interval_are_those_of_the_committed_runs(method, finals):
    said = " ".join(card(method).rank)
    if method not in finals:
        assert "has not been run" in said
        return
    values = list(finals[method].values())
    place = 1 + sum(np.mean(list(other.values())) > np.mean(values) for other in finals.values())
    assert re.match(rf"{place}(st|nd|rd|th) of {len(finals)} methods", said)
    assert f"Recall@1 {100 * np.mean(values):.1f} ± {100 * half(values):.1f} % ({len(values)} seeds" in said
    alike = {
        (len(differences), other)
        for other, recalls in finals.items()
        if other != method
        for differences in [
            [finals[method][seed] - recalls[seed] for seed in recalls.keys() & finals[method]]
        ]
        if abs(np.mean(differences)) <= half(differences)
    }
    named = re.findall(r"(\d) shared seeds cannot tell it from: ([^.]*)\.", said)
    assert {(int(seeds), other) for seeds, others in named for other in others.split(", ")} == alike


@pytest.mark.parametrize("method", methods.names())
def test_ranges_are_those_of_the_tuning_runs(method, rows):
    tried = [row for row in rows if row["method"] == method and row["stage"] == "tuning"]
    said = " ".join(card(method).tune)
    if not tried:
        assert "not tuned here yet" in said
        return
    best = max(float(row["recall"]) for row in tried)
    (rates,) = re.findall(r"[Tt]he learning rate: best ([\d.]+) of ([\d., ]+); within", said)
    assert {float(one) for one in rates[1].split(", ")} == {float(row["learning_rate"]) for row in tried}
    values = {float(row["value"]) for row in tried if row["value"]}
    option = tried[0]["option"]
    if len(values) > 1:
        (found,) = re.findall(rf"`{option}`: best ([\d.]+) of ([\d., ]+); within", said)
        assert {float(one) for one in found[1].split(", ")} == values
        chosen = next(row for row in tried if float(row["recall"]) == best)
        assert float(found[0]) == float(chosen["value"])
        assert (
            "an end" in said.split(f"`{option}`: best")[1].split(" Beside")[0].split("earning rate:")[0]
        ) == (float(found[0]) in (min(values), max(values)))
    assert best > 0


@pytest.mark.parametrize("method", methods.names())
def test_a_recipe_stands_as_published_beside_what_a_data_set_has_and_every_difference_has_its_reason(method):
    on_drawings, on_birds = recipe_on(method, "omniglot"), recipe_on(method, "cub200")
    assert all(row.here == row.published and not row.why for row in on_birds if row.part != "class vectors")
    assert [row.part for row in on_drawings if row.here != row.published and not row.why] == []
    assert [row.part for row in on_drawings if row.here == row.published and row.why] == []
    text = {row.part: row for row in on_drawings}
    here = resolve(TrainConfig(method=method))
    assert text["rate"].here.startswith(f"{here.learning_rate:g}")
    assert text["batch"].here.startswith(f"{here.batch_size} images")
    for name, value in {**here.loss_options, **methods.get(method).loss_options}.items():
        assert f"{name}={here.loss_options.get(name, value)}" in text["loss"].here


def test_nothing_that_a_data_set_changes_goes_untold():
    """Every field of a recipe that differs somewhere is in one of the parts."""
    for method in methods.names():
        one, other = methods.get(method), resolve(TrainConfig(method=method))
        changed = {f.name for f in fields(one) if getattr(one, f.name) != getattr(other, f.name)}
        told = " ".join(
            f"{r.published}|{r.here}" for r in recipe_on(method, "omniglot") if r.here != r.published
        )
        for name in changed - {"clip", "schedule_options", "groups", "loss_options", "sampler_options"}:
            value = getattr(other, name)
            assert str(value if not isinstance(value, dict) else next(iter(value))) in told or value in (
                None,
                0,
            )


def test_every_method_has_its_advice_and_what_it_names_in_code_exists():
    assert ADVICE.keys() == methods.METHODS.keys()
    options = {f"--{f.name.replace('_', '-').removesuffix('s')}" for f in fields(TrainConfig)}
    for method, advice in ADVICE.items():
        recipe = methods.get(method)
        known = {*losses.options(recipe.loss), *samplers.options(recipe.sampler), *methods.METHODS}
        for code in re.findall("`([^`]*)`", " ".join(advice)):
            if code.startswith("--"):
                option, _, named = code.removesuffix("=…").partition(" ")
                assert option in options, (method, code)
                takes = {
                    "--rate-factor": methods.PARTS,
                    "--loss-option": losses.options(recipe.loss),
                    "--head-option": options_of(HEADS[recipe.head]),
                }
                assert not named or named in takes[option], (method, code)
            else:
                assert code in known, (method, code)
        for sentence in advice:
            assert sentence.endswith(".") and sentence[0] in "`ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_a_loss_that_is_said_to_take_a_memory_takes_one():
    for method, advice in ADVICE.items():
        if "memory" in advice.use:
            assert "reference" in losses.LOSSES[methods.get(method).loss].uses


def test_the_command_of_the_authors_is_one_that_the_trainer_takes(given_to_the_trainer):
    for method, options in methods.AS_PUBLISHED.items():
        words = card(method).command.split()
        assert words[:2] == ["dmlteach", "train"]
        assert "far enough" in CliRunner().invoke(app, words[1:]).stderr
        expected = TrainConfig(method=method, dataset="cub200", root="DIR", weights="FILE", **options)
        assert given_to_the_trainer.pop() == expected
    assert not card("margin").command


def test_the_command_prints_a_card_and_a_misspelt_name_is_one_sentence():
    shown = CliRunner().invoke(app, ["methods", "sst"], terminal_width=80)
    assert shown.exit_code == 0
    for heading in ("Equation", "Source", "Recipe", "What to tune first", "How it ranks here", "When not"):
        assert f"\n{heading}\n" in shown.output
    assert "--backbone bninception" in shown.output and "on omniglot: omniglot_cnn (" in shown.output
    assert "on cub200" not in CliRunner().invoke(
        app, ["methods", "sst", "--dataset", "cub200"]
    ).output.replace("so on cub200", "")
    wrong = CliRunner().invoke(app, ["methods", "ssst"])
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1) and "did you mean 'sst'" in wrong.stderr
    wrong = CliRunner().invoke(app, ["methods", "sst", "--dataset", "cub20"])
    assert wrong.exit_code == 2 and "did you mean 'cub200'" in wrong.stderr
    wrong = CliRunner().invoke(app, ["methods", "--dataset", "cub200"])
    assert wrong.exit_code == 2 and "name one" in wrong.stderr


def test_published_numbers_are_those_of_the_table():
    with open(COURSE / "published.csv", encoding="utf-8", newline="") as file:
        values = [
            float(row["value"])
            for row in csv.DictReader(file)
            if (row["method_id"], row["dataset_id"], row["metric"], row["k"])
            == ("margin", "cub200", "Recall@K", "1")
        ]
    assert any(
        line.startswith(f"cub200: Recall@1 {min(values):.1f} to {max(values):.1f} %")
        for line in card("margin").reported
    )
    assert "has none" in card("sst").reported[0]
