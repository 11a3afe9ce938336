"""What papers and leaderboards report, with the ids of our methods and data sets, and each source."""

import csv
import functools
from pathlib import Path
from typing import NamedTuple

from dmlteach.errors import unknown_name

FILE = Path(__file__).with_name("published.csv")


class Result(NamedTuple):
    """One number as it was published.

    Attributes:
        method, method_id: as the source calls it; ours, with "+das" where DAS was added, or "".
        dataset, dataset_id: likewise.
        metric, k: "Recall@K", "NMI" or "F1"; K, or None.
        value: in percent.
        backbone, dim: of the network, where the source says; dim None where it does not.
        source: where the number stands. Rows of one method from several sources need not agree,
            and of the DomainNet rows nobody has written down the protocol.
    """

    method: str
    method_id: str
    dataset: str
    dataset_id: str
    metric: str
    k: int | None
    value: float
    backbone: str
    dim: int | None
    source: str


def results(dataset: str | None = None, method: str | None = None) -> list[Result]:
    """Published numbers, in the order of the file.

    Args:
        dataset: only those of this data set, by our id.
        method: only those of this method, by our id, e.g. "margin" or "margin+das".

    Raises:
        DMLTeachError: nothing is published for such an id.

    Examples:
        >>> results("cub200", "proxy_anchor")[0].value
        68.4
    """
    rows = _read()
    for kind, given, known in [
        ("data set with published results", dataset, {row.dataset_id for row in rows}),
        ("method with published results", method, {row.method_id for row in rows if row.method_id}),
    ]:
        if given is not None and given not in known:
            raise unknown_name(kind, given, known)
    return [row for row in rows if dataset in (None, row.dataset_id) and method in (None, row.method_id)]


def has_recall(dataset: str) -> bool:
    """Whether a Recall@1 is published for a data set, by our id.

    Args:
        dataset: our id.
    """
    return any((row.dataset_id, row.metric, row.k) == (dataset, "Recall@K", 1) for row in _read())


def beside(dataset: str, method: str, recall: float, others: int = 10, backbone: str = "") -> str:
    """A result of one's own among published ones, as a Markdown table; the best first.

    Args:
        dataset, method: our ids; published results of the method, with and without DAS, are all shown.
        recall: Recall@1 of one's own, as a fraction.
        others: how many of the best of all other methods are shown as well.
        backbone: of one's own network; published rows with another one are marked so.

    Returns:
        The table, or a sentence where nothing is published.
    """
    rows = [row for row in _read() if (row.dataset_id, row.metric, row.k) == (dataset, "Recall@K", 1)]
    if not has_recall(dataset):
        return f"Recall@1 on `{dataset}` is not among the published results that dmlteach knows."
    own = [row for row in rows if row.method_id.removesuffix("+das") == method]
    rest = sorted((row for row in rows if row not in own), key=lambda row: -row.value)[:others]
    lines = [
        (
            100 * recall,
            f"| **{method}, this run** | {backbone or '–'} | **{100 * recall:.1f} %** | this report |",
        )
    ]
    for row in own + rest:
        network = f"{row.backbone}, D = {row.dim}" if row.dim else row.backbone
        if backbone and _bare(row.backbone) != _bare(backbone):
            network += " (another network)"
        lines.append((row.value, f"| {row.method} | {network} | {row.value:.1f} % | {row.source} |"))
    table = [text for _, text in sorted(lines, key=lambda line: -line[0])]
    return "\n".join(["| method | network | Recall@1 | source |", "|---|---|---|---|", *table])


def _bare(name: str) -> str:
    """ResNet-50 and resnet50 are one network."""
    return "".join(c for c in name.lower().removeprefix("timm/") if c.isalnum())


@functools.cache
def _read() -> tuple[Result, ...]:
    with open(FILE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(_result(**row) for row in rows)


def _result(k: str, value: str, dim: str, **facts: str) -> Result:
    return Result(k=int(k) if k else None, value=float(value), dim=int(dim) if dim else None, **facts)
