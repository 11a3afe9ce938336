"""Progress of the tests goes to a file of their own, and every test begins without hints."""

import pytest

from dmlteach.course import exercises
from dmlteach.course.exercises import progress


@pytest.fixture(autouse=True)
def progress_file(tmp_path, monkeypatch):
    file = tmp_path / "data" / "progress.json"
    monkeypatch.setenv(progress.VARIABLE, str(file))
    monkeypatch.setattr(exercises, "_hints_shown", {})
    return file
