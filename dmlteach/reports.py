"""Reports: papermill runs notebooks/reports/benchmark.ipynb for any method and data set."""

import ast
from pathlib import Path
from typing import Any

from dmlteach import course, files
from dmlteach.errors import DMLTeachError, unknown_name

NOTEBOOK = course.CHECKOUT / "notebooks" / "reports" / "benchmark.ipynb"
PATHS = ("root", "checkpoint")
REPORTS = course.CHECKOUT / "build" / "reports"

# nbconvert's page without what it would load from the network; the report has neither equations nor
# widgets that need a script from elsewhere. Pictures carry their alt text in the notebook's output.
PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""


def run(output: str | Path | None = None, notebook: Path = NOTEBOOK, **parameters: Any) -> Path:
    """Train (or take a checkpoint), evaluate, draw, and keep all of it as one report.

    Args:
        output: folder of the report; default build/reports/METHOD-DATASET-SEED. A training that was
            interrupted there is continued.
        notebook: the parameterised notebook.
        **parameters: values for its parameters cell: method="sst", dataset="cub200", root=…, epochs=20, …

    Returns:
        The page, report.html; report.ipynb and the folder of the training, run, lie beside it.

    Raises:
        DMLTeachError: a parameter the notebook does not have (it lists those it has), or a value that
            cannot be used.
    """
    defaults = parameters_of(notebook)
    for name in parameters:
        if name not in defaults:
            raise unknown_name("parameter of the report", name, [*defaults, "output"])
    chosen = defaults | parameters
    _check_names(chosen)
    folder = Path(output or REPORTS / "-".join(str(chosen[k]) for k in ("method", "dataset", "seed")))
    given = {k: str(Path(v).absolute()) if k in PATHS and v else v for k, v in parameters.items()}
    try:
        course.execute(notebook, folder / "report.ipynb", given, threads=0, live=True)
    except course.CellError as error:
        if not (folder / "run").exists():
            _remove_leftovers(folder)
        if error.name == "DMLTeachError":  # a mistake of the user's, already said in full
            raise DMLTeachError(error.value) from None
        raise
    page = folder / "report.html"
    files.write_text(page, to_html(folder / "report.ipynb"))
    return page


def parameters_of(notebook: Path = NOTEBOOK) -> dict[str, Any]:
    """Names and default values in the parameters cell of a notebook.

    Args:
        notebook: a notebook with a cell tagged "parameters".

    Raises:
        DMLTeachError: there is no such notebook, or papermill is not installed.
    """
    if not notebook.is_file():
        raise DMLTeachError(
            f"no report notebook at {notebook}. It is part of the repository, not of the installed package: "
            "clone the repository and run this command inside it."
        )
    course.need("papermill")
    import papermill

    found = papermill.inspect_notebook(notebook)
    return {name: ast.literal_eval(parameter["default"]) for name, parameter in found.items()}


def to_html(notebook: Path) -> str:
    """One page without code that needs neither network nor other files.

    Args:
        notebook: an executed notebook.
    """
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"report.html.j2": PAGE})],
        template_file="report.html.j2",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    page, _ = exporter.from_filename(str(notebook))
    return page


def _check_names(chosen: dict[str, Any]) -> None:
    """Raise on an unknown method or data set before anything starts."""
    from dmlteach import data, methods

    methods.get(chosen["method"])
    if chosen["dataset"] not in data.names():
        raise unknown_name("data set", chosen["dataset"], data.names())


def _remove_leftovers(folder: Path) -> None:
    """Take away the failed notebook, and the folder if it holds nothing else."""
    (folder / "report.failed.ipynb").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
