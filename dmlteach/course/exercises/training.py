"""Exercises on training: a bottleneck, a broken run, batch size against rate, two processes."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dmlteach import data, models
from dmlteach.course.exercises.kinds import Artefact, Choice, Exercise, Function, Option, Teaching
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, Reply
from dmlteach.evaluation import evaluate
from dmlteach.files import read_json
from dmlteach.train import FREE, Result, Run, TrainConfig, fit

# --- the bottleneck

PARTS = ("read", "augment", "forward", "loss", "backward", "optimiser")
BOTTLENECKS = {"A": "read", "B": None, "C": "loss"}  # how the chapter makes its three profiles
REASONS = {
    "A": "every image is decoded and shrunk anew, in each step",
    "B": "nothing is wrong: the network itself takes the time",
    "C": "a Python loop over triplets; its gradient is slow as well",
}


def inspect_bottlenecks(answer: Any) -> Reply:
    """Which part of a step each profile wastes its time on."""
    expected = "for A, B and C the name of a part, or None for the good one"
    if not isinstance(answer, tuple | list) or len(answer) != len(BOTTLENECKS):
        return Reply(NOT_YET, "Three answers are asked for.", expected)
    given = dict(zip(BOTTLENECKS, answer, strict=True))
    for name, part in given.items():
        if part is not None and part not in PARTS:
            return Reply(
                NOT_YET, f"{name}: there is no part {part!r}; they are {', '.join(PARTS)}.", expected
            )
    wrong = [name for name in BOTTLENECKS if given[name] != BOTTLENECKS[name]]
    if not wrong:
        details = tuple(f"{name}: {reason}" for name, reason in REASONS.items())
        return Reply(RIGHT, "Each has its own reason.", details=details)
    if given["C"] == "backward" and wrong == ["C"]:
        words = (
            "In C backward is slow because it goes back through what another part built; which part is that?"
        )
        return Reply(NOT_YET, words, expected)
    words = f"Look again at {' and '.join(wrong)}: compare each line with the same line of the others."
    return Reply(NOT_YET, words, expected)


BOTTLENECK = Artefact(
    id="training.bottleneck",
    number="09.1",
    title="Name the bottleneck",
    question=(
        "The table above shows three training steps. One is as it should be; in each of the others "
        "*one* thing is done badly. Which part is to blame for the time that each loses, compared with the "
        "good one? Give three: a part, or `None` for the good one."
    ),
    hints=(
        "Compare line by line, not column by column: which number stands out in its line?",
        "A part that does something slow in Python makes two lines slow: its own, and backward.",
    ),
    solution='answer = ["read", None, "loss"]',
    explanation=" ".join(f"{name}: {reason}." for name, reason in REASONS.items()),
    inspect=inspect_bottlenecks,
    teaching=Teaching(
        minutes=3,
        often="Reads down the columns and names the largest part, forward or backward, of every profile.",
        say=(
            "The largest part need not be a fault. Go along one line: in which profile does it stand "
            "out? If two lines stand out in one profile, which may be the cause of the other?"
        ),
    ),
)

# --- break and resume

WHERE_AND_WHEN = frozenset(FREE) - {"max_minutes", "root"}  # settings that change no number
UNREADABLE = (AttributeError, LookupError, OverflowError, TypeError, ValueError)  # what a damaged run gives
WHAT_TRAINING_COMPUTES = ("loss", "active_tuples", "steps", "images")


def _epochs(folder: Any) -> list[dict]:
    """What training computed in each epoch of a run, without what the clock said."""
    rows = _kept(folder, "metrics.json", "epochs")
    return [{name: row[name] for name in WHAT_TRAINING_COMPUTES if name in row} for row in rows]


def _settings(folder: Any) -> dict:
    config = _kept(folder, "config.json", "config")
    return {name: value for name, value in config.items() if name not in WHERE_AND_WHEN}


def _kept(folder: Any, file: str, part: str) -> Any:
    return read_json(Path(folder) / file, "Train this run again.")[part]


def _folder(given: Any) -> Any:
    """The folder that is meant: of what `fit` returns, or of a configuration, that of the run."""
    if isinstance(given, Result):
        return given.path
    return given.output if isinstance(given, TrainConfig) else given


def inspect_runs(answer: Any) -> Reply:
    """Whether two runs computed the same, epoch by epoch."""
    expected = "two folders, of the undisturbed run and of the one that was broken and resumed"
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return Reply(NOT_YET, "Two folders are asked for.", expected)
    answer = [_folder(given) for given in answer]
    if Path(str(answer[0])).resolve() == Path(str(answer[1])).resolve():
        return Reply(NOT_YET, "This is the same folder twice: it agrees with itself.", expected)
    try:
        first, second = (_epochs(folder) for folder in answer)
        settings = [_settings(folder) for folder in answer]
    except UNREADABLE as error:
        return Reply(NOT_YET, f"A folder holds no run: {str(error).rstrip('.')}.", expected)
    other = sorted(name for name in settings[0] if settings[0][name] != settings[1].get(name))
    if other:
        return Reply(NOT_YET, f"The runs were asked for different things: {', '.join(other)}.", expected)
    epochs = {"epochs of the first": len(first), "epochs of the second": len(second)}
    if len(first) != len(second):
        return Reply(NOT_YET, "One has more epochs than the other; resume it to its end.", expected, epochs)
    for number, (one, two) in enumerate(zip(first, second, strict=True), 1):
        if one != two:
            case = {f"loss of epoch {number}, first": one.get("loss"), "second": two.get("loss")}
            return Reply(NOT_YET, "They differ; were both on the same number of threads?", expected, case)
    return Reply(RIGHT, "The two agree to the last bit, in every epoch.", case=epochs)


RESUMED = Artefact(
    id="training.resumed",
    number="09.2",
    title="Break and resume",
    question=(
        "Do it yourself: start a run with `save_every=0.2`, interrupt it (in a notebook with the stop "
        "button, in a terminal with Ctrl-C), and resume it with `resume=True`. Then give two folders: "
        "that of an undisturbed run with the same settings, and that of yours."
    ),
    hints=(
        '`runs / "undisturbed"` is the run of the chapter; `replace(small, output=…)` has its settings.',
        "`dmlteach.fit(replace(mine, resume=True))` continues where the checkpoint stands.",
    ),
    solution='answer = (runs / "undisturbed", runs / "broken")  # or your own in place of the second',
    explanation="Every random choice follows from seed, epoch and step; nothing follows from the clock.",
    setup=(
        "import tempfile\n"
        "from pathlib import Path\n"
        "from dmlteach.course.exercises.training import two_runs\n"
        "runs = two_runs(Path(tempfile.mkdtemp()))"
    ),
    inspect=inspect_runs,
    teaching=Teaching(
        minutes=8,
        often=(
            "Types the settings anew, and one of them (most often the epochs) is not that of the "
            "undisturbed run."
        ),
        say="Lay both `config.json` side by side before you look at any loss. What differs, and may it?",
    ),
)


def two_runs(folder: Path) -> Path:
    """An undisturbed run, and one that was unplugged after its first epoch and resumed, below `folder`."""

    def unplug(run: Run) -> None:
        if run.epoch == 1:
            raise KeyboardInterrupt

    small = TrainConfig(
        method="sst", dataset="omniglot", classes=10, batch_size=40, epochs=2, batches_per_epoch=2,
        eval_every=0, device="cpu", progress=False, output=str(folder / "undisturbed"),
    )  # fmt: skip
    fit(small)
    broken = replace(small, output=str(folder / "broken"))
    with suppress(KeyboardInterrupt):
        fit(broken, after_epoch=unplug)
    fit(replace(broken, resume=True))
    return folder


# --- five epochs are another run

LONGER = Choice(
    id="training.longer",
    number="09.3",
    title="Two epochs more",
    question=(
        'The configuration of `runs / "undisturbed"` said `epochs=3`. A friend wants two more epochs '
        "and resumes the finished run with `epochs=5`. Try it, `dmlteach.fit(replace(small, epochs=5, "
        "resume=True))`, and read the message. Why is it refused?"
    ),
    hints=(
        "What depends on the number of epochs, already in the first one?",
        "Print the learning rate of each epoch: it comes down to zero at the end of the schedule.",
    ),
    solution='answer = {"b": "the schedule of the learning rate is made for three epochs"}',
    options={
        "a": Option(
            "the checkpoint is damaged", False, "it opens without complaint when nothing is changed."
        ),
        "b": Option(
            "the learning rate of every step depends on the number of epochs",
            True,
            "with five epochs the first three would have had other learning rates: it is another run.",
        ),
        "c": Option(
            "a finished run cannot be opened",
            False,
            "resuming it unchanged works, and has nothing left to do.",
        ),
        "d": Option(
            "the batches of epochs 4 and 5 were not planned",
            False,
            "each epoch is planned when it begins, from the seed and its number.",
        ),
    },
    teaching=Teaching(
        minutes=4,
        often=(
            "Chooses d, or c: the two further epochs are thought of as something that is only added at "
            "the end."
        ),
        say=(
            "Print the learning rate of each epoch for a run of three and for one of five. In which "
            "epoch do they part?"
        ),
    ),
)

# --- batch size against learning rate

HALVES: dict[str, dict[str, tuple[float | None, ...]]] = {
    "batch 20": {"batch_size": (20,), "learning_rate": (None, 1e-3)},  # the recipe's, left or written out
    "batch 20, half rate": {"batch_size": (20,), "learning_rate": (5e-4,)},
}


def inspect_halves(answer: Any) -> Reply:
    """Two runs with half the batch, at the full and at half the learning rate."""
    expected = "a dictionary with the folders of the two runs, by the names " + " and ".join(
        map(repr, HALVES)
    )
    if not isinstance(answer, Mapping) or set(answer) != set(HALVES):
        return Reply(NOT_YET, "The two runs are asked for by name.", expected)
    recall, settings = {}, {}
    for name, asked in HALVES.items():
        folder = _folder(answer[name])
        try:
            settings[name] = _settings(folder)
            rows = _kept(folder, "metrics.json", "epochs")
            recall[f"Recall@1 on val, {name}"] = float(rows[-1]["val"]["recall@1"])
        except UNREADABLE as error:
            words = f"{name}: the folder holds no run with a Recall@1 on val: {str(error).rstrip('.')}."
            return Reply(NOT_YET, words, expected)
        for setting, values in asked.items():
            found = settings[name].get(setting)
            if found not in values:
                words = f"{name}: {setting} is {found}, not {values[0] or 'left as it was'}."
                return Reply(NOT_YET, words, expected)
    one, other = settings.values()
    also = sorted(name for name in one if name not in HALVES["batch 20"] and one[name] != other.get(name))
    if also:
        words = f"The two are to differ in the rate alone, and differ in {', '.join(also)}, too."
        return Reply(NOT_YET, words, expected)
    details = (
        "Compare the difference with that between seeds in the chapter: is it larger?",
        "Half the batch at the same rate means twice as many steps of the same size, each from noisier "
        "gradients.",
    )
    case = {**_before_training(one), **recall}
    return Reply(RIGHT, "Two runs to compare with your prediction.", case=case, details=details)


def _before_training(settings: Mapping[str, Any]) -> dict[str, float]:
    """What the two numbers are to be seen beside: how many classes `val` has, and the untrained network."""
    val = data.load(settings["dataset"], "val", settings["root"], classes=settings["classes"])
    start = evaluate(models.create("omniglot_cnn", 128, seed=settings["seed"]), val)
    return {"classes of val": val.num_classes, "Recall@1 on val, untrained": start["recall@1"]}


HALF_BATCH = Artefact(
    id="training.half_batch",
    number="09.4",
    title="Batch size against learning rate",
    question=(
        "Predict first: the small run with batches of 20 instead of 40, at the same learning rate. "
        "Twice as many steps per epoch: is Recall@1 on `val` after three epochs higher or lower? And "
        "with half the learning rate, 5e-4? Run both and give their folders: "
        '`{"batch 20": folder, "batch 20, half rate": folder}`.'
    ),
    hints=(
        "`replace(small, batch_size=20, output=…)` is the first of the two.",
        "The second has `learning_rate=5e-4` as well; `dmlteach.fit(…).path` is the folder of a run.",
    ),
    solution=(
        "answer = {}\n"
        'for name, rate in (("batch 20", None), ("batch 20, half rate", 5e-4)):\n'
        "    config = replace(small, batch_size=20, learning_rate=rate, output=str(runs / name))\n"
        "    answer[name] = dmlteach.fit(config).path"
    ),
    explanation="One run each says little: compare with what another seed changes in the chapter.",
    setup=(
        "import tempfile\n"
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "import dmlteach\n"
        "runs = Path(tempfile.mkdtemp())\n"
        'small = dmlteach.TrainConfig(method="sst", dataset="omniglot", classes=20, batch_size=40, '
        'epochs=1, batches_per_epoch=2, device="cpu", progress=False)'
    ),
    inspect=inspect_halves,
    teaching=Teaching(
        minutes=8,
        often="Takes the order of two single runs for the answer to the prediction.",
        say="What would you bet that the order stays with another seed? Run one more of each and see.",
    ),
)

# --- one process against two


def pairs_compared(n: int, processes: int) -> float:
    """Share of the pairs of n pictures, dealt out like cards, that one process holds; pair by pair."""
    pairs = [(i, j) for i in range(n) for j in range(i)]
    return sum(i % processes == j % processes for i, j in pairs) / len(pairs)


def _equal_shares(n: int, processes: int) -> float:
    return (n / processes - 1) / (n - 1)


PAIRS = Function(
    id="training.pairs_compared",
    number="09.5",
    title="Which pairs are left?",
    question=(
        "A batch of `n` pictures is dealt out to `processes` like cards, so that their shares differ by at "
        "most one picture. Each process compares the pictures of its share. Write a function of `n` and "
        "`processes` that returns which share of the pairs of the batch is compared by somebody, as a "
        "fraction. Then predict, and compute: a batch of 512 on 8 GPUs?"
    ),
    hints=(
        "How many pairs do `m` pictures have?",
        "Add up the pairs of all shares, and divide by the pairs of `n` pictures.",
        "`n % processes` shares have one picture more than the others, which have `n // processes`.",
    ),
    solution=(
        "def answer(n, processes):\n"
        "    shares = [len(range(rank, n, processes)) for rank in range(processes)]\n"
        "    return sum(m * (m - 1) for m in shares) / (n * (n - 1))"
    ),
    explanation=(
        "With equal shares it is (n/W − 1) / (n − 1) for W processes, a little less than 1/W: of all "
        "partners a picture has, only those in its own share are left."
    ),
    arguments=("n", "processes"),
    definition=pairs_compared,
    cases=lambda generator: [(64, 2), (64, 1), (64, 16), (8, 8), (10, 3), (33, 4), (2, 2)],
    returns="the pairs that one process holds both pictures of, as a fraction of all pairs",
    mistakes=(
        (
            lambda n, processes: 1 / processes,
            "Nearly: of the n − 1 partners of a picture, n/W − 1 are left, which is a little less than 1/W.",
        ),
        (
            lambda n, processes: pairs_compared(n, processes) / processes,
            "These are the pairs of one process; add up those of all.",
        ),
        (
            _equal_shares,
            "This is right where the shares are equal; where n is no multiple, add up share by share.",
        ),
        (lambda n, processes: 100 * pairs_compared(n, processes), "Give a fraction, not percent."),
        (lambda n, processes: 1 - pairs_compared(n, processes), "These are the pairs that are lost."),
    ),
    teaching=Teaching(
        minutes=7,
        often="Says one over the number of processes; or takes all shares for equal.",
        say=(
            "Take the smallest case: a batch of two on two processes. How many pairs does anybody "
            "compare, and what does your function say? And three pictures on two processes?"
        ),
    ),
)

AVERAGED = Choice(
    id="training.averaged",
    number="09.6",
    title="Who may average?",
    question=(
        "Two processes, each with half of the batch: each computes its loss on its half, and the gradients "
        "are averaged. For which of these losses is that the gradient of the whole batch? Name all, with a "
        "reason each."
    ),
    hints=(
        "What does the loss of *one* picture depend on: on this picture, or on others of the batch too?",
        "A mean over pictures can be taken half by half; a pair may have one picture in each half.",
    ),
    solution='answer = {"a": "a mean over pictures", "c": "proxies are parameters, no pictures"}',
    options={
        "a": Option(
            "softmax: each picture against the rows of the classifier's last layer",
            True,
            "a mean over pictures; the mean of two equal halves' means is the mean of the whole.",
        ),
        "b": Option(
            "contrastive: each picture against each other",
            False,
            "pairs across the halves are lost, about half of all.",
        ),
        "c": Option(
            "Proxy-NCA: each picture against one learned point per class, its *proxy*",
            True,
            "no picture is compared with another. The proxies are parameters, so their gradients have to be "
            "averaged as well: a loss outside the wrapped network is easily forgotten.",
        ),
        "d": Option(
            "SST: each picture with its nearest positives, against all negatives",
            False,
            "negatives and even the nearest positives may be in the other half: it points elsewhere.",
        ),
    },
    teaching=Teaching(
        minutes=5,
        often=(
            "Leaves out Proxy-NCA, as a metric-learning loss; or accepts b, because it is a mean as well."
        ),
        say=(
            "Take the term of one picture of the first half. Which embeddings does it need, and is one "
            "of them in the other process?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (BOTTLENECK, RESUMED, LONGER, HALF_BATCH, PAIRS, AVERAGED)
