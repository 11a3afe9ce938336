"""Losses of others come by their source: pytorch-metric-learning's equal ours where the definitions agree."""

import sys

import pytest
import torch

from dmlteach import losses
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Tuples
from dmlteach.losses import foreign as foreign_losses
from tests.losses.cases import DIM, create
from tests.losses.test_peer import CLASSES, assert_equal, batch

PEER = "pytorch_metric_learning"
# name: options of ours, the peer's name and options
SAME = {
    "circle": ({"gamma": 60.0}, "CircleLoss", {"gamma": 60.0}),
    "multi_similarity": (
        {"epsilon": 0.2},
        "MultiSimilarityLoss",
        {
            "alpha": 2, "base": 1.0, "miner": f"{PEER}.miners:MultiSimilarityMiner",
            "miner_options": {"epsilon": 0.2},
        },
    ),
    "supcon": ({}, "SupConLoss", {}),
}  # fmt: skip
IN_A_FILE = """
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss

class Triplets(TripletMarginLoss):
    geometry = "euclidean"

    def __init__(self, margin=0.2):
        super().__init__(margin, distance=LpDistance(normalize_embeddings=False))
"""


@pytest.mark.parametrize("name", SAME)
def test_value_and_gradient_of_the_peers_loss_are_ours_where_definitions_agree(name):
    options, called, theirs = SAME[name]
    ours = create(name, CLASSES, **options).double()
    peers = losses.create(f"{PEER}.losses:{called}", **theirs).double()
    assert losses.kind(f"{PEER}.losses:{called}").geometry == ours.geometry
    for seed in range(3):
        z, y = batch(seed)
        assert_equal(lambda z: ours(z, y), lambda z: peers(z, y), z)  # noqa: B023


def test_so_are_those_with_learned_vectors_when_these_are_equal():
    source = f"{PEER}.losses:ProxyAnchorLoss"
    assert {"num_classes", "embedding_size"} <= losses.options(source).keys()
    ours = create("proxy_anchor", CLASSES).double()
    peers = losses.create(source, num_classes=CLASSES, embedding_size=DIM).double()
    (own,), (given,) = ours.parameters(), peers.parameters()
    with torch.no_grad():
        given.copy_(own)
    z, y = batch(0)
    assert_equal(lambda z: ours(z, y), lambda z: peers(z, y), z)


def test_and_one_that_a_file_derives_from_the_peers(tmp_path):
    (tmp_path / "triplets.py").write_text(IN_A_FILE)
    ours = create("triplet_all", CLASSES, margin=0.3).double()
    theirs = losses.create(f"{tmp_path}/triplets.py:Triplets", margin=0.3)
    assert losses.kind(f"{tmp_path}/triplets.py:Triplets").geometry == "euclidean"
    z, y = batch(0)
    assert_equal(lambda z: ours(z, y), lambda z: theirs(z, y), z)


def test_triplets_of_the_sampler_are_what_the_peers_loss_takes_unless_it_has_a_miner():
    z, y = batch(0)
    triplets = torch.tensor([[0, 4, 1], [2, 6, 3]])
    loss = losses.create(f"{PEER}.losses:TripletMarginLoss", margin=0.2)
    unit = torch.nn.functional.normalize(z)
    (a, p, n) = (unit[column] for column in triplets.T)
    hinges = (0.2 + (a - p).norm(dim=1) - (a - n).norm(dim=1)).relu()
    assert loss(z, y, tuples=Tuples(triplets=triplets)).item() == pytest.approx(
        hinges[hinges > 0].mean().item()
    )
    mined = losses.create(
        f"{PEER}.losses:TripletMarginLoss", margin=0.2, miner=f"{PEER}.miners:BatchHardMiner"
    )
    assert mined(z, y, tuples=Tuples(triplets=triplets)).equal(mined(z, y))
    assert not mined(z, y).isclose(loss(z, y, tuples=Tuples(triplets=triplets)))


def test_what_it_draws_at_random_follows_from_the_step_and_leaves_other_draws_alone(tmp_path):
    (tmp_path / "noisy.py").write_text(
        "import torch\ndef noisy(z, y): return (z * torch.rand_like(z)).sum()\n"
    )
    loss = losses.create(f"{tmp_path}/noisy.py:noisy")
    z, y = batch(0)

    def value(seed):
        return loss(z, y, generator=torch.Generator().manual_seed(seed))

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = value(1)
    assert torch.rand(3).equal(expected)
    assert value(1).equal(first)
    assert not value(2).equal(first)


def test_a_file_is_run_again_when_it_has_changed_and_else_once(tmp_path):
    file = tmp_path / "one.py"
    file.write_text("print('run')\nclass One:\n    def __call__(self, z, y): return z.sum()\n")
    name, z = f"{file}:One", torch.ones(2, 3)
    assert losses.create(name)(z, torch.zeros(2, dtype=torch.int64)).item() == 6
    assert losses.create(name).function.__class__ is losses.create(name).function.__class__
    file.write_text("class One:\n    def __call__(self, z, y): return 2 * z.sum()\n")
    assert losses.create(name)(z, torch.zeros(2, dtype=torch.int64)).item() == 12


def test_where_the_peer_is_not_installed_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, PEER, None)
    for module in [name for name in sys.modules if name.startswith(f"{PEER}.")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(
        DMLTeachError,
        match=r"there is no module pytorch_metric_learning\S* for pytorch_metric_learning\.losses:Circle"
        r"Loss: install its package \(pip install pytorch-metric-learning\), or give the path of a file",
    ):
        losses.create(f"{PEER}.losses:CircleLoss")


def test_a_loss_with_a_miner_of_its_own_and_a_miner_without_a_source_are_told():
    with pytest.raises(DMLTeachError, match="needs loss"):  # it wraps another loss
        losses.create(f"{PEER}.losses:CrossBatchMemory")
    with pytest.raises(DMLTeachError, match="named by its source, package.module:NAME or FILE.py:NAME, not"):
        losses.create(f"{PEER}.losses:MultiSimilarityLoss", miner="TripletMarginMiner")


def test_a_loss_on_the_sphere_is_tried_on_the_sphere(tmp_path):
    source = "geometry = 'sphere'\n\nclass Unit:\n    geometry = 'sphere'\n\n    def __call__(self, z, y):\n"
    source += "        assert ((z.norm(dim=1) - 1).abs() < 1e-5).all()\n        return z.sum()\n"
    (tmp_path / "unit.py").write_text(source)
    name = f"{tmp_path}/unit.py:Unit"
    foreign_losses.check(losses.create(name), name, 4, torch.empty(0, DIM))
