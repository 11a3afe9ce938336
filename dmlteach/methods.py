"""The recipes: one row a method. Each names its paper, what it compares, and how it is trained.

A row is written for fine-tuning an ImageNet network on photographs, as in the papers.
`ADAPTATIONS` says what a data set changes for every method.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from dmlteach import losses
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.interfaces import Loss

PARTS = ("backbone", "head", "loss")  # of what is trained; each may have a rate of its own


@dataclass(frozen=True)
class Group:
    """How one part of a network learns: a factor on the rate; a weight decay and an optimizer of its own."""

    factor: float = 1.0
    weight_decay: float | None = None
    optimizer: str | None = None


@dataclass(frozen=True)
class Method:
    """A recipe: what is compared, in which batches, and how it is optimised.

    Attributes:
        paper: source.
        loss, loss_options: see `dmlteach.losses.create`.
        sampler, sampler_options: see `dmlteach.samplers.create`.
        das, das_options: densely-anchored sampling before the loss, see `dmlteach.objective.DAS`.
        memory: embeddings of earlier batches to compare with; None for none.
        batch_size: images per batch.
        batches_per_epoch: None for len(data) // batch_size.
        embedding_dim, normalize, backbone: of the model.
        head, head_options: "linear", "cascade" (an embedding per depth) or "bier" (boosted learners).
        transform: "crop" (squash, random crop, flip), "resized_crop", "drawing" or "none".
        optimizer, learning_rate, weight_decay: "adam", "adamw", "rmsprop" or "sgd", with its base values.
        groups: "backbone", "head" or "loss" → Group; by default all learn at one rate. Papers that give the
            new layer ten times the rate start it at random; here it starts as a rotation of the features.
        schedule: "plateau" (on the training loss), "step", "cosine" or "constant".
        schedule_options: factor and patience (plateau), factor and every or at (step), warmup (cosine), in
            epochs.
        early_stopping: epochs without a better training loss before stopping; None never stops early.
        epochs: at most.
        frozen_epochs: at the start, in which only head and loss learn.
        head_steps: before training, in which an ensemble's learners are made independent.
        imprint: images of each class whose mean embedding its learned vector starts from (Qi, Brown & Lowe,
            CVPR 2018); 0: from random numbers, as published.
        clip, clip_norm: bound on the absolute entries of the gradient; bound on its norm; None: no bound.
        train_options: options of the data set for its training images only, e.g. rotations of Omniglot.
    """

    paper: str
    loss: str
    sampler: str
    loss_options: dict[str, Any] = field(default_factory=dict)
    sampler_options: dict[str, Any] = field(default_factory=dict)
    das: bool = False
    das_options: dict[str, Any] = field(default_factory=dict)
    memory: int | None = None
    batch_size: int = 128
    batches_per_epoch: int | None = None
    embedding_dim: int = 512
    normalize: bool = False
    head: str = "linear"
    head_options: dict[str, Any] = field(default_factory=dict)
    backbone: str = "resnet50"
    transform: str = "crop"
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    groups: dict[str, Group] = field(default_factory=dict)
    schedule: str = "plateau"
    schedule_options: dict[str, Any] = field(default_factory=lambda: {"factor": 0.5, "patience": 5})
    early_stopping: int | None = 15
    epochs: int = 150
    frozen_epochs: int = 0
    head_steps: int = 0
    imprint: int = 0
    clip: float | None = None
    clip_norm: float | None = None
    train_options: dict[str, Any] = field(default_factory=dict)


_SST_PAPER = "Nguyen & De Baets, Neurocomputing 2020"
# Wang et al. 2019 and their loss benchmark; 240,000 images are 41 epochs of CUB's 5,864.
_BENCHMARK: dict[str, Any] = {
    "batch_size": 80, "sampler_options": {"images_per_class": 5}, "normalize": True,
    "transform": "resized_crop", "learning_rate": 1e-5, "weight_decay": 5e-4,
    "schedule": "constant", "schedule_options": {}, "early_stopping": None, "epochs": 49,
}  # fmt: skip
_PAIRS_OF_FOUR: dict[str, Any] = {"sampler_options": {"images_per_class": 4}}
# BIER's code adds 2e-4 Σw² to the loss, which is a decay of 4e-4; its batches hold 32 images of 6 classes.
_SIX_CLASSES: dict[str, Any] = {"batch_size": 30, "sampler_options": {"images_per_class": 5}}
_SIX_CLASSES |= {"learning_rate": 1e-5, "weight_decay": 4e-4}

METHODS: dict[str, Method] = {
    "sst": Method(_SST_PAPER, loss="sst", sampler="local", batch_size=256),
    # As for SST, targets are those of the epoch's start; for the authors' way, see AS_PUBLISHED.
    "triplet": Method(_SST_PAPER, loss="triplet", sampler="local", batch_size=256),
    "contrastive": Method(
        "Hadsell, Chopra & LeCun, CVPR 2006",
        loss="contrastive", sampler="class_balanced", **_PAIRS_OF_FOUR,
    ),
    "semihard": Method(
        "Schroff, Kalenichenko & Philbin, CVPR 2015",
        loss="triplet_semihard", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
    ),  # the paper's batch of 1,800 faces with AdaGrad is for other data and machines
    "lifted": Method(
        "Song, Xiang, Jegelka & Savarese, CVPR 2016",
        loss="lifted", sampler="class_balanced", sampler_options={"images_per_class": 2},
        embedding_dim=64, optimizer="sgd", weight_decay=2e-4, schedule="constant", schedule_options={},
        early_stopping=None,
    ),
    "lifted_modified": Method(
        "Wang et al., loss benchmark beside Multi-Similarity, 2019",
        loss="lifted_modified", sampler="class_balanced", **_BENCHMARK,
    ),
    "binomial_deviance": Method(
        "Yi, Lei & Li, 2014", loss="binomial_deviance", sampler="class_balanced", **_BENCHMARK
    ),
    "margin": Method(
        "Wu, Manmatha, Smola & Krähenbühl, ICCV 2017",
        loss="margin", sampler="class_balanced", sampler_options={"images_per_class": 5}, normalize=True,
        batch_size=70, embedding_dim=128, epochs=48,  # 4,000 steps are 48 epochs of CUB
        groups={"backbone": Group(factor=0.01), "loss": Group(factor=1000, weight_decay=0, optimizer="sgd")},
        schedule="step", schedule_options={"factor": 0.5, "at": (29, 34, 38, 43)}, early_stopping=None,
    ),
    "nca": Method(
        "Salakhutdinov & Hinton, AISTATS 2007",
        loss="nca", loss_options={"log": True}, sampler="class_balanced", **_PAIRS_OF_FOUR,
    ),
    "weight": Method(
        "reconstruction of the loss benchmark beside Multi-Similarity, 2019",
        loss="weight", sampler="class_balanced", **_BENCHMARK,
    ),
    "multi_similarity": Method(
        "Wang, Han, Huang, Dong & Scott, CVPR 2019",
        loss="multi_similarity", loss_options={"base": 0.5},  # the paper's λ is 1; 0.5 is common practice
        sampler="class_balanced",
        **_BENCHMARK
        | {"learning_rate": 3e-5, "schedule": "step", "schedule_options": {"factor": 0.1, "at": (16, 33)}}
        | {"epochs": 41},
    ),
    "clustering": Method(
        "Song, Jegelka, Rathod & Murphy, CVPR 2017",
        loss="clustering", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
        embedding_dim=64, optimizer="rmsprop",
    ),
    "hdc": Method(
        "Yuan, Yang & Zhang, ICCV 2017",
        loss="hdc", sampler="class_balanced", sampler_options={"images_per_class": 10}, batch_size=100,
        embedding_dim=384, head="cascade", optimizer="sgd", learning_rate=1e-4, weight_decay=2e-4,
        groups={"head": Group(factor=10)},  # its hidden layers start at random
        schedule="constant", schedule_options={}, early_stopping=None,
    ),
    "bier": Method(
        "Opitz, Waltner, Possegger & Bischof, ICCV 2017",
        loss="bier", sampler="class_balanced", **_SIX_CLASSES, head="bier",
        head_steps=300,
    ),
    "abier": Method(
        "Opitz, Waltner, Possegger & Bischof, PAMI 2018",
        loss="bier", sampler="class_balanced", **_SIX_CLASSES, head="bier",
        head_options={"diversity": "adversarial"},
    ),
    "proxy_nca": Method(
        "Movshovitz-Attias et al., ICCV 2017",
        loss="proxy_nca", loss_options={"scale": 3.0},  # the paper's is not known; that of ProxyNCA++
        sampler="random", normalize=True, transform="resized_crop",
        batch_size=32, embedding_dim=64, epochs=20, early_stopping=None,
        groups={"loss": Group(factor=100, weight_decay=0)},
        schedule="step", schedule_options={"factor": 0.94, "every": 1},
    ),
    "proxy_anchor": Method(
        "Kim, Kim, Cho & Kwak, CVPR 2020",
        loss="proxy_anchor", sampler="random", normalize=True,
        batch_size=120, epochs=60, optimizer="adamw", clip=10, early_stopping=None,  # as for ResNet-50
        groups={"loss": Group(factor=100)}, frozen_epochs=5, transform="resized_crop",
        schedule="step", schedule_options={"factor": 0.5, "every": 10},
    ),
    "smart_mining": Method(
        "Harwood et al., ICCV 2017, with the global loss of Kumar et al., CVPR 2016",
        loss="global", loss_options={"triplet_weight": 1.0}, sampler="smart", normalize=True,
        embedding_dim=64, batch_size=120,
    ),
    "htl": Method(
        "Ge, Huang, Dong & Scott, ECCV 2018",
        loss="hierarchical_triplet", sampler="hierarchical", normalize=True, optimizer="sgd",
    ),
    "normalized_softmax": Method(
        "Zhai & Wu, BMVC 2019",
        loss="normalized_softmax", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
        groups={"loss": Group(factor=10)},
    ),
    "n_pair": Method(
        "Sohn, NIPS 2016", loss="n_pair", sampler="class_balanced", sampler_options={"images_per_class": 2}
    ),
    "soft_triple": Method(
        "Qian et al., ICCV 2019",
        loss="soft_triple", sampler="random", normalize=True, batch_size=32,
        groups={"loss": Group(factor=100)},
    ),
    "supcon": Method(
        "Khosla et al., NeurIPS 2020",
        loss="supcon", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
    ),
    "circle": Method(
        "Sun et al., CVPR 2020",
        loss="circle", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
    ),
    "arcface": Method(
        "Deng et al., CVPR 2019",  # on millions of faces, from random weights, by SGD at the rate 0.1
        loss="arcface", sampler="random", normalize=True,
        groups={"loss": Group(factor=10)},
    ),
    "angular": Method(
        "Wang et al., ICCV 2017",
        loss="angular", sampler="class_balanced", sampler_options={"images_per_class": 2}, normalize=True,
    ),
    "histogram": Method(
        "Ustinova & Lempitsky, NIPS 2016",
        loss="histogram", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
    ),
    # The authors' batches hold two of the twelve groups of Stanford Online Products, which other data lack.
    "fast_ap": Method(
        "Cakir et al., CVPR 2019",
        loss="fast_ap", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
        batch_size=256, learning_rate=1e-5, weight_decay=0, schedule="constant", schedule_options={},
        early_stopping=None, epochs=30,
    ),
    # "RLL-H" of published tables; "RLL-(L,M,H)" joins three such embeddings, of three depths of one network.
    "ranked_list": Method(
        "Wang et al., CVPR 2019",
        loss="ranked_list", sampler="class_balanced", sampler_options={"images_per_class": 3}, normalize=True,
        batch_size=60, optimizer="sgd", learning_rate=1e-3, weight_decay=2e-5, early_stopping=None,
        epochs=103, schedule="step", schedule_options={"factor": 0.5, "every": 21},  # 10,000 steps on CUB
    ),
    "smooth_ap": Method(
        "Brown et al., ECCV 2020",
        loss="smooth_ap", sampler="class_balanced", **_PAIRS_OF_FOUR, normalize=True,
        batch_size=112, learning_rate=1e-5, weight_decay=4e-4, early_stopping=None, epochs=400,
        schedule="step", schedule_options={"factor": 0.3, "at": (200, 300)},  # as the authors' code
    ),
    "softmax": Method(
        "cross-entropy classifier, last layer cut off",
        loss="softmax", sampler="random",
        groups={"loss": Group(factor=10)},
    ),
}  # fmt: skip

# How the authors of SST ran it, by their published code, where the recipe differs: options of `TrainConfig`.
# The new layer starts at random, on features as they are, and learns at ten times the rate.
_AUTHORS: dict[str, Any] = {
    "backbone": "bninception", "batch_size": 200, "head_options": {"start": "random", "feature_scale": 1.0},
    "train_batch_norm": True, "rate_factors": {"head": 10.0}, "eval_every": 0, "keep_lowest_loss": True,
}  # fmt: skip
AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "sst": _AUTHORS,
    "triplet": _AUTHORS | {"sampler_options": {"keep_targets": False}},  # chosen anew at every step
}

ENSEMBLES = {"hdc": "cascade", "bier": "bier"}  # loss → the head whose parts it compares


@dataclass(frozen=True)
class Adaptation:
    """What a data set changes for every method; what is not named stays as the method has it.

    Attributes:
        changes: fields of `Method`, by name, and their values.
        loss_options, sampler_options: added to the method's own, by the name of its loss or sampler.
        groups: they replace the method's own, by the name of its loss; methods with other losses get none.
        images_per_class: the method's value → the value here.
        clip_by_norm: whether the method's bound on the entries of the gradient bounds its norm instead.
        why: reasons, each by the field of `Method` it is about, or by the loss or the sampler whose options
            they are.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    loss_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    sampler_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Group]] | None = None
    images_per_class: dict[int, int] = field(default_factory=dict)
    clip_by_norm: bool = False
    why: dict[str, str] = field(default_factory=dict)


