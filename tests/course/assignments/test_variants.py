"""Exercises with other numbers: another right answer for each student, and the same replies."""

import pytest
import torch

from dmlteach.course.assignments import Assignment
from dmlteach.course.exercises import CHAPTERS, check, get, use_variants
from dmlteach.course.exercises.kinds import Function
from dmlteach.course.exercises.replies import NOT_YET, RIGHT

EVERY = [exercise for chapter in CHAPTERS for exercise in chapter.exercises]
WITH_NUMBERS = [exercise for exercise in EVERY if exercise.has_own_numbers]


@pytest.fixture
def usual_again():
    yield
    use_variants({})


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("exercise", WITH_NUMBERS, ids=lambda exercise: exercise.id)
def test_every_variant_is_solved_by_its_solution_and_knows_its_mistakes(exercise, number):
    variant = exercise.variant(number)
    assert (variant.id, variant.number, variant.title) == (exercise.id, exercise.number, exercise.title)
    assert variant.judge(variant.reference()).status == RIGHT
    for wrong, words in variant.mistakes:
        assert variant.judge(wrong()).words == words


@pytest.mark.parametrize("exercise", WITH_NUMBERS, ids=lambda exercise: exercise.id)
def test_what_is_right_for_one_is_wrong_for_another(exercise):
    every = {variant.text: variant for variant in map(exercise.variant, range(40))}
    assert len(every) >= 5
    right = {text: variant.value() for text, variant in every.items()}
    for text, variant in every.items():
        others = [value for other, value in right.items() if other != text]
        assert all(variant.judge(value).status == NOT_YET for value in others if value != right[text])
    assert len(set(right.values())) >= 5


def hidden_inputs(exercise: Function) -> tuple[float, ...]:
    """All numbers on which a function is judged."""
    seen: list[float] = []

    def answer(*inputs):
        seen.extend(
            x for given in inputs if isinstance(given, torch.Tensor) for x in given.flatten().tolist()
        )
        return exercise.definition(*inputs)

    exercise.judge(answer)
    return tuple(seen)


def test_functions_are_judged_on_other_inputs():
    exercise = get("triplet.hinge")
    found = {hidden_inputs(one) for one in (exercise, exercise.variant(1), exercise.variant(2))}
    assert len(found) == 3
    assert hidden_inputs(exercise.variant(1)) == hidden_inputs(exercise.variant(1))


@pytest.mark.parametrize("exercise", [e for e in EVERY if isinstance(e, Function)], ids=lambda e: e.id)
def test_a_right_function_is_right_on_the_inputs_of_everybody(exercise):
    answer = exercise.reference()
    for number in (1, 2**31, 2**32 - 1):
        assert exercise.variant(number).judge(answer).status == RIGHT


def test_what_cannot_vary_is_the_same():
    for exercise in EVERY:
        if not exercise.varies:
            assert exercise.variant(5) is exercise


def test_a_session_asks_with_the_numbers_it_was_given(usual_again):
    own, usual = get("proxies.terms").variant(3), get("proxies.terms")
    use_variants({"proxies.terms": 3})
    assert check("proxies.terms", own.value()).status == RIGHT
    assert check("proxies.terms", usual.value()).status == NOT_YET
    use_variants({})
    assert check("proxies.terms", usual.value()).status == RIGHT


def test_numbers_follow_from_salt_student_and_exercise():
    def of(**changes):
        known = {"name": "week1", "notebooks": {}, "students": ("ann", "bob"), "salt": "x"}
        return Assignment(**known | changes)

    ann = of().variant("ann", "proxies.terms")
    assert ann == of().variant("ann", "proxies.terms")
    others = [
        of().variant("bob", "proxies.terms"), of(salt="y").variant("ann", "proxies.terms"),
        of().variant("ann", "triplet.hinge"),
    ]  # fmt: skip
    assert ann not in others
    assert of(students=()).variant("", "proxies.terms") is None
