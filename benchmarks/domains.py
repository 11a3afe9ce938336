"""Shipped networks across domains: drawings search restyled drawings, and the reverse.

`python -m benchmarks.domains` writes domains.json and domains.md beside this file, in about two minutes.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from dmlteach import evaluate, evaluate_domains, models
from dmlteach.course import recordings as pretrained
from dmlteach.data import load

HOME = Path(__file__).parent
SHOWN = ("recall@1", "map@r")
KEPT = (*SHOWN, "num_queries", "num_classes")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.domains", description=__doc__)
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="one network, few classes: does it run?")
    args = parser.parse_args()
    classes, names = (4, list(pretrained.SHIPPED)[:1]) if args.quick else (None, pretrained.SHIPPED)
    test = load("omniglot", "test", classes=classes)
    results = {}
    for name in tqdm(names):
        model = models.pretrained(name)
        found = {"drawings → drawings": evaluate(model, test, ks=(1,))}
        for reverse in (False, True):
            found |= evaluate_domains(model, "omniglot", reverse=reverse, classes=classes)["domains"]
        results[name] = {way: {key: row[key] for key in KEPT} for way, row in found.items()}
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (args.output / "domains.json").write_text(text + "\n", encoding="utf-8")
    (args.output / "domains.md").write_text("\n".join(table(results)) + "\n", encoding="utf-8")


def table(results: dict[str, dict[str, dict]]) -> Iterator[str]:
    """Recall@1 and MAP@R of each network and direction, as Markdown."""
    first = next(iter(results.values()))
    (classes,) = {row["num_classes"] for row in first.values()}
    yield (
        "Recall@1 / MAP@R of the shipped networks, in queries → gallery, among "
        f"{classes} test classes that none of them saw:\n"
    )
    names = [f"{d} ({row['num_queries']:,} queries)" for d, row in first.items()]
    yield f"| network | {' | '.join(names)} |"
    yield "|---" * (len(first) + 1) + "|"
    for name, found in results.items():
        cells = [" / ".join(f"{found[d][key]:.1%}" for key in SHOWN) for d in first]
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
