"""BIER and A-BIER's head: learners of growing size on one feature, kept apart by a penalty."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError
from dmlteach.models.diversity import (
    Axis,
    activation_penalty,
    adversarial_penalty,
    to_unit_norm_,
    unit_norm_penalty,
)
from dmlteach.models.heads import Head, check_embedding_dim, embedding_layer
from dmlteach.options import at_least, one_of


class BIERHead(Head):
    """Learners side by side, each on a unit sphere of its own: Opitz et al., ICCV 2017 and PAMI 2018.

    In training the learners' unit vectors lie side by side. In evaluation that of learner m is scaled
    by √α_m: the scalar product of two embeddings is then the ensemble's similarity Σ α_m cos_m.

    Args:
        num_features: sizes of the features of each depth; the deepest are used.
        embedding_dim: D of all learners together, 512 in the papers.
        proportions: of the learners' sizes; by default those of 96, 160 and 256.
        weights: "boosting": α_m = 2m / (M(M + 1)), what boosting gives learner m of M (ICCV 2017).
            "size": the vectors are scaled by the learner's share of D (released code).
        diversity: penalty that keeps the learners apart in training: "none" (ICCV 2017, where
            `initialize_heads` comes first instead), "activation", or "adversarial" (A-BIER, PAMI 2018).
        diversity_weight: λ_div, of the whole penalty.
        norm_weight: λ_w, of the unit-norm constraint inside the penalty.
        norm_axis: whose weights together have norm 1: those of an "input" (released code,
            adversarial) or of an "output" (released code, activation).
        hidden: size of the hidden layer of A-BIER's regressors.

    Raises:
        DMLTeachError: an option out of range, or an embedding too small for the learners.
    """

    def __init__(
        self,
        num_features: Sequence[int],
        embedding_dim: int | None,
        proportions: Sequence[float] = (3, 5, 8),
        weights: Literal["boosting", "size"] = "boosting",
        diversity: Literal["none", "activation", "adversarial"] = "none",
        diversity_weight: float = 5e-5,
        norm_weight: float = 1e5,
        norm_axis: Axis = "input",
        hidden: int = 512,
    ):
        for option, given, known in (
            ("weights", weights, ("boosting", "size")),
            ("diversity", diversity, ("none", "activation", "adversarial")),
            ("norm_axis", norm_axis, ("input", "output")),
        ):
            one_of(f"{option} of the bier head", given, known)
        at_least("hidden", hidden, 1)
        dim = check_embedding_dim("bier", embedding_dim, len(proportions))
        super().__init__(num_features, _in_proportion(dim, proportions))
        self.linear = embedding_layer(num_features[-1], dim)  # rows of learner 1, of learner 2, …
        self.weights, self.diversity, self.norm_axis = weights, diversity, norm_axis
        self.diversity_weight, self.norm_weight = diversity_weight, norm_weight
        self.has_penalty = diversity != "none"
        pairs = combinations(self.dims, 2) if diversity == "adversarial" else ()
        self.regressors = nn.ModuleList(_regressor(later, hidden, earlier) for earlier, later in pairs)
        if self.has_penalty:  # the constraint holds from the start: R is of the fourth degree in the norms
            self.to_unit_norm()

    def forward(self, features: list[Tensor]) -> Tensor:
        parts = [normalize(part) for part in self.linear(features[-1]).split(self.dims, dim=1)]
        if not self.training:
            parts = [part * scale for part, scale in zip(parts, self.scales(), strict=True)]
        return torch.cat(parts, dim=1)

    def scales(self) -> list[float]:
        """Lengths of the learners' vectors in evaluation."""
        if self.weights == "size":
            return [size / sum(self.dims) for size in self.dims]
        count = len(self.dims)
        return [(2 * m / (count * (count + 1))) ** 0.5 for m in range(1, count + 1)]

    def matrices(self) -> tuple[Tensor, ...]:
        """W_m of every learner, (d_m, F)."""
        return self.linear.weight.split(self.dims)

    def to_unit_norm(self) -> None:
        """Scale the weights of learners and regressors to what the constraint asks for."""
        for layer in self._regressor_layers():
            nn.init.zeros_(layer.bias)
        for weight in [*self.matrices(), *(layer.weight for layer in self._regressor_layers())]:
            to_unit_norm_(weight, self.norm_axis)

    def penalty(self, features: list[Tensor]) -> Tensor:
        """λ_div (R + λ_w · how far weights are from unit norm); 0 where diversity is "none"."""
        if self.diversity == "none":
            return super().penalty(features)
        norms = [unit_norm_penalty(matrix, self.norm_axis) for matrix in self.matrices()]
        if self.diversity == "activation":
            alike = activation_penalty(features[-1], self.matrices())
        else:
            alike = adversarial_penalty(features[-1], self.matrices(), self.regressors)
            # Without bounds a regressor would make its outputs large, rather than like the learner's.
            for layer in self._regressor_layers():
                norms.append(unit_norm_penalty(layer.weight, self.norm_axis))
                norms.append((layer.bias.square().sum() - 1).relu())
        return self.diversity_weight * (alike + self.norm_weight * torch.stack(norms).sum())

    def _regressor_layers(self) -> list[nn.Linear]:
        return [module for module in self.regressors.modules() if isinstance(module, nn.Linear)]


