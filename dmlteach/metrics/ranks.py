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
MATCHES = 2**24  # distances to matches held at a time: 128 MiB
PAIRS = 4096  # pairs subtracted at a time
NEAR_TIE = 1e-12  # squared distances in float64 that agree to this share are compared with more care


class Sets(NamedTuple):
    """Queries and the gallery they search. A single set searches itself: both are the same tensors."""

    queries: Tensor  # (Q, D) fp32 or float64, finite
    query_labels: Tensor  # (Q,) classes 0 …
    gallery: Tensor  # (M, D)
    gallery_labels: Tensor  # (M,)
    single: bool  # then a query never finds itself


def rank_matches(sets: Sets, largest_k: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Ranks of all matches, for some queries after the other (by class, not in the order given).

    Args:
        sets: queries and gallery.
        largest_k: how far the first match's rank matters; ranks up to a query's number of
            matches R always do. A rank that matters no more may be too large.

    Yields:
        The number of matches R (q,) of each query, and their ranks (q, most), nearest first;
        entries beyond a query's R mean nothing.
    """
    sets = _sort_by_class(sets)
    number = torch.bincount(sets.gallery_labels)[sets.query_labels] - int(sets.single)  # (Q,)
    num_queries, most = len(number), int(number.max())
    step = max(64, MATCHES // (most + 1))
    with _full_fp32():
        distances = _Distances(sets)
        for start in range(0, num_queries, step):
            rows = slice(start, min(start + step, num_queries))
            counter = _Counter(sets, distances, number[rows], most, rows, largest_k)
            _count(counter, distances, rows, both_ways=sets.single and step >= num_queries)
            yield number[rows], counter.ranks()


def _sort_by_class(sets: Sets) -> Sets:
    """The same rows with the items of a class side by side, small classes first."""
    new_label = _labels_by_size(sets)

    def sort(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        labels, order = new_label[labels].sort(stable=True)
        return x[order], labels

    gallery = sort(sets.gallery, sets.gallery_labels)
    queries = gallery if sets.single else sort(sets.queries, sets.query_labels)
    return Sets(*queries, *gallery, sets.single)


def _labels_by_size(sets: Sets) -> Tensor:
    """(C,) place of each class where small ones come first."""
    num_classes = int(max(sets.query_labels.max(), sets.gallery_labels.max())) + 1
    size = torch.bincount(sets.gallery_labels, minlength=num_classes)
    return size.argsort(stable=True).argsort()


def query_order(sets: Sets) -> Tensor:
    """(Q,) rows of the queries in the order in which `rank_matches` yields them.

    Args:
        sets: queries and gallery.
    """
    return _labels_by_size(sets)[sets.query_labels].sort(stable=True).indices


def _count(counter: "_Counter", distances: "_Distances", rows: slice, both_ways: bool) -> None:
    """Show the counter every block of distances; a single set is symmetric, so half of them do."""
    block = BLOCK.get(counter.limit.device.type, 1024)
    size = len(distances.gallery)
    sample = slice(0, size, -(-size // block))
    for row_block in _blocks(rows.start, rows.stop, block):
        counter.discard_far_matches(distances.similarity(row_block, sample), row_block)
    for row_block in _blocks(rows.start, rows.stop, block):
        for column_block in _blocks(row_block.start if both_ways else 0, size, block):
            similarity = distances.similarity(row_block, column_block)
            counter.look(similarity, row_block, column_block)
            if both_ways and column_block.start > row_block.start:
                counter.look(similarity, row_block, column_block, swapped=True)


def _blocks(start: int, stop: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, stop)) for i in range(start, stop, size)]


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
        """Largest rounding error of d² for each pair (P,)."""
        return (self.sq_queries[query] + self.sq_gallery[item]) * self.rounding + 1e-37

    def exact(self, query: Tensor, item: Tensor) -> Tensor:
        """d² of each pair (P,) by direct subtraction in float64."""
        d2 = torch.zeros(len(query), dtype=torch.float64, device=query.device)
        differ = (self.identity[0][query] != self.identity[1][item]).nonzero()[:, 0]
        for pairs in differ.split(PAIRS):
            difference = self.queries[query[pairs]].double() - self.gallery[item[pairs]]
            d2[pairs] = torch.linalg.vecdot(difference, difference)
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


def _match_distances(sets: Sets, rows: slice, most: int) -> tuple[Tensor, Tensor]:
    """Distances of some queries to their matches, nearest first, by direct subtraction.

    Returns:
        d² (q, most) in float64, infinite where a query has fewer matches, and the matches' gallery rows.
    """
    device = sets.queries.device
    d2 = torch.full((rows.stop - rows.start, most + 1), torch.inf, dtype=torch.float64, device=device)
    start, stop = _class_ranges(sets.query_labels, rows)
    labels = sets.query_labels[start]  # one per class among these queries
    number = torch.bincount(sets.gallery_labels, minlength=int(labels.max()) + 1)
    first_item = number.cumsum(0) - number  # of each class
    item_start, item_stop = first_item[labels], (first_item + number)[labels]
    longest = max(int((stop - start).max()), most + 1)
    at_once = max(1, MATCHES // (longest * (most + 1 + sets.queries.shape[1])))
    for classes in torch.arange(len(labels), device=device).split(at_once):
        query, is_query = _pad(start[classes], stop[classes])  # (c, a)
        item, is_item = _pad(item_start[classes], item_stop[classes])  # (c, b)
        a, b = sets.queries[query].double(), sets.gallery[item].double()
        d = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")  # (c, a, b)
        missing = ~is_item[:, None, :].expand_as(d)
        if sets.single:
            missing = missing | (query[:, :, None] == item[:, None, :])
        d2[query[is_query] - rows.start, : d.shape[2]] = d.square().masked_fill(missing, torch.inf)[is_query]
    d2, order = d2.sort(1)
    match = order[:, :most] + first_item[sets.query_labels[rows], None]
    return d2[:, :most], match.clamp_max(len(sets.gallery) - 1)


def _class_ranges(labels: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """First row and row after the last of each class in a range of sorted labels, each (C,)."""
    _, number = labels[rows].unique_consecutive(return_counts=True)
    stop = number.cumsum(0) + rows.start
    return stop - number, stop


def _pad(start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
    """Ranges of rows as a table (c, longest), the last row repeated, and which entries are real."""
    longest = int((stop - start).max())
    table = start[:, None] + torch.arange(longest, device=start.device)
    return table.clamp_max((stop - 1).clamp_min(0)[:, None]), table < stop[:, None]


class _Counter:
    """Counts, for a range of queries, the non-matches at most as far away as each match.

    A match is done once its rank is beyond what matters. Only items nearer than `limit`, the distance
    of a query's farthest match that is not done, are looked at one by one.
    """

    def __init__(
        self, sets: Sets, distances: _Distances, number: Tensor, most: int, rows: slice, largest_k: int
    ):
        self.sets, self.distances, self.first = sets, distances, rows.start
        self.number, self.most = number, most
        d2, self.match = _match_distances(sets, rows, most)  # (q, most)
        self.d2 = torch.cat([d2, d2.new_full((len(d2), 1), torch.inf)], 1)  # (q, most + 1): sentinel
        # column r: non-matches farther than r matches and not farther than the next
        self.between = torch.zeros(self.d2.shape, dtype=torch.int32, device=d2.device)
        # as many non-matches may come before the r-th match for its rank to matter
        self.allowed = number[:, None] - 1 - torch.arange(most, device=d2.device)  # (q, most)
        if most:
            self.allowed[number > 0, 0] = self.allowed[number > 0, 0].clamp_min(largest_k - 1)
        reach = distances.sq_queries[rows] + distances.sq_gallery.max()
        self.margin = reach * distances.rounding + 1e-37  # (q,) largest rounding error
        self.limit = torch.empty_like(self.margin)  # (q,) smallest similarity that is looked at
        self._update_limit(slice(None))

    def discard_far_matches(self, similarity: Tensor, rows: slice) -> None:
        """Find in a sample of the gallery (q, m) which matches cannot rank within R, from the second on.

        Of the 2 R nearest items, at most R + 1 are the query and its matches, so R − 1 are not.
        """
        if not 2 <= 2 * self.most <= similarity.shape[1]:
            return
        own = self._own(rows)
        nearest = similarity.topk(2 * self.most, dim=1).values  # (q, 2 most), nearest first
        last = nearest.gather(1, (2 * self.number[own, None] - 1).clamp_min(0))  # (q, 1)
        surely_behind = self.d2[own, 1 : self.most] >= -2 * last + self.margin[own, None]
        self.allowed[own, 1:] = self.allowed[own, 1:].masked_fill(surely_behind, -1)
        self._update_limit(own)

    def look(self, similarity: Tensor, rows: slice, columns: slice, swapped: bool = False) -> None:
        """Count one block (q, m); `swapped`: its columns are the queries and its rows the gallery."""
        own = self._own(columns if swapped else rows)
        limit = self.limit[own]
        found = _where(similarity >= (limit if swapped else limit[:, None]))
        if not len(found):
            return
        row = found.div(similarity.shape[1], rounding_mode="floor")
        column = found - row * similarity.shape[1] + columns.start
        query, item = (column, row + rows.start) if swapped else (row + rows.start, column)
        other = (self.sets.query_labels[query] != self.sets.gallery_labels[item]).nonzero()[:, 0]
        self._insert(query[other], item[other], similarity.flatten()[found[other]] * -2)
        self._update_limit(own)

    def ranks(self) -> Tensor:
        """(q, most) rank of each match; beyond the gallery where it does not matter."""
        before = self.between.cumsum(1)[:, :-1]
        place = torch.arange(1, self.most + 1, device=before.device)
        return (before + place).masked_fill(before > self.allowed, len(self.sets.gallery) + 1)

    def _own(self, rows: slice) -> slice:
        return slice(rows.start - self.first, rows.stop - self.first)

    def _insert(self, query: Tensor, item: Tensor, d2: Tensor) -> None:
        """Note between which matches of its query each item lies (P,)."""
        row, error = query - self.first, self.distances.error(query, item)
        place = self._count_nearer_matches(row, d2 - error)
        doubt = (self.d2[row, place] < d2 + error).nonzero()[:, 0]
        place[doubt] = self._place_exactly(query[doubt], item[doubt])
        self.between.view(-1).index_add_(
            0, row * (self.most + 1) + place, torch.ones_like(place, dtype=torch.int32)
        )

    def _place_exactly(self, query: Tensor, item: Tensor) -> Tensor:
        """How many matches of each query are nearer than its item (P,), in float64; identical rows tie."""
        row, d2 = query - self.first, self.distances.exact(query, item)
        place = self._count_nearer_matches(row, d2 * (1 - NEAR_TIE))
        open_ = torch.arange(len(row), device=row.device)
        while len(open_ := open_[self.d2[row[open_], place[open_]] <= d2[open_] * (1 + NEAR_TIE)]):
            match = self.match[row[open_], place[open_]]
            same = self.distances.identity[1][match] == self.distances.identity[1][item[open_]]
            open_, match = open_[~same], match[~same]
            behind = self.distances.exact(query[open_], match) < d2[open_]
            open_ = open_[behind]
            place[open_] += 1
        return place

    def _count_nearer_matches(self, row: Tensor, d2: Tensor) -> Tensor:
        """How many matches of query `row` are nearer than d2 (P,), by bisection."""
        count = torch.zeros_like(row)
        step = 1 << self.most.bit_length()
        while step := step // 2:
            further = (count + step).clamp_max_(self.most)
            count = torch.where(self.d2[row, further - 1] < d2, further, count)
        return count

    def _update_limit(self, rows: slice) -> None:
        if not self.most:
            self.limit.fill_(torch.inf)
            return
        matters = self.between[rows].cumsum(1)[:, :-1] <= self.allowed[rows]  # (q, most)
        farthest = self.d2[rows, :-1].masked_fill(~matters, -torch.inf).amax(1)
        self.limit[rows] = (farthest + self.margin[rows]).float() / -2


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
