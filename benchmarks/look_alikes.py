"""Drawings that all trained networks of the package miss: `python -m benchmarks.look_alikes`.

Every test drawing searches all others by each network. What none of them finds, and which characters all of
them take for each other, are kept in look_alikes.json and told in look_alikes.md beside this file;
`python -m benchmarks.record` draws the pairs.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import grid
from dmlteach import data, models
from dmlteach.course import recordings as pretrained
from dmlteach.embeddings import embed
from dmlteach.neighbors import nearest_others

HOME = Path(__file__).parent
FILE, PAGE = "look_alikes.json", "look_alikes.md"
PAIRS = 8  # of characters that are shown
EACH = 4  # drawings of either


def found_by(name: str, test: data.ImageDataset) -> Tensor:
    """(M,) class of the nearest other drawing of each.

    Args:
        name: of a network that comes with the package.
        test: M drawings.
    """
    z = embed(models.pretrained(name), test)
    return test.labels[nearest_others(z, torch.arange(len(z)), 1)[1][:, 0]]


def summary(found: Mapping[str, Tensor], labels: Tensor) -> dict[str, Any]:
    """What all networks miss, and the pairs of classes that all of them take for each other most often.

    Args:
        found: (M,) classes of the nearest others, by network.
        labels: (M,) class of each drawing.
    """
    every = torch.stack([*found.values()])  # (networks, M)
    missed = (every != labels).all(0)
    taken = {  # drawing → the class that all networks find
        row: int(every[0, row]) for row in (missed & (every == every[0]).all(0)).nonzero()[:, 0].tolist()
    }
    pairs = Counter(tuple(sorted((int(labels[row]), other))) for row, other in taken.items())
    often = sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:PAIRS]
    return {
        "num_queries": len(labels),
        "num_classes": len(labels.unique()),
        "recall@1": {name: (classes == labels).double().mean().item() for name, classes in found.items()},
        "missed_by_all": int(missed.sum()),
        "taken_for_the_same": len(taken),
        "pairs": [
            {
                "classes": [a, b],
                "taken_for_each_other": pairs[a, b],
                "shown": [_shown(a, b, labels, taken), _shown(b, a, labels, taken)],
            }
            for a, b in often
        ],
    }


def _shown(one: int, other: int, labels: Tensor, taken: Mapping[int, int]) -> list[int]:
    """Drawings of a class, first those that are taken for the other."""
    rows = (labels == one).nonzero()[:, 0].tolist()
    return sorted(rows, key=lambda row: (taken.get(row) != other, row))[:EACH]


def page(kept: Mapping[str, Any]) -> Iterator[str]:
    """look_alikes.md.

    Args:
        kept: as `summary` gives it.
    """
    low, high = min(kept["recall@1"].values()), max(kept["recall@1"].values())
    names = ", ".join(f"`{name}`" for name in kept["recall@1"])
    missed, taken = kept["missed_by_all"], kept["taken_for_the_same"]
    yield (
        f"The networks that come with the package ({names}) have Recall@1 {low:.1%} to {high:.1%}. "
        f"{grid.beside()} Of the {kept['num_queries']:,} test drawings "
        f"{missed / kept['num_queries']:.1%} are missed by all of them, and {taken / max(missed, 1):.0%} of "
        "these all take for the same other character."
    )


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.look_alikes", description=__doc__)
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="few classes: does it run?")
    args = parser.parse_args()
    test = data.load("omniglot", "test", classes=30 if args.quick else None)
    trained = [name for name in pretrained.SHIPPED if "config" in pretrained.card(name)]
    kept = summary({name: found_by(name, test) for name in tqdm(trained)}, test.labels)
    (args.output / FILE).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    (args.output / PAGE).write_text("\n".join(page(kept)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
