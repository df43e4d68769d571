"""How many requests a full load takes when the objects are spread unevenly over time.

    python benchmarks/shapes.py [--objects 10000 100000] [--shapes minute day …] [--model]

The least number is one request for each 100 objects; the promise is at most twice that. Each row is
a load of customers with the real engine from a simulated Stripe populated in that shape, under the
real limits and with answers after 0.2 to 0.4 s (``--near``: at once), into DuckDB in a process of
its own. ``--model`` prints the same for the listing alone in simulated time, a million objects
included, in seconds. ``--objects 1000000`` takes seven minutes a row: the limit is 2,500 objects/s.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.sync import HEADER, measure, report, simulated_stripe

SHAPES = {
    "years": "a growing business",
    "decade": "evenly over ten years",
    "minute": "all in one minute",
    "day": "nearly all on one day",
    "seconds": "twenty seconds of 300 days",
    "burst": "all in one second",
}
"""The last one only when asked for: a second cannot be cut, so it is one page after the other."""


def engine(objects: int, shape: str, latency: tuple[float, float]) -> None:
    """Load one shape with the engine and print a row."""
    counts = {"customers": objects}
    with simulated_stripe(counts, livemode=True, spread=shape, latency=list(latency)) as (url, key):
        got, made = measure(url, key, "duckdb", kinds=["customers"], livemode=True, limited=True)
        report(SHAPES[shape], counts, got, made)


def model(objects: int) -> None:
    """Print the requests of every shape of the unit tests' model."""
    from tests.unit.list_model import SHAPES as MODELS
    from tests.unit.list_model import load

    print(f"{objects:,} objects{'':<24} {'least':>7} {'near':>7} {'0.3 s':>7} {'0.9 s':>7}")
    for name, make in MODELS.items():
        created = make(objects, random.Random(1))
        loads = [load(created, latency=at) for at in ((0.004, 0.008), (0.2, 0.4), (0.6, 1.2))]
        print(f"  {name:<36} {loads[0].least:>7,}", *(f"{len(one.sent):>7,}" for one in loads))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES)[:-1])
    parser.add_argument("--near", action="store_true", help="answers come at once")
    parser.add_argument("--model", action="store_true", help="the listing alone, in simulated time")
    wanted = parser.parse_args()
    if wanted.model:
        for objects in (250, 1_000, 10_000, 100_000, 1_000_000):
            model(objects)
        return
    print(HEADER)
    for objects in wanted.objects:
        for shape in wanted.shapes:
            engine(objects, shape, (0.0, 0.0) if wanted.near else (0.2, 0.4))


if __name__ == "__main__":
    main()
