"""Replies: the same words as text and as HTML, differences by words and dashes, shown once."""

import re
import subprocess
import sys

import pytest
import torch

from dmlteach.course import exercises
from dmlteach.course.exercises.replies import BORDERS, MARKS, Reply, shown
from dmlteach.errors import DMLTeachError

WRONG = lambda a, p: a + p  # noqa: E731


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("&quot;", '"').split())


def test_the_failing_case_is_shown_in_numbers_and_the_expected_in_words(capsys):
    reply = exercises.check("sst.resting_place", WRONG)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Exercise 02.3 · The place where SST leaves n alone: not yet"
    assert [line.split(" = ")[0].strip() for line in lines[2:6]] == ["a", "p", "your answer", "right"]
    assert (
        lines[6] == "  Expected: the position of n at which SST moves it neither to the left nor to the right"
    )
    assert lines[7] == '  `hint("sst.resting_place")` gives a hint.'
    assert WRONG(*reply.inputs) == pytest.approx(float(reply.case["your answer"]))


def test_html_says_the_same_as_the_text():
    reply = exercises.check("sst.resting_place", WRONG)
    html = text_of(reply.html())
    for line in reply.plain().splitlines():
        for part in line.strip().replace("`", "").split(" = "):
            assert part in html


def test_html_has_no_colours_names_its_rows_and_hides_marks_from_screen_readers():
    html = exercises.check("sst.resting_place", WRONG).html()
    assert "color:" not in html.replace("currentColor", "") and "#" not in html
    assert '<th scope="row"' in html and "<caption>" in html and 'role="status"' in html
    assert '<span aria-hidden="true">✗</span>' in html


def test_each_status_has_a_mark_and_a_dash_of_its_own():
    assert len(set(MARKS.values())) == len(set(BORDERS.values())) == 5


def test_what_the_reader_wrote_is_escaped():
    reply = exercises.check("before.training_step", {"b": "<script>alert(1)</script>"})
    assert "<script>" not in reply.html() and "&lt;script&gt;" in reply.html()


def test_numbers_are_short_and_long_tensors_show_their_first_numbers_and_their_shape():
    assert shown(1 / 3) == "0.3333"
    assert shown(torch.tensor(-2.0)) == "−2"
    assert shown(torch.tensor([0.5, 1.0])) == "(0.5, 1)"
    assert shown(torch.tensor([[0.5, 1.0], [2.0, 3.0]])) == "(0.5, 1), (2, 3) of shape (2, 2)"
    assert shown(torch.zeros(5, 1)) == "(0), (0), (0), (0), … of shape (5, 1)"
    assert shown(torch.arange(9)) == "(0, 1, 2, 3, 4, 5, 6, 7, …) of 9 numbers"
    assert shown(torch.zeros(1, 9)).count("0, ") == 8 and shown(torch.empty(0, 3)) == "of shape (0, 3)"
    assert shown(True) == "True"
    assert len(shown("x" * 1000)) == 200


def test_a_mistyped_id_gets_a_suggestion():
    with pytest.raises(
        DMLTeachError, match=r"unknown exercise 'sst.sum_to_zer'; did you mean 'sst.sum_to_zero'"
    ):
        exercises.check("sst.sum_to_zer", ...)


def test_reasons_of_the_reader_stand_beside_ours():
    reply = exercises.check("triplet.collapse", {"c": "my own words", "e": ""})
    assert reply.status == "right"
    assert [("my own words" in line) for line in reply.details] == [False, False, True, False, False]


def test_a_wrong_choice_gives_no_other_letter_away():
    reply = exercises.check("triplet.collapse", {"a"})
    assert [line[0] for line in reply.details[:-1]] == ["a"]
    assert "2 of them are missing" in reply.expected


def test_the_hint_is_offered_until_one_is_read():
    assert "hint(" in exercises.check("sst.resting_place", WRONG).plain()
    exercises.hint("sst.resting_place")
    assert "hint(" not in exercises.check("sst.resting_place", WRONG).plain()


def test_a_question_lists_its_choices():
    page = exercises.question("triplet.collapse")
    assert page.heading == "Exercise 01.3 · My loss sticks at the margin"
    assert "- **d**: start from a network" in page.text


def test_gradients_that_torch_cannot_take_are_told_kindly():
    def answer(a, p, n, margin):
        root = ((a - p).square().sum() + 1).sqrt()
        value = root * root - 1 + margin - (a - n).square().sum()
        root.zero_()
        return value.relu()

    reply = exercises.check("triplet.hinge", answer)
    assert reply.status == "not yet" and "torch cannot go back" in reply.words


def test_a_right_value_with_a_wrong_gradient_is_not_right():
    def answer(a, p, n, margin):
        return torch.relu(margin + (a.detach() - p).square().sum() - (a - n).square().sum())

    reply = exercises.check("triplet.hinge", answer)
    assert reply.words == "The value is right, the gradient in a is not."
    assert "your gradient in a" in reply.case


def test_a_python_program_gets_plain_text(progress_file):
    code = "from dmlteach.course.exercises import check\n"
    code += "check('before.softmax', 0.5); check('before.softmax', ...)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "Exercise 00.7 · Softmax: right",
        "  It is the share of the first of two equal parts.",
        "Exercise 00.7 · Softmax: not answered yet",
    ]


def test_replies_of_equal_status_print_alike():
    assert repr(Reply("right", "words")) == "Reply('right')"


def test_the_failing_case_is_the_smallest_and_its_numbers_lead_to_the_two_results():
    def nearest_of_all(z, y):  # forgets to leave the query out, and counts in percent
        return 100.0

    reply = exercises.check("start.recall_at_1", nearest_of_all)
    z, _ = reply.inputs
    assert len(z) == 4  # by hand: two pairs of neighbours, each of two classes
    assert reply.case["your answer"] == 100 and reply.case["right"] == 0
    assert "(0), (1), (10), (11) of shape (4, 1)" in reply.plain() and "(0, 1, 0, 1)" in reply.plain()


@pytest.mark.parametrize("id", ["batches.expected_positives", "sst.resting_place"])
def test_a_first_failure_does_not_tell_the_formula(id):
    exercise = exercises.get(id)
    answer = (1.0, 2.0) if id.startswith("batches") else (lambda a, p: 3 * a)
    said = exercises.check(id, answer).plain()
    for formula in ("n − 1", "K − 1", "a + p", "2n"):
        assert formula not in said
    assert any("n" in hint for hint in exercise.hints)
