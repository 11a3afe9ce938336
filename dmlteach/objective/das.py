"""Densely-anchored sampling (DAS): embeddings made beside the real ones. Liu et al., ECCV 2022.

A made embedding is of its image's class, so the copies of an anchor's own image are among its positives, as
in the paper. How much they count depends on the loss. The table gives the share of the whole pull towards
positives that goes to an anchor's own copies, in a batch of 4 × 4 images whose embeddings have nearly one
direction, as those of an untrained network do, with three copies of each (tests/objective/test_das.py):

    sst, triplet                                 0 %  targets are chosen among other images
    margin, ranked_list                          0 %  own copies are nearer than its boundary
    n_pair                                       0 %  but more where a class has an odd number of images
    binomial_deviance, circle, global            3 %
    hierarchical_triplet, lifted_modified        3 %
    multi_similarity, supcon, weight             3 %
    angular, fast_ap, smooth_ap                  4 %
    triplet_hard                                 5 %
    histogram                                    6 %
    triplet_all, triplet_semihard                7 %
    contrastive                                 11 %
    lifted_generalized, nca                     15 %
    clustering, lifted                          19 %

Own copies are 3 of the 15 positives. Once the images of a class are near each other, the hinges of the
triplet losses ignore own copies altogether.
"""

import inspect
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_labels, check_classes
from dmlteach.options import at_least, between, one_of, options_of

LARGE_BANK = 2**24  # numbers; a larger bank is kept in half precision, its rows are scaled down anyway

Keep = Literal["last", "random"]
FACTS = ("num_classes", "embedding_dim", "normalize")


def options() -> dict[str, inspect.Parameter]:
    """DAS's options that a recipe may set, by name; the rest follows from data and network."""
    return options_of(DAS, FACTS)


