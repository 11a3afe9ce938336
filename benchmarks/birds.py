"""Methods on CUB-200-2011 with short budgets: `python -m benchmarks.birds --root DIR --weights FILE`.

Every run fine-tunes the same ImageNet network on the same number of images of the same size, with the
same schedule; batches, loss, head and the rest are the method's. Runs go through the command line, two at
a time with one thread each; finished runs are kept in build/birds, so the command can be repeated or
interrupted. Writes birds.md beside this file, with what the network's own features reach untrained.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks import grid
from dmlteach import methods

METHODS = ("sst", "triplet", "margin", "multi_similarity", "proxy_anchor", "hdc", "bier", "abier", "softmax")
WITH_DAS = ("margin", "multi_similarity")
BACKBONE, SEED = "timm/tf_efficientnet_lite0", 0
HOME = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.birds", description=__doc__)
    parser.add_argument("--root", help="folder or archive of CUB-200-2011")
    parser.add_argument("--weights", help=f"ImageNet weights of {BACKBONE}")
    parser.add_argument("--image-size", type=int, default=96, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=99, help="optimiser steps of 60 images of every run")
    parser.add_argument("--runs", type=Path, default=Path("build/birds"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="one method on a few drawings: does it run?")
    args = parser.parse_args()
    if not args.quick and not (args.root and args.weights):
        parser.error("birds need --root and --weights; only --quick goes without")
    network = grid.options(
        dataset="cub200", root=args.root, backbone=BACKBONE, weights=args.weights, image_size=args.image_size
    )
    cells = [(name, False) for name in METHODS] + [(name, True) for name in WITH_DAS]
    if args.quick:
        cells, args.steps = [("margin", True)], 3
        network = grid.options(dataset="omniglot", backbone="omniglot_cnn", classes=16)
    grid.train_all(
        {args.runs / label(*cell): command(*cell, args.steps, network) for cell in cells}, args.jobs
    )
    lines = table(
        args.runs, cells, untrained(args.runs / "untrained.json", network), args.steps, args.image_size
    )
    (args.output / "birds.md").write_text("\n".join(lines) + "\n")


def label(name: str, das: bool) -> str:
    return f"{name}-das" if das else name


def command(name: str, das: bool, steps: int, network: list[str]) -> list[str]:
    """Options of one run."""
    words = grid.options(
        method=name, seed=SEED, eval_every=0, epochs=3, batches_per_epoch=steps // 3, batch_size=60,
        schedule="cosine",
    )  # fmt: skip
    if "cub200" in network:
        words += grid.options(transform="resized_crop")
    if methods.get(name).sampler == "local":
        # neighbourhoods of species, not of single images
        words += grid.options(sampler="local_classes", sampler_option="images_per_class=5")
    return [*words, *network, *(["--das"] if das else [])]


def untrained(file: Path, network: list[str]) -> dict:
    """What `dmlteach evaluate` says of the backbone's own features."""
    if not file.exists():
        grid.dmlteach("evaluate", *network, "--output", str(file))
    return json.loads(file.read_text())


def table(
    runs: Path, cells: list[tuple[str, bool]], frozen: dict, steps: int, image_size: int
) -> Iterator[str]:
    """The rows as Markdown, the best Recall@1 first."""
    yield (
        f"{BACKBONE}, {image_size} × {image_size} pixels, {steps} steps of 60 images, one seed; among "
        "100 test classes; minutes of one thread beside other work.\n"
    )
    yield "| method | loss | Recall@1 | Recall@8 | MAP@R | training, min |"
    yield "|---|---|---|---|---|---|"
    rows = [
        (label(*cell), methods.get(cell[0]).loss, grid.metrics(runs / label(*cell))["final"])
        for cell in cells
    ]
    rows.append(("–", "untrained", frozen))
    for name, loss, final in sorted(rows, key=lambda row: -row[2]["recall@1"]):
        numbers = " | ".join(f"{final[key]:.1%}" for key in ("recall@1", "recall@8", "map@r"))
        minutes = f"{final['train_seconds'] / 60:.0f}" if "train_seconds" in final else "none"
        yield f"| {name} | {loss} | {numbers} | {minutes} |"


if __name__ == "__main__":
    main()
