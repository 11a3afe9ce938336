"""Heads: features of one or several depths → an embedding of one or several parts."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError
from dmlteach.options import at_least, one_of, positive

STARTS = ("rotation", "random")


class Head(nn.Module):
    """Features of each depth, the deepest last, → embeddings (N, D).

    Args:
        num_features: sizes F_k of the features of each depth.
        dims: sizes of the parts of the embedding, which is their concatenation.

    Attributes:
        has_penalty: whether `penalty` can be anything but 0; where it cannot, nobody computes it.
    """

    has_penalty: bool = False

    def __init__(self, num_features: Sequence[int], dims: Sequence[int]):
        super().__init__()
        self.num_features, self.dims = tuple(num_features), tuple(dims)

    def forward(self, features: list[Tensor]) -> Tensor:
        """(N, F_k) of each depth → (N, sum(dims)); in evaluation, weighted for retrieval."""
        raise NotImplementedError

    def penalty(self, features: list[Tensor]) -> Tensor:
        """What joins the loss, a mean over the batch; it changes the head and not the features."""
        return features[-1].new_zeros(())


class LinearHead(Head):
    """One linear layer on the deepest features, optionally onto the unit sphere.

    Args:
        num_features: sizes of the features of each depth.
        embedding_dim: D; None leaves the features as they are.
        normalize: put embeddings on the unit sphere.
        feature_scale: factor on the features.
        start: of the layer: "rotation" of the features, cut to size, or "random", as torch starts one.

    Raises:
        DMLTeachError: a factor that is not positive, or no such start.
    """

    def __init__(
        self,
        num_features: Sequence[int],
        embedding_dim: int | None,
        normalize: bool = False,
        feature_scale: float = 1.0,
        start: Literal["rotation", "random"] = "rotation",
    ):
        super().__init__(num_features, [embedding_dim or num_features[-1]])
        positive("feature_scale", feature_scale)
        one_of("start", start, STARTS)
        self.linear: nn.Module = nn.Identity()
        if embedding_dim:
            layer = embedding_layer if start == "rotation" else nn.Linear
            self.linear = layer(num_features[-1], embedding_dim)
        self.to_sphere, self.feature_scale = normalize, feature_scale

    def forward(self, features: list[Tensor]) -> Tensor:
        embeddings = self.linear(features[-1] * self.feature_scale)
        return normalize(embeddings) if self.to_sphere else embeddings


class CascadeHead(Head):
    """An embedding of each depth, on a unit sphere of its own: Yuan, Yang & Zhang (HDC), ICCV 2017.

    The parts count alike in training and in retrieval. Inner features are far from an embedding;
    they pass one hidden layer first. (The paper takes GoogLeNet's auxiliary classifiers, which have a
    convolution before it.)

    Args:
        num_features: sizes of the features of each depth.
        embedding_dim: D of all parts together, shared as evenly as it goes; 3 · 128 in the paper.
        layers: names of the inner layers behind these features: every depth but the last.
        hidden: size of the hidden layer.

    Raises:
        DMLTeachError: depths and layers do not fit, or a part would be empty.
    """

    def __init__(
        self,
        num_features: Sequence[int],
        embedding_dim: int | None,
        layers: Sequence[str],
        hidden: int = 1024,
    ):
        count = len(num_features)
        if count != len(layers) + 1:
            raise DMLTeachError(f"{count} depths have {count - 1} inner layers, not {len(layers)}: {layers}.")
        at_least("hidden", hidden, 1)
        dim = check_embedding_dim("cascade", embedding_dim, count)
        super().__init__(num_features, [(k + 1) * dim // count - k * dim // count for k in range(count)])
        inner = [
            nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), embedding_layer(hidden, part))
            for size, part in zip(num_features[:-1], self.dims[:-1], strict=True)
        ]
        self.branches = nn.ModuleList([*inner, embedding_layer(num_features[-1], self.dims[-1])])

    def forward(self, features: list[Tensor]) -> Tensor:
        depths = zip(self.branches, features, strict=True)
        return torch.cat([normalize(branch(depth)) for branch, depth in depths], dim=1)


def embedding_layer(num_features: int, embedding_dim: int) -> nn.Linear:
    """A linear layer that starts as a rotation, cut to size.

    It nearly keeps the features' distances: fine-tuning starts from what they know.
    """
    layer = nn.Linear(num_features, embedding_dim)
    with torch.no_grad():
        layer.weight.copy_(rotation(*layer.weight.shape))
    nn.init.zeros_(layer.bias)
    return layer


def rotation(rows: int, columns: int) -> Tensor:
    """A random matrix (rows, columns), its shorter side orthonormal, as `nn.init.orthogonal_` makes it.

    The factors are found in float64: in fp32 their last bits would depend on the number of threads.
    """
    random = torch.empty(rows, columns).normal_()
    wide = rows < columns
    q, r = torch.linalg.qr((random.T if wide else random).double())
    q *= r.diag().sign()
    return (q.T if wide else q).float()


def check_embedding_dim(head: str, embedding_dim: int | None, parts: int) -> int:
    """The embedding's size, where it is large enough for a head of so many parts.

    Raises:
        DMLTeachError: it is not.
    """
    if embedding_dim is None or embedding_dim < parts:
        raise DMLTeachError(
            f"the {head} head has {parts} parts: embedding_dim must be at least {parts}, not {embedding_dim}."
        )
    return embedding_dim