def initialize_heads(
    head: BIERHead,
    features: Tensor,
    generator: torch.Generator,
    steps: int = 300,
    batch_size: int = 256,
    learning_rate: float = 1e-2,
    norm_weight: float = 100.0,
) -> Tensor:
    """Make the learners look at different things before training, without labels (BIER, ICCV 2017).

    Minimises activation_penalty + norm_weight · unit_norm_penalty over the learners' matrices, in
    place; the backbone stays as it is. The penalty is of the fourth degree in the features, so they
    are scaled to a mean squared length of 1, and Adam takes the place of the paper's plain SGD: else
    the right step would depend on the backbone.

    Args:
        head: whose matrices change.
        features: (M, F) of training images.
        generator: on the CPU, draws the batches.
        steps: of the optimiser.
        batch_size: features per step.
        learning_rate: of the optimiser.
        norm_weight: λ_w, the released code's default.

    Returns:
        (steps,) what was minimised.
    """
    weight = head.linear.weight
    head.to_unit_norm()
    features = features.to(weight) / features.square().sum(1).mean().sqrt().to(weight)
    optimizer = torch.optim.Adam([weight], lr=learning_rate)
    values = []
    for _ in range(steps):
        rows = torch.randint(len(features), (batch_size,), generator=generator)
        norms = [unit_norm_penalty(matrix, head.norm_axis) for matrix in head.matrices()]
        value = activation_penalty(features[rows.to(features.device)], head.matrices())
        value = value + norm_weight * torch.stack(norms).sum()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.detach())
    optimizer.zero_grad()
    return torch.stack(values)


def _regressor(num_inputs: int, hidden: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_inputs, hidden), nn.ReLU(), nn.Linear(hidden, num_outputs))


def _in_proportion(total: int, proportions: Sequence[float]) -> tuple[int, ...]:
    """Whole sizes that sum to `total`, e.g. 512 by (3, 5, 8) → (96, 160, 256)."""
    shares = [sum(proportions[:m]) / (sum(proportions) or 1) for m in range(len(proportions) + 1)]
    sizes = tuple(round(total * end) - round(total * start) for start, end in pairwise(shares))
    if not sizes or min(sizes) < 1:
        raise DMLTeachError(
            f"an embedding of {total} numbers cannot be shared in the proportions {tuple(proportions)}; "
            "choose a larger embedding_dim, or other proportions, e.g. (3, 5, 8)."
        )
    return sizes
