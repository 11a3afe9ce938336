"""What the page about sweeps shows works: its files make runs, its commands parse."""

import re
import shlex

import pytest
import typer

from dmlteach.cli import app
from dmlteach.course import CHECKOUT
from dmlteach.sweep.choices import read_file
from dmlteach.sweep.grid import plan

PAGE = (CHECKOUT / "docs" / "sweeps.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_its_files_make_the_runs_that_they_say(tmp_path):
    one, several = blocks("yaml")
    (tmp_path / "one.yaml").write_text(one.replace("methods: [triplet, contrastive]", "methods: [triplet]"))
    (tmp_path / "several.yaml").write_text(several)
    assert len(plan(read_file(tmp_path / "one.yaml"))) == 5 * 2 * 2
    assert len(plan(read_file(tmp_path / "several.yaml"))) == 5 + 2 * 5


def commands(program: str) -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    words = [split for line in lines if (split := shlex.split(line, comments=True))]
    assert {first for first, *_ in words} == {"dmlteach", "ray"}
    return [rest for first, *rest in words if first == program]


@pytest.mark.parametrize("words", commands("dmlteach"), ids=" ".join)
def test_its_commands_have_these_options(words):
    name, *arguments = words
    typer.main.get_command(app).commands[name].make_context(name, arguments)


@pytest.mark.parametrize("words", commands("ray"), ids=" ".join)
def test_ray_has_the_commands_that_it_shows(words):
    from ray.scripts.scripts import cli

    name, *arguments = words
    cli.commands[name].make_context(name, arguments)
