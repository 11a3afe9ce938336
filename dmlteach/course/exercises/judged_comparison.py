"""The closing project of the last chapter: is A better than B? A plan, its runs, and the verdict."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median, stdev
from typing import Any

from scipy.stats import t

from dmlteach import methods
from dmlteach.course import measured
from dmlteach.course.exercises.kinds import Artefact, Teaching
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, Reply
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.options import check_seed
from dmlteach.sweep import compare
from dmlteach.sweep.choices import SWEPT
from dmlteach.sweep.grid import plan as runs_of
from dmlteach.sweep.index import Index
from dmlteach.sweep.one import Outcome

RECORDED = Path(__file__).with_name("recorded_sweep.json")
ASKED = ("a", "b", "seeds", "budget", "smallest")
VERDICTS = ("better", "worse", "cannot be told")
CLOSE = 0.06  # points by which a difference may be rounded
MOST_SEEDS = 1_000
POWER = 0.8  # how often a difference that a plan is made for is to be told
EXPECTED_PLAN = (
    'a dictionary: "a" and "b" (methods), "seeds" (a list), "budget" (options of `dmlteach train` that both '
    'have), "smallest" (points)'
)


class _Unfit(Exception):
    """What is wrong with an answer, in a sentence."""


def usual_spread() -> float:
    """Standard deviation, over seeds, of the difference of two methods: the median of all pairs that were
    run, in points.
    """
    spreads = []
    for one, other in combinations(measured.ranking(), 2):
        shared = one.runs.keys() & other.runs.keys()
        if len(shared) > 2:
            spreads.append(100 * stdev(one.runs[s].recall - other.runs[s].recall for s in shared))
    return median(spreads)


def half_width(seeds: int) -> float:
    """Half of the 95 % interval that so many seeds may be expected to give, in points.

    Args:
        seeds: two or more.
    """
    return float(t.ppf(0.975, seeds - 1)) * usual_spread() / seeds**0.5


def told(seeds: int) -> float:
    """The difference, in points, whose interval excludes 0 in about four of five such experiments.

    Args:
        seeds: two or more.
    """
    quantiles = t.ppf([0.975, POWER], seeds - 1)
    return float(quantiles.sum()) * usual_spread() / seeds**0.5


def seeds_for(smallest: float) -> int:
    """How many seeds it takes to tell a difference, four times in five.

    Args:
        smallest: the difference, in points.
    """
    return next((n for n in range(3, MOST_SEEDS) if told(n) <= smallest), MOST_SEEDS)


def command(plan: Mapping[str, Any], output: str = "runs/a-or-b") -> str:
    """A plan as the command that runs it.

    Args:
        plan: as Exercise 11.7 asks for it.
        output: folder of the sweep.
    """
    budget = " ".join(
        f"--{option} {shlex.quote(str(value))}" for option, value in _options_of(plan["budget"])
    )
    seeds = ",".join(map(str, plan["seeds"]))
    return f"dmlteach sweep --methods {plan['a']},{plan['b']} --seeds {seeds} {budget} --output {output}"


def _options_of(budget: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """As on the command line: options of a part one by one."""
    for name, value in budget.items():
        option = name.replace("_", "-")
        if isinstance(value, Mapping):
            yield from ((option.removesuffix("s"), f"{key}={one}") for key, one in value.items())
        else:
            yield option, value


# --- the plan


def inspect_plan(answer: Any) -> Reply:
    """Whether a plan compares two methods alike, with enough seeds for the difference that matters."""
    try:
        _check_plan(answer)
    except _Unfit as problem:
        return Reply(NOT_YET, str(problem), EXPECTED_PLAN)
    count = len(answer["seeds"])
    case = {
        "seeds": count,
        "smallest difference that matters, points": float(answer["smallest"]),
        "half of the interval to expect, points": half_width(count),
        "told four times in five, points": told(count),
    }
    details = (
        f"As a command: `{command(answer)}`",
        "Both are for runs that scatter as the benchmark's do; shorter ones on fewer classes scatter more.",
    )
    return Reply(
        RIGHT,
        "If its runs scatter as the benchmark's do, this plan can answer its question.",
        case=case,
        details=details,
    )


def _check_plan(plan: Any) -> None:
    if not isinstance(plan, Mapping):
        raise _Unfit("A plan is asked for, as a dictionary.")
    if missing := [name for name in ASKED if name not in plan]:
        raise _Unfit(f"The plan does not say {missing[0]!r}.")
    if other := [name for name in plan if name not in ASKED]:
        raise _Unfit(f"{other[0]!r} is no part of a plan; options of the training belong into the budget.")
    for name in (plan["a"], plan["b"]):
        if name not in methods.METHODS:
            raise _Unfit(_sentence(unknown_name("method", name, methods.METHODS)))
    if plan["a"] == plan["b"]:
        raise _Unfit("A and B are the same method: their difference is known.")
    _check_seeds(plan["seeds"])
    _check_budget(plan["budget"])
    _check_smallest(plan["smallest"], len(plan["seeds"]))


def _check_seeds(seeds: Any) -> None:
    if not isinstance(seeds, Sequence | range) or isinstance(seeds, str):
        raise _Unfit("Seeds are asked for as a list, e.g. [0, 1, 2, 3, 4].")
    try:
        for seed in seeds:
            check_seed(seed)
    except DMLTeachError as error:
        raise _Unfit(_sentence(error)) from error
    if len(set(seeds)) != len(seeds):
        raise _Unfit("A seed stands there twice; the second run would repeat the first.")
    if len(seeds) < 3:
        words = (
            "One seed gives no interval" if len(seeds) < 2 else "Two seeds give an interval of ± 12.7 errors"
        )
        raise _Unfit(f"{words}; plan three or more.")


def _check_budget(budget: Any) -> None:
    if not isinstance(budget, Mapping) or not budget:
        raise _Unfit('The budget is a dictionary of options that both have, e.g. {"epochs": 2}.')
    for name in budget:
        if name in ("method", "seed"):
            raise _Unfit(f"{name!r} is what the runs differ in; the budget is what they share.")
        if name not in SWEPT:
            raise _Unfit(_sentence(unknown_name("option of a training", name, SWEPT)))
    if not {"epochs", "max_minutes"} & {*budget}:
        raise _Unfit('The budget does not say how long both are trained: "epochs", or "max_minutes".')


def _check_smallest(smallest: Any, seeds: int) -> None:
    if isinstance(smallest, bool) or not isinstance(smallest, int | float) or not 0 < smallest < 100:
        raise _Unfit("The smallest difference that would matter is a number of points, more than 0.")
    if told(seeds) > smallest:
        needed = seeds_for(smallest)
        many = f"{needed:,} would" if needed < MOST_SEEDS else "not even a thousand would"
        fraction = " (If you meant a fraction: give points, percent.)" if smallest < 0.2 else ""
        raise _Unfit(
            f"{seeds} seeds tell a difference of {told(seeds):.1f} points four times in five, not one of "
            f"{smallest:g}; about {many} do. Take more seeds, or a larger difference.{fraction}"
        )


PLAN = Artefact(
    id="comparing.plan",
    number="11.7",
    title="Plan it",
    question=(
        "Is A better than B? Write the plan before you run anything, as a dictionary: `a` and `b`, two "
        "methods; `seeds`, a list; `budget`, a dictionary of options of `dmlteach train` that are the "
        "same for both, among them `epochs` or `max_minutes`; and `smallest`, the smallest difference of "
        "Recall@1 that would matter to you, in points. The reply says whether so many seeds can be "
        "expected to tell such a difference, and shows the command."
    ),
    hints=(
        "What decides between A and B must be the only thing that differs; everything else goes into the "
        "budget.",
        "The chapter's table says which difference so many seeds tell four times in five; if the smallest "
        "one that matters is smaller, they will often not tell it.",
        '`{"a": …, "b": …, "seeds": [0, 1, 2, 3, 4], "budget": {"classes": …, "epochs": …}, "smallest": …}`',
    ),
    solution=(
        "answer = {\n"
        '    "a": "multi_similarity",\n'
        '    "b": "contrastive",\n'
        '    "seeds": [0, 1, 2, 3, 4],\n'
        '    "budget": {\n'
        '        "classes": 100, "epochs": 2, "batches_per_epoch": 20, "batch_size": 64, "eval_every": 0,\n'
        "    },\n"
        '    "smallest": 3.0,\n'
        "}"
    ),
    explanation=(
        "Seeds, budget and the smallest difference are fixed before the first number is seen: whoever "
        "adds seeds until the interval excludes 0 will get there by luck alone."
    ),
    inspect=inspect_plan,
    teaching=Teaching(
        minutes=6,
        often="Wants half a point from three seeds, or writes the difference as a fraction.",
        say=(
            "Find your smallest difference in the last column of the chapter's table: in which line does "
            "it stand, and can you afford so many? Who would notice it?"
        ),
    ),
)

# --- the verdict


def inspect_verdict(answer: Any) -> Reply:
    """Whether difference, interval and verdict are those of the sweep, and the sweep is that of the plan."""
    expected = (
        'a dictionary: "plan", "sweep" (its folder), "difference" (A − B, points), "interval" (two numbers), '
        f'"verdict" ({", ".join(VERDICTS)})'
    )
    try:
        if not isinstance(answer, Mapping):
            raise _Unfit("A dictionary is asked for.")
        for name in ("plan", "sweep", "difference", "interval", "verdict"):
            if name not in answer:
                raise _Unfit(f"It does not say {name!r}.")
        _check_plan(answer["plan"])
        one, other = _settings(answer["plan"], answer["sweep"])
        found = compare.difference(one, other)
        case = _case(found)
        return _judged(answer, found, case)
    except _Unfit as problem:
        return Reply(NOT_YET, str(problem), expected)


def _settings(plan: Mapping[str, Any], folder: Any) -> tuple[compare.Setting, compare.Setting]:
    """The runs of A and of B, once they are found to be those of the plan."""
    try:
        runs, missing = compare.read([folder])
        own = [run for run in runs if run.options.get("method", "sst") in (plan["a"], plan["b"])]
        found = compare.tables(own)
    except (DMLTeachError, TypeError, IndexError) as error:
        raise _Unfit(f"The sweep cannot be read: {error}") from error
    if missing:
        raise _Unfit(f"{missing} of the sweep's runs are not done; start the command again.")
    for run in own:
        for name, value in plan["budget"].items():
            if name != "device" and run.options.get(name, SWEPT[name].default) != value:
                raise _Unfit(
                    f"{run.place.name} was run with {name} = {run.options.get(name, SWEPT[name].default)}, "
                    f"the plan says {value}."
                )
    if len(found) != 1:
        raise _Unfit("A and B were measured on different test sets; that is no comparison.")
    by_method: dict[str, list[compare.Setting]] = {plan["a"]: [], plan["b"]: []}
    for setting in found[0].settings:
        by_method[setting.told["method"]].append(setting)
    for method, settings in by_method.items():
        if len(settings) != 1:
            raise _Unfit(f"The sweep has {len(settings)} settings of {method}; the plan is about one.")
        if lacking := sorted(set(plan["seeds"]) - {*settings[0].values}):
            raise _Unfit(f"{method} was not run with the planned seed {lacking[0]}.")
        if further := sorted({*settings[0].values} - set(plan["seeds"])):
            raise _Unfit(
                f"{method} was also run with seed {further[0]}, which is not planned: seeds that are added "
                "after looking make luck look like a difference."
            )
    return by_method[plan["a"]][0], by_method[plan["b"]][0]


def _case(found: compare.Difference) -> dict[str, Any]:
    mean, half = 100 * found.mean, 100 * found.half
    return {"A − B, points": mean, "its 95 % interval": (mean - half, mean + half), "seeds": found.seeds}


def _judged(answer: Mapping[str, Any], found: compare.Difference, case: dict[str, Any]) -> Reply:
    """The numbers first, then what they tell."""
    right = case["A − B, points"]
    low, high = case["its 95 % interval"]
    given = _numbers(answer)
    if _close(given, [right / 100, low / 100, high / 100], CLOSE / 100) and abs(right) > CLOSE:
        raise _Unfit("Give difference and interval in points: these are fractions.")
    if _close(given, [-right, -high, -low]) and abs(right) > CLOSE:
        raise _Unfit("This is B − A.")
    if not _close(given[:1], [right]):
        raise _Unfit("The difference is not the mean, over the seeds, of A − B in the sweep's index.")
    if not _close(given[1:], [low, high]):
        raise _Unfit("The interval is not that of the differences seed by seed, by Student's t.")
    verdict = "cannot be told" if not found.is_told else "better" if right > 0 else "worse"
    if answer["verdict"] not in VERDICTS:
        raise _Unfit(f"The verdict is one of {', '.join(VERDICTS)}, for A against B.")
    if answer["verdict"] != verdict:
        holds = "holds 0" if verdict == "cannot be told" else "does not hold 0"
        raise _Unfit(f"Look at the interval again: it {holds}.")
    details = (
        _weighed(low, high, answer["plan"]["smallest"]),
        "A verdict is about this budget and this data.",
    )
    return Reply(RIGHT, f"A against B: {verdict}.", case=case, details=details)


def _weighed(low: float, high: float, smallest: float) -> str:
    """An interval beside the difference that would matter."""
    if -smallest < low and high < smallest:
        return f"The whole interval lies within ± {smallest:g} points: the difference does not matter to you."
    if low >= smallest or high <= -smallest:
        return f"The whole interval lies beyond {smallest:g} points: the difference matters to you."
    return (
        f"The interval reaches from what does not matter to what does (± {smallest:g} points): more seeds "
        "would narrow it."
    )


def _numbers(answer: Mapping[str, Any]) -> list[float]:
    try:
        low, high = answer["interval"]
        return [float(answer["difference"]), float(low), float(high)]
    except (TypeError, ValueError) as error:
        raise _Unfit("The difference is a number, the interval two.") from error


def _close(given: Sequence[float], right: Sequence[float], tolerance: float = CLOSE) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(given, right, strict=True))


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


VERDICT = Artefact(
    id="comparing.verdict",
    number="11.8",
    title="Judge it",
    question=(
        "Run your plan (its command stands in the reply to Exercise 11.7), or take the recorded sweep. "
        "Then give a dictionary: `plan`; `sweep`, the folder; `difference`, the mean of A − B over the "
        "seeds in points; "
        '`interval`, both ends of its 95 % interval; and `verdict` on A against B: `"better"`, `"worse"` or '
        '`"cannot be told"`. The sweep\'s index is read, and must be that of the plan.'
    ),
    hints=(
        "`dmlteach compare FOLDER --against B` prints the difference with half of its interval, as "
        "fractions.",
        "In Python: `runs, _ = compare.read([folder])`, then `compare.tables(runs)[0].settings`, and "
        "`compare.difference(one, other)`: its `mean` and `half` are fractions.",
    ),
    solution=(
        "from dmlteach.sweep import compare\n\n"
        "runs, _ = compare.read([sweep])\n"
        'by_name = {setting.told["method"]: setting for setting in compare.tables(runs)[0].settings}\n'
        'found = compare.difference(by_name[plan["a"]], by_name[plan["b"]])\n'
        "mean, half = 100 * found.mean, 100 * found.half\n"
        'verdict = "cannot be told" if not found.is_told else "better" if mean > 0 else "worse"\n'
        'answer = {"plan": plan, "sweep": sweep, "difference": mean, "verdict": verdict}\n'
        'answer["interval"] = (mean - half, mean + half)'
    ),
    explanation=(
        "“Cannot be told” is a result: it says that at this budget the choice between A and B is not the "
        "one that matters, or that it needs more seeds than were planned, in a plan of its own."
    ),
    setup=(
        "import tempfile\n"
        "from dmlteach.course.exercises.judged_comparison import recorded_sweep\n"
        "plan, sweep = recorded_sweep(tempfile.mkdtemp())"
    ),
    inspect=inspect_verdict,
    teaching=Teaching(
        minutes=9,
        often=(
            "Writes *better* because the mean is above 0, though the interval holds it; or copies "
            "fractions where points are asked for."
        ),
        say=(
            "Cover the mean and read the two ends aloud: which true differences do they leave open? "
            "Would you judge alike if A and B changed their names?"
        ),
    ),
)


def recorded_sweep(folder: str | Path) -> tuple[dict[str, Any], Path]:
    """A plan, and the index of a sweep that followed it, as it was recorded on one CPU core.

    Args:
        folder: where the index is written; the folders of its runs are left out.

    Returns:
        The plan, and the folder.
    """
    record = json.loads(RECORDED.read_text(encoding="utf-8"))
    plan, folder = record["plan"], Path(folder)
    numbers = {(row["method"], row["seed"]): row for row in record["runs"]}
    table = {"methods": [plan["a"], plan["b"]], "seeds": plan["seeds"], **plan["budget"]}
    with Index(folder) as index:
        planned = runs_of([table])
        index.want(planned)
        for run in planned:
            metrics = numbers[run.config.method, run.config.seed]["metrics"]
            index.ended(run.hash, Outcome("done", metrics=metrics, host="recorded"))
    return plan, folder
