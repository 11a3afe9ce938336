"""Exercises that check themselves: `check(id, answer)`, `hint(id)`, `solution(id)`.

Each chapter's exercises are in a module named by its subject. An answer of `...` is no answer yet and
raises nothing, so a chapter can be run from top to bottom.
"""

import dis
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dmlteach.course.exercises import (
    answers,
    batches,
    comparing,
    ensembles,
    filling_the_space,
    five_questions,
    looking,
    own,
    pairs_and_triplets,
    predictions,
    progress,
    proxies,
    sst_gradients,
    start_here,
    temperature,
    training,
    weighting,
)
from dmlteach.course.exercises.kinds import Exercise, Unanswered
from dmlteach.course.exercises.replies import KEPT, NOT_YET, TO_COMPARE, UNANSWERED, Page, Reply
from dmlteach.course.exercises.unmarked import Unmarked
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

__all__ = [
    "CHAPTERS",
    "Chapter",
    "Reply",
    "check",
    "folded",
    "get",
    "hint",
    "judged",
    "names",
    "own_chapters",
    "question",
    "solution",
    "use_own",
    "use_variants",
]


class Chapter(NamedTuple):
    """A chapter and what it asks, in the order it is read.

    Attributes:
        name: of its notebook.
        number: as it is displayed, e.g. "02".
        title: as it is displayed.
        exercises: those that are marked.
        unmarked: questions whose answers are kept and never marked; they have no numbers.
    """

    name: str
    number: str
    title: str
    exercises: tuple[Exercise, ...]
    unmarked: tuple[Unmarked, ...]


_opening, _closing = five_questions.OPENING, five_questions.CLOSING
CHAPTERS = tuple(
    Chapter(name, f"{number:02}", title, asked.EXERCISES, unmarked)
    for number, (name, title, asked, unmarked) in enumerate([
        ("start_here", "Start here", start_here, (*_opening, *predictions.START_HERE)),
        ("pairs_and_triplets", "Pairs and triplets", pairs_and_triplets, predictions.PAIRS_AND_TRIPLETS),
        (
            "triplet_versus_sst_gradients",
            "Triplet versus SST gradients",
            sst_gradients,
            predictions.SST_GRADIENTS,
        ),
        ("which_images_share_a_batch", "Which images share a batch", batches, predictions.BATCHES),
        ("weighting_pairs", "Weighting pairs", weighting, predictions.WEIGHTING),
        ("temperature", "Temperature", temperature, predictions.TEMPERATURE),
        ("proxies_clusters_trees", "Proxies, clusters, trees", proxies, predictions.PROXIES),
        ("filling_the_space", "Filling the space", filling_the_space, predictions.FILLING_THE_SPACE),
        ("ensembles", "Ensembles", ensembles, predictions.ENSEMBLES),
        ("training_a_benchmark", "Training a benchmark", training, predictions.TRAINING),
        ("looking_at_an_embedding", "Looking at an embedding", looking, predictions.LOOKING),
        ("which_method_is_best", "Which method is best?", comparing, (*predictions.COMPARING, *_closing)),
    ])
)  # fmt: skip
_EXERCISES = {exercise.id: exercise for chapter in CHAPTERS for exercise in chapter.exercises}
_QUESTIONS = {question.id: question for chapter in CHAPTERS for question in chapter.unmarked}
SOLUTIONS = "DMLTEACH_SOLUTIONS"  # "off" hides them
HIDDEN = "Solutions are switched off here (DMLTEACH_SOLUTIONS=off). {} gives hints."
_hints_shown: dict[str, int] = {}  # in this session
_variants: dict[str, Exercise] = {}  # of an assignment whose numbers are the student's own
_own: dict[str, Chapter] = {}  # a teacher's, by the name of their file


def names() -> list[str]:
    """Ids of all exercises, in the order of the course; not of predictions, which are never marked."""
    return list(_EXERCISES)


def get(id: str) -> Exercise:
    """The exercise with this id.

    Args:
        id: one of `names()`, or of a question that is not marked.

    Raises:
        DMLTeachError: there is none.
    """
    known = _EXERCISES | _QUESTIONS | {e.id: e for chapter in _own.values() for e in chapter.exercises}
    one_of("exercise", id, known)
    return _variants.get(id, known[id])


def question(id: str) -> Page:
    """Show what an exercise asks.

    Args:
        id: one of `names()`.
    """
    exercise = get(id)
    return _show(Page(exercise.heading, exercise.text))


def check(id: str, answer: Any) -> Reply:
    """Compare an answer, show the reply, and note it in the reader's progress.

    Args:
        id: one of `names()`.
        answer: what the exercise asks for; `...` where there is none yet.

    Returns:
        The reply; `reply.status` is "right", "not yet", "not answered yet", and "to compare" or "kept" for
        what is never marked.

    Raises:
        DMLTeachError: there is no such exercise.
    """
    exercise = get(id)
    reply = judged(exercise, answer)
    if isinstance(exercise, Unmarked):
        reply.note = _keep(exercise, answer, reply)
    elif reply.status != UNANSWERED:
        reply.note = progress.add_try(id, reply.status)
    if reply.status == NOT_YET and exercise.hints and not _hints_shown.get(id):
        reply.details = (*reply.details, f'`hint("{id}")` gives a hint.')
    reply.show()
    return reply


def judged(exercise: Exercise, answer: Any) -> Reply:
    """The reply to an answer, which is neither shown nor noted.

    Args:
        exercise: asks for it.
        answer: `...` where there is none.
    """
    reply = Reply(UNANSWERED) if _is_missing(answer) else _judge(exercise, answer)
    reply.exercise = exercise.heading
    return reply