class DAS(nn.Module):
    """Makes v′ = s ⊙ v + b from every embedding v, with v's label, for any pair or triplet loss.

    Discriminative feature scaling: s is random on the channels that are most often among the largest ones in
    v's class, and 1 elsewhere. Memorized transformation shifting: b is `shift` times a difference of two
    embeddings of v's class, remembered from this batch or an earlier one. Both memories are buffers, so that
    a checkpoint keeps them. DAS is used in training only.

    Args:
        num_classes: C, classes of the training set.
        embedding_dim: D.
        copies: T, embeddings made of each real one.
        channels: K, channels that are scaled.
        bank_size: Z, differences remembered per class; the oldest makes room.
        keep: which differences of a class are remembered where a batch has more than Z: the "last" ones, as
            in the authors' code, or Z drawn at "random".
        scale_range: the interval in which s of a scaled channel is uniformly distributed.
        shift: r_b, the factor on the difference.
        detach: whether made embeddings are cut off from the network, so that no gradient flows back through
            them. Default: the value of `normalize`. A loss moves the two ends of a pair by equal and opposite
            forces. If one end is detached, its force is lost, and the forces on the other ends add up. On the
            sphere normalization removes most of that; elsewhere the whole embedding drifts off (on Omniglot
            its norm grew from 10 to 17 with the triplet loss and to 76 with SST, in 300 steps). If nothing is
            detached, the forces of a batch cancel.
        normalize: put made embeddings on the unit sphere, where the real ones lie.

    Source: Algorithm 1; the defaults are those of the CUB and Cars runs on the sphere. In the paper detach
    and scale_range differ for Stanford Online Products: False and (0.5, 2). The authors' scripts also
    choose a shift of 0.1 there (0.01 for the margin loss), and 8 channels where D is 512.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        copies: int = 3,
        channels: int = 4,
        bank_size: int = 10,
        keep: Keep = "last",
        scale_range: tuple[float, float] = (0.99, 1.01),
        shift: float = 0.01,
        detach: bool | None = None,
        normalize: bool = False,
    ):
        super().__init__()
        at_least("copies", copies, 0)
        between("channels", channels, 1, embedding_dim, because="an embedding has no more")
        at_least("bank_size", bank_size, 1)
        one_of("value of keep", keep, get_args(Keep))
        if scale_range[0] > scale_range[1]:
            raise DMLTeachError(f"scale_range must be (low, high), not {tuple(scale_range)}.")
        self.copies, self.channels, self.bank_size, self.keep = copies, channels, bank_size, keep
        self.scale_range, self.shift = scale_range, shift
        self.detach, self.normalize = (normalize if detach is None else detach), normalize
        dtype = torch.float16 if num_classes * bank_size * embedding_dim > LARGE_BANK else torch.float32
        self.frequency: Tensor
        self.bank: Tensor
        self.filled: Tensor
        self.next_slot: Tensor
        self.register_buffer("frequency", torch.zeros(num_classes, embedding_dim))
        # One class more than there are: differences that are not kept are written there.
        self.register_buffer("bank", torch.zeros(num_classes + 1, bank_size, embedding_dim, dtype=dtype))
        self.register_buffer("filled", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("next_slot", torch.zeros(num_classes, dtype=torch.int64))

    def forward(
        self, embeddings: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Remember this batch, then make `copies` further embeddings from each of its embeddings.

        Args:
            embeddings: (N, D).
            labels: (N,) class of each embedding, 0 … C-1.
            generator: of the random scales and shifts, on the embeddings' device.

        Returns:
            (N (1 + T), D) and their labels; the first N rows are `embeddings` as they came.

        Raises:
            DMLTeachError: a label is no class. Labels are looked at on the CPU only.
        """
        labels = as_labels(labels)
        check_classes(labels, len(self.filled))
        self.remember(embeddings.detach(), labels, generator)
        made = [self._make(embeddings, labels, generator) for _ in range(self.copies)]
        return torch.cat([embeddings, *made]), labels.repeat(1 + self.copies)

    @torch.no_grad()
    def remember(self, embeddings: Tensor, labels: Tensor, generator: torch.Generator | None = None) -> None:
        """Count each embedding's `channels` largest channels, and store the differences within classes."""
        largest = embeddings.topk(self.channels, dim=1).indices
        one = self.frequency.new_ones(())
        self.frequency.index_put_((labels[:, None], largest), one, accumulate=True)

        pairs, slots, kept = self._choose_differences(embeddings, labels, generator)
        anchor, positive = pairs // len(labels), pairs % len(labels)
        owner = torch.where(
            pairs < 0, len(self.filled), labels[anchor]
        )  # the row beyond all classes: not kept
        self.bank[owner, slots] = (embeddings[anchor] - embeddings[positive]).to(self.bank.dtype)
        self.filled[labels] = (self.filled[labels] + kept).clamp_max(self.bank_size)
        self.next_slot[labels] = (self.next_slot[labels] + kept) % self.bank_size

    def _choose_differences(
        self, embeddings: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Up to `bank_size` non-zero ordered differences of each class, without waiting for the device.

        Returns:
            The differences z_i − z_j as pairs i·N + j, -1 where there are fewer; for each, the slot in the
            ring of its class; and (N,) how many differences the class of each embedding stores.
        """
        n, size = len(labels), self.bank_size
        same = labels[:, None] == labels[None, :]
        valid = same & (torch.cdist(embeddings, embeddings, p=torch.inf) > 0)  # (N, N)
        total = (same * valid.sum(1)).sum(1)  # differences in the class of each embedding
        kept = total.clamp_max(size)
        if self.keep == "last":
            place = _place_in_class(valid, same) - (total - kept)[:, None]
        else:
            place = _random_place_in_class(valid, labels, len(self.filled), generator)
        keep = valid & (place >= 0) & (place < kept[:, None])
        slot = (self.next_slot[labels][:, None] + place) % size

        # Gather what is kept in a list of fixed length: no class keeps more than `size`.
        length = n * min(size, n)
        position = torch.where(keep.flatten(), keep.flatten().cumsum(0) - 1, length)
        pairs = position.new_full((length + 1,), -1)
        pairs[position] = torch.arange(n * n, device=pairs.device)
        pairs = pairs[:length]
        filled = torch.arange(length, device=pairs.device) < keep.sum()
        pairs = pairs.masked_fill(~filled, -1)
        return pairs, slot.flatten()[pairs], kept

    def _make(self, embeddings: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        """One v′ = s ⊙ v + b of each embedding."""
        n, dim = embeddings.shape
        low, high = self.scale_range
        chosen = self.frequency[labels].topk(self.channels, dim=1).indices  # (N, K)
        draw = torch.rand(n, self.channels, generator=generator, device=embeddings.device)
        s = embeddings.new_ones(n, dim).scatter(1, chosen, (low + (high - low) * draw).to(embeddings))

        filled = self.filled[labels]
        draw = torch.rand(n, generator=generator, device=embeddings.device)
        slot = torch.minimum((draw * filled).long(), filled - 1).clamp_min(0)
        b = self.shift * self.bank[labels, slot].to(embeddings)
        b = b.masked_fill((filled == 0)[:, None], 0)

        made = (embeddings.detach() if self.detach else embeddings) * s + b
        return normalize(made) if self.normalize else made


def _place_in_class(valid: Tensor, same: Tensor) -> Tensor:
    """(N, N) place of a difference among those of its class, in the order of the batch."""
    before = (same.tril(-1) * valid.sum(1)).sum(1)  # in earlier rows of the class
    return before[:, None] + valid.cumsum(1) - 1


def _random_place_in_class(
    valid: Tensor, labels: Tensor, num_classes: int, generator: torch.Generator | None
) -> Tensor:
    """(N, N) place of a difference among those of its class, in random order."""
    draw = torch.rand(valid.shape, generator=generator, device=valid.device)
    owner = labels[:, None].expand_as(valid).flatten()
    order = draw.masked_fill(~valid, 2).flatten().argsort()  # what is no difference comes last
    order = order[owner[order].argsort(stable=True)]
    counts = torch.zeros(num_classes, dtype=torch.int64, device=valid.device).index_add_(
        0, owner, torch.ones_like(owner)
    )
    start = counts.cumsum(0) - counts
    place = torch.empty_like(owner)
    place[order] = torch.arange(len(owner), device=valid.device) - start[owner[order]]
    return place.view_as(valid)
