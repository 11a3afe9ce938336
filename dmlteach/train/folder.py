"""The folder of a run: every file that a training reads there or writes, and the right to do so."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dmlteach import files, foreign, models
from dmlteach.data import provenance
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.models import MODEL_FILE, Model
from dmlteach.train import checkpoint, given, longer
from dmlteach.train.config import TrainConfig
from dmlteach.train.recipe import identity

CONFIG = "config.json"
NAN_BATCHES = "nan_batches.json"
LOWEST_LOSS = "lowest_loss.safetensors"


class RunFolder:
    """Reads and writes what is kept of one training. Writing takes the folder, where nobody else has it.

    Args:
        config: of the run.

    Attributes:
        path: the folder.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        name = f"{config.method}-{foreign.called(config.dataset)}-{config.seed}"
        self.path = Path(config.output or f"runs/{name}")
        self._described: dict[str, Any] = {}
        self._outdated = False  # config.json is of a run of another length
        self._lock = files.Lock(self.path)

    @contextmanager
    def to_itself(self, world: World) -> Iterator["RunFolder"]:
        """Nobody else trains in the folder meanwhile; what a kill left half-written there is removed.

        Args:
            world: the processes that train; the main one writes.

        Raises:
            DMLTeachError: another training is at work there, or nothing can be written.
        """

        def take() -> None:
            self._take()
            files.remove_unfinished(self.path)

        try:
            world.on_main(take)
            yield self
        finally:
            self._lock.release()

    def _take(self) -> None:
        if not self._lock.take():
            raise DMLTeachError(
                f"another training is at work in {self.path}; wait until it has ended, or choose another "
                "--output."
            )

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def checkpoint(self, device: torch.device) -> dict[str, Any] | None:
        """What a run is continued from; None where it begins here.

        Args:
            device: where it is to be continued.

        Raises:
            DMLTeachError: the run that is there was made with other options, is not to be continued, or
                its checkpoint is damaged; or a package that is to write here is missing.
        """
        if self.config.tensorboard:
            _tensorboard_writer()
        saved = checkpoint.read(self.path)
        if saved is None:
            return None
        if not self.config.resume:
            raise DMLTeachError(
                f"{self.path} already holds a run; continue it with --resume or choose another --output."
            )
        with checkpoint.restoring(self.path):
            self._check_options(saved)
        if device.type == "cpu" and saved["threads"] != torch.get_num_threads():
            warnings.warn(
                f"the run was made with {saved['threads']} threads, not {torch.get_num_threads()}: "
                "results may differ in the last bits.",
                stacklevel=2,
            )
        return saved

    def _check_options(self, state: dict[str, Any]) -> None:
        # A run made before an option was there has its default.
        own, saved = identity(self.config), asdict(TrainConfig()) | state["config"]
        given.refuse_objects(self.path, saved)
        different = [k for k in own if saved.get(k) != own[k]]
        if "epochs" in different and (self.config.epochs or longer.length(saved) == longer.length(own)):
            different.remove("epochs")
            self._outdated = True
        if different:
            was = ", ".join(f"{k}={saved.get(k)!r}, not {own[k]!r}" for k in different)
            raise DMLTeachError(
                f"the run in {self.path} was made with {was}; resume it with the same options (None: as "
                "the recipe says), start from its weights with --checkpoint, or choose another --output."
            )
        given.check_sources(self.path, state, self.config)
        longer.check(self.path, state, own)

    def lowest_loss(self) -> dict[str, Tensor] | None:
        """Weights of the epoch with the lowest training loss; None where they are not kept."""
        file = self.path / LOWEST_LOSS
        return load_file(file) if file.exists() else None

    def record(self) -> provenance.Record | None:
        """What the run that is there kept of its data; None where it was made before runs did.

        Raises:
            DMLTeachError: data.json is damaged.
        """
        return provenance.read(self.path)

    def check_same_test(self, ended: bool) -> None:
        """Refuse to go on with a run whose test images are others now, where its numbers are complete.

        Args:
            ended: whether it has.

        Raises:
            DMLTeachError: so it is.
        """
        if ended and (self.path / MODEL_FILE).exists():
            raise DMLTeachError(
                f"the run in {self.path} has ended, and its test images have changed since. Its numbers "
                f"stay as they are; for those of today: dmlteach evaluate --checkpoint {self.path}."
            )

    # ── writing ───────────────────────────────────────────────────────────────────────────────────

    def describe_as(self, config: dict[str, Any], record: provenance.Record) -> None:
        """Say what stands in config.json and data.json, without writing yet.

        Args:
            config: what is trained, and with what.
            record: of the data.
        """
        self._described = {CONFIG: config, provenance.FILE: record}

    def describe(self) -> None:
        """Write config.json and data.json."""
        for name, content in self._described.items():
            files.write_json(self.path / name, content)

    def _hold(self) -> None:
        """Be sure of the folder before writing; one that somebody has removed is made and described anew."""
        self._take()
        if not all((self.path / name).exists() for name in self._described):
            self.describe()

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint.

        Args:
            state: of the run; its options are kept beside it.
        """
        self._hold()
        about = {"dmlteach": 1, "config": identity(self.config), "threads": torch.get_num_threads()}
        about["sources"] = self._described.get(CONFIG, {}).get("sources", {})
        if self._outdated:
            files.write_json(self.path / CONFIG, self._described[CONFIG])
        checkpoint.write(self.path, about | state)
        self._outdated = False

    def write_weights(self, model: Model, name: str = MODEL_FILE) -> None:
        """Write the trained network.

        Args:
            model: the network.
            name: of the file.
        """
        self._hold()
        models.save(model, self.path / name)

    def complete(self, state: dict[str, Any], model: Model) -> None:
        """Write what a finished run lacks, where somebody has removed its folder since the last epoch.

        Or where another number of epochs, which it was resumed with, left nothing to train.

        Args:
            state, model: as of `write_checkpoint` and `write_weights`.
        """
        if self._outdated or not (self.path / checkpoint.FILE).exists():
            self.write_checkpoint(state)
        if not (self.path / MODEL_FILE).exists():
            self.write_weights(model)

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json, its epochs as metrics.jsonl, and the last one for TensorBoard if asked for.

        Args:
            metrics: "epochs", and further numbers of the run.
        """
        self._hold()
        files.write_json(self.path / "metrics.json", metrics)
        files.write_json_lines(self.path / "metrics.jsonl", metrics["epochs"])
        if self.config.tensorboard and metrics["epochs"]:
            _write_tensorboard(self.path / "tensorboard", metrics["epochs"][-1])

    def write_nan_batches(self, batches: Iterable[tuple[int, int, list[int]]]) -> None:
        """Write down which images were trained on before the loss became NaN.

        Args:
            batches: epoch and step, counted from 1, and images of the last ones.
        """
        names = ("epoch", "step", "images")
        rows = [dict(zip(names, batch, strict=True)) for batch in batches]
        files.write_json(self.path / NAN_BATCHES, rows)


def _tensorboard_writer() -> Any:
    """TensorBoard's class; asked for before training too, so that a missing package is told at once."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DMLTeachError("--tensorboard needs TensorBoard: pip install 'dmlteach[tensorboard]'.") from None
    return SummaryWriter


def _write_tensorboard(folder: Path, row: dict[str, Any]) -> None:
    with _tensorboard_writer()(folder) as writer:
        for key, value in {**row, **row.get("val", {})}.items():
            if isinstance(value, int | float) and key != "epoch":
                writer.add_scalar(key, value, row["epoch"])
