"""pytorch-metric-learning as an oracle: where its definitions agree, values and gradients are equal.

Where they do not, for a reason that is part of the definition:

| loss | how the peer differs |
|---|---|
| angular | leaves the negatives as they are: compared on embeddings of length 1 |
| binomial_deviance, weight, lifted_modified, global, clustering | has none |
| histogram | rounds to fp32 even in float64: compared in test_histogram.py, less closely |
| hierarchical_triplet, hdc, bier, sst, triplet | has none |
| contrastive | its hinge is linear, ours squared (Hadsell et al.); the variant "cosine" sums per anchor |
| margin | draws its negatives with its own random numbers: compared with every triplet instead |
| n_pair | pairs a class's first two images only: compared on batches of two |
| ranked_list | adds 1e-5 for each pair to the sums of weights, and gives the weights a gradient |
| smooth_ap | counts the query as its own positive (test_smooth_ap.py shows it) |
| softmax | has none with a bias |
"""

import math

import pytest
import torch
from pytorch_metric_learning import losses as peer
from pytorch_metric_learning import miners, reducers
from pytorch_metric_learning.distances import DotProductSimilarity, LpDistance
from pytorch_metric_learning.regularizers import SparseCentersRegularizer

from dmlteach import losses
from tests.losses.cases import DIM, create

CLASSES = 4
PLAIN = LpDistance(normalize_embeddings=False)
PLAIN_SQUARED = LpDistance(normalize_embeddings=False, power=2)
UNIT_SQUARED = LpDistance(power=2)
PRODUCT = DotProductSimilarity(normalize_embeddings=False)
MEAN = reducers.MeanReducer()


def batch(seed):
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(16, DIM, generator=random, dtype=torch.float64)
    return z + torch.arange(16)[:, None] % CLASSES, torch.arange(16) % CLASSES


def on_the_sphere(loss):
    return lambda z, y: loss(torch.nn.functional.normalize(z), y)


def mined(miner, loss):
    return lambda z, y: loss(z, y, miner(z, y))


# name, options of ours, the peer; parameters of both are made equal by `share`
EQUAL = {
    "angular": ({}, on_the_sphere(peer.AngularLoss(alpha=45))),
    "circle": ({}, peer.CircleLoss()),
    "fast_ap": ({}, peer.FastAPLoss(num_bins=10)),
    "lifted": ({}, peer.LiftedStructureLoss(distance=PLAIN)),
    "lifted_generalized": ({}, peer.GeneralizedLiftedStructureLoss(distance=PLAIN)),
    "margin": ({"sampling": "all", "learn_beta": False}, peer.MarginLoss(0.2, beta=1.2)),
    "multi_similarity": (
        {},
        mined(miners.MultiSimilarityMiner(0.1), peer.MultiSimilarityLoss(2, 50, 1.0)),
    ),
    "n_pair": ({}, peer.NPairsLoss(distance=PRODUCT)),
    "nca": ({"log": True}, peer.NCALoss(distance=PLAIN_SQUARED)),
    "supcon": ({}, peer.SupConLoss()),
    "triplet_all": ({}, peer.TripletMarginLoss(0.2, distance=PLAIN)),
    "triplet_hard": (
        {},
        mined(
            miners.BatchHardMiner(distance=PLAIN),
            peer.TripletMarginLoss(0.2, distance=PLAIN, reducer=MEAN),
        ),
    ),
    "triplet_semihard": (
        {},
        mined(
            miners.TripletMarginMiner(0.2, type_of_triplets="semihard", distance=UNIT_SQUARED),
            peer.TripletMarginLoss(0.2, distance=UNIT_SQUARED, reducer=MEAN),
        ),
    ),
}

# name, after it which form where there are several; options of ours, how to make the peer. Ours holds one row
# per class, the peer's parameter may be its transpose.
ANGLE = math.degrees(0.5)
WITH_PARAMETERS = {
    "arcface": ({}, lambda: peer.ArcFaceLoss(CLASSES, DIM, margin=ANGLE)),
    "arcface, sub-centers": (
        {"sub_centers": 3},
        lambda: peer.SubCenterArcFaceLoss(
            num_classes=CLASSES, embedding_size=DIM, margin=ANGLE, sub_centers=3
        ),
    ),
    "arcface, cosface": ({"form": "cosface"}, lambda: peer.CosFaceLoss(CLASSES, DIM)),
    "normalized_softmax": ({}, lambda: peer.NormalizedSoftmaxLoss(CLASSES, DIM)),
    "proxy_anchor": ({}, lambda: peer.ProxyAnchorLoss(CLASSES, DIM)),
    "proxy_nca": (
        {"variant": "softmax", "scale": 3.0},
        lambda: peer.ProxyNCALoss(CLASSES, DIM, softmax_scale=9),
    ),
    "soft_triple": (
        {},
        lambda: peer.SoftTripleLoss(
            CLASSES, DIM, weight_regularizer=SparseCentersRegularizer(CLASSES, 10), weight_reg_weight=0.2
        ),
    ),
}


def value_and_gradient(function, z):
    z = z.clone().requires_grad_()
    value = function(z)
    return value.detach(), torch.autograd.grad(value, z)[0]


def assert_equal(ours, theirs, z):
    torch.testing.assert_close(
        value_and_gradient(ours, z), value_and_gradient(theirs, z), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", EQUAL)
def test_value_and_gradient_are_the_peers(name, seed):
    options, theirs = EQUAL[name]
    ours = create(name, CLASSES, **options).double()
    z, y = batch(seed)
    if name == "n_pair":
        z, y = z[: 2 * CLASSES], y[: 2 * CLASSES]
    assert_equal(lambda z: ours(z, y), lambda z: theirs(z, y), z)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_value_and_gradient_are_the_peers_for_equal_parameters(name, seed):
    options, make = WITH_PARAMETERS[name]
    ours, theirs = create(name.partition(",")[0], CLASSES, **options).double(), make().double()
    (own,), (given,) = ours.parameters(), theirs.parameters()
    with torch.no_grad():
        given.copy_(own.reshape(given.shape) if own.shape == given.shape else own.reshape(-1, DIM).T)
    z, y = batch(seed)
    assert_equal(lambda z: ours(z, y), lambda z: theirs(z, y), z)


def test_every_loss_is_compared_or_explained():
    rows = [row.split("|")[1] for row in __doc__.splitlines() if row.startswith("| ")]
    explained = {name.strip() for row in rows for name in row.split(",")}
    assert set(losses.names()) <= explained | set(EQUAL) | set(WITH_PARAMETERS)
