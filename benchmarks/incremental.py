"""How many requests a sync makes: the first load, an idle run, and changes of different kinds.

    python benchmarks/incremental.py [--objects 100000] [--changed 0.1] [--warehouse duckdb]

The simulated Stripe runs in this process and has no rate limits: only requests are counted. *One by
one* is what it would cost to read each changed object, *everything* to list the stream again; both
beside the events, which are read in any case.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from airflow_provider_stripe_app.sync.summary import RunSummary  # noqa: E402
from tests.integration.sync_lab import Lab, lab  # noqa: E402

STREAM = ["customers"]
OTHER_VERSION = "2024-06-20"
OWN_VERSION = "2026-10-28.endive"


@dataclass(frozen=True)
class Changes:
    """A kind of change.

    :param version: API version in which events are rendered: payloads of another one are of no use.
    """

    name: str
    version: str
    ids: Sequence[str]


def kinds(ids: Sequence[str], share: float, luck: random.Random) -> Iterator[Changes]:
    """Yield what changes, by kind.

    :param ids: of all objects, the newest first.
    :param share: which part of them changes in the large cases.
    """
    many = int(len(ids) * share)
    yield Changes("1 %, payloads", OWN_VERSION, luck.sample(ids, len(ids) // 100))
    yield Changes("1 % at random", OTHER_VERSION, luck.sample(ids, len(ids) // 100))
    yield Changes("1 %, the newest", OTHER_VERSION, ids[: len(ids) // 100])
    yield Changes(f"{share:.0%}, payloads", OWN_VERSION, luck.sample(ids, many))
    yield Changes(f"{share:.0%} at random", OTHER_VERSION, luck.sample(ids, many))
    yield Changes(f"{share:.0%}, the newest", OTHER_VERSION, ids[:many])
    half = many // 2
    mixed = [*ids[:half], *luck.sample(ids[len(ids) // 2 :], len(ids) // 500)]
    yield Changes(f"{half:,} newest, {len(mixed) - half:,} old at random", OTHER_VERSION, mixed)


def row(name: str, changed: int, summary: RunSummary, objects: int, cpu: float) -> str:
    """Return a row of the table."""
    made = dict.fromkeys(("events", "list", "relist", "refetch"), 0)
    for purpose, number in summary.requests.items():
        verb = purpose.partition(":")[0]
        made[verb] = made.get(verb, 0) + number
    total = sum(made.values())
    events = made["events"]
    cells = [
        name,
        f"{changed:,}",
        *(f"{made[verb]:,}" for verb in ("events", "list", "relist", "refetch")),
        f"**{total:,}**",
        f"{events + changed:,}" if changed else "–",
        f"{events + -(-objects // 100):,}",
        f"{cpu:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def measured(one: Lab) -> tuple[RunSummary, float]:
    """Sync; return what was done and the CPU seconds of sync and simulation together."""
    began = time.process_time()
    return one.sync(STREAM), time.process_time() - began


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--changed", type=float, default=0.1)
    parser.add_argument("--warehouse", default="duckdb")
    args = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    print(
        "| | changed | events | list | relist | refetch | all | one by one | everything | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    luck = random.Random(7)
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), args.warehouse) as one:
        one.sim.populate(one.account, customers=args.objects, small=True)
        one.settle()
        print(row("first load", 0, *[(r := measured(one))[0], args.objects, r[1]]), flush=True)
        one.sim.clock.advance(3600)
        print(row("an idle hour", 0, *[(r := measured(one))[0], args.objects, r[1]]), flush=True)
        listed = sorted(one.sim.objects(one.account, "customer"), key=lambda o: -o["created"])
        ids = [str(o["id"]) for o in listed]
        del listed
        for changes in kinds(ids, args.changed, luck):
            one.sim.switches.set(event_api_version=changes.version)
            for number, id_ in enumerate(changes.ids):
                one.sim.update(one.account, id_, {"name": changes.name})
                if number % 100 == 0:  # nobody changes more in a second
                    one.sim.clock.advance(1)
            one.sim.clock.advance(120)  # so that the next run does not look back at these
            summary, cpu = measured(one)
            assert summary.streams["customers"].updated == len(changes.ids)
            print(row(changes.name, len(changes.ids), summary, args.objects, cpu), flush=True)


if __name__ == "__main__":
    main()
