"""Recorded batches: whom each sampler puts together on a recorded embedding, and what each batch holds."""

import io
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dmlteach import losses, samplers
from dmlteach.course.recordings import Recording, recordings
from dmlteach.distances import pairwise_squared_distances
from dmlteach.interfaces import Batch, Space, Tuples
from dmlteach.losses.triplet import triplet_hinges
from dmlteach.losses.tuples import masked_mean, nearest_targets
from dmlteach.neighbors import nearest
from dmlteach.plots.inline import address, as_text

KINDS: dict[str, dict[str, Any]] = {  # samplers and their options, those of the chapter on batches
    "random": {},
    "class_balanced": {"images_per_class": 4},
    "local": {},
    "local_classes": {"images_per_class": 4},
}
SHOWN = 8  # batches of each epoch that can be looked at
NEIGHBOURS = 10  # in the whole recording; a drawing of another character among them is confusable
MARGIN, TARGETS = 0.2, 5  # of the triplet loss; nearest positives of an anchor
SST_LOSS = losses.create("sst", num_targets=TARGETS)
SIDE, COLUMNS = 42, 25  # of a drawing on the sheet, in pixels; drawings in a row of it


class Contents(NamedTuple):
    """What a batch holds.

    Attributes:
        anchors: drawings in it.
        characters: classes they show.
        alone: anchors without a positive.
        confusable: pairs of different characters, one among the ten nearest neighbours of the other.
        triplets: of anchor, target and negative.
        active: share of them inside the triplet loss's margin.
        hard: share of them whose negative is nearer than the positive.
        sst: share of them that SST pulls with a weight above 0.01.
        ratio: distance of the nearest negative over that of the nearest positive, median over anchors
            that have both; NaN where none has.
    """

    anchors: int
    characters: int
    alone: int
    confusable: int
    triplets: int
    active: float
    hard: float
    sst: float
    ratio: float


class Look(NamedTuple):
    """A batch and its relations; numbers are places in the batch unless said otherwise.

    Attributes:
        rows: (n,) drawings of the recording, sorted by character.
        targets: (n, 5) nearest positives of each anchor, -1 where there are fewer.
        confusable: (n, n) which pairs are.
        active: (n,) active triplets of each anchor.
        contents: of the whole batch.
    """

    rows: Tensor
    targets: Tensor
    confusable: Tensor
    active: Tensor
    contents: Contents


class Epoch(NamedTuple):
    """What all batches of an epoch hold on average over their anchors.

    Attributes:
        batches: planned for the epoch.
        dropped: groups without a triplet, which local sampling leaves out.
        confusable: drawings that an anchor can be confused with, in its batch.
        alone: share of anchors without a positive.
        active, hard, sst: shares of triplets, see `Contents`.
    """

    batches: int
    dropped: int
    confusable: float
    alone: float
    active: float
    hard: float
    sst: float


class Plan(NamedTuple):
    """The first batches that a sampler gives at an epoch, and what the epoch holds as a whole."""

    looks: list[Look]
    epoch: Epoch


def confusable_pairs(z: Tensor, labels: Tensor) -> Tensor:
    """Pairs of different classes, one of which is among the ten nearest neighbours of the other.

    Args:
        z: (M, D) embeddings.
        labels: (M,) their classes.

    Returns:
        (M, M) booleans, symmetric.
    """
    _, near = nearest(z, z, NEIGHBOURS + 1)  # itself is one of them, but not of another class
    is_near = torch.zeros(len(z), len(z), dtype=torch.bool).scatter_(1, near, True)
    return (is_near | is_near.T) & (labels[:, None] != labels)


def look_at(batch: Batch, z: Tensor, labels: Tensor, confusable: Tensor) -> Look:
    """Targets, confusable pairs and active triplets of a batch, as the losses see them.

    Args:
        batch: rows of the recording, with targets where the sampler chose them.
        z: (M, D) embeddings of the epoch.
        labels: (M,) their classes.
        confusable: (M, M), see `confusable_pairs`.
    """
    rows = torch.tensor(batch)
    rows = rows[labels[rows].argsort(stable=True)]
    here, of = z[rows], labels[rows]
    d2 = pairwise_squared_distances(here)
    targets = nearest_targets(
        d2, of, TARGETS
    )  # those that local sampling chooses, too: the space is the same
    hinges, exists = triplet_hinges(here, of, MARGIN, TARGETS, targets)
    pairs = confusable[rows][:, rows]

    contents = Contents(
        anchors=len(rows),
        characters=len(of.unique()),
        alone=int((targets < 0).all(1).sum()),
        confusable=int(pairs.sum()) // 2,
        triplets=int(exists.sum()),
        active=masked_mean((hinges > 0).float(), exists).item(),
        hard=masked_mean((hinges > MARGIN).float(), exists).item(),
        sst=SST_LOSS.active_tuples(here, of, Tuples(targets)).item(),
        ratio=_nearest_ratio(d2, of),
    )
    targets = torch.nn.functional.pad(targets, (0, TARGETS - targets.shape[1]), value=-1)
    return Look(rows, targets, pairs, ((hinges > 0) & exists).sum((1, 2)), contents)


def _nearest_ratio(d2: Tensor, labels: Tensor) -> float:
    """Median over anchors of the distance to the nearest negative over that to the nearest positive."""
    same = labels[:, None] == labels
    negative = d2.masked_fill(same, torch.inf).amin(1)
    positive = d2.masked_fill(~same | torch.eye(len(d2), dtype=torch.bool), torch.inf).amin(1)
    both = negative.isfinite() & positive.isfinite() & (positive > 0)
    return (negative / positive)[both].sqrt().median().item()  # NaN of none


