import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmlteach.data.splits import divide_classes
from dmlteach.errors import DMLTeachError


@given(
    groups=st.integers(4, 50),
    together=st.sampled_from([1, 4]),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 10),
)
def test_the_parts_are_disjoint_complete_and_never_one_class_only(groups, together, fraction, seed):
    rest, held_out = divide_classes(groups * together, fraction, seed, "it", together)
    assert sorted(rest + held_out) == list(range(groups * together))
    assert min(len(rest), len(held_out)) >= 2
    assert not {c // together for c in rest} & {c // together for c in held_out}


def test_three_classes_cannot_be_divided_into_two_and_two():
    with pytest.raises(DMLTeachError, match="own photos has 3 classes; at least 4"):
        divide_classes(3, 0.5, 0, "own photos")
