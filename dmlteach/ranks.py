"""Exact ranks of every query's matches, streamed in bounded memory.

A query's matches are the gallery items of its class. The rank of its r-th nearest match is r plus the
number of non-matches at most as far away: a count, so no row of distances is ever sorted. Counting
looks at blocks of one fp32 matrix product; what its rounding leaves in doubt is computed again by
direct subtraction in float64. So ties are ties, and they are pessimistic: the non-match comes first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = {"cpu": 1024, "cuda": 8192}  # rows and columns of one matrix product
PAIRS = 4096  # pairs subtracted at a time
MATCHES = 2**24  # matches held at a time: 128 MiB of distances
TIE = 1e-12  # squared distances that agree to this share are a tie


class Sets(NamedTuple):
    """Queries and the gallery they search. A single set searches itself: both are the same tensors."""

    queries: Tensor  # (Q, D) fp32 or float64, finite
    query_labels: Tensor  # (Q,) classes 0 …
    gallery: Tensor  # (M, D)
    gallery_labels: Tensor  # (M,)
    single: bool  # then a query never finds itself


def rank_matches(sets: Sets, largest_k: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Ranks of all matches, for one range of queries after the other.

    Args:
        sets: queries and gallery.
        largest_k: how far the first match's rank matters; ranks up to a query's number of
            matches R always do. A rank beyond both is only known to be beyond.

    Yields:
        The number of matches R (q,) of each query, and their ranks (q, most), nearest first;
        entries beyond a query's R mean nothing.
    """
    matches = _find_matches(sets)
    num_queries = len(sets.queries)
    step = max(64, MATCHES // max(1, matches.most))
    with _full_fp32():
        distances = _Distances(sets)
        for start in range(0, num_queries, step):
            rows = slice(start, min(start + step, num_queries))
            counter = _Counter(sets, distances, matches, rows, largest_k)
            _count(counter, distances, rows, both_ways=sets.single and step >= num_queries)
            yield matches.number[rows], counter.ranks()


def _count(counter: "_Counter", distances: "_Distances", rows: slice, both_ways: bool) -> None:
    """Show the counter every block of distances; a single set is symmetric, so half of them do."""
    block = BLOCK.get(counter.limit.device.type, 1024)
    for start in range(rows.start, rows.stop, block):
        row_block = slice(start, min(start + block, rows.stop))
        for first in range(start if both_ways else 0, len(distances.gallery), block):
            column_block = slice(first, min(first + block, len(distances.gallery)))
            similarity = distances.similarity(row_block, column_block)
            counter.look(similarity, row_block, column_block)
            if both_ways and first > start:
                counter.look(similarity, row_block, column_block, swapped=True)


class _Matches(NamedTuple):
    """Gallery rows of each query's class, as a range of the gallery sorted by class."""

    order: Tensor  # (M,) gallery rows by class
    start: Tensor  # (Q,) where the query's class begins in `order`
    number: Tensor  # (Q,) R, the query itself excluded
    own: Tensor  # (Q,) the query's own place in its class; beyond the class if it is not there
    most: int  # the largest R

    def rows(self, queries: slice) -> tuple[Tensor, Tensor]:
        """Matches of some queries (q, most), and which of these entries exist."""
        start, number, own = (x[queries, None] for x in (self.start, self.number, self.own))
        place = torch.arange(self.most, device=own.device).expand(len(own), -1)
        exists = place < number
        place = place + (place >= own).long()  # step over the query itself
        return self.order[(start + place).masked_fill(~exists, 0)], exists


def _find_matches(sets: Sets) -> _Matches:
    num_classes = int(max(sets.query_labels.max(), sets.gallery_labels.max())) + 1
    size = torch.bincount(sets.gallery_labels, minlength=num_classes)
    start = size.cumsum(0) - size
    order = sets.gallery_labels.argsort(stable=True)
    number = size[sets.query_labels]
    own = number.clone()
    if sets.single:
        own[order] = torch.arange(len(order), device=order.device) - start[sets.gallery_labels[order]]
        number = number - 1
    return _Matches(order, start[sets.query_labels], number, own, int(number.max()))


class _Distances:
    """Squared distances between queries and gallery: fast with known rounding, or exact."""

    def __init__(self, sets: Sets):
        self.queries, self.gallery = sets.queries, sets.gallery
        mean = sets.gallery.mean(0)  # distances stay, rounding shrinks
        self.z_gallery = (sets.gallery - mean).float()
        self.sq_gallery = self.z_gallery.square().sum(1)
        if sets.single:
            self.z_queries, self.sq_queries = self.z_gallery, self.sq_gallery
        else:
            self.z_queries = (sets.queries - mean).float()
            self.sq_queries = self.z_queries.square().sum(1)
        # Rounding of d² as a share of ‖a‖² + ‖b‖²: D units bound any sum of D products, and rounding
        # errors of either sign stay below 4 √D of them.
        dim = self.z_gallery.shape[1]
        self.rounding = 2 * (min(dim, 4 * dim**0.5) + 16) * 2.0**-24
        self.identity = _identify_rows(sets)

    def similarity(self, rows: slice, columns: slice) -> Tensor:
        """−d²/2 (q, m) up to rounding, as one matrix product: [a, −‖a‖²/2, 1] · [b, 1, −‖b‖²/2]."""
        a, b = self.z_queries[rows], self.z_gallery[columns]
        one_a, one_b = a.new_ones(len(a), 1), b.new_ones(len(b), 1)
        a = torch.cat([a, self.sq_queries[rows, None] / -2, one_a], 1)
        b = torch.cat([b, one_b, self.sq_gallery[columns, None] / -2], 1)
        return a @ b.T

    def error(self, query: Tensor, item: Tensor) -> Tensor:
        """Largest rounding error of d² for each pair (P,), float64."""
        return (self.sq_queries[query].double() + self.sq_gallery[item]) * self.rounding + 1e-37

    def exact(self, query: Tensor, item: Tensor) -> Tensor:
        """d² of each pair (P,) by direct subtraction in float64."""
        d2 = torch.zeros(len(query), dtype=torch.float64, device=query.device)
        differ = (self.identity[0][query] != self.identity[1][item]).nonzero()[:, 0]
        for pairs in differ.split(PAIRS):
            a, b = self.queries[query[pairs]], self.gallery[item[pairs]]
            d2[pairs] = (a.double() - b.double()).square_().sum(1)
        return d2


def _identify_rows(sets: Sets) -> tuple[Tensor, Tensor]:
    """A 64-bit hash of each query and each gallery row: equal rows are recognised without a subtraction.

    So a collapsed embedding costs no more than another. (0 and -0 count as equal; two different rows
    among a million agree with odds of about 1 to 10⁷.)
    """
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**63), 2**63 - 1, (sets.gallery.shape[1],), generator=generator)
    factors = (factors | 1).to(sets.gallery.device)

    def identify(x: Tensor) -> Tensor:
        numbers = []
        for block in x.split(PAIRS):
            bits = (block + 0.0).view(torch.int32 if x.dtype == torch.float32 else torch.int64).long()
            mixed = bits ^ (bits >> 20)  # few-valued codes differ in high bits only, which products lose
            numbers.append((mixed * factors).sum(1))
        return torch.cat(numbers)

    gallery = identify(sets.gallery)
    return (gallery, gallery) if sets.single else (identify(sets.queries), gallery)


