"""Numbers as people write them: what each is read as, and what is asked about."""

import pytest

from dmlteach.course import exercises
from dmlteach.course.exercises.kinds import Number
from dmlteach.course.exercises.replies import shown
from dmlteach.course.exercises.written import number_of


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.25", 0.25), ("0,25", 0.25), (" −3 ", -3), ("- 3", -3), ("1e-3", 0.001), (".5", 0.5), ("5.", 5),
     ("+2", 2), ("19/1999", 19 / 1999), ("1 000", 1000), ("1,200", 1200), ("0,250", 0.25), ("12,34", 12.34),
     ("7,500,000", 7_500_000), ("−75,240,000.5", -75_240_000.5), ("7 500 000", 7_500_000), ("1,2000", 1.2)],
)  # fmt: skip
def test_a_number_is_read_as_a_person_means_it(text, value):
    assert number_of(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two",
        "1/0",
        "0/0",
        "1/2/3",
        "Infinity",
        "nan",
        "0x10",
        "1.2.3",
        "1 2",
        "75,24,000",
        "1e999",
        "40 %",
        "%",
    ],
)
def test_what_is_no_number_is_not_read(text):
    assert number_of(text) is None


def test_a_percent_sign_is_a_hundredth_of_a_fraction_and_is_told():
    assert number_of("40 %", 0.01) == (0.4, "“40 %” is read as 0.4.")
    assert number_of("−0,5%", 0.01) == (-0.005, "“−0,5%” is read as −0.005.")
    assert number_of("40 %", 1) == (40, "")  # where percent are asked for it says nothing new
    assert number_of("40", 0.01) == (40, "")


def test_one_comma_before_three_digits_is_asked_about_and_no_other():
    assert "between thousands" in number_of("1,200").doubt
    for text in ("1,200,000", "1 200", "0,250", "1,25", "1,200.5"):
        assert number_of(text).doubt == ""


def test_a_check_reads_texts_and_tells_what_it_could_not_or_might_have_misread():
    assert exercises.check("before.squared_distance", "2").status == "right"
    assert exercises.check("before.gradient", ("2", 0)).status == "right"
    assert exercises.check("proxies.terms", ("75,240,000", "200 000")).status == "right"
    assert exercises.check("before.softmax", "50 %").details == ("“50 %” is read as 0.5.",)
    assert "“two” cannot be read as a number" in exercises.check("before.squared_distance", "two").words
    assert "no percentage is asked for" in exercises.check("before.squared_distance", "200 %").words
    assert exercises.check("guess.active_triplets", ("60 %", "2,5")).case["before the training"] == "60 %"


def test_a_fraction_that_is_given_in_percent_without_the_sign_is_told():
    assert "right in percent" in exercises.check("before.softmax", 50).words
    assert "percent" not in exercises.check("before.squared_distance", 200).words  # no fraction is asked for


def test_large_numbers_count_to_the_last_digit():
    assert exercises.check("proxies.terms", (75_240_001, 200_000)).status == "not yet"


def test_numbers_are_echoed_as_people_write_them():
    assert [shown(x) for x in (75_240_000.0, 12345.678, 9999.5, 9999.4, 75_240_000)] == [
        "75,240,000", "12,346", "10,000", "9999", "75,240,000",
    ]  # fmt: skip
    assert [shown(x) for x in (0.00002, -1.5e-7, 3e20)] == ["2 × 10⁻⁵", "−1.5 × 10⁻⁷", "3 × 10²⁰"]
    reply = exercises.check("proxies.terms", ("75,240,000", 100))
    assert shown(reply.case["your answer"]) == "(75,240,000; 100)"


NUMBERS = [e for e in map(exercises.get, exercises.names()) if isinstance(e, Number)]
WORDS = {1: "one decimal", 2: "two decimals", 3: "three decimals", 4: "four decimals"}


@pytest.mark.parametrize("exercise", NUMBERS, ids=lambda e: e.id)
def test_a_number_that_has_to_be_rounded_says_to_how_many_decimals_and_takes_what_that_gives(exercise):
    value = exercise.value()
    right = value if isinstance(value, tuple) else (value,)
    if exercise.decimals is None:
        assert "decimal" not in exercise.text
        assert all(x == round(x, 1) for x in right) or "are right as well" in exercise.text
        return
    assert f"to {WORDS[exercise.decimals]}" in exercise.text
    texts = tuple(f"{x:.{exercise.decimals}f}" for x in right)
    assert exercise.judge(texts if len(texts) > 1 else texts[0]).status == "right"
    beside = tuple(x + 2 * 10**-exercise.decimals for x in right)
    assert exercise.judge(beside if len(beside) > 1 else beside[0]).status == "not yet"


@pytest.mark.parametrize("exercise", NUMBERS, ids=lambda e: e.id)
def test_no_mistake_is_so_near_that_its_rounding_is_right(exercise):
    for value, words in exercise.mistakes:
        mistake = value()
        digits = exercise.decimals if exercise.decimals is not None else 9
        rounded = (
            tuple(round(x, digits) for x in mistake) if isinstance(mistake, tuple) else round(mistake, digits)
        )
        reply = exercise.judge(rounded)
        assert reply.status == "not yet" and reply.words == words
