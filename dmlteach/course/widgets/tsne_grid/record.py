"""Record the t-SNE maps, ten minutes on a core.

`python -m dmlteach.course.widgets.tsne_grid.record [--output FILE]`
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmlteach import models
from dmlteach.course.widgets.tsne_grid.maps import (
    BASELINE,
    FILE,
    ITERATIONS,
    LEVELS,
    NETWORK,
    OTHER,
    PERPLEXITIES,
    SEEDS,
    drawings,
    settings,
)
from dmlteach.embeddings import embed
from dmlteach.metrics import recall_at_k
from dmlteach.plots.tsne import kept_neighbours

EXAGGERATED = 250  # iterations before those that are counted


def stages(
    embeddings: Tensor, perplexity: float, seed: int, iterations: tuple[int, ...] = ITERATIONS
) -> list[np.ndarray]:
    """What `plots.tsne.tsne` draws from a random start after several numbers of iterations, in one run.

    Args:
        embeddings: (M, D).
        perplexity: about how many neighbours each point tries to keep.
        seed: of the starting positions.
        iterations: ascending; after the 250 with exaggerated attraction.

    Returns:
        (M, 2) positions for each.
    """
    from openTSNE import TSNE

    seen = 0
    snapshots = []

    def watch(_: int, __: float, positions: np.ndarray) -> None:
        """Called before every step, in both phases."""
        nonlocal seen
        if seen - EXAGGERATED in iterations:
            snapshots.append(np.array(positions))
        seen += 1

    mapping = TSNE(
        perplexity=perplexity,
        initialization="random",
        neighbors="exact",
        negative_gradient_method="bh",
        early_exaggeration_iter=EXAGGERATED,
        n_iter=iterations[-1],
        n_jobs=1,
        random_state=seed,
        callbacks=watch,
        callbacks_every_iters=1,
    )
    last = mapping.fit(np.ascontiguousarray(embeddings.float().numpy()))
    return [*snapshots, np.asarray(last)]


def to_levels(points: np.ndarray) -> np.ndarray:
    """Positions (M, 2) as whole numbers 0 … LEVELS − 1, in the middle of the square; shape is kept."""
    middle = (points.max(0) + points.min(0)) / 2
    width = np.ptp(points, axis=0).max() or 1.0
    return np.round((0.5 + (points - middle) / width) * (LEVELS - 1)).astype(np.uint16)


def measure(embeddings: Tensor, points: np.ndarray, labels: Tensor) -> tuple[float, float]:
    """What a map keeps of the embedding, and Recall@1 when searching on the map.

    Args:
        embeddings: (M, D).
        points: (M, 2) whole numbers, as they are drawn.
        labels: (M,).
    """
    positions = points.astype(np.float32)
    recall = recall_at_k(torch.from_numpy(positions), labels, (1,))[1]
    return kept_neighbours(embeddings, positions), recall


def record(output: Path) -> None:
    """Draw and measure every map of `settings()` and write them.

    Args:
        output: the npz file.
    """
    shown = drawings()
    embeddings = {name: embed(models.pretrained(name), shown) for name in (NETWORK, OTHER)}
    maps = []
    for perplexity in PERPLEXITIES:
        for seed in SEEDS:
            maps += stages(embeddings[NETWORK], perplexity, seed)
            print(f"{NETWORK}, perplexity {perplexity}, seed {seed}", flush=True)
    for perplexity in PERPLEXITIES:
        maps += stages(embeddings[OTHER], perplexity, SEEDS[0], ITERATIONS[-1:])
        print(f"{OTHER}, perplexity {perplexity}", flush=True)
    points = np.stack([to_levels(positions) for positions in maps])
    measured = [
        measure(embeddings[s.network], p, shown.labels) for s, p in zip(settings(), points, strict=True)
    ]
    kept, recall = np.array(measured, np.float32).T
    # Drawings of one character follow each other and lie close on a map: their steps compress better.
    steps = np.diff(points.astype(np.int16), axis=1, prepend=np.int16(0))
    embeddings[BASELINE] = embed(models.pretrained(BASELINE), shown)
    whole = [recall_at_k(z, shown.labels, (1,))[1] for z in embeddings.values()]
    np.savez_compressed(
        output,
        steps=steps,
        kept=kept,
        recall=recall,
        labels=shown.labels.numpy().astype(np.uint8),
        embedding_recall=np.array(whole),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m dmlteach.course.widgets.tsne_grid.record", description=__doc__
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name(FILE))
    record(parser.parse_args().output)
