"""A docstring is taken apart as it is written; one that cannot be read is an error that names it."""

import pytest

from dmlteach.course.reference.docstrings import Block, parse
from dmlteach.errors import DMLTeachError

WHOLE = """[m + d²(a,p)]₊ of every anchor; see `kmeans`. More of it.

A second paragraph
over two lines:

    a  1
    b  2

- a point
  goes on
- another

Args:
    a: (N, D), first: of them.
    b, *c: two
        and their next line.

Returns:
    One thing.

    And another.

Raises:
    DMLTeachError: never.

Example:
    >>> f(1)
    2

Source: Somebody, Somewhere
2020.

After all.
"""


def test_every_part_of_a_docstring_is_found():
    doc = parse(WHOLE, "f", {"a", "b", "c"})
    assert doc.body == [
        Block("text", "[m + d²(a,p)]₊ of every anchor; see `kmeans`. More of it."),
        Block("text", "A second paragraph over two lines:"),
        Block("code", "a  1\nb  2"),
        Block("point", "a point goes on"),
        Block("point", "another"),
        Block("code", ">>> f(1)\n2"),
        Block("text", "After all."),
    ]
    assert doc.lists["Arguments"] == [("a", "(N, D), first: of them."), ("b, *c", "two and their next line.")]
    assert doc.texts["Returns"] == [Block("text", "One thing."), Block("text", "And another.")]
    assert doc.lists["Raises"] == [("DMLTeachError", "never.")]
    assert doc.source == "Somebody, Somewhere 2020."
    assert doc.summary == "[m + d²(a,p)]₊ of every anchor; see `kmeans`."


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty; say in one sentence"),
        ("An `open name.", "backquote without its second"),
        ("F.\n\nArguments:\n    a: x", "section 'Arguments'"),
        ("F.\n\nReturn: x", "line 'Return: x'"),
        ("F.\n\nArgs:\n    a, the first", "under 'Args' the line 'a, the first'; write NAME: what it is"),
        ("F.\n\nArgs:\n    q: x", "describes q, which it does not take"),
        ("F.\n\nReturns:\n\nRaises:\n    Error: x", "nothing under 'Returns'"),
    ],
)
def test_a_broken_docstring_is_an_error_that_names_it(text, message):
    with pytest.raises(DMLTeachError, match=f"the docstring of dmlteach.some.f .*{message}"):
        parse(text, "dmlteach.some.f", {"a"})


def test_a_summary_is_a_first_sentence_and_no_abbreviation_ends_it():
    assert parse("By Wu et al. in a paper, e.g. this. Then more.", "f").summary == (
        "By Wu et al. in a paper, e.g. this."
    )
