"""Each loss, forward and backward, against pytorch-metric-learning's equivalent; and the memory it takes.

The peers are the closest definitions there are (see tests/losses/test_peer.py for which are equal), with
the miner that the definition asks for. A batch has four images of a class; for n_pair two, the paper's
batch, since of more the peer takes the first two only. At N = 1,024 its lifted and Smooth-AP losses are
left out, which ask for more than 24 GiB, and its histogram loss, which lists every triplet.
"""

from collections.abc import Callable
from math import exp, log
from statistics import mean, median

import torch
from pytorch_metric_learning import losses as peer
from pytorch_metric_learning import miners
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.regularizers import SparseCentersRegularizer
from torch import Tensor, nn

from benchmarks.measure import extra_memory, extra_memory_on_gpu, in_turns, ratio, wait
from dmlteach import losses
from dmlteach.device import choose_device

DIM = 512
TOO_LARGE = {("lifted", 1024), ("histogram", 1024), ("smooth_ap", 1024)}
PARTS = {"hdc": (170, 171, 171), "bier": (96, 160, 256)}  # of ensembles

Call = Callable[[Tensor, Tensor], Tensor]


def _plain() -> LpDistance:
    return LpDistance(normalize_embeddings=False)


def _squared() -> LpDistance:
    return LpDistance(power=2)


def _mined(miner: nn.Module, loss: nn.Module) -> Call:
    return lambda z, y: loss(z, y, miner(z, y))


# name → (classes, embedding size) → the peer's call
PEERS: dict[str, Callable[[int, int], Call]] = {
    "angular": lambda c, d: peer.AngularLoss(alpha=45),
    "arcface": lambda c, d: peer.ArcFaceLoss(c, d),
    "circle": lambda c, d: peer.CircleLoss(),
    "contrastive": lambda c, d: peer.ContrastiveLoss(distance=_plain()),
    "fast_ap": lambda c, d: peer.FastAPLoss(),
    "histogram": lambda c, d: peer.HistogramLoss(n_bins=100),
    "lifted": lambda c, d: peer.LiftedStructureLoss(distance=_plain()),
    "lifted_generalized": lambda c, d: peer.GeneralizedLiftedStructureLoss(distance=_plain()),
    "margin": lambda c, d: _mined(miners.DistanceWeightedMiner(), peer.MarginLoss()),
    "multi_similarity": lambda c, d: _mined(miners.MultiSimilarityMiner(), peer.MultiSimilarityLoss()),
    "n_pair": lambda c, d: peer.NPairsLoss(),
    "nca": lambda c, d: peer.NCALoss(distance=LpDistance(normalize_embeddings=False, power=2)),
    "normalized_softmax": lambda c, d: peer.NormalizedSoftmaxLoss(c, d),
    "proxy_anchor": lambda c, d: peer.ProxyAnchorLoss(c, d),
    "proxy_nca": lambda c, d: peer.ProxyNCALoss(c, d),
    "ranked_list": lambda c, d: peer.RankedListLoss(margin=0.4, Tn=5, alpha=1.2),  # from 5 on it warns
    "smooth_ap": lambda c, d: peer.SmoothAPLoss(),
    "soft_triple": lambda c, d: peer.SoftTripleLoss(
        c, d, weight_regularizer=SparseCentersRegularizer(c, 10), weight_reg_weight=0.2
    ),
    "supcon": lambda c, d: peer.SupConLoss(),
    "triplet_all": lambda c, d: peer.TripletMarginLoss(0.2, distance=_plain()),
    "triplet_hard": lambda c, d: _mined(
        miners.BatchHardMiner(distance=_plain()), peer.TripletMarginLoss(0.2, distance=_plain())
    ),
    "triplet_semihard": lambda c, d: _mined(
        miners.TripletMarginMiner(0.2, type_of_triplets="semihard", distance=_squared()),
        peer.TripletMarginLoss(0.2, distance=_squared()),
    ),
}


