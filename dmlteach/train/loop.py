"""One readable training loop, for every method: plan the epoch, step through its batches, evaluate, save."""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from tqdm.auto import tqdm

from dmlteach.data.loader import Pixels, prefetch
from dmlteach.device import choose_device, keeping_freed_memory, same_bits
from dmlteach.distributed import World, join
from dmlteach.interfaces import Batch
from dmlteach.train import checkpoint, ending, given, plan
from dmlteach.train.build import Stateful, build
from dmlteach.train.config import TrainConfig
from dmlteach.train.folder import LOWEST_LOSS, RunFolder
from dmlteach.train.meter import STATS_EVERY, LossReader, Meter, in_words
from dmlteach.train.optim import FORGET_EVERY
from dmlteach.train.step import train_step
from dmlteach.train.time_limit import Clock, check_time_to_plan


def fit(
    config: TrainConfig,
    after_epoch: "Callable[[Run], None] | None" = None,
    stop: threading.Event | None = None,
    loss: Any = None,
    sampler: Any = None,
) -> ending.Result:
    """Train a model and write a run folder.

    Args:
        config: what to train; everything left at None comes from the method's recipe.
        after_epoch: called with the run at its start and after every epoch, e.g. to record embeddings.
        stop: ends the run after the step in which another thread sets it, as Ctrl-C does.
        loss, sampler: objects in the place of the config's; such a run is not resumed.

    Returns:
        The run's folder, metrics and model. metrics["untrained"] is what `evaluate` returns on the test
        classes for the network before its first step, where an ensemble's learners are independent already
        (runs of before it was measured lack it). metrics["epochs"] has a row per epoch; metrics["final"] is
        the last state on the test classes (never the best of several), with "train_seconds", "epochs"
        (whole ones), "steps" (in all) and "ended", a sentence that says why training ended; with
        keep_lowest_loss, metrics["lowest_loss"] is that network on them, after so many "epochs", and the
        training "loss" of the last of these.

    Raises:
        DMLTeachError: an option, file or data set that cannot be used; nothing is written then. Or the loss
            is no longer finite: what was saved stays, and nan_batches.json lists the last batches.
        KeyboardInterrupt: after Ctrl-C or `stop`, once the checkpoint is saved.
    """
    device = choose_device(config.device, float64=config.precision == "fp64")
    with (
        given.named(config, loss, sampler) as config,
        same_bits(device),
        keeping_freed_memory(device),
        join(device) as world,
        ending.stop_on_signal(stop or threading.Event()) as stop,
        RunFolder(config).to_itself(world) as output,
    ):
        run = Run(config, device, world, output)
        run.start()
        watch = after_epoch or (lambda run: None)
        watch(run)
        run.measure_untrained()
        while not run.over():
            run.plan_epoch()
            for batch, pixels in run.remaining_batches():
                run.train_on(batch, pixels)
                run.save_if_due(stop)
                if run.over():
                    break
            if run.epoch_is_complete():
                run.end_epoch()
                watch(run)
                run.stop_if(world.share(stop.is_set()))
        return run.finish()


