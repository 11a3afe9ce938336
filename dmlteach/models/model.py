"""A network and what it was built for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import derive_seed
from dmlteach.models.backbones import Depths, build_backbone, facts, inner_layers, load_weights
from dmlteach.models.bier import BIERHead
from dmlteach.models.heads import CascadeHead, Head, LinearHead
from dmlteach.options import at_least, between, one_of
from dmlteach.registry import Registry

TRIED = 1024  # pixels; a network that takes images of this size takes larger ones
LARGEST_EMBEDDING = 2**16  # numbers; a larger one is a slip of the pen that would fill the memory

# Pooled features of ImageNet networks lie some 16 apart, squared some 250. Losses on distances that are not
# normalised know margins and soft steps near 1: far above, all they learn first is to shrink the features.
IMAGENET_FEATURE_SCALE = 0.1

HEADS: dict[str, Callable[..., Head]] = {"linear": LinearHead, "cascade": CascadeHead, "bier": BIERHead}
_HEADS = Registry("head", HEADS, facts=("num_features", "embedding_dim", "normalize"))


@dataclass(frozen=True)
class Spec:
    """What a network was built for; saved with its weights, so that a file is enough to rebuild it.

    Attributes:
        backbone: name or source given to `create`.
        embedding_dim: D, or None where the features themselves are the embedding.
        image_size: side of the square the network sees, in pixels.
        resize: side to which an image is resized before it is cropped to `image_size`.
        channels: 1 for grey drawings, 3 for photographs.
        mean, std: of each channel, on pixels scaled to 0 … 1.
        normalize: whether embeddings lie on the unit sphere.
        freeze_batch_norm: whether batch-norm statistics stay as they are in training.
        keep_aspect: resize the short side to `resize`, rather than squash both sides to it.
        head, head_options: name of the head, and its options where they are not the defaults.
        feature_scale: factor on the features before a linear head.
    """

    backbone: str
    embedding_dim: int | None
    image_size: int
    resize: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    normalize: bool = False
    freeze_batch_norm: bool = False
    keep_aspect: bool = False
    head: str = "linear"
    head_options: dict[str, Any] = field(default_factory=dict)
    feature_scale: float = 1.0


class Model(nn.Module):
    """Backbone and head. In training, frozen batch norms keep their statistics."""

    def __init__(self, backbone: nn.Module, head: Head, spec: Spec):
        super().__init__()
        self.backbone, self.head, self.spec = backbone, head, spec
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, with_penalty: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Normalised images (N, C, H, W) → embeddings (N, D); on request, with the head's penalty."""
        features = self.features(images)
        embeddings = self.head(features)
        return (embeddings, self.head.penalty(features)) if with_penalty else embeddings

    def features(self, images: Tensor) -> list[Tensor]:
        """Normalised images (N, C, H, W) → features (N, F_k) of each depth the head reads."""
        found = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return found if isinstance(found, list) else [found]

    def trunk(self) -> "Model":
        """The same backbone without the head: its deepest features, (N, F), are the embeddings."""
        spec = replace(
            self.spec, embedding_dim=None, normalize=False, head="linear", head_options={}, feature_scale=1.0
        )
        return Model(self.backbone, LinearHead(self.head.num_features, None), spec)

    def of_no_image(self) -> Tensor:
        """The embeddings, (0, D), of a process that has none of the images."""
        return next(self.parameters()).new_empty(0, sum(self.head.dims))

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in: torch.float32, or torch.float64 after `.double()`; images must be the same."""
        return next(self.parameters()).dtype

    @property
    def on_sphere(self) -> bool:
        """Whether all embeddings have one length, so that retrieval compares directions: cosines."""
        return self.spec.normalize or self.spec.head != "linear"

    def batch_norms(self) -> list[nn.Module]:
        return [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether a training step depends on which images share a forward pass."""
        return bool(self.batch_norms()) and not self.spec.freeze_batch_norm

    def train(self, mode: bool = True) -> "Model":
        super().train(mode)
        if self.spec.freeze_batch_norm:
            for norm in self.batch_norms():
                norm.eval()
        return self


