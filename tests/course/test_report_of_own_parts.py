"""A report on a network or data set of the user's own runs what is named, and nothing that a run names."""

import json
from pathlib import Path

import pytest

from dmlteach import foreign
from dmlteach.course import reports
from dmlteach.course.reports import parameters, subject
from dmlteach.errors import DMLTeachError
from dmlteach.train import fit
from tests.train.runs import tiny

MINE = Path(__file__).parents[1] / "train" / "mine.py"


def test_the_backbone_of_a_run_is_named_beside_the_checkpoint(tmp_path):
    run = fit(tiny(tmp_path, method="contrastive", batches_per_epoch=1, epochs=1, backbone=f"{MINE}:Network",
                   loss=f"{MINE}:Pairs"))  # fmt: skip
    defaults = parameters.defaults_of()
    given = {"checkpoint": str(run.path), "backbone": f"{MINE}:Network"}
    parameters.check(given, defaults)
    with pytest.raises(DMLTeachError, match="leave out backbone=resnet50"):
        parameters.check({**given, "backbone": "resnet50"}, defaults)
    with pytest.raises(DMLTeachError, match="which is run only if you name it"):
        subject.open_subject(run.path)
    found = subject.open_subject(run.path, f"{MINE}:Network")
    assert found.model.spec.backbone == f"{MINE}:Network"
    assert found.name == "contrastive with loss Pairs"


def test_the_data_set_of_a_run_is_only_run_when_it_is_named(tmp_path):
    config = {"config": {"dataset": f"{MINE}:load", "root": None}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DMLTeachError, match=r"mine\.py:load, which is run only if you name it: --dataset"):
        parameters.data_of(str(tmp_path), {})
    named = {"dataset": f"{MINE}:load"}
    assert parameters.data_of(str(tmp_path), named) == named


def test_a_report_on_a_data_set_of_ones_own_has_a_folder_of_a_plain_name():
    chosen = {"method": "sst", "dataset": f"{MINE}:load", "seed": 0}
    assert reports._folder_name(chosen) == "sst-mine-0"
    assert foreign.absolute(chosen["dataset"]) == chosen["dataset"]
