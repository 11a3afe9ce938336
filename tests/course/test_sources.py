"""What a notebook reaches is found, wherever it names it."""

import pytest

from dmlteach.course.sources import PACKAGE, code_of, code_of_notebook


def reached(tmp_path, line):
    notebook = tmp_path / "a.ipynb"
    notebook.write_text('{"cells": [{"source": [\n    "' + line + '\\n",\n    "x = 1"\n]}]}')
    return {file.relative_to(PACKAGE).as_posix() for file in code_of_notebook(notebook)}


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("from dmlteach import published", {"course/published.py"}),
        ("from dmlteach import (published, export)", {"course/published.py", "export.py"}),
        ("import dmlteach.search", {"search.py", "models/model.py"}),
        ("from dmlteach.plots.tsne import tsne_map as drawn", {"plots/tsne.py", "plots/style.py"}),
        ("dmlteach.figures.draw(name)", {"course/figures.py"}),
        ("from dmlteach import fit", {"train/loop.py", "models/model.py"}),
        ("program = 'from dmlteach.export import write'", {"export.py"}),
        ("!dmlteach doctor", {"cli/__init__.py", "doctor.py"}),
        ("from dmlteach.widgets import TSNEGrid", {"course/widgets/tsne_grid/widget.py"}),
        ("from dmlteach.course.exercises.looking import two_maps", {"course/exercises/looking.py"}),
    ],
)
def test_a_line_reaches_the_files_that_it_needs(tmp_path, line, files):
    assert files <= reached(tmp_path, line)


def test_a_line_does_not_reach_other_files(tmp_path):
    others = {"doctor.py", "cli/__init__.py", "course/figures.py"}
    assert not others & reached(tmp_path, "from dmlteach import losses")


def test_what_a_module_imports_in_turn_is_its_code():
    found = {file.relative_to(PACKAGE).as_posix() for file in code_of("evaluation.recall")}
    assert {"evaluation/recall.py", "data/__init__.py", "data/sop.py", "errors.py"} <= found
    assert "cli/__init__.py" not in found
