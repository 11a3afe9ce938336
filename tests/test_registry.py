"""A registry finds things by name, tells their options, and makes them; whatever is wrong is one sentence."""

import pytest

from dmlteach.errors import DMLTeachError
from dmlteach.registry import Registry


class Apple:
    def __init__(self, tree: str, size: int = 3, ripe: bool = True):
        self.tree, self.size, self.ripe = tree, size, ripe


def pear(tree: str, weight: float) -> tuple[str, float]:
    return tree, weight


FRUITS = Registry("fruit", {"pear": pear, "apple": Apple}, facts=("tree",))


def test_it_knows_names_and_options_without_the_facts():
    assert FRUITS.names() == ["apple", "pear"]
    assert list(FRUITS.options("apple")) == ["size", "ripe"]
    assert FRUITS["pear"] is pear


def test_it_makes_what_is_called_so_with_facts_and_options():
    apple = FRUITS.create("apple", "old tree", size=5)
    assert (apple.tree, apple.size, apple.ripe) == ("old tree", 5, True)
    assert FRUITS.create("pear", "young tree", weight=0.2) == ("young tree", 0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FRUITS["aple"], r"unknown fruit 'aple'; did you mean 'apple'\? Known: apple, pear"),
        (lambda: FRUITS.options("plum"), "unknown fruit 'plum'"),
        (
            lambda: FRUITS.check("apple", {"sise": 1}),
            "unknown option of the apple fruit 'sise'; did you mean",
        ),
        (lambda: FRUITS.check("apple", {"tree": "x"}), "unknown option of the apple fruit 'tree'"),
        (lambda: FRUITS.create("apple", "tree", size="big"), "option size of the apple fruit must be"),
        (lambda: FRUITS.create("pear", "tree"), "the pear fruit needs weight, e.g. weight=…"),
    ],
)
def test_what_cannot_be_made_is_one_error(call, message):
    with pytest.raises(DMLTeachError, match=message):
        call()
