"""Predictions, and the questions that open and close the course: kept as they are given, and never marked."""

import json
import re

import numpy as np
import pytest
import torch
from scipy import stats

from dmlteach import course
from dmlteach.course import exercises
from dmlteach.course.exercises import CHAPTERS, five_questions, progress
from dmlteach.course.exercises.unmarked import Closing, Opening, PredictedChoice, Prediction
from dmlteach.course.guesses import guessed
from dmlteach.errors import DMLTeachError

QUESTIONS = [question for chapter in CHAPTERS for question in chapter.unmarked]
PREDICTIONS = [q for q in QUESTIONS if isinstance(q, Prediction)]
TWO, CHOICE = "guess.active_triplets", "guess.slowest"
FIRST, SECOND = "opening.proxies", "closing.proxies"


def records() -> dict[str, progress.Record]:
    return progress.read()[0]


@pytest.mark.parametrize("question", PREDICTIONS, ids=lambda q: q.id)
def test_any_number_that_can_be_is_kept_and_one_that_cannot_is_not(question):
    for x in (question.least, question.most, (question.least + question.most) / 3):
        given = x if len(question.parts) == 1 else (x,) * len(question.parts)
        assert exercises.check(question.id, given).status == "kept"
        assert json.loads(records()[question.id].answer) == [x] * len(question.parts)
    outside = question.most + 1
    given = outside if len(question.parts) == 1 else (outside,) * len(question.parts)
    reply = exercises.check(question.id, given)
    assert reply.status == "not yet" and "cannot be" in reply.words
    assert json.loads(records()[question.id].answer) == [x] * len(question.parts)


def test_a_guess_may_be_written_in_many_ways():
    for given in ((60, 20), [60.0, 20], ("60 %", "20"), torch.tensor([60.0, 20.0])):
        assert exercises.check(TWO, given).status == "kept"
        assert progress.answer_of(TWO) == [60, 20]


@pytest.mark.parametrize(
    ("answer", "words"),
    [("40", "This is one number; what is asked for is 2 numbers"), (40, "This is one number"),
     ("much", "“much” cannot be read"),
     ((1, 2, 3), "This is 3 numbers"), ((True, False), "asked for is 2 numbers"),
     ((140, 2), "140 % cannot be: it lies between 0 % and 100 %"),
     ((float("nan"), 2), "nan % cannot be")],
)  # fmt: skip
def test_what_is_no_guess_is_told_and_nothing_is_kept(answer, words, progress_file):
    reply = exercises.check(TWO, answer)
    assert reply.status == "not yet" and words in reply.words
    assert not progress_file.exists()


def test_percent_given_as_fractions_are_kept_and_asked_about():
    reply = exercises.check(TWO, (0.6, 0.2))
    assert reply.status == "kept" and "write 40 for 40 %" in reply.plain()
    assert "write 40" not in exercises.check(TWO, (60, 0.2)).plain()


def test_a_guess_is_shown_as_it_is_kept_and_no_word_is_said_about_it():
    reply = exercises.check(TWO, (60, 20))
    assert "before the training: 60 %" in reply.plain() and "<caption>Your guess</caption>" in reply.html()
    assert reply.case == {"before the training": "60 %", "after a few passes over the data": "20 %"}


def test_another_guess_takes_the_place_of_the_first():
    exercises.check(TWO, (60, 20))
    exercises.check(TWO, (50, 1))
    record = records()[TWO]
    assert (record.answer, record.status, record.tries) == ("[50.0, 1.0]", "to compare", 1)


@pytest.mark.parametrize("answer", ["e", {"e"}, ["E"], {"e": "most"}])
def test_a_choice_is_kept_as_its_letter(answer):
    assert exercises.check(CHOICE, answer).status == "kept" and progress.answer_of(CHOICE) == "e"


@pytest.mark.parametrize("answer", ["ef", "a, b", "z", 3, {}, ""])
def test_what_names_no_single_choice_is_not_kept(answer, progress_file):
    assert exercises.check(CHOICE, answer).status == "not yet" and not progress_file.exists()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.id)
def test_without_an_answer_it_says_so_in_one_line_and_notes_nothing(question, capsys, progress_file):
    assert exercises.check(question.id, ...).status == "not answered yet"
    assert exercises.check(question.id, (..., ...)).status == "not answered yet"
    assert capsys.readouterr().out == f"{question.heading}: not answered yet\n" * 2
    assert not progress_file.exists()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.id)
