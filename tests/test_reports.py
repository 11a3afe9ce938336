"""Reports: parameters are checked against the notebook, a failure is one error, the page stands alone."""

import nbformat
import pytest

from dmlteach import methods, reports
from dmlteach.errors import DMLTeachError


@pytest.fixture
def notebook(tmp_path):
    """A report of one line, with the parameters that name its folder."""

    def write(code):
        parameters = 'method = "sst"  # the recipe\ndataset = "omniglot"\nseed = 0\nroot = None\nepochs = 2'
        cells = [
            nbformat.v4.new_markdown_cell("# A report"),
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(code),
        ]
        path = tmp_path / "benchmark.ipynb"
        python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=python), path)
        return path

    return write


def test_mistyped_parameter_is_refused_with_a_suggestion_and_the_valid_ones(notebook, tmp_path):
    valid = r"'epoch'; did you mean 'epochs'\? Known: dataset, epochs, method, output, root, seed"
    with pytest.raises(DMLTeachError, match=valid):
        reports.run(output=tmp_path / "out", notebook=notebook(""), epoch=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("given", "said"), [({"method": "sstt"}, "'sst'"), ({"dataset": "cub"}, "'cub200'")])
def test_unknown_method_or_data_set_is_refused_before_anything_starts(notebook, tmp_path, given, said):
    with pytest.raises(DMLTeachError, match=f"did you mean {said}"):
        reports.run(output=tmp_path / "out", notebook=notebook(""), **given)
    assert not (tmp_path / "out").exists()


def test_report_gets_its_parameters_and_is_kept_as_notebook_and_page(notebook, tmp_path):
    page = reports.run(output=tmp_path / "out", notebook=notebook("print(method, seed + epochs)"), seed=40)
    assert page == tmp_path / "out" / "report.html"
    assert "sst 42" in page.read_text(encoding="utf-8")
    assert (tmp_path / "out" / "report.ipynb").is_file()


def test_paths_are_understood_from_where_the_user_stands(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    code = "import os; print(os.path.isdir(root))"
    page = reports.run(output="out", notebook=notebook(code), root="images")
    assert "True" in page.read_text(encoding="utf-8")


def test_mistake_found_while_it_runs_is_told_without_a_traceback_and_leaves_nothing(notebook, tmp_path):
    code = 'from dmlteach.errors import DMLTeachError\nraise DMLTeachError("no GPU here; use --device cpu")'
    with pytest.raises(DMLTeachError) as caught:
        reports.run(output=tmp_path / "out", notebook=notebook(code))
    assert str(caught.value) == "no GPU here; use --device cpu"
    assert not (tmp_path / "out").exists()


def test_failure_after_training_keeps_the_run_to_continue_from(notebook, tmp_path):
    with pytest.raises(DMLTeachError, match=r"benchmark.ipynb stopped in cell \d with ZeroDivisionError"):
        reports.run(output=tmp_path / "out", notebook=notebook("import os; os.mkdir('run'); 1 / 0"))
    assert (tmp_path / "out" / "run").is_dir()
    assert (tmp_path / "out" / "report.failed.ipynb").is_file()


def test_package_without_the_repository_says_where_the_report_is(tmp_path):
    with pytest.raises(DMLTeachError, match="clone the repository"):
        reports.run(notebook=tmp_path / "benchmark.ipynb")


def test_page_asks_for_nothing_from_elsewhere(notebook, tmp_path):
    page = reports.to_html(notebook("1"))
    assert "<script src=" not in page and "mathjax" not in page.lower() and "require.js" not in page
    assert 'href="http' not in page and "@import" not in page


def test_parameters_of_the_real_notebook_name_a_recipe_and_fit_the_trainer():
    from dataclasses import fields

    from dmlteach.train import TrainConfig

    defaults = reports.parameters_of()
    assert defaults["method"] in methods.names()
    own = {"num_queries", "map_points", "profile"}
    assert set(defaults) - own <= {f.name for f in fields(TrainConfig)}
