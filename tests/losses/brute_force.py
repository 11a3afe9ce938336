"""Losses by their definition, tuple by tuple in float64 with plain loops: the truth of the tests."""

import math

import torch
from torch import Tensor


def d2(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) ** 2).sum()


def targets_of(z: Tensor, labels: list[int], anchor: int, k: int) -> list[int]:
    same = [j for j in range(len(z)) if j != anchor and labels[j] == labels[anchor]]
    return sorted(same, key=lambda j: (d2(z[anchor], z[j]).item(), j))[:k]


def triplets_of(z: Tensor, labels: list[int], k: int) -> list[tuple[int, int, int]]:
    return [
        (a, p, n)
        for a in range(len(z))
        for p in targets_of(z, labels, a, k)
        for n in range(len(z))
        if labels[n] != labels[a]
    ]


def mean(terms: list[Tensor], z: Tensor) -> Tensor:
    return torch.stack(terms).mean() if terms else z.sum() * 0


def sst(z: Tensor, labels: list[int], k: int) -> Tensor:
    terms = []
    for a, p, n in triplets_of(z, labels, k):
        u = d2(z[a], z[p]) - (d2(z[a], z[n]) + d2(z[p], z[n])) / 2
        terms.append(torch.log1p(torch.exp(-abs(u))) + torch.clamp(u, min=0))
    return mean(terms, z)


def triplet(z: Tensor, labels: list[int], k: int, margin: float) -> Tensor:
    hinges = [margin + d2(z[a], z[p]) - d2(z[a], z[n]) for a, p, n in triplets_of(z, labels, k)]
    return mean([h if h > 0 else h * 0 for h in hinges], z)


def contrastive(z: Tensor, labels: list[int], margin: float) -> Tensor:
    terms = []
    for i in range(len(z)):
        for j in range(i + 1, len(z)):
            if labels[i] == labels[j]:
                terms.append(d2(z[i], z[j]) / 2)
            else:
                d = d2(z[i], z[j]).sqrt() if d2(z[i], z[j]) > 0 else z.sum() * 0
                terms.append((margin - d) ** 2 / 2 if d < margin else z.sum() * 0)
    return mean(terms, z)


def softmax(z: Tensor, labels: list[int], weight: Tensor, bias: Tensor) -> Tensor:
    terms = []
    for i in range(len(z)):
        scores = [(weight[c] * z[i]).sum() + bias[c] for c in range(len(weight))]
        largest = max(s.item() for s in scores)
        total = sum(torch.exp(s - largest) for s in scores)
        terms.append(torch.log(total) + largest - scores[labels[i]])
    return mean(terms, z)


LOG2 = math.log(2)
