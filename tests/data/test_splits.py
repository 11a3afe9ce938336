import hashlib
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmlteach import data
from dmlteach.data.splits import divide_classes, divide_names
from dmlteach.errors import DMLTeachError

NAMES = st.sets(st.text(min_size=1, max_size=12), min_size=4, max_size=60)


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
    with pytest.raises(DMLTeachError, match="own photos has 3 classes; at least 4 .*: --eval-every 0"):
        divide_classes(3, 0.5, 0, "own photos")
    with pytest.raises(DMLTeachError, match="own photos has 3 classes; at least 4 .*: --eval-every 0"):
        divide_names("abc", 0.5, 0, "val", "own photos")
    with pytest.raises(DMLTeachError, match=r"own photos has 3 classes; at least 4 .* Add classes\.$"):
        divide_names("abc", 0.5, 0, "test", "own photos")


@pytest.mark.parametrize(
    "fraction, seed", [(0, 0), (1, 0), (50, 0), ("0.5", 0), (True, 0), (0.5, -1), (0.5, True), (0.5, 1.0)]
)
def test_a_fraction_or_seed_that_cannot_be_used_is_one_error(fraction, seed):
    with pytest.raises(DMLTeachError, match="between 0 and 1|seed must be a whole number from 0"):
        divide_names("abcdef", fraction, seed, "test", "it")


@given(NAMES, st.floats(0.01, 0.99), st.integers(0, 5), st.integers(2, 4))
def test_names_are_divided_into_disjoint_parts_that_are_large_enough(names, fraction, seed, least):
    rest, held_out, _ = divide_names(names, fraction, seed, "test", "it", least)
    assert sorted(rest + held_out) == sorted(names)
    assert (rest, held_out) == (sorted(rest), sorted(held_out))
    assert len(held_out) >= 2 and len(rest) >= min(least, len(names) - 2)


@given(NAMES, st.text(min_size=1, max_size=12), st.floats(0.1, 0.9), st.integers(0, 5))
def test_a_further_class_moves_nobody_where_the_sides_are_large_enough(names, further, fraction, seed):
    before = divide_names(names, fraction, seed, "test", "it")
    after = divide_names(names | {further}, fraction, seed, "test", "it")
    changed = set(before.held_out) ^ (set(after.held_out) - ({further} - names))
    assert changed <= set(before.moved) | set(after.moved)  # only who stood on the wrong side, or has to now
    if not before.moved and not after.moved:
        assert not changed


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.7])
def test_the_share_held_out_is_near_the_fraction(fraction):
    names = [f"class {i}" for i in range(4_000)]
    shares = [len(divide_names(names, fraction, seed, "test", "it").held_out) / 4_000 for seed in range(5)]
    deviation = (fraction * (1 - fraction) / 4_000) ** 0.5  # of a binomial share
    assert all(abs(share - fraction) < 5 * deviation for share in shares)
    assert len(set(shares)) > 1


def test_two_divisions_of_the_same_classes_are_independent():
    names = [f"class {i}" for i in range(4_000)]
    train = divide_names(names, 0.5, 0, "test", "it").rest
    share = len(divide_names(train, 0.2, 0, "val", "it").held_out) / len(train)
    assert abs(share - 0.2) < 5 * (0.2 * 0.8 / len(train)) ** 0.5


def test_where_a_side_is_too_small_the_class_nearest_to_the_threshold_moves():
    names = [f"class {i}" for i in range(30)]
    _, held_out, moved = divide_names(names, 1e-9, 0, "test", "it")
    assert held_out == moved and len(held_out) == 2
    # a larger fraction takes the same two first, so they are the nearest
    larger = next(
        divided
        for divided in (divide_names(names, f / 1000, 0, "test", "it") for f in range(1, 1000))
        if len(divided.held_out) == 3
    )
    assert set(held_out) < set(larger.held_out)


def test_the_same_accents_written_differently_and_names_that_are_no_unicode_have_a_side():
    plain = [f"class {i}" for i in range(40)]
    for name in ("Äpfel", "crème brûlée", "한국"):
        sides = [
            unicodedata.normalize(form, name)
            in divide_names([*plain, unicodedata.normalize(form, name)], 0.5, 3, "test", "it").held_out
            for form in ("NFC", "NFD")
        ]
        assert sides[0] == sides[1]
    broken = os.fsdecode(b"caf\xe9")
    rest, held_out, _ = divide_names([*plain, broken], 0.5, 3, "test", "it")
    assert (broken in rest) != (broken in held_out)


def test_the_division_by_name_is_the_same_in_every_process_and_for_ever():
    """Written down once: a change would move classes between train and test of everybody's folders."""
    names = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay"]
    code = (
        "from dmlteach.data.splits import divide_names\n"
        f"print(divide_names({names}, 0.5, 0, 'test', 'it').held_out)"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert found == ["['ant', 'bee', 'dog', 'gnu', 'hen', 'ibis']"] * 2


def test_published_data_sets_keep_the_divisions_they_have():
    """Fit and val as they were before folders were divided by name, bit for bit."""
    digests = []
    for classes in (
        data.load("omniglot", "val").class_names,
        data.load("omniglot", "fit", rotations=True).class_names,
        divide_classes(11_318, 0.2, 0, "Stanford Online Products"),
    ):
        digests.append(hashlib.sha256(repr(classes).encode()).hexdigest()[:16])
    assert digests == ["6edf0958a969f72d", "b35e7a7f75cd9139", "b7661ff6da85ad07"]
