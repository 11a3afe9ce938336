"""Reports: papermill runs a notebook of notebooks/reports/, on one network or on many runs."""

from pathlib import Path
from typing import Any

from dmlteach import files, foreign, models
from dmlteach.course import execute, material
from dmlteach.course.reports import parameters as _parameters
from dmlteach.course.reports.commands import as_parameters
from dmlteach.course.reports.page import to_html
from dmlteach.course.reports.parameters import COMPARISON, NOTEBOOK
from dmlteach.course.reports.parameters import defaults_of as parameters_of
from dmlteach.errors import DMLTeachError

__all__ = ["COMPARISON", "NOTEBOOK", "parameters_of", "run", "to_html"]

PATHS = ("root", "checkpoint", "baseline")  # and "runs", which may be several
REPORTS = (Path() if material.is_installed() else material.CHECKOUT) / "build" / "reports"


def run(
    output: str | Path | None = None,
    notebook: Path = NOTEBOOK,
    texts: tuple[str, ...] = (),
    **parameters: Any,
) -> Path:
    """Train (or take a network that is there), evaluate, draw, and keep all of it as one report.

    What is trained stays in the folder: when a later step fails, the same call evaluates and draws only.

    Args:
        output: folder of the report; default build/reports/METHOD-DATASET-SEED, or CHECKPOINT-DATASET, or
            comparison-SWEEP. A training that was interrupted there is continued, and one that has ended is
            kept.
        notebook: the parameterised notebook.
        texts: further parameters as a command line has them, "NAME=VALUE".
        **parameters: values for its parameters cell, method="sst", dataset="cub200", root=…, epochs=20, …,
            and for any other option of `TrainConfig`, weight_decay=0, …

    Returns:
        The page, report.html; report.ipynb and the folder of the training, run, lie beside it.

    Raises:
        DMLTeachError: a parameter the notebook does not have (it lists those it has), or a value that
            cannot be used, or a folder that cannot be made; nothing has run then.
    """
    defaults = parameters_of(notebook)
    given = {**parameters, **_parameters.read(texts, defaults)}
    _parameters.check(given, defaults)
    given = _parameters.data_of(given.get("checkpoint"), given) | given
    chosen = defaults | given
    folder = Path(output or REPORTS / _folder_name(chosen))
    if folder.exists() and not folder.is_dir():
        raise DMLTeachError(f"{folder} is a file; name a folder for the report in --output.")
    files.check_place(folder / "report.ipynb")
    absolute = {name: _from_anywhere(name, value) for name, value in given.items()}
    try:
        named = _parameters.as_named(absolute, notebook)
        execute.execute(notebook, folder / "report.ipynb", named, threads=0, live=True)
    except execute.CellError as error:
        raise _told(error, folder) from None
    page = folder / "report.html"
    files.write_text(page, to_html(folder / "report.ipynb"))
    return page


def _folder_name(chosen: dict[str, Any]) -> str:
    if "runs" in chosen:
        first = (chosen["runs"] or "benchmark").split(",")[0]
        return f"comparison-{Path(first).expanduser().absolute().name}"
    dataset = foreign.called(chosen["dataset"])
    if chosen.get("checkpoint"):
        return f"{Path(chosen['checkpoint']).stem}-{dataset}"
    return f"{chosen['method']}-{dataset}-{chosen['seed']}"


def _from_anywhere(name: str, value: Any) -> Any:
    """A parameter that means the same where the report lies."""
    if name == "runs" and value:
        return ",".join(str(_absolute(place.strip())) for place in value.split(","))
    return _absolute(value) if name in PATHS else foreign.absolute(value)


def _absolute(value: str | None) -> str | None:
    """A path that holds from the folder of the report too; names of shipped networks stay."""
    if value is None or (value in models.SHIPPED and not Path(value).exists()):
        return value
    return str(Path(value).expanduser().absolute())


def _told(error: execute.CellError, folder: Path) -> DMLTeachError:
    """What the user hears of a failure: a mistake of theirs in its own words, and what is kept."""
    mistake = error.name == "DMLTeachError"
    if mistake:  # said in full; the notebook up to there tells no more
        _remove_leftovers(folder)
    trained = (folder / "run" / models.MODEL_FILE).is_file()
    kept = (
        f"\nWhat was trained is kept in {folder / 'run'}: the same command evaluates and draws only."
        if trained
        else ""
    )
    return DMLTeachError((as_parameters(error.value) if mistake else str(error)) + kept)


def _remove_leftovers(folder: Path) -> None:
    """Take away the failed notebook, and the folder if it holds nothing else."""
    (folder / "report.failed.ipynb").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
