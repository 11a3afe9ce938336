"""Errors say what was given, what is possible, what to do."""

from dmlteach.errors import DMLTeachError, unknown_name


def test_a_mistyped_name_gets_the_nearest_one_and_the_list():
    error = unknown_name("loss", "tripplet", ["sst", "triplet", "contrastive"])
    assert str(error) == "unknown loss 'tripplet'; did you mean 'triplet'? Known: contrastive, sst, triplet"


def test_a_name_like_no_other_gets_the_list_only():
    assert str(unknown_name("loss", 7, ["sst"])) == "unknown loss 7. Known: sst"


def test_it_is_a_value_error_for_those_who_catch_that():
    assert issubclass(DMLTeachError, ValueError)