def test_there_are_no_hints_and_no_solution_to_what_is_never_wrong(question):
    for ask in (exercises.hint, exercises.solution):
        with pytest.raises(DMLTeachError, match="no hints and no solution"):
            ask(question.id)
    assert exercises.folded(question.id) == ""


def test_a_guess_that_is_damaged_is_no_guess(progress_file):
    progress_file.parent.mkdir()
    for text in (
        "{",
        '{"version": 1, "exercises": {"guess.recall": {"status": "to compare", "answer": "["}}}',
    ):
        progress_file.write_text(text)
        assert progress.answer_of("guess.recall") is None
    assert progress_file.read_text() == text  # looking changes nothing


@pytest.mark.parametrize(
    "kept", ["[[" * 9999, "[NaN, 1]", "[1e999, 1]", '["60", 1]', "[60]", '"60"', "{}", "null", ""]
)
def test_an_answer_of_another_form_is_shown_by_no_figure_and_stops_no_chapter(kept):
    progress.keep_answer(TWO, kept)
    assert guessed(TWO, {"before": 0.3, "after": 0.1}).sentences == []


@pytest.mark.parametrize("kept", ["[1]", '{"a": 3, "z": "no"}', "3", "{"])
def test_a_first_answer_of_another_form_stops_no_second_one(kept):
    progress.keep_answer(FIRST, kept)
    assert exercises.check(SECOND, "b").case["at the beginning"] == ("a" if "a" in kept else "none")


# --- opening and closing


def test_five_questions_open_the_first_chapter_and_close_the_last():
    first, last = CHAPTERS[0].unmarked[:5], CHAPTERS[-1].unmarked[-5:]
    assert first == five_questions.OPENING and last == five_questions.CLOSING
    for i, (opening, closing) in enumerate(zip(first, last, strict=True), 1):
        assert opening.place == closing.place == f"{i} of 5"
        assert (opening.text, opening.closing, closing.opening) == (closing.text, closing.id, opening.id)
        assert opening.options is closing.options
        assert 0 < sum(option.right for option in opening.options.values()) < len(opening.options)


@pytest.mark.parametrize("question", five_questions.OPENING, ids=lambda q: q.id)
def test_the_opening_keeps_an_answer_and_tells_nothing(question):
    page = json.dumps(question.for_page(), ensure_ascii=False)
    for letter, option in question.options.items():
        reply = exercises.check(question.id, {letter: "because"})
        assert reply.status == "kept" and not reply.details and not reply.case
        assert option.why not in reply.plain() and option.why not in page
        assert progress.answer_of(question.id) == {letter: "because"}
    assert '"right"' not in page


def test_both_answers_are_kept_and_stand_side_by_side():
    exercises.check(FIRST, {"c": "pairs look closer", "a": ""})
    reply = exercises.check(SECOND, {"b", "d"})
    assert reply.status == "to compare"
    assert reply.case == {"at the beginning": "a, c", "now": "b, d"}
    assert reply.words == "b and d are right."
    by_letter = dict(zip("abcd", reply.details, strict=False))
    assert by_letter["c"].startswith("c, no: ") and "at the beginning: pairs look closer)" in by_letter["c"]
    assert by_letter["b"].startswith("b, yes: ") and len(reply.details) == 5
    assert {id: json.loads(records()[id].answer) for id in (FIRST, SECOND)} == {
        FIRST: {"a": "", "c": "pairs look closer"},
        SECOND: {"b": "", "d": ""},
    }


def test_the_first_answers_stay_once_the_course_has_come_back_to_them():
    exercises.check(FIRST, "a")
    exercises.check(SECOND, {"a"})
    assert "is the one that is kept" in exercises.check(FIRST, "b").words
    assert exercises.check(SECOND, {"b", "d"}).case["now"] == "b, d"
    assert progress.answer_of(FIRST) == progress.answer_of(SECOND) == {"a": ""}


def test_who_begins_at_the_end_is_told_that_there_was_no_answer():
    assert exercises.check(SECOND, "a").case["at the beginning"] == "none"


@pytest.mark.parametrize("id", [FIRST, SECOND])
@pytest.mark.parametrize(
    ("answer", "words"), [("z", "no choice 'z'"), (3, "letters are asked for"), ({}, "")]
)
def test_what_names_no_choice_is_not_kept(id, answer, words, progress_file):
    reply = exercises.check(id, answer)
    assert reply.status == "not yet" and words in reply.words and not reply.details
    assert not progress_file.exists()


