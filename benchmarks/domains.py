"""Shipped networks across domains: drawings search restyled drawings, and the reverse.

`python -m benchmarks.domains` writes domains.md beside this file, in about two minutes.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from dmlteach import evaluate, evaluate_domains, models
from dmlteach.course import recordings as pretrained
from dmlteach.data import load
from dmlteach.data.omniglot import CHARACTERS

HOME = Path(__file__).parent
SHOWN = ("recall@1", "map@r")


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
        within = evaluate(model, test, ks=(1,))
        across = [
            evaluate_domains(model, "omniglot", reverse=reverse, classes=classes) for reverse in (False, True)
        ]
        results[name] = {"drawings → drawings": within} | across[0]["domains"] | across[1]["domains"]
    (args.output / "domains.md").write_text("\n".join(table(results)) + "\n")


def table(results: dict[str, dict[str, dict]]) -> Iterator[str]:
    """Recall@1 and MAP@R of each network and direction, as Markdown."""
    directions = list(next(iter(results.values())))
    queries = {direction: next(iter(results.values()))[direction]["num_queries"] for direction in directions}
    yield (
        "Recall@1 / MAP@R of the shipped networks, in queries → gallery, among "
        f"{CHARACTERS['test']} test classes that none of them saw:\n"
    )
    yield f"| network | {' | '.join(f'{d} ({queries[d]:,} queries)' for d in directions)} |"
    yield "|---" * (len(directions) + 1) + "|"
    for name, found in results.items():
        cells = [" / ".join(f"{found[d][key]:.1%}" for key in SHOWN) for d in directions]
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
