"""Exact Recall@{1,10,100,1000} + MAP@R of a set like Stanford Online Products, against faiss flat search."""

from functools import partial

import faiss
import torch

from benchmarks.measure import extra_memory, in_turns, ratio
from dmlteach.metrics import retrieval_metrics

KS = (1, 10, 100, 1000)


def embeddings(size: int, dim: int, num_classes: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian classes; the noise says how much they overlap."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size) % num_classes
    centers = torch.randn(num_classes, dim, generator=generator)
    return centers[labels] + noise * torch.randn(size, dim, generator=generator), labels


def score(x: torch.Tensor, labels: torch.Tensor) -> dict:
    return retrieval_metrics(x, labels, KS)


def search(x: torch.Tensor) -> None:
    """The 1,001 nearest (itself among them) of every row: what Recall@1000 from neighbour lists needs."""
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x.numpy())
    index.search(x.numpy(), 1001)


def rows(quick: bool) -> list[dict]:
    size, num_classes = (1_500, 280) if quick else (60_502, 11_316)
    found = []
    sets = (("embeddings that separate most classes", 1.8), ("embeddings of noise", 100.0))
    for what, noise in sets[:1] if quick else sets:
        given = (size, 64 if quick else 512, num_classes, noise)
        x, labels = embeddings(*given)
        functions = {"dmlteach": partial(score, x, labels), "faiss": partial(search, x)}
        seconds = in_turns(functions, 1)
        found.append(
            {
                "what": f"exact Recall@1…1000 and MAP@R, {size:,} × {given[1]}, {what}",
                "peer": "faiss IndexFlatL2, k = 1,001 (search alone)",
                "seconds": seconds,
                "ratio": ratio(seconds, "faiss", "dmlteach"),
                "goal": 1.0,
                "extra_gib": extra_memory(embeddings, score, *given),
                "goal_gib": 2.0,
            }
        )
    return found
