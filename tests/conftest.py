"""What all tests share: reference data beside the checkout, and the rule that CI skips nothing."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
NO_SKIP = "DMLTEACH_NO_SKIP"  # set to 1 in CI: a test that would be skipped fails


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--batches",
        type=int,
        default=40,
        help="random degenerate batches per loss (tests/losses/test_every_loss.py); a thorough run: 10000",
    )
    parser.addoption(
        "--mutations",
        type=int,
        default=1000,
        help="damaged files that are read (tests/test_damaged_files.py); a thorough run: 10000",
    )


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the repository."""
    return CHECKOUT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data and weights that are not part of the repository: gold/, data/, weights/."""
    folder = Path(os.environ.get("DMLTEACH_SHARED") or CHECKOUT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; name its folder in DMLTEACH_SHARED")
    return folder


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory):
    """Decoded images go to a folder of this test run, unless the user names one."""
    if "DMLTEACH_CACHE" in os.environ:
        yield
        return
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # one cache for all processes of the run
    os.environ["DMLTEACH_CACHE"] = str(folder / "dmlteach-cache")
    yield
    del os.environ["DMLTEACH_CACHE"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests for a GPU where there is none; they are reported as deselected."""
    wants_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if wants_gpu and not _gpu_is_there():
        config.hook.pytest_deselected(items=wants_gpu)
        items[:] = [item for item in items if item not in wants_gpu]


def _gpu_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def no_skip() -> bool:
    return os.environ.get(NO_SKIP) == "1"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A skipped test fails where nothing may be skipped (an expected failure does not count as skipped)."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and no_skip() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but {NO_SKIP}=1 lets no test skip: {_reason(report)}"


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """The same for a file that skips itself as a whole."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and no_skip():
        report.outcome = "failed"
        report.longrepr = f"skipped, but {NO_SKIP}=1 lets no test skip: {_reason(report)}"


def _reason(report) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