ADAPTATIONS: dict[str, Adaptation] = {
    "omniglot": Adaptation(
        changes={
            "backbone": "omniglot_cnn",
            "embedding_dim": 128,
            "transform": "drawing",
            "learning_rate": 1e-3,
            "optimizer": "adam",
            "schedule": "cosine",
            "schedule_options": {"warmup": 0.2},
            "early_stopping": None,
            "epochs": 5,
            "batch_size": 256,
            "imprint": 5,
            "frozen_epochs": 0,
            "train_options": {"rotations": True},
        },
        loss_options={
            "arcface": {"margin": 0.1, "scale": 16.0},
            "bier": {"negative_cost": 2.0},
            "binomial_deviance": {"negative_cost": 10.0},
            "contrastive": {"margin": 5.0},
        },
        sampler_options={"smart": {"kappa": 2.0}},
        groups={
            "softmax": {"loss": Group(factor=10)},
            "proxy_nca": {"loss": Group(factor=10)},
            "margin": {"loss": Group(factor=100, weight_decay=0, optimizer="sgd")},
        },
        images_per_class={3: 4, 5: 4, 10: 8},
        clip_by_norm=True,
        why={
            "backbone": "Drawings need no ImageNet network: a small one is trained from random weights in "
            "minutes.",
            "embedding_dim": "One size for all methods, which suits a small network.",
            "transform": "A mirrored character is another one: a drawing is turned, scaled and moved a "
            "little.",
            "learning_rate": "A network that starts from random weights takes larger steps than one that is "
            "fine-tuned.",
            "optimizer": "One optimizer for all methods, which are compared on these drawings.",
            "schedule": "The rate rises, and falls to 0 by the end of a short training.",
            "early_stopping": "The training is short, and its rate falls to 0 anyway.",
            "epochs": "Minutes on one thread.",
            "batch_size": "Drawings are small, and all methods see as many of them in a step.",
            "images_per_class": "Whole groups of images fill the batch.",
            "groups": "Backbone and head both start from random weights, and learn at one rate.",
            "imprint": "Learned class vectors start where the random network puts their classes: at random, "
            "they would first teach the network noise.",
            "frozen_epochs": "A head cannot start from random features.",
            "clip_norm": "Adam would long remember the huge first gradients of a random network.",
            "train_options": "A character turned by 90°, 180° or 270° is a class of its own.",
            "arcface": "On the sphere, characters are 0.4 to 0.7 rad apart, and the published margin is 0.5.",
            "bier": "A random network finds all drawings alike: at the published cost of 25, the loss would "
            "only drive them apart.",
            "binomial_deviance": "The cost of CUB in Ustinova & Lempitsky, NIPS 2016.",
            "contrastive": "A random network places drawings 3 to 9 apart: with a margin of 1 the loss would "
            "first draw all together.",
            "smart": "A random network finds all drawings alike: from negatives nearer than the nearest "
            "positive, nothing would be learned.",
        },
    ),
}


