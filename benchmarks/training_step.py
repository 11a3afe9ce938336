"""A training step from the decoded cache, against the bare network on a batch that is already there."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.measure import ratio, wait
from dmlteach.device import choose_device
from dmlteach.distributed import World
from dmlteach.train import Run, TrainConfig

CLASSES, IMAGES = 64, 40  # of the folder of photographs


def rows(quick: bool) -> list[dict]:
    steps, few = (2, {"classes": 20, "batch_size": 64}) if quick else (25, {})
    found = [
        _row(f"{sampler} batches", _steps(steps, sampler=sampler, **few))
        for sampler in ("class_balanced", "local")
    ]
    if choose_device().type == "cuda":  # where the small network takes no longer than starting its kernels
        with tempfile.TemporaryDirectory() as folder:
            _make_photographs(Path(folder))
            network = {"backbone": "resnet50", "weights": "none", "image_size": 224, "batch_size": 64}
            seconds = _steps(15, dataset="folder", root=folder, sampler="class_balanced", **network)
        found.append(_row("64 photographs of 224 pixels, ResNet-50", seconds))
    return found


def _row(what: str, seconds: dict[str, list[float]]) -> dict:
    return {
        "what": f"training step, {what}: gather, augment, network, loss, optimiser",
        "peer": "the network's forward, backward and optimiser step on one resident batch of that size",
        "seconds": seconds,
        "ratio": ratio(seconds, "bare network", "dmlteach"),
        "goal": 0.9,
    }


def _make_photographs(root: Path) -> None:
    """Smooth noise as JPEG files, a folder a class."""
    random = np.random.default_rng(0)
    for name in range(CLASSES):
        (root / f"{name}").mkdir()
        for i in range(IMAGES):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((256, 256)).save(root / f"{name}" / f"{i}.jpg")


def _steps(steps: int, **options) -> dict[str, list[float]]:
    """Seconds of each step of the default recipe, and of the bare network in turns."""
    seconds: dict[str, list[float]] = {"dmlteach": [], "bare network": []}
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(output=f"{folder}/run", eval_every=0, progress=False, **options)
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
    wait(run.device)
    return len(batch), time.perf_counter() - started


def _bare_step(run: Run, size: int) -> float:
    spec = run.model.spec
    images = torch.zeros(size, spec.channels, spec.image_size, spec.image_size, device=run.device)
    started = time.perf_counter()
    optimizer = run.parts.optimizer
    optimizer.zero_grad()
    run.model(images).square().mean().mul(1e-6).backward()
    optimizer.step()
    wait(run.device)
    return time.perf_counter() - started
