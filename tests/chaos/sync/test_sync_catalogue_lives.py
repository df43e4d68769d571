"""All seventy streams, with syncs that break off anywhere and late events: equal at rest.

``CATALOGUE_SEEDS=7`` replays one life, ``1-40`` runs many.
"""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

import pytest

from tests.integration.sync_lab import Lab, lab
from tests.integration.test_sync_catalogue import ALL, DAY, change, fill, wrong


def seeds() -> list[int]:
    first, _, last = os.environ.get("CATALOGUE_SEEDS", "1").partition("-")
    return list(range(int(first), int(last or first) + 1))


class Cut(Exception):
    """The process ends here."""


def sync_that_may_break_off(one: Lab, rng: random.Random) -> None:
    """Sync, up to a statement of the warehouse that chance chooses."""
    warehouse = one.warehouse()
    left = [rng.choice([5, 20, 60, 150, 400, 1000, 3000]) * rng.random()]

    def fault(label: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cut(label)

    warehouse.fault = fault  # type: ignore[attr-defined]
    with contextlib.suppress(Cut):
        one.sync(ALL, warehouse=warehouse)


@pytest.mark.parametrize("seed", seeds())
def test_all_streams_are_equal_after_syncs_that_break_off(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    switches = {
        "event_delay": [0, rng.choice([0, 6, 40])],
        "event_shuffle": True,
        "stale_lists": rng.choice([0, 4]),
        "created_early": rng.choice([0, 3]),
        "reuse_ids": rng.choice([0.0, 1.0]),
    }
    with lab(tmp_path, "sqlite", **switches) as one:
        one.sim.service.ledger.rng.seed(seed)
        fill(one, rng.choice([1, 4, 12]))
        for _ in range(rng.randint(2, 6)):
            sync_that_may_break_off(one, rng)
            change(one, rng.choice([20, 150]))
            one.sim.clock.advance(rng.choice([15, 3600, DAY + 3600, 3 * DAY]))
        one.sync(ALL)
        one.sim.clock.advance(8 * DAY)
        sync_that_may_break_off(one, rng)
        one.sync(ALL)
        one.sim.clock.advance(60)
        one.sync(ALL)
        assert wrong(one, ALL) == []
