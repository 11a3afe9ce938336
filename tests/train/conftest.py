"""Trainings of the tests use one thread: their results are compared to the last bit."""

import pytest


@pytest.fixture(autouse=True)
def trainings_use_one_thread(one_thread):
    pass
