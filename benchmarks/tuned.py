"""Every method, tuned alike, on Omniglot: `python -m benchmarks.tuned [--jobs 2] [--seconds 3600]`.

For each method four learning rates, a factor of about three apart, and up to two more where the best lies
at an end; then two other values of one option at the best rate. All are chosen by Recall@1 on
val classes that no training has seen. The finals train on all training classes with the chosen values, and
the last state is measured once on the test classes, over several seeds. Samplers are compared at the rates
chosen for the method; densely-anchored sampling (DAS) has its own rates. The best methods and SST train once
more, for longer. Three methods are measured on val after as many steps as a final: are the rates of short
runs right for it?

Every run is a row of tuned.jsonl beside this file, written when it ends: repeated or interrupted, the command
goes on with what is missing, a training from its last checkpoint. tuned.md is written from the rows.
"""

import argparse
from pathlib import Path

from benchmarks.trainings import make
from benchmarks.tuned_page import page
from benchmarks.tuning import Rows, checks, finals, longest, training, tuning

HOME = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.tuned", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no run after these")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the rows")
    parser.add_argument("--only", nargs="*", default=None, help="methods; default all")
    parser.add_argument("--quick", action="store_true", help="one step of each: does it run?")
    args = parser.parse_args()
    rows = Rows(args.output / "tuned.jsonl")
    make((tuning, finals, longest, checks), rows, lambda what: training(what, args.quick), args)
    (args.output / "tuned.md").write_text("\n".join(page(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
