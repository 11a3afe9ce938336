"""A teacher can switch solutions off: then no page and no cell shows one, and hints stay."""

import pytest

from dmlteach.course.exercises import CHAPTERS, folded, get, hint, names, progress, solution


@pytest.fixture(params=["off", " OFF "])
def switched_off(monkeypatch, request):
    monkeypatch.setenv("DMLTEACH_SOLUTIONS", request.param)


def code_of(id: str) -> str:
    return get(id).solution.strip()


def test_a_solution_says_that_it_is_switched_off_and_what_there_is(switched_off):
    for id in names():
        page = solution(id).plain()
        assert code_of(id) not in page
        assert f'`hint("{id}")` gives hints' in page
    assert not any(record.solution for record in progress.read()[0].values())


def test_hints_stay_and_do_not_offer_one(switched_off):
    for id in names():
        stages = [hint(id).plain() for _ in get(id).hints]
        assert all(text in stage for text, stage in zip(get(id).hints, stages, strict=True))
        assert "solution(" not in "".join(stages)


def test_pages_have_the_hints_alone(switched_off):
    for chapter in CHAPTERS:
        for exercise in chapter.exercises:
            page = folded(exercise.id)
            assert page.count("<details>") == page.count("</details>") == len(exercise.hints)
            assert "A solution" not in page and code_of(exercise.id) not in page


@pytest.mark.parametrize("value", ["", "on", "1"])
def test_anything_else_shows_them(value, monkeypatch):
    monkeypatch.setenv("DMLTEACH_SOLUTIONS", value)
    assert code_of("triplet.hinge") in solution("triplet.hinge").plain()
    assert "A solution" in folded("triplet.hinge")
