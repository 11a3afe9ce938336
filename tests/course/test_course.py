"""The course builder: what is executed, when, in which Python, and what a failure says."""

import inspect
import json
import re
import shutil
import sys
from html import unescape

import nbformat
import pytest

from dmlteach import course, errors
from dmlteach.course import execute, own_figures, site, sources
from dmlteach.errors import DMLTeachError

PARAMETERS = 'profile = "fast"\ndevice = "auto"'


def write_notebook(path, *cells):
    """A notebook with a parameters cell and these code cells."""
    made = [nbformat.v4.new_markdown_cell("# A chapter\n\nAn equation, $d^2 \\ge 0$.")]
    made.append(nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}))
    made += [nbformat.v4.new_code_cell(c) for c in cells]
    python = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=python), path)
    order = path.parent / execute.ORDER
    there = order.read_text().split() if order.exists() else []
    order.write_text("\n".join(dict.fromkeys([*there, path.stem])))


def outputs(path):
    """Text that the code cells of an executed notebook printed."""
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    return ["".join(output["text"]) for cell in cells for output in cell["outputs"] if "text" in output]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "hash_files", lambda folder, files: "these sources")
    write_notebook(tmp_path / "notebooks" / "00_first.ipynb", "import sys; print(sys.executable, profile)")
    return tmp_path


def run(checkout, profile="fast", force=False):
    """Execute what changed, as `site.build` does; what it said."""
    said = []
    execute.execute_all(execute.plan(checkout, profile), 1, force, said.append)
    return said


def execute_last(checkout):
    """Execute the last notebook in this process, which is faster."""
    execute.execute(**execute.plan(checkout, "fast")[-1])


def test_notebooks_run_in_this_interpreter_and_with_one_thread(checkout):
    cells = ("import os, sys; print(sys.executable, profile)", "print(os.environ['OMP_NUM_THREADS'])")
    write_notebook(checkout / "notebooks" / "00_first.ipynb", *cells)
    execute_last(checkout)
    where, threads = outputs(checkout / "build" / "notebooks" / "00_first.ipynb")
    assert where.split() == [sys.executable, "fast"]
    assert threads.strip() == "1"


def test_only_what_changed_is_executed_again(checkout):
    assert run(checkout)[0].startswith("1 of 1")
    assert run(checkout)[0].startswith("0 of 1")
    assert run(checkout, profile="full")[0].startswith("1 of 1")
    write_notebook(checkout / "notebooks" / "01_second.ipynb", "print(1)")
    assert "01_second" in run(checkout, profile="full")[1]


def test_the_texts_of_slides_are_no_reason_to_execute_and_all_else_of_a_notebook_is(checkout):
    path = checkout / "notebooks" / "00_first.ipynb"
    notebook, before = nbformat.read(path, as_version=4), execute.plan(checkout, "fast")[0]["key"]
    notebook.cells[-1].metadata["slide"] = {"question": "Why?", "takeaway": "Therefore."}
    nbformat.write(notebook, path)
    assert execute.plan(checkout, "fast")[0]["key"] == before
    notebook.cells[-1].metadata["tags"] = ["remove-output"]
    nbformat.write(notebook, path)
    assert execute.plan(checkout, "fast")[0]["key"] != before


def test_change_of_the_package_is_a_reason_to_execute(checkout, monkeypatch):
    before = execute.plan(checkout, "fast")[0]["key"]
    assert execute.plan(checkout, "fast")[0]["key"] == before
    monkeypatch.setattr(execute, "hash_files", lambda folder, files: "other sources")
    assert execute.plan(checkout, "fast")[0]["key"] != before


def test_a_notebook_depends_on_the_modules_it_uses_and_on_data_and_on_no_others(tmp_path, monkeypatch):
    package = tmp_path / "dmlteach"
    contents = {
        "__init__.py": "", "losses.py": "from dmlteach import distances", "distances.py": "", "doctor.py": "",
        "pretrained/sst.npz": "weights", "__pycache__/a.pyc": "bytes", "course/slides/slides.css": "",
        "course/widgets/widget.css": "",
    }  # fmt: skip
    for name, content in contents.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content)
    monkeypatch.setattr(sources, "PACKAGE", package)
    monkeypatch.setattr(execute, "PACKAGE", package)
    write_notebook(tmp_path / "notebooks" / "00_first.ipynb", "from dmlteach import losses")

    def key() -> str:
        return execute.plan(tmp_path, "fast")[0]["key"]

    first, matters = key(), {}
    for name in contents:
        (package / name).write_text(contents[name] + "\n# another")
        matters[name] = key() != first
        (package / name).write_text(contents[name])
        assert key() == first
    assert [name for name in matters if not matters[name]] == [
        "doctor.py", "__pycache__/a.pyc", "course/slides/slides.css",
    ]  # fmt: skip


