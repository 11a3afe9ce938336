"""The overview of a class: what to ask stands beside an exercise that many got wrong, and beside no other."""

import html
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dmlteach.course import exercises
from dmlteach.course.assignments import overview
from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.assignments.hand_ins import HandIn
from dmlteach.course.assignments.rerun import Answer
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, TO_COMPARE, UNANSWERED

ASKED, REFLECTION = "proxies.terms", "space.own"


def page(**statuses: list[str]) -> str:
    """Of a class in which each student has these statuses, by `terms` and `own`."""
    ids = {"terms": ASKED, "own": REFLECTION}
    many = max(map(len, statuses.values()))
    names = [f"s{row}" for row in range(many)]
    assignment = Assignment(name="week1", notebooks={"one": [ids[name] for name in statuses]}, students=names)
    collected = [
        (
            HandIn(student, "one", Path(student), datetime.now(UTC)),
            {ids[name]: Answer(ids[name], given[row]) for name, given in statuses.items()},
        )
        for row, student in enumerate(names)
    ]
    return overview.page(assignment, collected, {})


@pytest.mark.parametrize(
    ("wrong", "right", "absent", "shown"),
    [(1, 3, 0, True), (1, 4, 0, False), (2, 5, 9, True), (0, 3, 3, False), (0, 0, 3, False), (3, 0, 0, True)],
)
def test_what_to_ask_is_shown_where_a_quarter_of_the_answers_or_more_are_wrong(wrong, right, absent, shown):
    shown_page = page(terms=[NOT_YET] * wrong + [RIGHT] * right + [UNANSWERED] * absent)
    assert (html.escape(exercises.get(ASKED).teaching.say) in shown_page) == shown


def test_a_text_that_nobody_marks_is_never_a_mistake():
    assert html.escape(exercises.get(REFLECTION).teaching.say) not in page(own=[TO_COMPARE] * 3)
