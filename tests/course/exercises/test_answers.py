"""The reader's code: stopped when it does not end, and told by its own line when it raises."""

import threading
import time

import pytest
import torch

from dmlteach.course import exercises
from dmlteach.course.exercises import answers


@pytest.fixture
def soon(monkeypatch):
    """Stops after half a second instead of twenty."""
    monkeypatch.setattr(answers, "LIMIT", 0.5)


def number_of_threads() -> int:
    return threading.active_count()


def test_the_limit_is_20_seconds():
    assert answers.LIMIT == 20


def test_a_loop_without_end_is_stopped_and_its_line_is_named(soon):
    def answer(a, p):
        while True:
            pass  # for ever

    before = number_of_threads()
    reply = exercises.check("sst.resting_place", answer)
    assert number_of_threads() == before
    assert reply.status == "not yet"
    assert reply.words.startswith("your code was stopped after 0.5 s, in test_answers.py, line ")
    assert reply.words.count("\n") == 0
    assert "while True:" in reply.words or "pass  # for ever" in reply.words


def test_what_waits_for_others_has_more_time_than_what_works_and_no_end_of_it():
    assert answers.within_limit(lambda: time.sleep(2.2) or "done", 2.0) == "done"  # up to 6 s may pass

    def waits():
        while True:
            time.sleep(0.01)

    with pytest.raises(answers.TooLongError, match=r"was stopped after 1\.5 s"):
        answers.within_limit(waits, 0.5)


def test_catching_every_exception_does_not_keep_a_loop_alive(soon):
    def answer(a, p):
        while True:
            try:
                torch.zeros(3).sum()
            except Exception:
                continue

    before = number_of_threads()
    assert "stopped" in exercises.check("sst.resting_place", answer).words
    assert number_of_threads() == before


def test_what_cannot_be_stopped_is_left_behind_with_advice(soon, monkeypatch):
    monkeypatch.setattr(answers, "TRIES", 1)
    held = threading.Lock()

    def answer(a, p):
        held.acquire()  # one call into C

    with held:
        reply = exercises.check("sst.resting_place", answer)
    assert "held.acquire()  # one call into C" in reply.words
    assert "still runs in the background: restart Python" in reply.words


def test_a_long_check_that_ends_in_time_is_not_stopped():
    def answer(a, p):
        time.sleep(0.001)
        return (a + p) / 2

    assert exercises.check("sst.resting_place", answer).status == "right"


def test_an_interrupt_stops_the_readers_code_and_goes_on(monkeypatch):
    def interrupted(thread, seconds):
        thread.join(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(answers, "_wait", interrupted)
    before = number_of_threads()

    def answer(a, p):
        while True:
            pass

    with pytest.raises(KeyboardInterrupt):
        exercises.check("sst.resting_place", answer)
    assert number_of_threads() == before


def test_an_exception_shows_the_readers_line_and_the_input(capsys):
    def helper(x):
        return 1 / (x - x)  # always by zero

    def answer(a, p):
        return helper(float(a))

    reply = exercises.check("sst.resting_place", answer)
    line = helper.__code__.co_firstlineno + 1
    assert reply.status == "not yet"
    assert reply.words == (
        "your code raised ZeroDivisionError: float division by zero, in test_answers.py, "
        f"line {line}: return 1 / (x - x)  # always by zero."
    )
    assert set(reply.case) == {"a", "p"} and len(reply.inputs) == 2
    assert "Traceback" not in capsys.readouterr().out


def test_an_exception_inside_a_library_shows_the_readers_line_that_called_it():
    def answer(embeddings, labels):
        return torch.cdist(embeddings, labels)

    words = exercises.check("start.recall_at_1", answer).words
    assert "line " in words and "return torch.cdist(embeddings, labels)" in words


def test_a_wrong_number_of_arguments_is_told_without_a_line():
    words = exercises.check("sst.resting_place", lambda a: a).words
    assert "takes 1 positional argument but 2 were given" in words


def test_leaving_python_does_not_leave_python():
    def answer(a, p):
        raise SystemExit(3)

    assert "your code ended Python" in exercises.check("sst.resting_place", answer).words


def test_a_test_written_by_the_reader_shows_its_own_line_too():
    def answer(loss):
        return loss(torch.zeros(3, 2))

    reply = exercises.check("sst.expose_broken", answer)
    assert "missing" in reply.words and "return loss(torch.zeros(3, 2))" in reply.words


def test_changing_the_inputs_changes_nothing_for_the_check():
    def answer(embeddings, labels):
        embeddings.zero_()
        labels.zero_()
        return 1.0

    reply = exercises.check("start.recall_at_1", answer)
    assert reply.status == "not yet"
    assert reply.inputs[0].abs().sum() > 0


def test_a_mistake_of_ours_is_not_blamed_on_the_reader(monkeypatch):
    def broken(answer):
        raise RuntimeError("ours")

    monkeypatch.setattr(exercises.get("start.split").__class__, "judge", lambda self, answer: broken(answer))
    with pytest.raises(RuntimeError, match="ours"):
        exercises.check("start.split", ([], []))


@pytest.mark.parametrize("body", ["...", "pass", "'A docstring.'"])
def test_a_function_without_a_body_is_no_answer_yet(body):
    names: dict = {}
    exec(f"def answer(a, p): {body}", names)
    assert exercises.check("sst.resting_place", names["answer"]).status == "not answered yet"


def test_a_function_that_returns_an_ellipsis_is_no_answer_yet():
    def answer(a, p):
        half = (a + p) / 2
        return ... if half is not None else half

    assert exercises.check("sst.resting_place", answer).status == "not answered yet"