def use_variants(variants: Mapping[str, int]) -> None:
    """Ask exercises with a student's own numbers in this session, as the first cell of an assignment says.

    Args:
        variants: the number from which those of an exercise follow, by its id; none: back to the usual ones.

    Raises:
        DMLTeachError: there is no such exercise.
    """
    _variants.clear()
    _variants.update({id: _marked(id).variant(number) for id, number in variants.items()})


def use_own(*files: str | Path) -> None:
    """Ask a teacher's own exercises in this session, beside those of the course.

    Args:
        files: of Python code, each with a tuple `EXERCISES`.

    Raises:
        DMLTeachError: one of them cannot be used; or has the name of a chapter, or an id that is taken.
    """
    for file in map(Path, files):
        title, exercises = own.read(file)
        if file.stem in {chapter.name for chapter in CHAPTERS}:
            raise DMLTeachError(f"{file} has the name of a chapter of the course; give it another one.")
        elsewhere = [e.id for name, chapter in _own.items() if name != file.stem for e in chapter.exercises]
        for exercise in exercises:
            if exercise.id in {*_EXERCISES, *_QUESTIONS, *elsewhere}:
                raise DMLTeachError(
                    f"{file}: the id {exercise.id!r} is taken; give the exercise another one."
                )
        _own[file.stem] = Chapter(file.stem, "", title, exercises, ())


def own_chapters() -> tuple[Chapter, ...]:
    """What `use_own` has taken in, a chapter for each file."""
    return tuple(_own.values())


def hint(id: str) -> Page:
    """Show the next hint; the last one stays.

    Args:
        id: one of `names()`.

    Raises:
        DMLTeachError: it is a question that is not marked.
    """
    exercise = _marked(id)
    last = len(exercise.hints)
    stage = min(_hints_shown.get(id, 0) + 1, last)
    _hints_shown[id] = stage
    last_word = f'`solution("{id}")` shows one.' if solutions_are_shown() else ""
    more = f'`hint("{id}")` once more gives the next.' if stage < last else last_word
    note = progress.add_hint(id, stage)
    text = "\n\n".join(filter(None, [exercise.hints[stage - 1], more, note and f"({note})"]))
    return _show(Page(f"{exercise.heading}: hint {stage} of {last}", text))


def solution(id: str) -> Page:
    """Show a solution, and why it is one; where DMLTEACH_SOLUTIONS is "off", say that it is not shown.

    Args:
        id: one of `names()`.

    Raises:
        DMLTeachError: it is a question that is not marked.
    """
    exercise = _marked(id)
    if not solutions_are_shown():
        return _show(Page(f"{exercise.heading}: no solution", HIDDEN.format(f'`hint("{id}")`')))
    note = progress.add_solution(id)
    text = exercise.solved + (f"\n\n({note})" if note else "")
    return _show(Page(f"{exercise.heading}: a solution", text))


def folded(id: str) -> str:
    """Hints and a solution as Markdown, each folded away inside the one before: for a page without a kernel.

    Without the solution where DMLTEACH_SOLUTIONS is "off".

    Args:
        id: one of `names()`.
    """
    exercise = get(id)
    if isinstance(exercise, Unmarked):
        return ""
    last = len(exercise.hints)
    stages = [(f"Hint {stage} of {last}", hint) for stage, hint in enumerate(exercise.hints, 1)]
    page = ""
    solved = [("A solution", exercise.solved)] if solutions_are_shown() else []
    for summary, text in reversed([*stages, *solved]):
        page = f"<details><summary>{summary}</summary>\n\n{text}\n\n{page}</details>\n\n"
    return page.strip()


def solutions_are_shown() -> bool:
    """Whether a teacher has not switched them off: a courtesy, and no secret, for the source is installed."""
    return os.environ.get(SOLUTIONS, "").strip().lower() != "off"


def _keep(question: Unmarked, answer: Any, reply: Reply) -> str:
    """Keep an answer, unless the first one stays; what is to say about it."""
    if reply.status not in (KEPT, TO_COMPARE) or question.is_settled():
        return ""
    return progress.keep_answer(question.id, question.as_kept(answer))


def _marked(id: str) -> Exercise:
    exercise = get(id)
    if isinstance(exercise, Unmarked):
        raise DMLTeachError(
            f"{exercise.heading} has no hints and no solution: no answer is wrong, give yours with "
            f'check("{id}", …).'
        )
    return exercise


def _judge(exercise: Exercise, answer: Any) -> Reply:
    """The exercise's reply, or what the reader's code did instead of answering."""
    try:
        return answers.within_limit(lambda: exercise.judge(answer))
    except Unanswered:
        return Reply(UNANSWERED)
    except answers.TooLongError as stopped:
        return Reply(NOT_YET, f"{stopped}.", "an answer within that time; does a loop end?")
    except answers.RaisedError as raised:
        return Reply(NOT_YET, f"{raised}.", case=exercise.name_inputs(raised.inputs), inputs=raised.inputs)


def _is_missing(answer: Any) -> bool:
    """`...`, a tuple or dictionary with a `...` in it, or a function whose whole body is `...`."""
    if isinstance(answer, dict):
        return any(x is ... for x in answer.values())
    if isinstance(answer, tuple | list):
        return any(x is ... for x in answer)
    return answer is ... or _is_stub(answer)


def _is_stub(answer: Any) -> bool:
    """Whether a function does nothing but return None, as `def answer(x): ...` does."""
    if not hasattr(answer, "__code__"):
        return False
    steps = [step for step in dis.get_instructions(answer) if step.opname != "RESUME"]
    return len(steps) <= 2 and "_CONST" in steps[0].opname and steps[0].argval is None


def _show(page: Page) -> Page:
    page.show()
    return page
