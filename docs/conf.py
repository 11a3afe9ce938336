"""Sphinx configuration of the course. `dmlteach course` lays the sources out and calls Sphinx."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "docs" / "_ext"))

project = "dmlteach"
author = "the dmlteach authors"
copyright = "the dmlteach authors; text, figures and exercises CC BY 4.0, code MIT"
language = "en"

extensions = ["myst_nb", "accessible", "mathml", "phone_figures", "reference_links"]
exclude_patterns = ["docs/_ext", "**/.ipynb_checkpoints"]
suppress_warnings = ["mystnb.unknown_mime_type"]  # widget state; the widget's HTML is shown

# Notebooks arrive executed; a widget shows the HTML it carries, which needs no kernel and no network.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("html", "text/html", 0),
    ("html", "text/markdown", 5),
]
nb_render_markdown_format = "myst"
nb_merge_streams = True

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath", "fieldlist", "substitution"]
myst_heading_anchors = 3

# The reference: signatures with many arguments have a line for each; the contents of a page name no parents.
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"


def loss_table() -> str:
    """The table of conventions; each name leads to the page of its loss."""
    from dmlteach.course import conventions

    return re.sub(r"^\| `(\w+)`", r"| [`\1`](api/losses/\1.md)", conventions().markdown, flags=re.MULTILINE)


def exercises_for_teachers() -> str:
    """A section for each chapter."""
    from dmlteach.course import teachers_page

    return teachers_page.page()


def picture(name: str) -> str:
    """A figure with the text that was written beside it when it was drawn."""
    text = HERE / "figures" / f"{name}.alt.txt"
    if not text.exists():
        return ""
    alt = text.read_text(encoding="utf-8").strip()
    return f"```{{image}} figures/{name}.png\n:alt: {alt}\n```\n"


myst_substitutions = {
    "losses": loss_table(),
    "overview": picture("overview"),
    "exercises": exercises_for_teachers(),
}
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "dmlteach: learn deep metric learning"
html_static_path = ["docs/_static"]
html_css_files = ["course.css", "exercises.css"]
html_js_files = ["exercises.js"]  # both come from dmlteach.course.exercises.in_page
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses under file://
html_use_index = False
html_last_updated_fmt = None
html_theme_options = {"navigation_with_keys": True}
pygments_style = "default"
pygments_dark_style = "github-dark"