@lru_cache(maxsize=4)
def plans(recording: str, batch_size: int, seed: int) -> tuple[Recording, list[dict[str, Plan]]]:
    """A recording, and for each of its epochs the plan of every sampler.

    Args:
        recording: of `dmlteach.course.recordings.recordings`, e.g. "sst".
        batch_size: of all samplers.
        seed: of all samplers.
    """
    record = recordings(recording)
    epochs = range(len(record.epochs))
    return record, [{name: plan(record, name, epoch, batch_size, seed) for name in KINDS} for epoch in epochs]


def plan(record: Recording, name: str, epoch: int, batch_size: int, seed: int) -> Plan:
    """What a sampler plans on a recorded embedding.

    Args:
        record: the recording.
        name: of the sampler, one of `KINDS`.
        epoch: of the recording.
        batch_size: of the sampler.
        seed: of the sampler.
    """
    z, labels = record.embeddings[epoch], record.labels
    confusable = confusable_pairs(z, labels)
    sampler = samplers.create(name, labels, batch_size, seed=seed, **KINDS[name])
    report = sampler.plan(record.epochs[epoch], Space(z, labels))
    looks = [look_at(batch, z, labels, confusable) for batch in sampler]
    held = np.array([look.contents for look in looks])  # (batches, 9)
    anchors, _, alone, pairs, _, *shares, _ = held.T
    means = [np.average(share, weights=anchors) for share in shares]
    whole = Epoch(
        len(looks),
        report.get("batches_without_triplet", 0),
        float(2 * pairs.sum() / anchors.sum()),
        float(alone.sum() / anchors.sum()),
        *map(float, means),
    )
    return Plan(looks[:SHOWN], whole)


# --- packed for the page


@lru_cache(maxsize=4)
def packed(recording: str, batch_size: int, seed: int) -> dict[str, Any]:
    """Everything the figure steps through, as JSON: numbers in base64, drawings on one sheet.

    Args:
        recording, batch_size, seed: see `plans`.
    """
    record, made = plans(recording, batch_size, seed)
    size = (len(made), len(KINDS), SHOWN, batch_size)
    rows, active = np.full(size, -1, np.int16), np.zeros(size, np.uint16)
    targets = np.full((*size, TARGETS), -1, np.int8)
    confusable = np.zeros((*size, batch_size), bool)
    contents = np.full((*size[:3], len(Contents._fields)), np.nan, np.float32)
    for e, by_sampler in enumerate(made):
        for s, plan in enumerate(by_sampler.values()):
            for b, look in enumerate(plan.looks):
                n = len(look.rows)
                rows[e, s, b, :n], active[e, s, b, :n] = look.rows, look.active
                targets[e, s, b, :n], confusable[e, s, b, :n, :n] = look.targets, look.confusable
                contents[e, s, b] = look.contents
    arrays: dict[str, np.ndarray] = {"rows": rows, "active": active, "targets": targets, "contents": contents}
    return {
        "recording": recording,
        "batchSize": batch_size,
        "samplers": list(KINDS),
        "epochs": record.epochs,
        "shown": [[len(plan.looks) for plan in by_sampler.values()] for by_sampler in made],
        "whole": [[[round(v, 5) for v in plan.epoch] for plan in by_sampler.values()] for by_sampler in made],
        "confusable": as_text(np.packbits(confusable).tobytes()),
        "points": as_text(_quantised(record.embeddings[:, :, :2]).tobytes()),
        "labels": as_text(np.unique(record.labels, return_inverse=True)[1].astype(np.uint8).tobytes()),
        "sheet": address(png(sheet(recording))),
        **{name: as_text(array.tobytes()) for name, array in arrays.items()},
    }


def on_page(z: Tensor) -> Tensor:
    """The first two directions of every epoch as places in a square, the widest at its edges.

    Args:
        z: (E, M, ≥ 2).

    Returns:
        (E, M, 2), 0 to 1, y downwards; each epoch has a scale of its own.
    """
    x = z[:, :, :2] - (z[:, :, :2].amin(1, keepdim=True) + z[:, :, :2].amax(1, keepdim=True)) / 2
    x = 0.5 + 0.5 * x / x.abs().amax((1, 2), keepdim=True)
    return torch.stack([x[:, :, 0], 1 - x[:, :, 1]], dim=2)


def _quantised(z: Tensor) -> np.ndarray:
    return (on_page(z) * 65535).round().numpy().astype(np.uint16)


@lru_cache(maxsize=4)
def sheet(recording: str) -> np.ndarray:
    """All drawings of a recording side by side, ink dark: (rows · 42, 25 · 42) of four greys, 0 to 3.

    Args:
        recording: its name; drawing i is in row i // 25, column i % 25.
    """
    record = recordings(recording)
    small = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
             for image in record.images.numpy()]  # fmt: skip
    greys = 3 - np.round(np.stack(small) / 85).astype(np.uint8)
    greys = np.concatenate([greys, np.full((-len(greys) % COLUMNS, SIDE, SIDE), 3, np.uint8)])
    return greys.reshape(-1, COLUMNS, SIDE, SIDE).swapaxes(1, 2).reshape(-1, COLUMNS * SIDE)


def png(greys: np.ndarray) -> bytes:
    """A PNG of four greys, 0 to 3: two bits a pixel."""
    image = Image.fromarray(greys, "P")
    image.putpalette([v for grey in (0, 85, 170, 255) for v in (grey,) * 3])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, bits=2)
    return buffer.getvalue()
