"""What all tests share: reference data beside the checkout, seeds, and the rule that CI skips nothing.

Tests pass on every machine: none is decided by a clock, nor by one run's luck. What a text says of a
recording is asserted of the recording, whose bytes are the same everywhere. A training anew ends a little
differently on each processor, and more so with another seed: what is said of trainings is asserted of the
mean over seeds. Beside such a bound stand the mean and the standard deviation over as many seeds as it says
(`--seeds 20` measures them again); the mean of three, which a usual run takes, deviates by 1/√3 of that, and
the bound is some four such deviations away or more.
"""

import os
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import hypothesis
import pytest

from dmlteach.errors import DMLTeachError

hypothesis.settings.register_profile("everywhere", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("everywhere")  # the same examples on every machine, and no clock

CHECKOUT = Path(__file__).parent.parent
NO_SKIP = "DMLTEACH_NO_SKIP"  # set to 1 in CI: a test that would be skipped fails
OVER_SEEDS = "over seeds"  # property of a test: (what, mean, standard deviation, seeds)


@pytest.fixture
def given_to_the_trainer(monkeypatch) -> list:
    """Configurations that a command has given to the trainer, which only says "far enough"."""
    configs: list = []

    def stand_in(config):
        configs.append(config)
        raise DMLTeachError("far enough")

    monkeypatch.setattr("dmlteach.train.fit", stand_in)
    return configs


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--batches",
        type=int,
        default=40,
        help="random degenerate batches per loss (tests/losses/test_every_loss.py); a thorough run: 10000",
    )
    parser.addoption(
        "--seeds",
        type=int,
        default=3,
        help="seeds whose mean a claim is about (tests/claims); to measure a bound: 20, which prints a table",
    )
    parser.addoption(
        "--mutations",
        type=int,
        default=1000,
        help="damaged files that are read (tests/test_damaged_files.py); a thorough run: 10000",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With more seeds than usual, what was measured: the numbers that stand beside the bounds."""
    if config.getoption("--seeds") <= 3:
        return
    terminalreporter.section("means over seeds")
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for key, value in report.user_properties:
                if key == OVER_SEEDS and report.when == "call":
                    what, mean, deviation, seeds = value
                    test = report.nodeid.split("::")[-1]
                    terminalreporter.line(f"{mean:9.4g} ± {deviation:.2g} ({seeds} seeds)  {what}  {test}")


@pytest.fixture
def mean_over_seeds(
    request, record_property
) -> Callable[[Callable[[int], dict[str, float]]], dict[str, float]]:
    """Means over seeds of numbers, by name, that a function measures with a seed."""
    seeds = range(1, request.config.getoption("--seeds") + 1)  # recordings and shipped networks have seed 0

    def over_seeds(measure: Callable[[int], dict[str, float]]) -> dict[str, float]:
        found = [{name: float(value) for name, value in measure(seed).items()} for seed in seeds]
        means = {}
        for name in found[0]:
            values = [numbers[name] for numbers in found]
            means[name] = mean(values)
            spread = stdev(values) if len(values) > 1 else 0.0
            record_property(OVER_SEEDS, (name, means[name], spread, len(values)))
        return means

    return over_seeds


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


@pytest.fixture
def one_thread():
    """One thread while a test lasts: results are then compared to the last bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whatever is asserted of a mean over seeds, or of the networks of tests/claims, is trained anew."""
    if {"mean_over_seeds", "trained"} & set(getattr(item, "fixturenames", ())):
        item.add_marker("anew")


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
