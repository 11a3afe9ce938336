"""A training step from the decoded cache, against the bare network on a batch that is already there."""

import tempfile
import time

import torch

from benchmarks.measure import ratio
from dmlteach.device import choose_device
from dmlteach.distributed import World
from dmlteach.train import Run, TrainConfig


def rows(quick: bool) -> list[dict]:
    steps = 2 if quick else 25
    return [
        {
            "what": f"training step, {sampler} batches: gather, augment, network, loss, optimiser",
            "peer": "the network's forward, backward and optimiser step on one resident batch of that size",
            "seconds": (seconds := _steps(sampler, steps, classes=20 if quick else None)),
            "ratio": ratio(seconds, "bare network", "dmlteach"),
            "goal": 0.9,
        }
        for sampler in ("class_balanced", "local")
    ]


def _steps(sampler: str, steps: int, classes: int | None) -> dict[str, list[float]]:
    """Seconds of each step of the default recipe on Omniglot, and of the bare network in turns."""
    seconds: dict[str, list[float]] = {"dmlteach": [], "bare network": []}
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            output=f"{folder}/run", eval_every=0, progress=False, sampler=sampler, classes=classes,
            batch_size=64 if classes else None,
        )  # fmt: skip
        run = Run(config, choose_device("auto"), World())
        run.start()
        run.plan_epoch()
        batches = iter(run.remaining_batches())
        for step in range(-2, steps):  # two to warm up
            size, in_training = _train_step(run, batches)
            took = in_training, _bare_step(run, size)
            if step >= 0:
                for name, value in zip(seconds, took, strict=True):
                    seconds[name].append(value)
    return seconds


def _train_step(run: Run, batches) -> tuple[int, float]:
    started = time.perf_counter()
    batch, pixels = next(batches)
    run.train_on(batch, pixels)
    _wait(run)
    return len(batch), time.perf_counter() - started


def _bare_step(run: Run, size: int) -> float:
    spec = run.model.spec
    images = torch.zeros(size, spec.channels, spec.image_size, spec.image_size, device=run.device)
    started = time.perf_counter()
    run.optimizer.zero_grad()
    run.model(images).square().mean().mul(1e-6).backward()
    run.optimizer.step()
    _wait(run)
    return time.perf_counter() - started


def _wait(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize()