def test_hash_of_files_follows_names_and_contents(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    one, other = tmp_path / "a", tmp_path / "b"
    before = {execute.hash_files(tmp_path, files) for files in ([one], [other], [one, other], [other, one])}
    assert len(before) == 3
    one.write_text("c")
    assert execute.hash_files(tmp_path, [one, other]) not in before


def test_failing_cell_is_one_error_naming_notebook_cell_and_cause(checkout):
    write_notebook(checkout / "notebooks" / "01_broken.ipynb", "x = 0", "1 / x")
    with pytest.raises(DMLTeachError) as caught:
        execute_last(checkout)
    assert "01_broken.ipynb stopped in cell 3 with ZeroDivisionError: division by zero" in str(caught.value)
    assert "1 / x" in str(caught.value)
    built = checkout / "build" / "notebooks"
    assert not (built / "01_broken.ipynb").exists()
    assert "ZeroDivisionError" in (built / "01_broken.failed.ipynb").read_text()


def test_computed_title_takes_the_place_of_the_first_cell_and_empty_sections_go(checkout):
    shown = "from dmlteach.course import Text; Text('# Recall@1 80 %')"
    cells = [nbformat.v4.new_code_cell(shown, metadata={"tags": ["title"]})]
    for name, code in {"## Full": "print(1)", "## Empty": "1;", "## Kept": "2;"}.items():
        tags = [] if name == "## Kept" else ["section"]
        cells.append(nbformat.v4.new_markdown_cell(name, metadata={"tags": tags}))
        cells.append(nbformat.v4.new_code_cell(code))
    path = checkout / "notebooks" / "00_first.ipynb"
    write_notebook(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += cells
    nbformat.write(notebook, path)
    execute_last(checkout)
    executed = json.loads((checkout / "build" / "notebooks" / "00_first.ipynb").read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in executed if cell["cell_type"] == "markdown"]
    assert texts == ["# Recall@1 80 %", "## Full", "## Kept"]


def test_parameters_that_are_put_in_are_hidden_as_those_that_they_replace(checkout):
    path = checkout / "notebooks" / "00_first.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata.tags.append("remove-input")
    nbformat.write(notebook, path)
    execute.execute(**execute.plan(checkout, "full")[-1])
    executed = json.loads((checkout / "build" / "notebooks" / "00_first.ipynb").read_text())["cells"]
    (put_in,) = [c for c in executed if "injected-parameters" in c["metadata"].get("tags", [])]
    assert "remove-input" in put_in["metadata"]["tags"] and "full" in "".join(put_in["source"])


def test_failed_notebook_leaves_the_earlier_result_in_place(checkout):
    target = checkout / "build" / "notebooks" / "00_first.ipynb"
    write_notebook(target, "print('earlier')")
    before = target.read_bytes()
    write_notebook(checkout / "notebooks" / "00_first.ipynb", "raise SystemExit('gone')")
    with pytest.raises(DMLTeachError, match="SystemExit"):
        run(checkout)
    assert target.read_bytes() == before


def test_dead_kernel_is_one_error_that_names_memory(checkout):
    write_notebook(checkout / "notebooks" / "00_first.ipynb", "import os; os._exit(1)")
    with pytest.raises(DMLTeachError, match="00_first.ipynb: its Python process ended"):
        execute_last(checkout)


def test_a_folder_without_chapters_is_one_sentence_with_its_place(tmp_path):
    with pytest.raises(DMLTeachError, match=r"notebooks.order\.txt is missing"):
        site.build(checkout=tmp_path)


def test_unknown_profile_names_the_valid_ones(checkout):
    with pytest.raises(DMLTeachError, match="fast, full"):
        site.build(checkout=checkout, profile="quick")


def test_missing_tool_names_what_to_install(checkout, monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(DMLTeachError, match=r"papermill is not installed.*dmlteach\[course\]"):
        run(checkout)


@pytest.fixture
def small_site(checkout, monkeypatch):
    """One chapter, one page and the real configuration; tests/browser render all the others."""
    shutil.copytree(course.CHECKOUT / "docs", checkout / "docs", ignore=lambda folder, files: [
        one for one in files if one.endswith(".md")
    ])  # fmt: skip
    (checkout / "docs" / "index.md").write_text(
        "# Home\n\n```{toctree}\n:glob:\n\nnotebooks/*\ndocs/*\n```\n"
    )
    (checkout / "docs" / "glossary.md").write_text("# Glossary\n\n[A chapter](../notebooks/00_first.ipynb)\n")
    reference = {"docs/api.md": b"# Reference\n\n```{py:function} dmlteach.fit(config)\n```\n"}
    monkeypatch.setattr("dmlteach.course.reference.pages.pages", lambda checkout: reference)
    return checkout


def test_site_has_mathml_and_no_script_from_elsewhere_and_a_warning_leaves_it_as_it_was(small_site):
    write_notebook(small_site / "build" / "notebooks" / "00_first.ipynb", "1")
    index = site.render(small_site)
    assert index == small_site / "build" / "course" / "index.html" and site.is_up_to_date(small_site)
    page = (small_site / "build" / "course" / "notebooks" / "00_first.html").read_text()
    assert "<math" in page and "mathjax.js" not in page.lower()
    assert 'src="http' not in page and "require.js" not in page
    assert "dmlteach.fit" in (small_site / "build" / "course" / "docs" / "api.html").read_text()
    assert (
        "Nothing has been drawn" in (small_site / "build" / "course" / f"{own_figures.PAGE}.html").read_text()
    )

    before = index.read_bytes()
    (small_site / "docs" / "glossary.md").write_text("# Glossary\n\n[nowhere](missing.md)\n")
    with pytest.raises(DMLTeachError, match=r"missing\.md"):
        site.render(small_site)
    assert index.read_bytes() == before


@pytest.fixture
def rendered(tmp_path, monkeypatch):
    """A folder with one of each that a site is made from, and a package of one module; both just rendered."""
    package = tmp_path / "package"
    monkeypatch.setattr(site, "PACKAGE", package)
    for name in (
        *("pyproject.toml", "docs/index.md", "docs/_static/course.css", "figures/overview.png"),
        *("notebooks/order.txt", "build/notebooks/first.ipynb", "build/notebooks/reports/sst.ipynb"),
        *("build/figures/tsne_cub200_mine.png",),
        *("package/losses/sst.py", "package/course/measured.csv", "build/course/index.html"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    (tmp_path / "build" / "site").mkdir()
    (tmp_path / "build" / "site" / site.MADE_FROM).write_text(site.made_from(tmp_path))
    return tmp_path


def test_a_site_of_which_nothing_has_changed_is_not_rendered_again(rendered, monkeypatch):
    (rendered / "build" / "notebooks" / "first.ipynb.lock").touch()
    (rendered / "package" / "__pycache__").mkdir()
    (rendered / "package" / "__pycache__" / "sst.pyc").touch()
    assert site.is_up_to_date(rendered)
    monkeypatch.setattr(site, "render", lambda *arguments: pytest.fail("rendered"))
    monkeypatch.setattr(execute, "execute_all", lambda *arguments: None)
    monkeypatch.setattr(execute, "plan", lambda *arguments: [])
    said = []
    assert site.build(checkout=rendered, say=said.append) == rendered / "build" / "course" / "index.html"
    assert "Nothing has changed that the site shows" in said
    with pytest.raises(pytest.fail.Exception, match="rendered"):
        site.build(checkout=rendered, force=True, say=said.append)


@pytest.mark.parametrize(
    "name",
    [
        *("pyproject.toml", "docs/index.md", "docs/_static/course.css", "figures/overview.png"),
        *("notebooks/order.txt", "build/notebooks/first.ipynb", "build/notebooks/reports/sst.ipynb"),
        *("build/figures/tsne_cub200_mine.png",),
        *("package/losses/sst.py", "package/course/measured.csv", "build/figures/tsne_cub200_mine.png"),
    ],
)
def test_whatever_a_site_shows_is_a_reason_to_render_it(rendered, name):
    (rendered / name).write_text("changed")
    assert not site.is_up_to_date(rendered)
    (rendered / name).write_text("as it was")
    assert site.is_up_to_date(rendered)


def test_a_site_that_is_gone_or_has_other_solutions_is_rendered(rendered, monkeypatch):
    monkeypatch.setenv("DMLTEACH_SOLUTIONS", "off")
    assert not site.is_up_to_date(rendered)
    monkeypatch.delenv("DMLTEACH_SOLUTIONS")
    assert site.is_up_to_date(rendered) and not site.is_up_to_date(rendered, restricted=True)
    (rendered / "build" / "course" / "index.html").unlink()
    assert not site.is_up_to_date(rendered)


def test_look_inside_shows_the_installed_source():
    from dmlteach.losses import sst_loss

    shown = course.look_inside(sst_loss)._repr_markdown_()
    assert shown.startswith("```python\n") and "\ndef sst_loss(" in shown
    assert inspect.getsource(sst_loss).strip() in shown


def test_table_of_conventions_is_read_from_the_code():
    from dmlteach import losses

    table = course.conventions().markdown.splitlines()[2:]
    assert [row.split("`")[1] for row in table] == losses.names()
    triplet = course.conventions("triplet").markdown.splitlines()[-1]
    assert f"`margin` = {losses.create('triplet').margin}" in triplet
    assert "as they are" in triplet


def test_the_table_of_conventions_shows_a_formula_as_it_stands_in_the_code():
    from markdown_it import MarkdownIt

    from dmlteach import losses

    html = MarkdownIt("commonmark").enable("table").render(course.conventions().markdown)
    rows = re.findall(r"<tr>\n<td><code>(\w+)</code></td>\n<td>(.*?)</td>", html)
    assert [name for name, _ in rows] == losses.names()
    for name, value in rows:
        formula = inspect.getdoc(getattr(losses, f"{name}_loss")).partition("\n\n")[0]
        shown = unescape(re.sub("</?code>", "`", value))
        assert shown == " ".join(formula.split()).rstrip(".")


CHAPTER = "notebooks/00_first.ipynb"


@pytest.mark.parametrize("urls", ["", '[project.urls]\nRepository = "https://example.org/dml"\n'])
def test_chapters_open_elsewhere_only_where_a_github_repository_is_named(checkout, urls):
    (checkout / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}')
    assert site.elsewhere(checkout, CHAPTER) == ""
    assert "Open in" not in site.without_kernel(checkout / CHAPTER, "").decode()


def test_links_of_a_named_repository_lead_to_the_same_notebook(checkout):
    urls = '[project.urls]\nRepository = "https://github.com/someone/dml.git"\n'
    (checkout / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}')
    links = site.elsewhere(checkout, CHAPTER)
    assert "https://colab.research.google.com/github/someone/dml/blob/HEAD/notebooks/00_first.ipynb" in links
    assert "https://mybinder.org/v2/gh/someone/dml/HEAD?labpath=notebooks%2F00_first.ipynb" in links
    assert "https://github.com/someone/dml/blob/HEAD/notebooks/00_first.ipynb" in links
    cells = json.loads(site.without_kernel(checkout / CHAPTER, links))["cells"]
    assert [cell["source"] == links for cell in cells] == [False, True, False, False]


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[]", "null", '{"metadata": 3}', '{"metadata": {"dmlteach": []}}']
)
def test_an_executed_notebook_that_is_damaged_is_executed_again(tmp_path, text):
    (tmp_path / "00_a.ipynb").write_text(text)
    assert not execute.is_current({"target": tmp_path / "00_a.ipynb", "key": "k"})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cells": [3]}', '{"cells": [{"source": 3, "metadata": {}}]}']
)
def test_an_executed_notebook_without_cells_is_one_sentence(tmp_path, text):
    (tmp_path / "00_a.ipynb").write_text(text)
    with pytest.raises(
        DMLTeachError, match=r"00_a\.ipynb is damaged .*Remove it, and execute the notebook again"
    ):
        site.without_kernel(tmp_path / "00_a.ipynb")


def test_what_is_covered_stays_folded_and_is_markdown_inside():
    shown = course.covered("| a | b |\n|---|---|\n| 1 | 2 |", "Open after your prediction")
    opened, _, rest = shown._repr_markdown_().partition("</summary>\n\n")
    assert opened == "<details><summary>Open after your prediction"
    assert rest == "| a | b |\n|---|---|\n| 1 | 2 |\n\n</details>"  # blank lines around, or it is no table


def test_on_the_site_a_prediction_stands_right_below_the_text_that_asks_for_it(tmp_path):
    def asked(id: str):
        return nbformat.v4.new_code_cell(f'check("{id}", ...)', metadata={"tags": ["exercise"]})

    cells = [
        nbformat.v4.new_markdown_cell("# A title, and what to predict"),
        asked("guess.active_triplets"),
        nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_markdown_cell("**Exercise 00.7 · Softmax.** What is it?"),
        asked("before.softmax"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    shown = json.loads(site.without_kernel(tmp_path / "one.ipynb", "links"))["cells"]
    added = [cell["id"] for cell in shown if cell["cell_type"] == "markdown"][1:]
    assert added[:2] == ["answered-guess-active_triplets", "open-in"]
    assert added[2] == "target-before-softmax" and "Softmax" in "".join(shown[6]["source"])
    assert added[4:] == ["answered-before-softmax", "folded-before-softmax", "kept"]
    assert [shown[i]["id"] for i in (2, 3)] == added[:2] and "seed = 0" in "".join(shown[4]["source"])
