"""The course for the tests of the site: all of the real one, and a chapter that has what they look for."""

import shutil
from pathlib import Path

import nbformat

from dmlteach import course
from dmlteach.course import execute
from dmlteach.course import site as pages

CHAPTER = "of_the_tests.ipynb"
SENTENCE = "An embedding is a list of numbers"
MARKDOWN = f"""# A chapter

{SENTENCE}, with distance $d(i, j) = \\lVert z_i - z_j \\rVert$, and the loss is

$$\\ell = [\\,m + d^2(a, p) - d^2(a, n)\\,]_+ .$$

Go to [the glossary](../docs/glossary.md#anchor). Neighbourhoods come from `kmeans`, as `kmeans` draws them,
and `samplers.create` makes batches of them; `fit` and `val` are parts of the training classes.
"""
EXERCISE = "before.squared_distance"
ASKED = f'from dmlteach.course.exercises import check\nanswer = ...\ncheck("{EXERCISE}", answer)'
PICTURE = """from dmlteach.plots.style import Picture
figure = Picture(10, 3, 'A figure of two panels')
left, right = figure.subplots(1, 2)
left.plot([0, 1])
right.plot([1, 0], color="black")
figure
"""


def build(checkout: Path) -> Path:
    """Write the course to an empty folder and render it; returns the folder of the site.

    Real chapters have their outputs where they have been executed here; the one of the tests is executed now.
    """
    for folder in ("docs", "figures", "notebooks"):
        shutil.copytree(course.CHECKOUT / folder, checkout / folder)
    shutil.copytree(checkout / "notebooks", checkout / "build" / "notebooks")
    for task in execute.plan(course.CHECKOUT, "fast"):
        if task["target"].exists():
            relative = task["source"].relative_to(course.CHECKOUT / "notebooks")
            shutil.copyfile(task["target"], checkout / "build" / "notebooks" / relative)
    cells = [
        nbformat.v4.new_markdown_cell(MARKDOWN),
        nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(PICTURE),
        nbformat.v4.new_code_cell("from dmlteach.course import covered, look_inside\nlook_inside(covered)"),
        nbformat.v4.new_code_cell(ASKED, metadata={"tags": ["exercise"]}),
    ]
    path = checkout / "notebooks" / CHAPTER
    with (checkout / "notebooks" / execute.ORDER).open("a", encoding="utf-8") as order:
        order.write(f"{path.stem}\n")
    index = checkout / "docs" / "index.md"
    last = "notebooks/which_method_is_best\n"
    index.write_text(
        index.read_text("utf-8").replace(last, f"{last}notebooks/{path.stem}\n"), encoding="utf-8"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    execute.execute(path, checkout / "build" / "notebooks" / CHAPTER, {})
    return pages.render(checkout).parent