def names() -> list[str]:
    """Names that `get` accepts."""
    return sorted(METHODS)


def get(name: str) -> Method:
    """The recipe called `name`.

    Args:
        name: one of `names()`.

    Raises:
        DMLTeachError: no such method; says which there are.
    """
    if name in METHODS:
        return METHODS[name]
    if name in losses.LOSSES:
        users = [method for method in names() if METHODS[method].loss == name]
        cure = f"methods with it: {', '.join(users)}" if users else "choose a method and add it by --loss"
        raise DMLTeachError(f"{name!r} is a loss, not a method; {cure}.")
    raise unknown_name("method", name, METHODS)


def with_loss(recipe: Method, loss: str) -> Method:
    """The recipe with another loss: in that loss's geometry, and its parameters learn as in its own recipe.

    Raises:
        DMLTeachError: no such loss; where it is a method, says which loss that has.
    """
    if loss in METHODS and loss not in losses.LOSSES:
        raise DMLTeachError(f"{loss!r} is a method, not a loss; its loss is {METHODS[loss].loss!r}.")
    kind = losses.kind(loss)
    groups = {part: group for part, group in recipe.groups.items() if part != "loss"}
    own = next((method for method in METHODS.values() if method.loss == loss), None)
    if own is not None and "loss" in own.groups:
        groups["loss"] = own.groups["loss"]
    return replace(recipe, loss=loss, loss_options={}, normalize=kind.geometry == "sphere", groups=groups)


