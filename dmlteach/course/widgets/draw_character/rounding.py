"""Numbers in eight bits: each row of a table as whole numbers from −127 to 127, times a scale of its own."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from dmlteach.models import Model

LARGEST = 127  # the same on both sides of 0, so that 0 stays 0


@dataclass(frozen=True)
class Rounded:
    """A rounded table.

    Attributes:
        whole: (R, …) int8.
        scale: (R,) fp32, what 1 stands for in each row.
    """

    whole: Tensor
    scale: Tensor

    @property
    def values(self) -> Tensor:
        """(R, …) fp32: the numbers that it stands for."""
        return self.whole * self.scale.view(-1, *[1] * (self.whole.ndim - 1))


def round_rows(table: Tensor) -> Rounded:
    """The nearest table of eight bits: a row's largest number becomes 127 or −127.

    Args:
        table: (R, …) fp32; a row of a layer's weights is one output channel.
    """
    largest = table.flatten(1).abs().amax(1)
    scale = torch.where(largest > 0, largest, 1) / LARGEST
    whole = (table / scale.view(-1, *[1] * (table.ndim - 1))).round()
    return Rounded(whole.clamp(-LARGEST, LARGEST).to(torch.int8), scale)


def rounded_weights(model: Model) -> dict[str, Rounded]:
    """The weights of convolutions and linear layers, rounded, by name; norms and biases are no such tables.

    Args:
        model: a network in fp32.
    """
    return {name: round_rows(p.detach()) for name, p in model.named_parameters() if p.ndim > 1}


def round_model(model: Model) -> Model:
    """A copy of a network that computes in fp32 with its rounded weights.

    Args:
        model: it stays as it is.
    """
    rounded = copy.deepcopy(model)
    rounded.load_state_dict({k: r.values for k, r in rounded_weights(model).items()}, strict=False)
    return rounded.eval()
