"""How long a training of full size takes: `python -m benchmarks.full_size [--quick]`.

A step of 32 photographs (ResNet-50, 224 × 224 pixels, 512 numbers) is timed here, and its floating-point
operations are counted. Hours for whole data sets follow from the operations, and from how many a second the
GPU made that trained ResNet-50 in `benchmarks.training_step`. Writes full_size.json and full_size.md beside
this file.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.course_rows import device_and_threads
from benchmarks.measure import wait
from dmlteach import losses, methods, models
from dmlteach.device import choose_device, environment

HOME = Path(__file__).parent
IMAGES = {
    "cub200": 5_864,
    "cars196": 8_054,
    "inshop": 25_882,
    "sop": 59_551,
}  # of the official training split
METHOD, BATCH = "sst", 32
STEPS = 5
GPU_ROW = "64 photographs of 224 pixels, ResNet-50"  # of benchmarks.training_step
GPU_IMAGES = 64


def measure(quick: bool) -> dict[str, Any]:
    """Seconds and floating-point operations of one step; forward, loss, backward and optimizer."""
    device = choose_device()
    recipe = methods.get(METHOD)
    side, batch = (64, 4) if quick else (224, BATCH)
    model = models.create(recipe.backbone, recipe.embedding_dim).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    images = torch.zeros(batch, 3, side, side, device=device)
    labels = torch.arange(batch, device=device) // 2

    def step() -> None:
        optimizer.zero_grad()
        losses.sst_loss(model(images), labels).backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = []
    for _ in range(1 if quick else STEPS):
        started = time.perf_counter()
        step()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return {
        "backbone": recipe.backbone, "embedding_dim": recipe.embedding_dim, "image_size": side,
        "batch_size": batch, "seconds": seconds, "operations": counter.get_total_flops(),
        "made_with": environment(device),
    }  # fmt: skip


def on_a_gpu() -> tuple[str, float] | None:
    """Name of the GPU that has trained the same network, and its images a second; None where none has."""
    results = json.loads((HOME / "results.json").read_text(encoding="utf-8"))
    found = results.get("training_step on a GPU")
    rows = [row for row in found["rows"] if GPU_ROW in row["what"]] if found else []
    return (found["machine"]["gpu"], GPU_IMAGES / median(rows[0]["seconds"]["dmlteach"])) if rows else None


def page(row: dict[str, Any]) -> Iterator[str]:
    """The table as Markdown."""
    per_image = row["operations"] / row["batch_size"]
    seconds = median(row["seconds"])
    yield (
        f"A step of {row['batch_size']} photographs of {row['image_size']} × {row['image_size']} pixels with "
        f"`{row['backbone']}` and an embedding of {row['embedding_dim']} numbers takes {seconds:.1f} s on "
        f"{device_and_threads(row)}, and {per_image / 1e9:.1f} billion floating-point operations an image.\n"
    )
    gpu = on_a_gpu()
    if gpu is None:
        return
    name, rate = gpu
    yield (
        f"On {name} the trainer has gone through {rate:,.0f} such images a second: "
        f"{rate * per_image / 1e12:.0f} trillion operations. The hours are images × epochs ÷ that rate, "
        "without decoding, planning and evaluation; they were not run. Another GPU takes as many times "
        "longer as it makes fewer operations a second in training.\n"
    )
    yield f"| data set | images | epochs of `{METHOD}`'s recipe | hours on {name} | hours of this CPU |"
    yield "|---|---|---|---|---|"
    epochs = methods.get(METHOD).epochs
    for dataset, images in IMAGES.items():
        whole = images * epochs
        here = whole / row["batch_size"] * seconds / 3600
        yield f"| `{dataset}` | {images:,} | {epochs} | {whole / rate / 3600:.1f} | {here:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.full_size", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small step: does it run?")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    args = parser.parse_args()
    row = measure(args.quick)
    (args.output / "full_size.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    (args.output / "full_size.md").write_text("\n".join(page(row)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
