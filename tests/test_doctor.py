"""dmlteach doctor: ten lines on any computer, also on one where things are missing or broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dmlteach import doctor


def lines_without(*modules: str, **environment: str) -> list[str]:
    """Output of `dmlteach doctor` in a process where these modules cannot be imported."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
        "import importlib.util as u; real = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name in {modules!r} else real(name, *a)\n"
        "from dmlteach.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def line(lines: list[str], name: str) -> str:
    return next(text for text in lines if text.split()[1] == name)


def test_it_says_ten_lines_and_all_that_is_installed_works():
    checks = doctor.examine()
    assert len(checks) == 10
    works = {check.name: check.works for check in checks}
    assert all(works[name] for name in ("Python", "torch", "device", "faiss", "Jupyter", "course"))


def test_without_torch_and_jupyter_it_still_says_ten_lines_with_cures():
    lines = lines_without("torch", "torchvision", "jupyterlab", "faiss")
    assert len(lines) == 10
    assert line(lines, "torch").startswith("fails") and "pip install" in line(lines, "torch")
    assert line(lines, "Jupyter").startswith("fails") and "jupyterlab" in line(lines, "Jupyter")
    assert line(lines, "faiss").startswith("works") and "torch searches instead" in line(lines, "faiss")
    assert line(lines, "Python").startswith("works")


def package(site: Path, name: str, record: str = "") -> None:
    """What pip keeps of an installed package."""
    about = site / f"{name.replace('-', '_')}-9.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    (about / "RECORD").write_text(record)


def test_two_packages_of_faiss_are_a_failure_that_names_both(monkeypatch, tmp_path):
    for name in ("faiss-gpu", "faiss-cpu"):
        package(tmp_path, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = doctor.faiss_version()
    assert not found.works
    assert "faiss-cpu and faiss-gpu are installed" in found.found
    assert "pip uninstall faiss-cpu faiss-gpu" in found.cure


def test_the_room_that_packages_take_is_the_sum_of_their_files(monkeypatch, tmp_path):
    package(tmp_path, "One", f"one.py,sha256=x,{2 * doctor.GIB}\none.pyc,,\n")
    package(tmp_path, "two_2", f'"two,.py",sha256=x,{doctor.GIB}\n')
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path))
    assert doctor.installed_sizes() == {"one": 2 * doctor.GIB, "two-2": doctor.GIB}
    assert doctor.disk().found.endswith("the packages of this Python take 3.0 GiB")


@pytest.mark.parametrize(
    ("cuda", "hip", "said"),
    [(None, None, "CPU build"), ("13.2", None, "build for CUDA 13.2"), (None, "7.1", "build for ROCm 7.1")],
)
def test_the_build_of_torch_is_named(monkeypatch, cuda, hip, said):
    import torch

    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert f"({said})" in doctor.torch_version().found
    assert ("CPU build would take less room" in doctor.device().found) == (cuda is not None)


def test_a_broken_package_is_a_line_and_not_a_crash(monkeypatch):
    def broken(name):
        raise OSError("libcudart.so.12: cannot open shared object file\nand more")

    monkeypatch.setattr(doctor, "import_module", broken)
    torch = next(check for check in doctor.examine() if check.name == "torch")
    assert not torch.works
    assert torch.found == "OSError: libcudart.so.12: cannot open shared object file"
    assert torch.cure


def test_little_room_and_little_memory_are_named_with_a_cure(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: doctor.shutil._ntuple_diskusage(10, 9, 1))
    monkeypatch.setattr(doctor, "_free_memory", lambda: doctor.GIB)
    assert not doctor.disk().works and "DMLTEACH_CACHE" in doctor.disk().cure
    assert not doctor.memory().works and "--jobs 1" in doctor.memory().cure


def test_no_browser_is_found_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PLAYWRIGHT_BROWSERS_PATH", raising=False)
    assert doctor.find_browser() is None
    chrome = tmp_path / ".cache/ms-playwright/chromium-1/chrome-linux/chrome"
    chrome.parent.mkdir(parents=True)
    chrome.touch()
    assert doctor.find_browser() == chrome


def test_looking_creates_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "not" / "there"))
    assert doctor.data_cache() == doctor.Check(
        "data cache", True, str(tmp_path / "not" / "there"), doctor.data_cache().cure
    )
    doctor.disk()
    assert list(tmp_path.iterdir()) == []


def test_it_reports_the_cache_folder_that_the_cache_uses(monkeypatch, tmp_path):
    from dmlteach.data import cache

    for variable in (None, str(tmp_path)):
        if variable is None:
            monkeypatch.delenv("DMLTEACH_CACHE", raising=False)
        else:
            monkeypatch.setenv("DMLTEACH_CACHE", variable)
        assert doctor.cache_folder() == cache.cache_folder()


@pytest.mark.parametrize(
    ("requirement", "missing"),
    [
        ("pytest>=1", []),
        ("pytest>=999", ["pytest>=999"]),
        ("no-such-package-here>=2", ["no-such-package-here>=2"]),
        ("no-such-package-here; sys_platform == 'plan9'", []),
    ],
)
def test_missing_packages_of_an_existing_environment_are_named(tmp_path, requirement, missing):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(f'[project]\ndependencies = ["{requirement}"]\noptional-dependencies.dev = []\n')
    assert doctor.missing_packages(pyproject, ("dev",)) == missing


def test_an_extra_counts_only_where_it_is_asked_for(tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\ndependencies = []\noptional-dependencies.dev = ["no-such-package>=2"]\n')
    assert doctor.missing_packages(pyproject) == []
    assert doctor.missing_packages(pyproject, ("dev",)) == ["no-such-package>=2"]


def test_this_environment_lacks_nothing(checkout: Path):
    assert doctor.missing_packages(checkout / "pyproject.toml", ("all", "dev")) == []
