"""The list of what can go wrong names tests that are there."""

import ast
import re

import pytest

from dmlteach.course import CHECKOUT

TESTS = CHECKOUT / "tests"
TEXT = (CHECKOUT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)


def test_the_list_names_many_tests_each_once():
    assert len(NAMED) > 80
    assert len(NAMED) == len(set(NAMED))


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_each_test_that_is_named_is_there(file):
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {name for where, name in NAMED if where == file} <= there
