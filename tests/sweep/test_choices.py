"""What a sweep is asked for, as text and as YAML: values, lists, seeds, and one sentence for each mistake."""

import pytest

from dmlteach.errors import DMLTeachError
from dmlteach.sweep.choices import choices, merged, read_file


def test_values_have_the_type_of_their_option_and_commas_between_them():
    found = choices(
        {"methods": "sst,triplet", "learning_rate": "3e-4, 1", "epochs": "2,3", "das": "true,false",
         "weights": "none,cached", "seeds": "0-2,7"}
    )  # fmt: skip
    assert found == {
        ("method",): ["sst", "triplet"], ("learning_rate",): [3e-4, 1.0], ("epochs",): [2, 3],
        ("das",): [True, False], ("weights",): ["none", "cached"], ("seed",): [0, 1, 2, 7],
    }  # fmt: skip
    assert [type(rate) for rate in found["learning_rate",]] == [float, float]


def test_commas_in_brackets_and_those_of_an_option_of_its_own_stay():
    found = choices(
        {
            "das_options": {"scale_range": "[0.5,2],[1,2]", "copies": "2,3"},
            "recall_at": "1,2,4",
            "root": '"a,b",c',
        }
    )
    assert found == {
        ("das_options", "scale_range"): [[0.5, 2], [1, 2]], ("das_options", "copies"): [2, 3],
        ("recall_at",): ["1,2,4"], ("root",): ["a,b", "c"],
    }  # fmt: skip


def test_a_yaml_file_says_the_same_as_the_command_line(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "methods: [sst, triplet]\nlearning-rate: [3e-4, 1.0e-3]\nseeds: 0-2\nrecall_at: [[1, 2]]\n"
        "loss_options: {margin: [0.1, 0.2]}\ndas: true\nweights: none\n"
    )
    (table,) = read_file(file)
    words = {"methods": "sst,triplet", "learning_rate": "3e-4,1e-3", "seeds": "0,1,2", "das": "true",
             "loss_options": {"margin": "0.1,0.2"}, "weights": "none"}  # fmt: skip
    assert choices(table) == choices(words) | {("recall_at",): [[1, 2]]}


def test_a_file_may_hold_several_tables_and_the_command_line_goes_before_them(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text("- {method: sst, learning-rate: 0.001}\n- {method: triplet, epochs: 2}\n")
    tables = [merged(table, {"learning_rate": "0.01", "methods": "nca"}) for table in read_file(file)]
    assert tables == [
        {"learning_rate": "0.01", "methods": "nca"},
        {"epochs": 2, "learning_rate": "0.01", "methods": "nca"},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods: [sst", "is no YAML in line 1"),
        ("methods: sst: triplet", "is no YAML in line 1"),
        ("\tmethods: sst", "is no YAML in line 1"),
        ("", "must hold options with values"),
        ("sst", "must hold options with values"),
        ("- sst\n- triplet", "must hold options with values"),
        ("[]", "must hold options with values"),
        ("a: !!python/object:os.system x", "is no YAML"),
        ("[" * 5000, "is no YAML"),
        ("a: \x00", "is no YAML"),
    ],
)
def test_a_file_that_is_no_sweep_is_one_sentence(tmp_path, text, said):
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(DMLTeachError, match=said) as error:
        read_file(tmp_path / "sweep.yaml")
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_or_no_text_is_one_sentence(tmp_path):
    (tmp_path / "odd").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DMLTeachError, match="no text in UTF-8"):
        read_file(tmp_path / "odd")
    with pytest.raises(DMLTeachError, match="cannot be read: No such file"):
        read_file(tmp_path / "none")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rat": "1"}, "unknown option of a sweep 'learning_rat'; did you mean 'learning_rate'"),
        ({"output": "x"}, "unknown option of a sweep 'output'"),
        ({"seeds": "4-0"}, "seeds are written as 0-4, 0,1,2 or 0-2,7, not '4-0'"),
        ({"seeds": "a"}, "seeds are written as"),
        ({"seeds": "0-18446744073709551616"}, "seeds are written as"),
        ({"seeds": "0-9999999"}, "seeds are written as"),
        ({"methods": "sst,,triplet"}, "methods? has an empty value"),
        ({"epochs": []}, "epochs has no value"),
        ({"seeds": []}, "seed has no value"),
        ({"recall_at": []}, "recall_at has no value"),
        ({"loss_options": "margin"}, "loss_options are names with their values"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_cure(given, said):
    with pytest.raises(DMLTeachError, match=said):
        choices(given)
