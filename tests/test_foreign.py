"""A part that is not ours is found by its source: in a file, in a package, or as an object with a name."""

import sys

import pytest

from dmlteach import foreign
from dmlteach.errors import DMLTeachError


@pytest.mark.parametrize(
    ("name", "is_foreign", "called"),
    [
        ("triplet", False, "triplet"),
        ("timm/resnet18.a1_in1k", False, "timm/resnet18.a1_in1k"),
        ("mine.py:MyLoss", True, "MyLoss"),
        ("folder/mine.py:load", True, "mine"),
        ("package.module:load", True, "module"),
        (r"C:\x\mine.py:MyLoss", True, "MyLoss"),
        (r"C:\x\mine.py:load", True, "mine"),
    ],
)
def test_a_source_is_told_from_a_name_of_ours_and_called_in_few_words(name, is_foreign, called):
    assert foreign.is_foreign(name) == is_foreign
    assert foreign.called(name) == called


@pytest.mark.parametrize("name", ["mine.py", r"C:\x\mine.py"])
def test_a_file_alone_is_asked_for_what_is_meant_in_it(name):
    with pytest.raises(DMLTeachError) as told:
        foreign.find(name, "loss")
    assert str(told.value) == f"{name} is a file: say which loss in it, {name}:NAME."


def test_a_package_is_looked_for_in_the_current_folder_last_and_leaves_the_path_as_it_was(
    tmp_path, monkeypatch
):
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "part.py").write_text("class Part: pass\n")
    (tmp_path / "json.py").write_text("class Part: pass\n")  # not in the place of Python's own
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert foreign.find("own_package.part:Part", "loss").__name__ == "Part"
    with pytest.raises(DMLTeachError, match="unknown loss in json 'Part'"):
        foreign.find("json:Part", "loss")
    assert sys.path == before
    kept = foreign.sources({"loss": "own_package.part:Part", "sampler": "local", "backbone": None})
    assert kept.keys() == {"loss"} and kept["loss"]["file"] == "own_package/part.py"


def test_a_file_may_import_another_beside_it(tmp_path):
    (tmp_path / "helper_of_mine.py").write_text("VALUE = 3\n")
    (tmp_path / "mine.py").write_text("from helper_of_mine import VALUE\ndef part(): return VALUE\n")
    assert foreign.find(f"{tmp_path}/mine.py:part", "loss")() == 3


def test_objects_have_a_name_as_long_as_they_are_asked_for():
    first, second = [1], [2]
    with foreign.under_names({"loss": first, "sampler": second}) as names:
        assert names == {"loss": "object:list", "sampler": "object:list_2"}
        assert foreign.find(names["sampler"], "sampler") is second
        assert foreign.sources(names) == {}
    with pytest.raises(DMLTeachError, match="object:list was an object in the memory of another program"):
        foreign.find("object:list", "loss")


def test_a_name_holds_in_other_folders_once_it_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert foreign.absolute("mine.py:Part") == f"{tmp_path}/mine.py:Part"
    assert foreign.absolute("package.part:Part") == "package.part:Part"
    assert foreign.absolute("triplet") == "triplet" and foreign.absolute(3) == 3