def has_class_vectors(loss: str) -> bool:
    """Whether a loss compares examples with learned vectors of the classes, which can be imprinted."""
    kind = losses.kind(loss)
    imprint = getattr(kind.imprint, "__func__", kind.imprint)
    return kind.compares == "learned class vectors" and imprint is not Loss.imprint


def check_combination(recipe: Method) -> None:
    """Refuse parts that make no sense together, and say why.

    Raises:
        DMLTeachError: the loss compares nothing that DAS or a memory could add to.
    """
    loss = losses.kind(recipe.loss)
    if recipe.das and loss.compares != "examples":
        raise DMLTeachError(
            f"das makes further examples to compare with, but the {recipe.loss} loss compares an example "
            f"with {loss.compares}; use das with a pair or triplet loss."
        )
    if recipe.head != ENSEMBLES.get(recipe.loss, recipe.head):
        raise DMLTeachError(
            f"the {recipe.loss} loss compares the parts of an ensemble, those of the "
            f"{ENSEMBLES[recipe.loss]} head; choose a method whose network has it: "
            + ", ".join(name for name in names() if get(name).loss == recipe.loss)
            + "."
        )
    if recipe.imprint and not has_class_vectors(recipe.loss):
        able = ", ".join(filter(has_class_vectors, losses.LOSSES))
        raise DMLTeachError(
            f"imprint starts learned class vectors, of which the {recipe.loss} loss has none; "
            f"these losses have: {able}."
        )
    if recipe.das and recipe.sampler == "smart":
        raise DMLTeachError(
            "das lets the loss choose among real and made examples, which would discard the triplets that "
            "smart mining has chosen; use das with another sampler."
        )
    if loss.compares == "examples" and recipe.sampler_options.get("images_per_class") == 1:
        raise DMLTeachError(
            f"images_per_class=1 leaves no positive in a batch, and the {recipe.loss} loss compares "
            "examples; take 2 or more."
        )
    if recipe.das_options and not recipe.das:
        raise DMLTeachError(f"das_options {recipe.das_options} were given without das.")
    if recipe.memory and "reference" not in loss.uses:
        able = ", ".join(name for name, known in losses.LOSSES.items() if "reference" in known.uses)
        raise DMLTeachError(
            f"memory adds examples of earlier batches, which the {recipe.loss} loss cannot compare with; "
            f"these losses can: {able}."
        )


def adapt(method: Method, dataset: str) -> Method:
    """The recipe as `ADAPTATIONS` changes it for a data set."""
    here = ADAPTATIONS.get(dataset, Adaptation())
    sampler_options = method.sampler_options | here.sampler_options.get(method.sampler, {})
    if "images_per_class" in sampler_options:
        given = sampler_options["images_per_class"]
        sampler_options["images_per_class"] = here.images_per_class.get(given, given)
    changes = {
        "loss_options": method.loss_options | here.loss_options.get(method.loss, {}),
        "sampler_options": sampler_options,
        **here.changes,
    }
    if here.groups is not None:
        changes["groups"] = here.groups.get(method.loss, {})
    if here.clip_by_norm:
        changes |= {"clip": None, "clip_norm": method.clip}
    return replace(method, **changes)
