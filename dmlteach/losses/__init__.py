"""Losses: each a pure function of embeddings (N, D) and labels (N,), and a thin module beside it."""

import inspect
from typing import Any

from dmlteach.interfaces import Loss
from dmlteach.losses.angular import Angular, angular_loss
from dmlteach.losses.arcface import ArcFace, arcface_loss
from dmlteach.losses.bier import BIER, bier_loss
from dmlteach.losses.binomial_deviance import BinomialDeviance, binomial_deviance_loss
from dmlteach.losses.circle import Circle, circle_loss
from dmlteach.losses.clustering import Clustering, clustering_loss
from dmlteach.losses.contrastive import Contrastive, contrastive_loss
from dmlteach.losses.fast_ap import FastAP, fast_ap_loss
from dmlteach.losses.foreign import as_loss
from dmlteach.losses.global_loss import Global, global_loss
from dmlteach.losses.hdc import HDC, hdc_loss
from dmlteach.losses.hierarchical_triplet import HierarchicalTriplet, hierarchical_triplet_loss
from dmlteach.losses.histogram import Histogram, histogram_loss
from dmlteach.losses.lifted import Lifted, lifted_loss
from dmlteach.losses.lifted_generalized import LiftedGeneralized, lifted_generalized_loss
from dmlteach.losses.lifted_modified import LiftedModified, lifted_modified_loss
from dmlteach.losses.margin import Margin, margin_loss
from dmlteach.losses.multi_similarity import MultiSimilarity, multi_similarity_loss
from dmlteach.losses.n_pair import NPair, n_pair_loss
from dmlteach.losses.nca import NCA, nca_loss
from dmlteach.losses.normalized_softmax import NormalizedSoftmax, normalized_softmax_loss
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.proxy_anchor import ProxyAnchor, proxy_anchor_loss
from dmlteach.losses.proxy_nca import ProxyNCA, proxy_nca_loss
from dmlteach.losses.ranked_list import RankedList, ranked_list_loss
from dmlteach.losses.smooth_ap import SmoothAP, smooth_ap_loss
from dmlteach.losses.soft_triple import SoftTriple, soft_triple_loss
from dmlteach.losses.softmax import Softmax, softmax_loss
from dmlteach.losses.sst import SST, sst_loss
from dmlteach.losses.supcon import SupCon, supcon_loss
from dmlteach.losses.triplet import Triplet, triplet_loss
from dmlteach.losses.triplet_all import TripletAll, triplet_all_loss
from dmlteach.losses.triplet_hard import TripletHard, triplet_hard_loss
from dmlteach.losses.triplet_semihard import TripletSemihard, triplet_semihard_loss
from dmlteach.losses.tuples import masked_logsumexp, masked_mean, nearest_targets
from dmlteach.losses.weight import Weight, weight_loss
from dmlteach.registry import Registry

LOSSES: dict[str, type[Loss]] = {
    "angular": Angular,
    "arcface": ArcFace,
    "bier": BIER,
    "binomial_deviance": BinomialDeviance,
    "circle": Circle,
    "clustering": Clustering,
    "contrastive": Contrastive,
    "fast_ap": FastAP,
    "global": Global,
    "hdc": HDC,
    "hierarchical_triplet": HierarchicalTriplet,
    "histogram": Histogram,
    "lifted": Lifted,
    "lifted_generalized": LiftedGeneralized,
    "lifted_modified": LiftedModified,
    "margin": Margin,
    "multi_similarity": MultiSimilarity,
    "n_pair": NPair,
    "nca": NCA,
    "normalized_softmax": NormalizedSoftmax,
    "proxy_anchor": ProxyAnchor,
    "proxy_nca": ProxyNCA,
    "ranked_list": RankedList,
    "smooth_ap": SmoothAP,
    "soft_triple": SoftTriple,
    "softmax": Softmax,
    "sst": SST,
    "supcon": SupCon,
    "triplet": Triplet,
    "triplet_all": TripletAll,
    "triplet_hard": TripletHard,
    "triplet_semihard": TripletSemihard,
    "weight": Weight,
}
_REGISTRY = Registry("loss", LOSSES, adapt=as_loss)


def names() -> list[str]:
    """Names that `create` accepts."""
    return _REGISTRY.names()


def kind(name: str) -> Any:
    """What makes the loss called `name`, and says its geometry, what it uses and what it compares.

    Args:
        name: as of `create`.

    Raises:
        DMLTeachError: there is none.
    """
    return _REGISTRY[name]


def options(name: str) -> dict[str, inspect.Parameter]:
    """Options of a loss, by name: those of its module's constructor."""
    return _REGISTRY.options(name)


def create(name: str, **given) -> Loss:
    """The loss module called `name`, e.g. `create("triplet", margin=0.1)`.

    Args:
        name: one of `names()`; or the source of another, "mine.py:MyLoss" or "package.module:MyLoss".
        given: its options by the field's names: margin, num_targets, num_classes, embedding_dim, …

    Raises:
        DMLTeachError: unknown name or option, missing option, or a value out of range.
    """
    return _REGISTRY.create(name, **given)


__all__ = [
    "angular_loss",
    "arcface_loss",
    "bier_loss",
    "binomial_deviance_loss",
    "circle_loss",
    "clustering_loss",
    "contrastive_loss",
    "create",
    "fast_ap_loss",
    "global_loss",
    "hdc_loss",
    "hierarchical_triplet_loss",
    "histogram_loss",
    "kind",
    "lifted_generalized_loss",
    "lifted_loss",
    "lifted_modified_loss",
    "margin_loss",
    "masked_logsumexp",
    "masked_mean",
    "multi_similarity_loss",
    "n_pair_loss",
    "names",
    "nca_loss",
    "nearest_targets",
    "normalized_softmax_loss",
    "options",
    "pair_masks",
    "proxy_anchor_loss",
    "proxy_nca_loss",
    "ranked_list_loss",
    "smooth_ap_loss",
    "soft_triple_loss",
    "softmax_loss",
    "sst_loss",
    "supcon_loss",
    "triplet_all_loss",
    "triplet_hard_loss",
    "triplet_loss",
    "triplet_semihard_loss",
    "weight_loss",
]