def create(
    backbone: str,
    embedding_dim: int | None = 512,
    *,
    weights: str | Path | None = None,
    normalize: bool = False,
    image_size: int | None = None,
    freeze_batch_norm: bool | None = None,
    keep_aspect: bool = False,
    head: str = "linear",
    head_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """A model by the name of its backbone: one of ours, a torchvision name, `timm/NAME`, or a source.

    Args:
        backbone: e.g. "omniglot_cnn", "bninception", "resnet50", "timm/tf_efficientnet_lite0"; or a class or
            function that makes a network, images (N, C, H, W) → features (N, F): "mine.py:MyNet",
            "package.module:MyNet".
        embedding_dim: D, size of the embedding; None gives the backbone's pooled features.
        weights: None for random weights; "imagenet" downloads the publisher's file unless it is there;
            "cached" uses that file and never downloads; else the path of a local file
            (.safetensors, .pth).
        normalize: put embeddings on the unit sphere; parts of a cascade or of BIER always are on theirs.
        image_size: side of the input in pixels; default 28 for `omniglot_cnn`, else 224.
        freeze_batch_norm: keep batch-norm statistics fixed; default: where weights are given.
        keep_aspect: cut the centre square out of an image, rather than squash it as the SST recipe does.
        head: "linear"; "cascade", an embedding of each of several depths (HDC); "bier", boosted learners.
        head_options: options of that head, see `LinearHead`, `CascadeHead` and `BIERHead`; `layers` of a
            cascade are by default two inner ones that suit the backbone, and `feature_scale` of a linear
            head is 0.1 where weights are given.
        seed: of the random initial weights.

    Raises:
        DMLTeachError: unknown backbone, head or option, or weights that are missing or do not fit.
    """
    if embedding_dim is not None:
        between("embedding_dim", embedding_dim, 1, LARGEST_EMBEDDING)
    if image_size is not None:
        at_least("image_size", image_size, 1)
    one_of("head", head, HEADS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, 0))
        net, num_features, mean, std = build_backbone(backbone)
        given = (head_options or {}).items()
        options: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in given}
        _HEADS.check(head, options)
        scale = IMAGENET_FEATURE_SCALE if weights is not None and embedding_dim else 1.0
        if head == "cascade" and "layers" not in options:
            options["layers"] = list(inner_layers(backbone, net))
        known = facts(backbone)
        size = known.image_size if image_size is None else image_size
        spec = Spec(
            backbone=backbone,
            embedding_dim=embedding_dim,
            image_size=size,
            resize=round(size * known.enlarged),
            channels=len(mean),
            mean=tuple(mean),
            std=tuple(std),
            normalize=normalize,
            freeze_batch_norm=(weights is not None) if freeze_batch_norm is None else freeze_batch_norm,
            keep_aspect=keep_aspect,
            head=head,
            head_options=options,
            feature_scale=options.pop("feature_scale", scale),
        )
        model = assemble(net, num_features, spec)
    if image_size is not None:
        _check_image_size(model)
    if weights is not None:
        load_weights(net, backbone, weights)
    return model


def _check_image_size(model: Model) -> None:
    """Refuse images whose size the network cannot take.

    Raises:
        DMLTeachError: they become too small on the way, or do not fit a layer.
    """
    spec, size = model.spec, model.spec.image_size
    image = torch.zeros(1, spec.channels, min(size, TRIED), min(size, TRIED))
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(image)
    except RuntimeError as error:
        raise DMLTeachError(
            f"{spec.backbone} cannot take images of {size} × {size} pixels ({error}); "
            "choose another image_size, or leave it out."
        ) from None
    finally:
        model.train(was_training)


def assemble(net: nn.Module, num_features: int, spec: Spec) -> Model:
    """The model of a spec around its backbone, with a random head.

    Args:
        net: backbone, images → (N, F).
        num_features: F.
        spec: what the model is built for.

    Raises:
        DMLTeachError: an option or a layer that the head or the backbone does not have.
    """
    options = spec.head_options
    _HEADS.check(spec.head, options)
    sizes: tuple[int, ...] = (num_features,)
    if spec.head == "cascade":
        net = Depths(net, options["layers"], grid=facts(spec.backbone).grid)
        sizes = net.num_features(spec.channels, spec.image_size)
    if spec.head == "linear":
        options = options | {"normalize": spec.normalize, "feature_scale": spec.feature_scale}
    return Model(net, HEADS[spec.head](sizes, spec.embedding_dim, **options), spec)
