"""The script that judges on the site, beside Python's judge: the same reply to every answer."""

import dataclasses
import functools
import itertools
import json
import random

import pytest

from dmlteach.course import exercises
from dmlteach.course.exercises import in_page, progress, written
from dmlteach.course.exercises.kinds import Choice, Exercise, Number, Reflection
from dmlteach.course.exercises.progress import BETTER, Record
from dmlteach.course.exercises.replies import Reply, shown
from dmlteach.course.exercises.unmarked import Closing, Opening, PredictedChoice, Prediction
from dmlteach.course.guesses import guessed

ALL = [exercises.get(id) for id in exercises.names()]
CHOICES = [e.id for e in ALL if isinstance(e, Choice)]
NUMBERS = [e.id for e in ALL if isinstance(e, Number)]
REFLECTIONS = [e.id for e in ALL if isinstance(e, Reflection)]
UNMARKED = [question for chapter in exercises.CHAPTERS for question in chapter.unmarked]
JUDGE = "([definition, answers]) => answers.map((a) => dmlteachAnswers.judge(definition, a))"


@pytest.fixture(scope="module")
def scripted(browser):
    """A page that holds nothing but the scripts."""
    page = browser.new_page()
    page.add_script_tag(content=in_page.script())
    yield page
    page.close()


def same_as_python(reply: Reply) -> dict:
    """A reply of Python as the script has it."""
    return {
        "status": reply.status,
        "words": reply.words,
        "expected": reply.expected,
        "case": [[name, shown(value)] for name, value in reply.case.items()],
        "details": list(reply.details),
    }


def in_the_page(scripted, exercise: Exercise, answers: list) -> list[dict]:
    definition = json.loads(json.dumps(exercise.for_page()))
    return scripted.evaluate(JUDGE, [definition, answers])


@pytest.mark.parametrize("id", CHOICES)
def test_every_set_of_choices_is_answered_as_python_answers_it(scripted, id):
    exercise = exercises.get(id)
    letters = list(exercise.options)
    sets = [s for size in range(len(letters) + 1) for s in itertools.combinations(letters, size)]
    answers = [{letter: "" for letter in chosen} for chosen in sets]
    answers += [{letter: f"because of {{}} and $& {letter}" for letter in chosen} for chosen in sets[1:9]]
    found = in_the_page(scripted, exercise, answers)
    assert len(found) == len(answers) >= 2 ** len(letters)
    assert found == [same_as_python(exercise.judge(answer)) for answer in answers]
    assert sum(reply["status"] == "right" for reply in found[: len(sets)]) == 1


def computed_once(exercise: Number) -> Number:
    """The same exercise, whose numbers are not measured anew for each of fifty answers."""
    mistakes = tuple((functools.cache(value), words) for value, words in exercise.mistakes)
    return dataclasses.replace(exercise, value=functools.cache(exercise.value), mistakes=mistakes)


def fifty(exercise: Number) -> list:
    """Right, near, mistaken and odd answers, each a number or as many numbers as are asked for."""
    chance = random.Random(exercise.id)
    value = exercise.value()
    right = value if isinstance(value, tuple) else (value,)
    wrong = [v if isinstance(v, tuple) else (v,) for v in (f() for f, _ in exercise.mistakes)]
    near = [tuple(x + f * exercise.within for x in right) for f in (-2, -1.01, -0.99, 0.5, 0.99, 1.01, 2)]
    odd = [tuple(c * x for x in right) for c in (100, 0.01, -1)] + [right[::-1], (0.0,) * len(right)]
    found = [right, *wrong, *near, *odd]
    while len(found) < 50:
        found.append(
            tuple(chance.choice((chance.uniform(-2, 2), 10 ** chance.uniform(-7, 7))) for _ in right)
        )
    return found[:50]


@pytest.mark.parametrize("id", NUMBERS)
def test_fifty_numbers_are_answered_as_python_answers_them(scripted, id):
    exercise = computed_once(exercises.get(id))
    answers = fifty(exercise)
    found = in_the_page(scripted, exercise, [list(answer) for answer in answers])
    given = [answer if isinstance(exercise.value(), tuple) else answer[0] for answer in answers]
    assert found == [same_as_python(exercise.judge(answer)) for answer in given]
    assert found[0]["status"] == "right"
    assert {reply["words"] for reply in found} >= {words for _, words in exercise.mistakes}


@pytest.mark.parametrize("id", REFLECTIONS)
def test_a_reflection_gets_the_same_words_to_compare_with(scripted, id):
    found = in_the_page(scripted, exercises.get(id), ["Some words.", " \n"])
    assert found[0] == same_as_python(exercises.get(id).judge("Some words."))
    assert found[1]["status"] == "not answered yet"


