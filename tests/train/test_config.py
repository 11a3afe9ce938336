"""A field of the configuration is the one home of an option: type, default, description, range."""

from dataclasses import asdict, dataclass, fields

import pytest
import torch
import typer
from typer.testing import CliRunner

from dmlteach.cli.app import Commands
from dmlteach.cli.options import configured_by
from dmlteach.course import reports
from dmlteach.course.reports import commands, parameters
from dmlteach.errors import DMLTeachError
from dmlteach.train import FREE, TrainConfig, fit, resolve
from dmlteach.train.config import OF_THE_CHECKPOINT
from dmlteach.train.option import about, documented, option
from dmlteach.train.recipe import check_values, identity
from tests.train.runs import tiny

POSITIVE = {
    "epochs", "max_minutes", "batch_size", "batches_per_epoch", "embedding_dim", "image_size",
    "learning_rate", "micro_batch", "early_stopping", "classes", "memory",
}  # fmt: skip
NOT_NEGATIVE = {"imprint", "frozen_epochs", "eval_every", "save_every", "weight_decay"}


def refused(config: TrainConfig) -> str:
    with pytest.raises(DMLTeachError) as error:
        check_values(config)
    return str(error.value)


@pytest.mark.parametrize("name", sorted(POSITIVE))
def test_what_is_counted_or_measured_is_positive(name):
    assert refused(TrainConfig(**{name: 0})) == f"{name} must be positive, not 0."
    check_values(TrainConfig(**{name: 1}))
    check_values(TrainConfig(**{name: None}))


@pytest.mark.parametrize("name", sorted(NOT_NEGATIVE))
def test_what_may_be_nothing_is_at_least_0(name):
    assert refused(TrainConfig(**{name: -1})) == f"{name} must be at least 0, not -1."
    check_values(TrainConfig(**{name: 0}))


def test_every_number_but_the_seed_has_a_range():
    numbers = {
        field.name for field in fields(TrainConfig) if field.type in (int, float, int | None, float | None)
    }
    assert numbers == POSITIVE | NOT_NEGATIVE | {"seed"}


def test_what_changes_nothing_of_what_is_trained_may_be_otherwise_in_a_second_start():
    assert {*FREE} == {
        "output", "resume", "device", "progress", "save_every", "tensorboard", "max_minutes", "root",
    }  # fmt: skip
    assert identity(TrainConfig(save_every=1.0, root="elsewhere")) == identity(TrainConfig())
    assert identity(TrainConfig(learning_rate=1.0)) != identity(TrainConfig())


def test_what_the_network_of_a_checkpoint_decides_is_known():
    assert {*OF_THE_CHECKPOINT} == {
        "backbone", "weights", "embedding_dim", "normalize", "image_size", "head_options",
    }  # fmt: skip


def test_every_option_is_described_by_sentences():
    for field in fields(TrainConfig):
        said = about(field)
        assert said.help.endswith("."), field.name
        assert bool(said.metavar) == (field.type not in (bool, bool | None)), field.name
        assert said.unset, field.name


# ── one more field is one more option, everywhere ─────────────────────────────────────────────────────


@documented
@dataclass(frozen=True)
class Longer(TrainConfig):
    """A configuration with one option more."""

    ramp: int | None = option("Epochs of rising rate, see `epochs`.", "N", unset="no rise", positive=True)


def command() -> tuple[typer.Typer, list[Longer]]:
    app, given = typer.Typer(cls=Commands, rich_markup_mode=None), []

    @app.command()
    @configured_by(Longer)
    def train(config):
        given.append(config)
        resolve(config)

    app.callback()(lambda: None)
    return app, given


def test_one_more_field_is_one_more_option_of_the_command_with_its_help_default_and_range():
    app, given = command()
    shown = " ".join(CliRunner().invoke(app, ["train", "--help"]).output.split())
    assert "--ramp N Epochs of rising rate, see --epochs. [default: (no rise)]" in shown
    done = CliRunner().invoke(app, ["train", "--ramp", "3", "--loss-option", "num_targets=2"])
    assert done.exit_code == 0, done.output
    assert given == [Longer(ramp=3, loss_options={"num_targets": 2})]
    done = CliRunner().invoke(app, ["train", "--ramp", "0"])
    assert (done.exit_code, done.stderr) == (2, "error: ramp must be positive, not 0.\n")
    assert "ramp: Epochs of rising rate, see `epochs`. Default: no rise." in (Longer.__doc__ or "")


def test_one_more_field_is_one_more_parameter_of_a_report(tmp_path, monkeypatch):
    for module in (parameters, commands):
        monkeypatch.setattr(module, "TrainConfig", Longer)
    ran = []
    monkeypatch.setattr(reports.execute, "execute", lambda *given, **more: ran.append(given[2]))
    monkeypatch.setattr(reports, "to_html", lambda notebook: "")
    reports.run(output=tmp_path, epochs=5, texts=("ramp=3", "weight_decay=0"))
    assert ran == [{"epochs": 5, "further": {"ramp": 3, "weight_decay": 0}}]
    assert commands.report(asdict(Longer(ramp=3))).endswith("--parameter ramp=3")
    with pytest.raises(DMLTeachError, match="ramp must be positive, not 0"):
        reports.run(output=tmp_path, ramp=0)
    with pytest.raises(DMLTeachError, match="leave out ramp=3, which is about a training"):
        reports.run(output=tmp_path, checkpoint="sst", ramp=3)


def test_a_run_made_before_an_option_was_there_is_continued_with_its_default(tmp_path):
    fit(tiny(tmp_path, epochs=1))
    file = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    del state["config"]["precision"]
    torch.save(state, file)
    with pytest.raises(DMLTeachError, match="made with precision='fp32', not 'bf16'"):
        fit(tiny(tmp_path, epochs=1, resume=True, precision="bf16"))
    assert fit(tiny(tmp_path, epochs=1, resume=True)).metrics["final"]
