"""What the README says works: its Python runs, its commands parse, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from benchmarks import record
from dmlteach.cli import app

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Arguments of every call of a program in the shell blocks."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    calls = [shlex.split(line.replace("\\", "/"), comments=True) for line in lines]
    return [call[1:] for call in calls if call and Path(call[0]).name == program]


def test_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    assert len(blocks("python")) >= 4
    for number, block in enumerate(blocks("python"), start=1):
        exec(compile(block, f"README.md, Python block {number}", "exec"), namespace)
    assert "Recall@1" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", commands("dmlteach"), ids=" ".join)
def test_commands_have_these_options(arguments):
    command = typer.main.get_command(app)
    name = arguments.pop(0)
    command = command.commands[name]
    if name == "data":
        command = command.commands[arguments.pop(0)]
    command.make_context(name, arguments)  # raises on an unknown option or a missing argument


def test_there_are_commands_to_test():
    assert len(commands("dmlteach")) > 5


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {call[0] for call in commands("make")} | set(re.findall(r"`make (\w+)", README))
    assert named <= targets


def test_every_make_target_is_in_its_help():
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    explained = set(re.findall(r"^([a-z]+):.*## \S", makefile, flags=re.MULTILINE))
    assert targets == explained == {
        "help", "course", "test", "lab", "figures", "report", "bundle", "bench", "clean",
    }  # fmt: skip


def test_links_and_the_table_of_places_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    places = [
        name.strip("` ")
        for row in re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)
        for name in row.split(",")
    ]
    files = (place for place in places if "/" in place and not place.startswith("dmlteach "))
    for name in [*links, *files]:
        assert (CHECKOUT / name).exists(), name


@pytest.mark.parametrize("page", record.PAGES, ids=lambda page: page.name)
def test_results_are_what_the_recorded_files_say(page):
    """`python -m benchmarks.record` writes them; a number typed by hand would be found here."""
    text = page.read_text(encoding="utf-8")
    opened = re.findall(r"<!-- results:(\w+) -->", text)
    assert opened
    assert text.count("<!-- /results -->") == len(opened)
    assert record.written(text) == text
