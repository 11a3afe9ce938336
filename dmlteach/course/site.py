"""The site: Sphinx renders the executed chapters and `docs/`; it needs no network."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dmlteach.course import execute, material
from dmlteach.course.execute import PROFILES, notebooks
from dmlteach.course.material import CHECKOUT
from dmlteach.course.sources import PACKAGE
from dmlteach.errors import DMLTeachError, need
from dmlteach.files import damaged, read_json, write_text
from dmlteach.options import at_least, one_of

FIRST_FIGURE = "first_figure.html"  # named in docs/index.md
MADE_FROM = "made_from.txt"  # in build/site: the hash of what the site of build/course was made from


def build(
    jobs: int | None = None,
    force: bool = False,
    profile: str = "fast",
    checkout: str | Path = CHECKOUT,
    restricted: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Execute the notebooks that changed, or whose code did, and render all of them as `build/course/`.

    Where nothing has changed that the site shows, the one that is there stays.

    Args:
        jobs: notebooks executed at the same time; default: one per CPU core, at most 4.
        force: execute every notebook and render the site, whether or not anything changed.
        profile: "fast" (a laptop without GPU) or "full".
        checkout: the folder with `notebooks/` and `docs/`; `build/` is written there.
        restricted: show also figures of own networks whose images may not be passed on, and say the terms.
        say: receives each line of progress.

    Returns:
        The first page of the site, which a browser opens by double-click.

    Raises:
        DMLTeachError: there are no notebooks, one of them fails (its name and cell are told), or
            Sphinx warns.
    """
    one_of("profile", profile, PROFILES)
    if jobs is not None:
        at_least("jobs", jobs, 1)
    if checkout == CHECKOUT:
        material.need_checkout("the site is built")
    checkout = Path(checkout)
    started = time.perf_counter()
    execute.execute_all(execute.plan(checkout, profile), jobs or execute.default_jobs(), force, say)
    index = _index(checkout)
    if force or not is_up_to_date(checkout, restricted):
        say("Rendering the site …")
        render(checkout, restricted)
    else:
        say("Nothing has changed that the site shows")
    if restricted:
        from dmlteach.course import own_figures

        own_figures.say_terms(checkout / own_figures.FOLDER, say)
    say(f"Done in {time.perf_counter() - started:.0f} s")
    return index