# --- what is kept and not marked


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A reader who has done nothing."""
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))


def of_kind(*kinds: type):
    chosen = [question for question in UNMARKED if isinstance(question, kinds)]
    return pytest.mark.parametrize("question", chosen, ids=lambda q: q.id)


@of_kind(Prediction)
def test_fifty_guesses_are_answered_as_python_answers_them(scripted, question):
    chance, size = random.Random(question.id), len(question.parts)
    ends = (question.least, question.most, question.least - 1e-3, question.most + 1, 0.4, 12345.678)
    answers = [[end] * size for end in ends]
    answers += [[chance.uniform(-5, question.most * 1.2) for _ in range(size)] for _ in range(44)]
    given = [tuple(answer) if size > 1 else answer[0] for answer in answers]
    assert in_the_page(scripted, question, answers) == [same_as_python(question.judge(a)) for a in given]


@of_kind(PredictedChoice)
def test_every_guess_of_a_choice_is_answered_as_python_answers_it(scripted, question):
    letters = list(question.options)
    assert in_the_page(scripted, question, letters) == [same_as_python(question.judge(x)) for x in letters]


@of_kind(Opening, Closing)
def test_every_answer_that_opens_or_closes_is_answered_as_python_answers_it(scripted, question, newcomer):
    letters = list(question.options)
    sets = [s for size in range(len(letters) + 1) for s in itertools.combinations(letters, size)]
    answers = [{letter: chance for letter in chosen} for chosen in sets for chance in ("", "since {} $&")]
    for first in ({}, {"b": "for {} $1"}, {"c": "", "a": " "}, {"a": 3, "z": "no choice"}):
        records = {}
        if first and isinstance(question, Closing):
            text = json.dumps({x: first[x] for x in sorted(first)})
            progress.keep_answer(question.opening, text)
            records = {question.opening: vars(progress.read()[0][question.opening])}
        found = scripted.evaluate(
            "([asked, answers, kept]) => answers.map((a) => dmlteachAnswers.judge(asked, a, kept))",
            [json.loads(json.dumps(question.for_page())), answers, records],
        )
        # a link leads to the page of a chapter here, and to its notebook there
        in_python = [same_as_python(question.judge(answer)) for answer in answers]
        assert json.loads(json.dumps(found).replace(".html", ".ipynb")) == in_python


@of_kind(Opening, Closing)
def test_what_is_settled_is_the_same_in_the_page(scripted, question, newcomer):
    settled = "([definition, records]) => dmlteachAnswers.isSettled(definition, records)"
    closing = question.closing if isinstance(question, Opening) else question.id
    definition = {"id": question.id, **question.for_page()}
    assert scripted.evaluate(settled, [definition, {}]) == question.is_settled() == False  # noqa: E712
    progress.keep_answer(closing, "{}")
    records = {id: vars(record) for id, record in progress.read()[0].items()}
    assert scripted.evaluate(settled, [definition, records]) == question.is_settled() == True  # noqa: E712


@of_kind(Prediction)
def test_a_guess_stands_beside_what_is_measured_in_the_same_words(scripted, question, newcomer):
    chance = random.Random(question.id)
    scale = 100 if question.unit == "%" else 1
    for digits in (0, 1, 2) * 20:
        guess = [
            round(chance.uniform(question.least, question.most), chance.randint(0, 3)) for _ in question.parts
        ]
        near = [g + chance.choice((0, 0.5, 0.05, -0.25, chance.uniform(-9, 9))) for g in guess]
        progress.keep_answer(question.id, json.dumps(guess))
        beside = guessed(
            question.id, dict(zip(question.parts, (x / scale for x in near), strict=True)), digits=digits
        )
        assert len(beside.sentences) == len(guess)
        found = scripted.evaluate("([c, g]) => dmlteachAnswers.aboutGuess(c, g)", [beside.content, guess])
        assert found == beside.sentences


@of_kind(PredictedChoice)
def test_a_guessed_choice_stands_beside_what_came_out_in_the_same_words(scripted, question, newcomer):
    for guess, came_out in itertools.product(question.options, question.options):
        progress.keep_answer(question.id, json.dumps(guess))
        beside = guessed(question.id, came_out)
        found = scripted.evaluate("([c, g]) => dmlteachAnswers.aboutGuess(c, g)", [beside.content, guess])
        assert found == beside.sentences and len(found) == 1


def test_numbers_are_shown_as_python_shows_them(scripted):
    chance = random.Random(0)
    numbers = [chance.uniform(-1, 1) * 10 ** chance.randint(-12, 18) for _ in range(2000)]
    numbers += [i / 2**k for i in range(-64, 64) for k in range(8)]  # ties among them
    numbers += [2.0625, 0.00015625, 9999.5, 99995.0, 12345.5, 12346.5, 75_240_000.0, 999_999_999_999_999.5]
    numbers += [0.0001, 0.00009999, 1e15, 1e22, 5e-324, 1e308, -0.0]
    found = scripted.evaluate("(list) => list.map((x) => dmlteachAnswers.shown(x))", numbers)
    assert found == [shown(x) for x in numbers]


WRITTEN = [
    "0.25", "0,25", " −3 ", "- 3", "1e-3", "2.5E6", ".5", "5.", "+2", "19/1999", "1 / 3", "1/0", "0/0",
    "1/2/3", "1 000", "1\u202f234\u202f567.5", "7,500,000", "−7,500,000", "75,240,000.5", "7_500_000",
    "1,200", "0,250", "1,200/2", "12,34", "75,24,000", "1,2000", "1 2", "1,000 000", "40 %", "40%", "−0,4 %",
    "1/2 %", "1,200 %", "%", "40 % %", "", "two", "Infinity", "nan", "0x10", "1.2.3", "1e999", "٣", "log 63",
    "12 points",
]  # fmt: skip


@pytest.mark.parametrize("percent", [None, 0.01, 1.0])
def test_a_text_is_read_as_the_number_that_python_reads(scripted, percent):
    chance = random.Random(2)
    texts = WRITTEN + [
        "".join(chance.choices("0123456789,. −%/e", k=chance.randint(1, 9))) for _ in range(3000)
    ]
    read = "([texts, percent]) => texts.map((text) => dmlteachAnswers.numberOf(text, percent) ?? null)"
    found = scripted.evaluate(read, [texts, percent])
    in_python = [written.number_of(text, percent) for text in texts]
    assert found == [number and number._asdict() for number in in_python]


def answered(scripted, exercise: Exercise, texts: list[str]) -> dict:
    """The reply of the page to what is typed into the fields of an exercise."""
    return scripted.evaluate(
        """([definition, texts]) => {
            try {
                const { answer, doubts } = dmlteachAnswers.readNumbers(definition, texts);
                const found = dmlteachAnswers.judge(definition, answer);
                return { ...found, details: [...doubts, ...found.details] };
            } catch (error) {
                return { status: "not yet", words: error.message, expected: "", case: [], details: [] };
            }
        }""",
        [json.loads(json.dumps(exercise.for_page())), texts],
    )


@pytest.mark.parametrize("id", NUMBERS)
def test_a_typed_answer_is_answered_as_python_answers_it(scripted, id):
    exercise = computed_once(exercises.get(id))
    value = exercise.value()
    forms = {
        "plain": str,
        "grouped": "{:,}".format,
        "powers": "{:.3e}".format,
        "percent": lambda x: f"{100 * x:.9g} %",
        "words": lambda x: f"about {x}",
    }
    for form, typed in forms.items():
        texts = [typed(x).replace("-", "−") for x in (value if isinstance(value, tuple) else (value,))]
        reply = exercise.judge(tuple(texts) if isinstance(value, tuple) else texts[0])
        assert answered(scripted, exercise, texts) == same_as_python(reply)
        if form != "powers":
            right = form in ("plain", "grouped") or (form == "percent" and exercise.percent == 0.01)
            assert reply.status == ("right" if right else "not yet")


@of_kind(Prediction)
def test_a_typed_guess_is_answered_as_python_answers_it(scripted, question):
    for text in (f"{question.most:,}", f"{question.least} {question.unit}", "40 %", "0,5", "1,000", "many"):
        texts = [text] * len(question.parts)
        reply = question.judge(tuple(texts))
        assert answered(scripted, question, texts) == same_as_python(reply)
        assert text != "many" or "cannot be read" in reply.words


def test_two_records_become_one_as_python_makes_it(scripted):
    chance = random.Random(1)

    def record() -> Record:
        when = f"2026-01-{chance.randint(10, 28)}T00:00:00+00:00"
        answer = chance.choice(("", '"a"', '"b"'))
        return Record(chance.choice(BETTER), chance.randint(0, 4), chance.randint(0, 3),
                      chance.random() < 0.5, when, answer)  # fmt: skip

    pairs = [(record(), record()) for _ in range(300)]
    given = [[vars(a), vars(b)] for a, b in pairs]
    found = scripted.evaluate("(pairs) => pairs.map(([a, b]) => dmlteachAnswers.merged(a, b))", given)
    assert found == [vars(progress.merged(a, b)) for a, b in pairs]


def test_who_answers_an_exercise_is_told_by_its_kind():
    for exercise in ALL:
        judged = isinstance(exercise, Choice | Number | Reflection)
        assert (exercise.for_page() is not None) == judged
        assert ("dml-answer" in in_page.place(exercise)) == judged
        assert ("dmlteach lab" in in_page.place(exercise)) != judged
    assert len(CHOICES) >= 11 and len(NUMBERS) >= 9 and len(REFLECTIONS) >= 4
