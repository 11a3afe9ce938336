"""The ways to install dmlteach agree: pyproject.toml, the lock file and conda's environment."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"pytorch": "torch", "faiss": "faiss-gpu", "ray-core": "ray"}  # conda's name: pip's name
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11"}


def wanted() -> dict[str, Requirement]:
    """Requirements of the package, its course and its development on Linux, by name."""
    requirements = [*map(Requirement, PROJECT["dependencies"]), *part("all"), *part("dev")]
    return {canonicalize_name(r.name): r for r in requirements if not r.marker or r.marker.evaluate(LINUX)}


def part(extra: str) -> Iterator[Requirement]:
    """What an optional part of the package asks for, the parts it is made of included."""
    for text in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            for other in sorted(requirement.extras):
                yield from part(other)
        else:
            yield requirement


def locked() -> dict[str, str]:
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): number for name, number in pairs}


def test_the_lock_file_is_exact_versions_and_nothing_else():
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
    assert "dmlteach" not in locked()


def test_the_lock_file_satisfies_every_requirement():
    versions = locked()
    for name, requirement in wanted().items():
        assert name in versions, f"{name} is not locked"
        assert requirement.specifier.contains(versions[name], prereleases=True), f"{name} {versions[name]}"


def test_all_holds_every_part_that_a_user_can_ask_for_but_ray_which_is_of_use_to_few():
    names = {r.name for r in part("all")}
    for extra in set(PROJECT["optional-dependencies"]) - {"dev", "faiss-cpu", "ray"}:
        assert {r.name for r in part(extra)} <= names, extra
    assert "ray" not in names and "ray" in {r.name for r in part("dev")}


def test_the_course_asks_for_no_faiss_and_each_choice_for_one_on_every_system():
    """faiss-gpu and faiss-cpu write the same files, and faiss-gpu needs CUDA: neither comes unasked."""
    systems = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")]
    for system, machine in systems:
        here = {**LINUX, "sys_platform": system, "platform_machine": machine}
        asked = {
            extra: {
                r.name for r in part(extra) if "faiss" in r.name and (not r.marker or r.marker.evaluate(here))
            }
            for extra in ("course", "cli", "plots", "parquet", "timm", "tensorboard", "faiss", "faiss-cpu")
        }
        gpu = "faiss-gpu" if (system, machine) == ("linux", "x86_64") else "faiss-cpu"
        assert asked.pop("faiss") == {gpu}
        assert asked.pop("faiss-cpu") == {"faiss-cpu"}
        assert set().union(*asked.values()) == set()


def conda_requirements() -> dict[str, Requirement]:
    environment = yaml.safe_load((CHECKOUT / "environment.yml").read_text())
    listed = environment["dependencies"]
    texts = [text for text in listed if isinstance(text, str)]
    texts += [text for part in listed if isinstance(part, dict) for text in part["pip"]]
    requirements = [Requirement(text) for text in texts]
    return {canonicalize_name(CONDA_NAMES.get(r.name, r.name)): r for r in requirements}


def test_condas_environment_asks_for_the_same_as_pyproject():
    conda = conda_requirements()
    assert conda.pop("python").specifier == Requirement(f"python{PROJECT['requires-python']}").specifier
    conda.pop("pip")
    assert {n: r.specifier for n, r in conda.items()} == {n: r.specifier for n, r in wanted().items()}


def test_the_version_is_written_once_and_read_everywhere():
    import dmlteach

    assert Version(version("dmlteach")) == Version(dmlteach.__version__)
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert str(citation["version"]) == dmlteach.__version__
    assert f"## {dmlteach.__version__}" in (CHECKOUT / "CHANGELOG.md").read_text()


def git_files(*patterns: str) -> list[Path]:
    """Files of the repository; where git is missing or this is no repository, what lies there."""
    if shutil.which("git") and (CHECKOUT / ".git").exists():
        done = subprocess.run(
            ["git", "ls-files", *patterns], cwd=CHECKOUT, capture_output=True, text=True, check=True
        )
        return [CHECKOUT / name for name in done.stdout.splitlines() if (CHECKOUT / name).exists()]
    return [p for pattern in patterns for p in CHECKOUT.glob(pattern) if ".venv" not in p.parts]


def outputs_of(notebook: Path) -> list[object]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None]


def test_notebooks_are_committed_without_outputs():
    full = [str(path.relative_to(CHECKOUT)) for path in git_files("notebooks/*.ipynb") if outputs_of(path)]
    assert full == []


def test_the_hook_strips_outputs(tmp_path):
    hooks = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    strip = next(hook for hook in hooks if hook["id"] == "strip-notebooks")["entry"].split()
    assert strip[0] == "python"
    notebook = tmp_path / "full.ipynb"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "1", "execution_count": 3}
    shown = {"output_type": "stream", "name": "stdout", "text": "1"}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{**cell, "outputs": [shown]}]}
    notebook.write_text(json.dumps(content))
    assert outputs_of(notebook)
    subprocess.run([sys.executable, *strip[1:], str(notebook)], check=True, cwd=tmp_path)
    assert outputs_of(notebook) == []


def test_no_file_of_the_package_is_ignored_by_git():
    """What git ignores is missing from a clone and from the built package."""
    if not (CHECKOUT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git repository")
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "dmlteach"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    ignored = [name for name in done.stdout.splitlines() if "__pycache__" not in name]
    assert ignored == []


def test_every_figure_has_its_alt_text():
    pictures = {path.stem for path in git_files("figures/*.png", "figures/*.svg")}
    assert pictures == {path.name.removesuffix(".alt.txt") for path in git_files("figures/*.alt.txt")}