@pytest.mark.parametrize("question", five_questions.CLOSING, ids=lambda q: q.id)
def test_each_explanation_links_to_a_section_that_is_there_and_has_a_number(question):
    reply = exercises.check(question.id, "a")
    *_, measured = reply.details
    chapter, file, section = question.where
    assert f"[{chapter}]({file}.ipynb#{section})" in measured
    assert f'<a href="{file}.ipynb#{section}">{chapter}</a>' in reply.html()
    content = json.loads((course.CHECKOUT / "notebooks" / f"{file}.ipynb").read_text(encoding="utf-8"))
    headings = [
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for cell in content["cells"]
        if cell["cell_type"] == "markdown"
        for line in "".join(cell["source"]).splitlines()
        if line.startswith("#")
    ]
    assert section in headings
    assert any(sign.isdigit() for sign in measured.partition("): ")[2])


def test_the_numbers_of_the_explanations_have_the_direction_that_the_right_choice_says():
    """Each against what the package has recorded, by another way than the sentence."""
    from dmlteach.course import measured
    from dmlteach.course.recordings import replay
    from dmlteach.course.recordings.learners import learners
    from dmlteach.course.widgets.weight_explorer import curves

    record = curves.load()

    def supcon(name):
        total = 0.0
        for z in record.points[name]:
            logits = (z @ z.T / 0.01).fill_diagonal_(-torch.inf)
            log_p = logits - logits.logsumexp(1, keepdim=True)
            own = (record.labels[:, None] == record.labels).fill_diagonal_(False)
            total += float(-(log_p.masked_fill(~own, 0).sum(1) / own.sum(1)).mean()) / len(
                record.points[name]
            )
        return total

    assert supcon("trained") > supcon("untrained") and record.recall["trained"] > record.recall["untrained"]
    assert f"{supcon('trained'):.2f}" in five_questions.lower_loss()
    runs = replay.replays()
    assert runs["hardest"].recall[-1] < runs["hardest"].recall[0] < runs["triplet"].recall[-1]
    proxy = measured.of("proxy_nca").recalls()
    finals = [
        r for r in measured.runs("triplet") if r.variant in ("", *(f"with {s}" for s in measured.SAMPLERS))
    ]
    triplet = {s: {r.seed: r.recall for r in finals if r.sampler == s} for s in {r.sampler for r in finals}}
    best = max(triplet.values(), key=lambda recalls: np.mean([*recalls.values()]))
    ahead = 100 * np.mean([proxy[seed] - best[seed] for seed in proxy.keys() & best.keys()])
    assert ahead > 0 and f"{ahead:.1f} ± " in five_questions.proxies_see()
    assert f"{np.mean([*proxy.values()]):.1%}" in five_questions.proxies_see()
    assert runs["triplet"].recall[-1] < runs["active"].recall[-1]
    record, said = learners(), five_questions.ensembles_against()
    for one, other, is_told in (
        ("three_deviance", "one_deviance", False),
        ("bier", "one_deviance", True),
        ("bier", "unboosted", False),
    ):
        first, second = record.recall(one), record.recall(other)
        low, high = stats.ttest_rel([*first.values()], [*second.values()]).confidence_interval(0.95)
        words = f"{50 * (low + high):+.1f} ± {50 * (high - low):.1f} points by {len(first)} seeds"
        assert words in said and (low <= 0 <= high) != is_told
        assert (f"{words}, which cannot be told" in said) != is_told


def test_an_import_brings_both_answers(tmp_path):
    exercises.check(FIRST, {"a": "all data"})
    exercises.check(SECOND, "b")
    exercises.check(TWO, (60, 20))
    progress.export(tmp_path / "mine.json")
    progress.reset()
    assert progress.take_in(tmp_path / "mine.json") == 3
    assert progress.answer_of(FIRST) == {"a": "all data"} and progress.answer_of(SECOND) == {"b": ""}
    assert progress.answer_of(TWO) == [60, 20]


def test_ids_are_unique_among_exercises_and_questions():
    ids = [q.id for q in QUESTIONS]
    assert len(set(ids)) == len(ids) and not set(ids) & set(exercises.names())
    assert all(isinstance(q, Prediction | PredictedChoice | Opening | Closing) for q in QUESTIONS)
