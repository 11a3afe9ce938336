"""A short training in which the weight of every negative is the reader's."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from dmlteach import data, losses, models, samplers
from dmlteach.course.exercises.answers import ask
from dmlteach.course.exercises.drawings import training_drawings
from dmlteach.distances import normalize
from dmlteach.embeddings import embed
from dmlteach.metrics import recall_at_k
from dmlteach.models import Model

CLASSES, BATCH, PER_CLASS, STEPS, RATE, DIM = 120, 48, 4, 50, 1e-3, 64
Weight = Callable[[Tensor], Tensor]


def weighted_loss(z: Tensor, labels: Tensor, weight: Weight) -> Tensor:
    """Mean over anchors of −mean_p S(a,p) + Σ_n w(a,n) S(a,n), S the cosine; an anchor's w sum to 1.

    Args:
        z: (N, D).
        labels: (N,), of classes with two examples or more.
        weight: of negatives at distances d on the unit sphere, (N, N); at least 0, without a gradient.
    """
    unit = normalize(z)
    cosine = unit @ unit.T
    same = labels[:, None] == labels
    positive = (same & ~torch.eye(len(z), dtype=torch.bool)).to(z)
    d = (2 - 2 * cosine.detach()).clamp_min(0).sqrt()
    w = weight(d).detach() * ~same
    w = w / w.sum(1, keepdim=True).clamp_min(1e-12)
    return ((w * cosine).sum(1) - (positive * cosine).sum(1) / positive.sum(1)).mean()


def train(loss: Callable[[Tensor, Tensor], Tensor], seed: int = 0, rate: float = RATE) -> Model:
    """A small network after 50 steps of P×K batches on 120 characters.

    Args:
        loss: of embeddings and labels.
        seed: of weights and batches.
        rate: learning rate.
    """
    pixels, classes = training_drawings(CLASSES)
    network = models.create("omniglot_cnn", DIM, seed=seed).train()
    optimizer = torch.optim.Adam(network.parameters(), rate)
    sampler = samplers.create("class_balanced", classes, BATCH, seed=seed, images_per_class=PER_CLASS)
    steps = 0
    while steps < STEPS:
        for batch in sampler:
            rows = list(batch)
            z = network((pixels[rows] / 255 - network.spec.mean[0]) / network.spec.std[0])
            optimizer.zero_grad()
            loss(z, classes[rows]).backward()
            optimizer.step()
            steps += 1
            if steps == STEPS:
                break
    return network.eval()


def recall(network: Model, part: str, on_sphere: bool = True) -> float:
    """Recall@1 among all classes of a part.

    Args:
        network: trained.
        part: "val" or "test".
        on_sphere: search by the directions of the embeddings, not by the embeddings as they are.
    """
    held_out = data.load("omniglot", part)
    z = embed(network, held_out)
    return recall_at_k(normalize(z) if on_sphere else z, held_out.labels, (1,))[1]


def trained_with(weight: Weight, seed: int = 0) -> Model:
    """The network that the reader's weight trains.

    Args:
        weight: the reader's function of distances.
        seed: of weights and batches.
    """
    return train(lambda z, labels: weighted_loss(z, labels, lambda d: ask(weight, d)), seed)


@functools.cache
def of_triplet(part: str, seed: int = 0) -> float:
    """Recall@1 of the same training with the triplet loss, which leaves embeddings as they are.

    Args:
        part: "val" or "test".
        seed: of weights and batches.
    """
    return recall(train(losses.create("triplet"), seed), part, on_sphere=False)


@functools.cache
def of_untrained(part: str, seed: int = 0) -> float:
    """Recall@1 of the network before its first step.

    Args:
        part: "val" or "test".
        seed: of the weights.
    """
    return recall(models.create("omniglot_cnn", DIM, seed=seed), part)


def classes(part: str) -> int:
    """How many classes a part has.

    Args:
        part: "val" or "test".
    """
    return data.load("omniglot", part).num_classes
