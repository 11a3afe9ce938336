"""The built package, away from its checkout: what it holds; the course and a report come out of it."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_environment import CHECKOUT

PACKED = "dmlteach/course/packed"
# JupyterLab's stand-in says where it was started, and with what.
JUPYTERLAB = (
    "import json, os, sys; print(json.dumps([os.getcwd(), os.environ['JUPYTER_PATH'], *sys.argv[1:]]))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory) -> Path:
    """What an installation would lay down, and a stand-in for JupyterLab."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "jupyterlab.py").write_text(JUPYTERLAB)
    return folder


@pytest.fixture
def installed(unpacked, tmp_path):
    """Runs this Python in a folder elsewhere, with the unpacked package in the checkout's place."""

    def run(*arguments: str) -> subprocess.CompletedProcess:
        environment = {
            **os.environ,
            "PYTHONPATH": str(unpacked),
            "DMLTEACH_PROGRESS": str(tmp_path / "done.json"),
        }
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )

    return run


def in_the_repository() -> set[str]:
    """What belongs into the wheel, by its name there."""
    package = [p for p in (CHECKOUT / "dmlteach").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    pages = [*(CHECKOUT / "notebooks").glob("*.ipynb"), *(CHECKOUT / "notebooks" / "reports").glob("*.ipynb")]
    pages.append(CHECKOUT / "notebooks" / "order.txt")
    pages += [p for p in (CHECKOUT / "docs").glob("*.md") if p.name != "index.md"]
    pages += (CHECKOUT / "figures").glob("*.png")
    names = {p.relative_to(CHECKOUT).as_posix() for p in package}
    return names | {f"{PACKED}/{p.relative_to(CHECKOUT).as_posix()}" for p in pages}


def test_the_wheel_is_as_large_as_the_readme_says(wheel):
    (said,) = re.findall(r"\.whl\[course\]'`\), (\d+) MB", (CHECKOUT / "README.md").read_text())
    assert wheel.stat().st_size / 1e6 == pytest.approx(int(said), abs=1)


def test_the_wheel_holds_the_package_the_chapters_and_their_pages_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    held = {name for name in names if ".dist-info/" not in name}
    assert held == in_the_repository()
    wanted = {
        "dmlteach/py.typed",
        "dmlteach/data/omniglot.npz",
        "dmlteach/models/shipped/sst.safetensors",
        "dmlteach/course/widgets/playground/widget.js",
        "dmlteach/course/widgets/playground/widget.css",
        "dmlteach/course/widgets/embedding_lab/trainer.js",
        "dmlteach/course/widgets/strokes.js",
        "dmlteach/course/widgets/draw_character/network.js",
        "dmlteach/course/widgets/draw_character/traced.json",
        f"{PACKED}/notebooks/start_here.ipynb",
        f"{PACKED}/notebooks/reports/benchmark.ipynb",
        f"{PACKED}/docs/glossary.md",
    }
    assert wanted <= held
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert licences == {
        "LICENSE", "LICENSE-CONTENT", "THIRD_PARTY.md", "omniglot_LICENSE.txt", "reveal_LICENSE.txt",
    }  # fmt: skip


def test_every_link_of_a_chapter_or_page_leads_to_a_file_that_is_there_too(unpacked):
    pages = [p for p in (unpacked / PACKED).rglob("*") if p.suffix in (".ipynb", ".md")]
    links = {
        (page, link)
        for page in pages
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s\"\\]+\.\w+)[)#]", page.read_text(encoding="utf-8"))
    }
    assert len(links) > 10
    assert [(page.name, link) for page, link in links if not (page.parent / link).is_file()] == []


def test_lab_copies_the_course_and_opens_the_chapter_in_this_python(installed, unpacked, tmp_path):
    done = installed("-m", "dmlteach", "lab", "01", "--no-browser")
    assert done.returncode == 0, done.stderr
    copy, packed = tmp_path / "dmlteach-course", unpacked / PACKED
    said, started = done.stdout.splitlines()
    names = sorted(p.relative_to(packed).as_posix() for p in packed.rglob("*") if p.is_file())
    assert said == f"course: {copy} ({len(names)} new)"
    for name in names:
        assert (copy / name).read_bytes() == (packed / name).read_bytes()
    folder, _, *options = json.loads(started)
    assert Path(folder) == copy
    assert f"--ServerApp.root_dir={copy}" in options
    assert "--LabApp.default_url=/lab/tree/notebooks/pairs_and_triplets.ipynb" in options

    (copy / "notebooks" / "start_here.ipynb").write_text("my answers")
    assert installed("-m", "dmlteach", "lab", "--no-browser").returncode == 0
    assert (copy / "notebooks" / "start_here.ipynb").read_text() == "my answers"


IN_A_NOTEBOOK = """
import dmlteach
from dmlteach.course import widgets
from dmlteach.exercises import check, progress
print(dmlteach.__file__)
print(dmlteach.models.pretrained("sst").spec.backbone)
print(len(widgets.TripletPlayground()._esm) > 1000)
check("before.squared_distance", 2.0)
print(progress.file())
"""


def test_widgets_shipped_networks_and_progress_come_from_the_built_package(installed, unpacked, tmp_path):
    done = installed("-c", IN_A_NOTEBOOK)
    assert done.returncode == 0, done.stderr
    file, backbone, front_end, *_, progress = done.stdout.splitlines()
    assert Path(file).is_relative_to(unpacked)
    assert (backbone, front_end, progress) == ("omniglot_cnn", "True", str(tmp_path / "done.json"))
    assert (tmp_path / "done.json").is_file()


@pytest.mark.slow
def test_a_report_needs_no_checkout_and_lies_where_the_user_stands(installed, tmp_path):
    small = [
        "--epochs",
        "1",
        "--batch-size",
        "40",
        "--parameter",
        "classes=20",
        "--parameter",
        "map_points=0",
    ]
    done = installed("-m", "dmlteach", "report", *small)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "build" / "reports" / "sst-omniglot-0" / "report.html"
    assert "Recall@1" in page.read_text(encoding="utf-8")
    assert done.stdout.splitlines()[-1] == f"report: {page.relative_to(tmp_path)}"


def test_the_site_says_that_it_needs_a_clone(installed, tmp_path):
    done = installed("-m", "dmlteach", "course")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "the site is built from a clone of the repository" in done.stderr
    assert "dmlteach lab" in done.stderr
    assert list(tmp_path.iterdir()) == []