class _Counter:
    """Counts, for a range of queries, the non-matches at most as far away as each match.

    A match is done once its rank is beyond what matters. Only items nearer than `limit`, the distance
    of a query's farthest match that is not done, are looked at one by one.
    """

    def __init__(self, sets: Sets, distances: _Distances, matches: _Matches, rows: slice, largest_k: int):
        self.sets, self.distances, self.first = sets, distances, rows.start
        match, exists = matches.rows(rows)  # (q, R)
        query, place = exists.nonzero(as_tuple=True)
        d2 = torch.full(match.shape, torch.inf, dtype=torch.float64, device=match.device)
        d2[query, place] = distances.exact(query + rows.start, match[query, place])
        self.d2 = d2.sort(1).values
        # non-matches between one match and the next: column r holds those after match r, before match r + 1
        self.between = torch.zeros(len(d2), matches.most + 1, dtype=torch.int32, device=match.device)
        # as many non-matches may come before the r-th match for its rank to matter
        self.allowed = matches.number[rows, None] - 1 - torch.arange(matches.most, device=match.device)
        has_match = matches.number[rows] > 0
        if matches.most:
            self.allowed[has_match, 0] = self.allowed[has_match, 0].clamp_min(largest_k - 1)
        self.reach = distances.sq_queries[rows].double() + distances.sq_gallery.max()
        self.limit = torch.empty(len(d2), device=match.device)  # of similarity, per query
        self._update_limit(slice(None))

    def look(self, similarity: Tensor, rows: slice, columns: slice, swapped: bool = False) -> None:
        """Count one block (q, m); `swapped`: its columns are the queries and its rows the gallery."""
        queries = columns if swapped else rows
        own = slice(queries.start - self.first, queries.stop - self.first)
        limit = self.limit[own]
        found = _where(similarity >= (limit if swapped else limit[:, None]))
        if not len(found):
            return
        row, column = found // similarity.shape[1] + rows.start, found % similarity.shape[1] + columns.start
        query, item = (column, row) if swapped else (row, column)
        other = self.sets.query_labels[query] != self.sets.gallery_labels[item]
        d2 = similarity.flatten()[found[other]].double() * -2
        self._insert(query[other], item[other], d2)
        self._update_limit(own)

    def ranks(self) -> Tensor:
        """(q, R) rank of each match."""
        place = torch.arange(1, self.d2.shape[1] + 1, device=self.d2.device)
        return self.between.cumsum(1)[:, :-1] + place

    def _insert(self, query: Tensor, item: Tensor, d2: Tensor) -> None:
        """Note between which matches of its query each item lies (P,)."""
        error = self.distances.error(query, item)
        row = query - self.first
        place = self._count_nearer_matches(row, d2 - error)
        doubt = (place != self._count_nearer_matches(row, d2 + error)).nonzero()[:, 0]
        exact = self.distances.exact(query[doubt], item[doubt])
        place[doubt] = self._count_nearer_matches(row[doubt], exact * (1 - TIE))
        width = self.between.shape[1]
        one = torch.ones_like(place, dtype=torch.int32)
        self.between.view(-1).index_add_(0, row * width + place, one)

    def _count_nearer_matches(self, row: Tensor, d2: Tensor) -> Tensor:
        """How many matches of query `row` are nearer than d2 (P,), by bisection."""
        count, most = torch.zeros_like(row), self.d2.shape[1]
        step = 1 << most.bit_length()
        while step := step // 2:
            further = count + step
            nearer = self.d2[row, further.clamp_max(most) - 1] < d2
            count = torch.where(nearer & (further <= most), further, count)
        return count

    def _update_limit(self, rows: slice) -> None:
        matters = self.between[rows].cumsum(1)[:, :-1] <= self.allowed[rows]  # (q, R)
        farthest = self.d2[rows].masked_fill(~matters, -torch.inf).amax(1) if matters.shape[1] else -torch.inf
        margin = self.reach[rows] * self.distances.rounding + 1e-37
        self.limit[rows] = (-(farthest + margin) / 2).float()


def _where(mask: Tensor) -> Tensor:
    """Flat positions of the true entries; NumPy finds few among many fastest."""
    if mask.device.type == "cpu":
        return torch.from_numpy(mask.numpy().ravel().nonzero()[0])
    return mask.flatten().nonzero()[:, 0]


@contextmanager
def _full_fp32():
    """Matrix products in true fp32: no TF32, no bf16 passes, no autocast."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False), torch.no_grad():
            yield
    finally:
        torch.set_float32_matmul_precision(before)