class Run:
    """Where a training stands, and the few things that happen to it.

    Args:
        config, device, world: what to train, where, and with whom.
        output: the run's folder, taken already; None: writing takes it.

    Attributes:
        parts: what it is made of; `model`, the network, is one of them.
        epoch, step: epochs that are whole, and steps done in the next.
        history, ended: a row of metrics per epoch; why there is nothing left to train, None while there is.
    """

    def __init__(
        self, config: TrainConfig, device: torch.device, world: World, output: RunFolder | None = None
    ):
        self.config, self.device, self.world = config, device, world
        self.output = output or RunFolder(config)
        self.parts, self.saved = build(config, device, world, self.output)
        self.output.describe_as(self.parts.description(), self.parts.record)
        self.model, self.folder = self.parts.model, self.output.path
        self.epoch = self.step = 0
        self.planned = self.timed_out = False
        self.ended: str | None = None
        self.batches: list[Batch] = []  # of the epoch, those that are done included
        self.history: list[dict[str, Any]] = []
        self.untrained: dict[str, Any] | None = None
        self.clock = Clock(config.max_minutes, config.save_every)
        self.meter, self.losses = Meter(), LossReader(self.output, world)

    def start(self) -> None:
        """Create the folder, or continue from its checkpoint."""
        saved, self.saved = self.saved, None
        self.resumed = saved is not None
        if saved is not None:
            with checkpoint.restoring(self.folder):
                self._restore(saved)
            if self.parts.other_test:  # numbers of the images of before cannot stand beside those of today's
                self.output.check_same_test(self.ended is not None)
                self.untrained = None
        if not (self.planned or self.over()):
            check_time_to_plan(self.parts, self.epoch)
        if not self.resumed:
            self.world.on_main(self.output.describe)
            plan.prepare(self.parts)

    def measure_untrained(self) -> None:
        """Evaluate a new network on the test classes: in every process, so that none waits for another."""
        if not self.resumed:
            self.untrained = self.parts.test.measure(self.model, self.device.type, self.parts.shown)

    def plan_epoch(self) -> None:
        """Let sampler and loss prepare, unless they have, and take the epoch's batches."""
        started, recipe = time.perf_counter(), self.parts.recipe
        self.clock.begin()
        if not self.planned:
            last_loss = self.history[-1]["loss"] if self.history else None
            self.meter = Meter(report=plan.plan(self.parts, self.epoch, last_loss))
            self.step, self.planned = 0, True
            self.meter.plan_seconds = time.perf_counter() - started
        self.batches = list(self.parts.sampler)[: recipe.batches_per_epoch]
        if not self.batches:
            self.ended, self.planned = ending.no_triplet_left(recipe, self.epoch), False
            self.save()
        plan.set_modes(self.parts, self.epoch)
        self.meter.clock = time.perf_counter()

    def remaining_batches(self) -> Iterator[tuple[Batch, Pixels]]:
        """The epoch's batches from where it stands, each with this process's pixels (uint8)."""
        name, count = f"epoch {self.epoch + 1}/{self.parts.recipe.epochs}", len(self.batches)
        hidden = not (count and self.parts.shown)
        self.bar = tqdm(total=count, initial=self.step, desc=name, unit="batch", disable=hidden, leave=False)
        return prefetch(
            self.batches[self.step :],
            lambda batch: self.parts.images.gather(batch[self.world.rows(len(batch))]),
            self.device,
        )

    def train_on(self, batch: Batch, pixels: Pixels) -> None:
        """One optimizer step on one global batch."""
        done = train_step(self.parts, batch, pixels, self.epoch + self.step / len(self.batches))
        if self.step % FORGET_EVERY == 0 and self.device.type == "cpu":
            self.parts.optimizer.forget_tiny()
        if self.step % STATS_EVERY == 0:
            self.meter.look(self.parts.objective.loss.stats(*done[1:]))
        self.losses.add(done.loss, self.meter, self.epoch, self.step, batch)
        self.step += 1
        self.meter.images += len(batch)
        if self.step % STATS_EVERY == 1 and self.meter.losses and not self.bar.disable:
            self.bar.set_postfix(self.meter.brief(), refresh=False)
        self.bar.update()

    def over(self) -> bool:
        """Whether training has ended, for good or (until it is resumed) by the time limit."""
        return self.ended is not None or self.timed_out

    def save_if_due(self, stop: threading.Event) -> None:
        """Save every `save_every` seconds and when asked to stop, or see that time is up; all at one step."""
        asked = stop.is_set(), self.clock.is_due(), self.clock.is_over()
        stopping, due, self.timed_out = self.world.any_late(*asked)
        if not self.timed_out:  # else `finish` saves
            if stopping or due:
                self.save()
            self.stop_if(stopping)

    def stop_if(self, asked: bool) -> None:
        """End with a KeyboardInterrupt here, where the checkpoint stands, if all processes are asked to."""
        if asked:
            self.bar.close()
            raise KeyboardInterrupt(f"stopped; {self.folder} is saved, continue with --resume")

    def epoch_is_complete(self) -> bool:
        """Whether all batches of the epoch are done; one without batches never is."""
        return 0 < len(self.batches) == self.step

    def end_epoch(self) -> None:
        """Close the epoch: its row of metrics, schedule, early stopping, evaluation on val, checkpoint."""
        parts = self.parts
        self.losses.read(self.meter)
        self.bar.close()
        # The rate is the optimizer's: a checkpoint may stand after the last step, and then none follows it.
        rate = parts.optimizer.param_groups[0]["lr"]
        row = {"epoch": self.epoch, "lr": rate, **self.meter.summary()}
        if parts.val is not None and (self.epoch + 1) % self.config.eval_every == 0:
            row["val"] = parts.val.measure(self.model, self.device.type)
        parts.schedule.epoch_ended(row["loss"])
        stopped_early = parts.early_stopping.epoch_ended(row["loss"])
        row["elapsed"] = self.clock.total()
        self.history.append(row)
        self.epoch, self.step, self.planned = self.epoch + 1, 0, False
        self.ended = ending.nothing_left(parts.recipe, self.epoch, stopped_early)
        if self.config.keep_lowest_loss and not parts.early_stopping.waiting.waited:  # before the checkpoint
            self.world.on_main(lambda: self.output.write_weights(self.model, LOWEST_LOSS))
        self.save()
        self.world.on_main(lambda: self.output.write_metrics(self.metrics()))
        self.timed_out = self.world.share(self.clock.is_over(needed=row["plan_seconds"]))  # as the next plan
        if parts.shown:
            print(f"epoch {self.epoch}: {in_words(row)}")

    def finish(self) -> ending.Result:
        """Write the weights, evaluate the last state on the test classes, and return."""
        if self.planned:  # the time limit came inside an epoch
            self.bar.close()
            self.save()
        steps = sum(row["steps"] for row in self.history) + self.step
        minutes, batches = self.config.max_minutes, len(self.batches)
        why = self.ended or ending.time_is_up(minutes, steps, self.epoch, self.step, batches)
        final = {"train_seconds": self.clock.kept, "epochs": self.epoch, "steps": steps, "ended": why}
        lowest = None
        if self.world.is_main:
            if self.config.progress:
                print(f"training has ended: {why}")
            self.output.write_weights(self.model)
            final |= self.parts.test.measure(self.model, self.device.type, self.config.progress)
            self.output.complete(self._state(), self.model)
            lowest = self._measure_lowest_loss() if self.config.keep_lowest_loss else None
            self.output.write_metrics(self.metrics(final, lowest))
        return ending.Result(self.folder, self.metrics(final, lowest), self.model.eval())

    def _measure_lowest_loss(self) -> dict[str, Any] | None:
        """The network of the epoch with the lowest training loss on the test classes; None without one."""
        weights = self.output.lowest_loss()
        if not (self.history and weights):
            return None
        row, model = min(self.history, key=lambda row: row["loss"]), copy.deepcopy(self.model)
        model.load_state_dict(weights)
        numbers = self.parts.test.measure(model, self.device.type, self.config.progress)
        return {"epochs": row["epoch"] + 1, "loss": row["loss"], **numbers}

    def metrics(
        self, final: dict[str, Any] | None = None, lowest_loss: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What is known of the run, as in metrics.json."""
        content = {"untrained": self.untrained, "epochs": self.history, "final": final}
        content |= {"lowest_loss": lowest_loss}
        return {part: numbers for part, numbers in content.items() if numbers is not None}

    def save(self) -> None:
        """Replace the checkpoint. The last loss is read first: no step is saved whose loss is NaN."""
        self.losses.read(self.meter)
        self.clock.saved()
        self.world.on_main(lambda: self.output.write_checkpoint(self._state()))

    def _kept(self) -> dict[str, Stateful]:
        return {**self.parts.kept(), "meter": self.meter}

    def _state(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._kept().items()} | {
            "position": (self.epoch, self.step, self.planned),
            "ended": self.ended,
            "untrained": self.untrained,
            "history": self.history,
            "elapsed": self.clock.kept,
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        saved = checkpoint.completed(saved, self.parts.recipe)
        for name, part in self._kept().items():
            part.load_state_dict(saved[name])
        self.epoch, self.step, self.planned, *_ = saved["position"]
        self.ended, self.untrained, self.history = saved["ended"], saved["untrained"], saved["history"]
        self.clock.resume(saved["elapsed"])
