"""Which cells of a hand-in are run again for an answer."""

import pytest

from dmlteach.course.assignments import cells


def needed(id: str, *sources: str) -> list[str]:
    return [cell.source for cell in cells.needed([cells.read(source) for source in sources], id)]


def test_a_cell_is_run_with_those_that_bind_what_it_uses_in_their_order():
    first, second = "import torch", "def double(x):\n    return torch.add(x, x)"
    other, last = "slow = sum(range(10**12))", 'check("a", double(1))'
    assert needed("a", first, second, other, last) == [first, second, last]


def test_the_last_cell_that_checks_an_exercise_counts():
    assert needed("a", 'check("a", 1)', 'check("a", 2)') == ['check("a", 2)']


def test_the_answer_to_another_exercise_is_not_needed():
    assert needed("b", 'answer = 1 / 0\ncheck("a", answer)', 'answer = 2\ncheck("b", answer)') == [
        'answer = 2\ncheck("b", answer)'
    ]


def test_what_is_bound_anew_is_not_needed_before():
    assert needed("a", "x = 1 / 0", "x = 2", 'check("a", x)') == ["x = 2", 'check("a", x)']


def test_what_may_not_be_bound_anew_is_needed_before():
    first, maybe = "x = 1", "if late:\n    x = 2"
    assert needed("a", first, maybe, 'check("a", x)') == [first, maybe, 'check("a", x)']


@pytest.mark.parametrize(
    "changes",
    [
        "x.append(2)",
        "x[0] = 2",
        "x.data = 2",
        "x += [2]",
        "x.mul_(2)",
        "def f():\n    global x\n    x = 2\nf()",
    ],
)
def test_a_cell_that_changes_a_thing_is_needed(changes):
    assert needed("a", "x = [1]", changes, 'check("a", x)') == ["x = [1]", changes, 'check("a", x)']


@pytest.mark.parametrize(
    "changes",
    [
        "double(x)",
        "x.step()",
        "for k in range(3):\n    x.step()",
        "with torch.no_grad():\n    double(x)",
        "y = double(x)\ny.backward()",
        "history = train(x)",
        "print(dmlteach.fit(x))",
        "torch.manual_seed(0)",
    ],
)
def test_a_cell_that_is_run_for_what_it_changes_is_needed(changes):
    imports = "import dmlteach, torch\nfrom mine import check, double, train"
    cells = [imports, "x = torch.nn.Linear(2, 2)", changes, 'check("a", x.weight)']
    assert needed("a", *cells) == cells


@pytest.mark.parametrize(
    "harmless",
    ["y = double(x)", "print(x)", "axes.plot(x)", "y.append(x)", 'check("b", double(x))', "double(y)"],
)
def test_a_cell_that_changes_nothing_that_is_used_is_not_needed(harmless):
    imports = "import torch\nfrom mine import axes, check, double\ny = []"
    assert harmless not in needed("a", imports, "x = torch.ones(2)", harmless, 'check("a", double(x))')


def test_an_answer_that_ends_python_ends_no_other():
    ends = 'import os\nos._exit(1)\ncheck("b", 1)'
    assert ends not in needed("a", "from mine import check", ends, 'check("a", 1)')


def test_a_call_inside_a_function_is_none_of_its_cell():
    other = 'def other(x):\n    double(x)\ncheck("b", other)'
    assert other not in needed("a", "from mine import check, double", "x = [1]", other, 'check("a", x)')


def test_a_run_that_is_broken_and_resumed_is_trained_again():
    cells = [
        "from dataclasses import replace\nimport dmlteach\nfrom dmlteach.exercises import check",
        "runs, small = make()",
        'mine = replace(small, output=str(runs / "mine"))',
        "dmlteach.fit(mine)",
        "dmlteach.fit(replace(mine, resume=True))",
        'check("a", (runs / "undisturbed", mine))',
    ]
    assert needed("a", *cells) == cells


def test_a_function_needs_what_its_body_names():
    assert needed("a", "k = 3", "def f(x):\n    return k * x", 'check("a", f)')[0] == "k = 3"


def test_a_cell_that_writes_a_file_is_kept():
    writes = "%%writefile loss.py\nx = 1"
    assert needed("a", writes, 'check("a", "loss.py")') == [writes, 'check("a", "loss.py")']


def test_an_answer_that_is_no_python_is_found_all_the_same():
    broken = 'answer = (\ncheck("a", answer)'
    assert needed("a", "x = 1", broken) == [broken]


def test_what_nothing_checks_needs_nothing():
    assert needed("a", "x = 1", 'check("b", x)') == []