def rows(quick: bool) -> list[dict]:
    sizes = (64,) if quick else (256, 1024)
    timed = [_row(name, n, 3 if quick else 9) for n in sizes for name in PEERS if (name, n) not in TOO_LARGE]
    middle = exp(mean(log(row["ratio"]) for row in timed))
    whole = {
        "what": "all of these, geometric mean of the ratios",
        "peer": "pytorch-metric-learning",
        "seconds": {side: [sum(median(r["seconds"][side]) for r in timed)] for side in ("dmlteach", "peer")},
        "ratio": middle,
        "goal": 3,
    }
    memory = [_memory_row(name, sizes[-1]) for name in (["sst"] if quick else losses.names())]
    return [*timed, whole, *memory]


def missing(result: dict) -> list[str]:
    """A sentence with the losses of PEERS that have no row; none where all have one.

    Args:
        result: as it is kept in results.json, measured when PEERS may have been fewer.
    """
    there = {row["what"].partition(",")[0] for row in result["rows"] if "peer" in row}
    names = [name for name in PEERS if name not in there]
    return [f"Not measured yet: {', '.join(names)}."] if names else []


def _row(name: str, n: int, rounds: int) -> dict:
    z, y = batch(n, per_class(name))
    classes = n // per_class(name)
    ours, theirs = create(name, classes), PEERS[name](classes, DIM)
    if isinstance(theirs, nn.Module):
        theirs = theirs.to(z.device)
    calls = {"dmlteach": lambda: step(ours, z, y), "peer": lambda: step(theirs, z, y)}
    in_turns(calls, 2)  # to warm up
    seconds = in_turns(calls, rounds)
    return {
        "what": f"{name}, N = {n:,}, D = {DIM}",
        "peer": "pytorch-metric-learning",
        "seconds": seconds,
        "ratio": ratio(seconds, "peer", "dmlteach"),
        "goal": 0.95,
    }


def _memory_row(name: str, n: int) -> dict:
    z, y = batch(n, per_class(name))
    loss = create(name, n // per_class(name))
    seconds = in_turns({"dmlteach": lambda: step(loss, z, y)}, 3)
    taken = (
        extra_memory(_prepare, step, name, n)
        if z.device.type == "cpu"
        else extra_memory_on_gpu(step, loss, z, y)
    )
    return {
        "what": f"{name}, N = {n:,}: memory",
        "seconds": seconds,
        "extra_gib": taken,
        "goal_gib": 1,
    }


def per_class(name: str) -> int:
    """Images of a class in a loss's batch."""
    return 2 if name == "n_pair" else 4


def batch(n: int, images: int) -> tuple[Tensor, Tensor]:
    """Unit embeddings (N, D), near their class's direction, and labels, so many `images` of a class.

    They are on the GPU where there is one.
    """
    device = choose_device()
    random = torch.Generator().manual_seed(0)
    y = torch.arange(n) // images
    centers = torch.randn(n // images, DIM, generator=random)
    z = centers[y] + torch.randn(n, DIM, generator=random)
    return nn.functional.normalize(z).to(device).requires_grad_(), y.to(device)


def create(name: str, classes: int) -> losses.Loss:
    """The loss with what the trainer would fill in."""
    facts = {"num_classes": classes, "embedding_dim": DIM, "dims": PARTS.get(name, (DIM,))}
    loss = losses.create(name, **{k: v for k, v in facts.items() if k in losses.options(name)})
    return loss.to(choose_device())


def step(loss: Call, z: Tensor, y: Tensor) -> None:
    """Forward and backward."""
    z.grad = None
    loss(z, y).backward()
    wait(z.device)


def _prepare(name: str, n: int) -> tuple:
    z, y = batch(n, per_class(name))
    loss = create(name, n // per_class(name))
    small, small_y = batch(32, 4)
    step(create(name, 8), small, small_y)  # what libraries allocate once
    return loss, z, y
