"""`aelab choose` on eight small data sets: beside PCA, and beside a search ten times as long.

    python benchmarks/choose.py [--budget 40] [--data wine digits] [--out runs/choose]

Prints, for each data set, the test error that the search's choice reaches, PCA's with as many
numbers and the 95 % interval of their difference, and what a search of ten times the budget
reaches. What is finished in the folder is not done again.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from small_data import SETS

import aelab
from aelab.studies.choose import Choice

LONGER, WITHIN = 10, 1.05


def chosen(name: str, seconds: float, out: Path) -> tuple[Choice, float]:
    """The choice for a data set within so many seconds, and how many it took."""
    given: dict[str, Any] = dict(SETS[name]())
    data = given.pop("data")
    begun = time.perf_counter()
    choice = aelab.choose(
        data, "reconstruction", budget=f"{seconds:g}s", out=out / f"{name}-{seconds:g}s", **given
    )
    return choice, time.perf_counter() - begun


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=40.0)
    parser.add_argument("--data", nargs="*", default=list(SETS))
    parser.add_argument("--out", type=Path, default=Path("runs/choose"))
    options = parser.parse_args()
    print(f"{'data':10} {'chosen':18} {'error':>8} {'PCA':>8} {'gap':>9} {'±':>8} {'s':>6} "
          f"{'longer':>18} {'error':>8} {'s':>6}")  # fmt: skip
    no_worse = near = 0
    for name in options.data:
        choice, seconds = chosen(name, options.budget, options.out)
        longer, more = chosen(name, LONGER * options.budget, options.out)
        short, long = choice.verdict, longer.verdict
        assert short is not None
        assert long is not None
        assert short.half is not None
        no_worse += short.gap <= short.half
        near += short.chosen <= WITHIN * long.chosen
        print(
            f"{name:10} {choice.best:18} {short.chosen:8.4g} {short.pca:8.4g} {short.gap:+9.2g} "
            f"{short.half:8.2g} {seconds:6.1f} {longer.best:>18} {long.chosen:8.4g} {more:6.1f}",
            flush=True,
        )
    total = len(options.data)
    print(f"never worse than PCA by more than the interval: {no_worse} of {total}")
    print(f"within 5 % of the longer search: {near} of {total}")


if __name__ == "__main__":
    main()
