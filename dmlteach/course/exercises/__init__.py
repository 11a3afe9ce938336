"""Exercises that check themselves: `check(id, answer)`, `hint(id)`, `solution(id)`.

Each chapter's exercises are in a module named by its subject. An answer of `...` is no answer yet and
raises nothing, so a chapter can be run from top to bottom.
"""

import dis
from typing import Any, NamedTuple

from dmlteach.course.exercises import (
    answers,
    batches,
    comparing,
    ensembles,
    looking,
    pairs_and_triplets,
    progress,
    proxies,
    sst_gradients,
    start_here,
    temperature,
    training,
    weighting,
)
from dmlteach.course.exercises.kinds import Exercise, Unanswered
from dmlteach.course.exercises.replies import NOT_YET, UNANSWERED, Page, Reply
from dmlteach.options import one_of

__all__ = ["CHAPTERS", "Chapter", "Reply", "check", "folded", "get", "hint", "names", "question", "solution"]


class Chapter(NamedTuple):
    """A chapter and its exercises, in the order they are read."""

    number: str
    title: str
    exercises: tuple[Exercise, ...]


CHAPTERS = (
    Chapter("00", "Start here", start_here.EXERCISES),
    Chapter("01", "Pairs and triplets", pairs_and_triplets.EXERCISES),
    Chapter("02", "Triplet versus SST gradients", sst_gradients.EXERCISES),
    Chapter("03", "Which images share a batch", batches.EXERCISES),
    Chapter("04", "Weighting pairs", weighting.EXERCISES),
    Chapter("05", "Temperature", temperature.EXERCISES),
    Chapter("06", "Proxies, clusters, trees", proxies.EXERCISES),
    Chapter("08", "Ensembles", ensembles.EXERCISES),
    Chapter("08", "Training a benchmark", training.EXERCISES),
    Chapter("09", "Looking at an embedding", looking.EXERCISES),
    Chapter("10", "Which method is best?", comparing.EXERCISES),
)
_EXERCISES = {exercise.id: exercise for chapter in CHAPTERS for exercise in chapter.exercises}
_hints_shown: dict[str, int] = {}  # in this session


def names() -> list[str]:
    """Ids of all exercises, in the order of the course."""
    return list(_EXERCISES)


def get(id: str) -> Exercise:
    """The exercise with this id.

    Args:
        id: one of `names()`.

    Raises:
        DMLTeachError: there is none.
    """
    one_of("exercise", id, _EXERCISES)
    return _EXERCISES[id]


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
        The reply; `reply.status` is "right", "not yet", "not answered yet", or "to compare" for what is
        never marked.

    Raises:
        DMLTeachError: there is no such exercise.
    """
    exercise = get(id)
    reply = Reply(UNANSWERED) if _is_missing(answer) else _judge(exercise, answer)
    reply.exercise = exercise.heading
    if reply.status != UNANSWERED:
        reply.note = progress.add_try(id, reply.status)
    if reply.status == NOT_YET and exercise.hints and not _hints_shown.get(id):
        reply.details = (*reply.details, f'`hint("{id}")` gives a hint.')
    reply.show()
    return reply


def hint(id: str) -> Page:
    """Show the next hint; the last one stays.

    Args:
        id: one of `names()`.
    """
    exercise = get(id)
    last = len(exercise.hints)
    stage = min(_hints_shown.get(id, 0) + 1, last)
    _hints_shown[id] = stage
    more = f'`hint("{id}")` once more gives the next.' if stage < last else f'`solution("{id}")` shows one.'
    note = progress.add_hint(id, stage)
    text = f"{exercise.hints[stage - 1]}\n\n{more}" + (f"\n\n({note})" if note else "")
    return _show(Page(f"{exercise.heading}: hint {stage} of {last}", text))


def solution(id: str) -> Page:
    """Show a solution, and why it is one.

    Args:
        id: one of `names()`.
    """
    exercise = get(id)
    note = progress.add_solution(id)
    text = exercise.solved + (f"\n\n({note})" if note else "")
    return _show(Page(f"{exercise.heading}: a solution", text))


def folded(id: str) -> str:
    """Hints and a solution as Markdown, each folded away inside the one before: for a page without a kernel.

    Args:
        id: one of `names()`.
    """
    exercise = get(id)
    last = len(exercise.hints)
    stages = [(f"Hint {stage} of {last}", hint) for stage, hint in enumerate(exercise.hints, 1)]
    page = ""
    for summary, text in reversed([*stages, ("A solution", exercise.solved)]):
        page = f"<details><summary>{summary}</summary>\n\n{text}\n\n{page}</details>\n\n"
    return page.strip()


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