def render(checkout: Path, restricted: bool = False) -> Path:
    """Render `docs/` and the executed notebooks as `build/course/`; returns its first page.

    Args:
        checkout: the folder with both.
        restricted: show also figures of own networks whose images may not be passed on.

    Raises:
        DMLTeachError: Sphinx failed or warned.
    """
    need("sphinx", "course")
    # They load torch, which the other steps do without.
    from dmlteach.course.widgets.page import lab_page, playground_page

    work, key = checkout / "build" / "site", made_from(checkout, restricted)
    assemble(checkout, work / "source", restricted)
    html = work / "html"
    shutil.rmtree(html, ignore_errors=True)  # Sphinx would keep pages whose source has gone
    command = [
        *(sys.executable, "-m", "sphinx", "-q", "-b", "html", "-W", "--keep-going"),
        *("-d", str(work / "doctrees"), str(work / "source"), str(html)),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(work / "doctrees", ignore_errors=True)  # or the next build would hide the warnings
        raise DMLTeachError(f"the site could not be rendered:\n{done.stderr.strip()}")
    (html / "playground.html").write_text(playground_page(), encoding="utf-8")
    (html / "embedding-lab.html").write_text(lab_page(), encoding="utf-8")
    publish(html, _index(checkout).parent)
    write_text(work / MADE_FROM, key)
    return _index(checkout)


def _index(checkout: Path) -> Path:
    return checkout / "build" / "course" / "index.html"


def is_up_to_date(checkout: Path, restricted: bool = False) -> bool:
    """Whether the site is there, and was made from all that is there now."""
    written = checkout / "build" / "site" / MADE_FROM
    return (
        _index(checkout).exists()
        and written.exists()
        and written.read_text(encoding="utf-8") == made_from(checkout, restricted)
    )


def made_from(checkout: Path, restricted: bool = False) -> str:
    """Hash of all that may show on the site: its documents, this package, and what is installed."""
    from dmlteach.course.exercises import SOLUTIONS

    documents = (
        "pyproject.toml",
        "docs/**/*",
        "figures/*.*",
        "build/figures/*.*",
        "notebooks/order.txt",
        "build/notebooks/**/*.ipynb",
    )
    parts = [
        *(execute.hash_files(checkout, _no_bytecode(_files(checkout, pattern))) for pattern in documents),
        execute.hash_files(PACKAGE, _no_bytecode(_files(PACKAGE, "**/*"))),
        str(sorted((one.name, one.version) for one in metadata.distributions())),
        os.environ.get(SOLUTIONS, ""),
        str(restricted),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _no_bytecode(paths: list[Path]) -> list[Path]:
    return [path for path in paths if "__pycache__" not in path.parts]


def assemble(checkout: Path, source: Path, restricted: bool = False) -> None:
    """Lay `docs/`, executed notebooks and figures out as in the repository, and the reference beside them.

    So links between documents hold in the repository and on the site.

    Raises:
        DMLTeachError: a docstring that the reference shows is missing or cannot be read.
    """
    from dmlteach.course import own_figures
    from dmlteach.course.exercises import in_page
    from dmlteach.course.reference.pages import pages  # loads torch and Matplotlib

    docs, executed = checkout / "docs", checkout / "build" / "notebooks"
    wanted: dict[str, Path | bytes] = {
        p.name if p.name in ("conf.py", "index.md") else f"docs/{p.name}": p for p in _files(docs, "*")
    }
    wanted |= {f"docs/{p.parent.name}/{p.name}": p for p in _files(docs, "_*/*")}
    wanted |= {f"notebooks/{p.name}": executed / p.name for p in notebooks(checkout).values()}
    wanted |= {f"notebooks/reports/{p.name}": p for p in _files(executed / "reports", "*.ipynb")}
    wanted |= {f"figures/{p.name}": p for p in _files(checkout / "figures", "*.*") if p.suffix != ".md"}
    wanted |= {f"docs/_static/exercises.{kind}": text.encode() for kind, text in in_page.files().items()}
    wanted |= first_figure() | pages(checkout)
    wanted |= own_figures.pages(checkout / own_figures.FOLDER, restricted)
    for old in [p for p in source.rglob("*") if p.is_file()]:
        if old.relative_to(source).as_posix() not in wanted:
            old.unlink()
    for name, given in wanted.items():
        copy = source / name
        if isinstance(given, bytes):
            content = given
        elif given.suffix == ".ipynb":
            content = without_kernel(given, elsewhere(checkout, name))
        else:
            content = given.read_bytes()
        if not copy.exists() or copy.read_bytes() != content:  # Sphinx goes by the time stamp
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)


def first_figure() -> dict[str, bytes]:
    """What the first page shows at work: HTML that its source takes in, and the script that this loads."""
    from dmlteach.course.widgets.draw_character import DrawCharacter, packing

    figure = DrawCharacter(script=f"_static/{packing.SCRIPT}")
    return {
        FIRST_FIGURE: figure._repr_mimebundle_()[0]["text/html"].encode(),
        f"docs/_static/{packing.SCRIPT}": packing.script().encode(),
    }


def without_kernel(path: Path, links: str = "") -> bytes:
    """An executed notebook for readers who cannot ask: below exercises their forms, hints and a solution."""
    from dmlteach.course.exercises import folded, get, in_page

    cure = "Remove it, and execute the notebook again: dmlteach course"
    notebook = read_json(path, cure)
    cells: list[dict[str, Any]] = []
    last = 0  # how many cells there are up to the last exercise
    first_of_code = 1  # what the text of the title asks its reader to predict stays with it
    try:
        for cell in notebook["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                first_of_code = len(cells)
            cells.append(cell)
            asked = re.search(r'^check\("([\w.]+)"', "".join(cell["source"]), re.MULTILINE)
            if asked and "exercise" in cell["metadata"].get("tags", []):
                cell["outputs"] = []  # "not answered yet" is no news on a page where nobody can answer
                name = asked[1].replace(".", "-")
                cells.append(_markdown(f"answered-{name}", in_page.place(get(asked[1]))))
                if below := folded(asked[1]):
                    target = f"({in_page.anchor(path.stem, asked[1])})="
                    cells.insert(-3, _markdown(f"target-{name}", target))  # above text, code and form
                    cells.append(_markdown(f"folded-{name}", below))
                last = len(cells)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise damaged(path, "a cell lacks what a notebook's cells have", cure) from error
    if last:
        cells.insert(last, _markdown("kept", in_page.overview()))
    if links:
        cells.insert(first_of_code, _markdown("open-in", links))
    return json.dumps(notebook | {"cells": cells}).encode()


def _markdown(id: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source}


def elsewhere(checkout: Path, name: str) -> str:
    """Links that open a notebook where kernels run; empty unless `pyproject.toml` names a GitHub repository.

    Args:
        checkout: the folder with `pyproject.toml`.
        name: path of the notebook in the repository.
    """
    about = checkout / "pyproject.toml"
    project = tomllib.loads(about.read_text(encoding="utf-8"))["project"] if about.exists() else {}
    address = project.get("urls", {}).get("Repository", "").rstrip("/").removesuffix(".git")
    if not address.startswith("https://github.com/"):
        return ""
    repository = address.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{repository}/blob/HEAD/{name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={quote(name, safe='')}"
    return f"Open in [Colab]({colab}) · [Binder]({binder}) · [GitHub]({address}/blob/HEAD/{name})"


def publish(html: Path, site: Path) -> None:
    """Put a finished rendering in the place of the old one."""
    new, old = site.with_name(".course.new"), site.with_name(".course.old")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(html, new, ignore=shutil.ignore_patterns(".buildinfo*", "objects.inv"))
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(p for p in folder.glob(pattern) if p.is_file() and ".failed." not in p.name)
