"""Any sequence of changes, waits, late events and runs that die ends with equal tables.

Small on purpose: what fails is shrunk by Hypothesis to the fewest steps, which no random story is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_stripe_app.testing import SimulatedStripe
from tests.chaos.sync.figures import TALLY
from tests.chaos.sync.judge import Judge
from tests.chaos.sync.runs import Fate, Runs
from tests.chaos.sync.sizes import LONG
from tests.chaos.sync.weather import OLDER, TickingClock, moved_by_waiting
from tests.integration.sync_lab import Lab

STREAMS = ["customers", "invoices", "invoice_line_items"]
STEP = st.one_of(
    st.tuples(st.sampled_from(["update", "delete", "lines"]), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 9, 10, 11, 50, 61, 71, 31 * 86_400])),
    st.tuples(st.just("late"), st.sampled_from([0, 9, 45])),
    st.tuples(st.just("stale"), st.sampled_from([0, 3])),
    st.tuples(st.just("payloads"), st.sampled_from([0, 1])),
    st.tuples(st.sampled_from(["sync", "full"]), st.sampled_from([0, 0, 3, 11, 23, 41, 67])),
)


@pytest.fixture(scope="module")
def stripe() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=1, clock=TickingClock(1)) as sim:
        yield sim


class Sequence:
    """Carries steps out.

    :param where: the warehouse's file.
    """

    def __init__(self, sim: SimulatedStripe, where: str) -> None:
        sim.reset()
        sim.clock.freeze()
        sim.switches.set(rate_limits=False)
        self.lab = Lab(sim, "sqlite", where)
        self.runs = Runs(self.lab, Random(0), STREAMS, ())
        sim.populate(self.lab.account, customers=3, invoices=3)
        sim.clock.advance(15)
        self.runs.one(Fate(), streams=STREAMS)

    def take(self, step: str, number: int) -> None:
        """Carry one out."""
        sim = self.lab.sim
        if step == "wait":
            sim.clock.advance(number)
        elif step == "late":
            sim.switches.set(event_delay=(float(number), float(number)))
        elif step == "stale":
            sim.switches.set(stale_lists=(float(number), float(number)))
        elif step == "payloads":
            sim.switches.set(event_api_version=OLDER if number else "2026-10-28.endive")
        elif step in ("sync", "full"):
            mode = "auto" if step == "sync" else "full"
            self.runs.one(Fate(number), streams=STREAMS, mode=mode, workers=1)
        else:
            self.change(step, number)

    def change(self, step: str, number: int) -> None:
        """Change a customer, or make one, or change an invoice's lines."""
        sim = self.lab.sim
        kind = "invoice" if step == "lines" else "customer"
        ids = [str(o["id"]) for o in sim.objects(None, kind) if o.get("status", "draft") == "draft"]
        if number >= len(ids):
            sim.create(None, kind, {})
        elif step == "lines":
            sim.add_lines(None, ids[number], [{"amount": n} for n in range(number * 6 + 1)])
        elif step == "update":
            sim.update(None, ids[number], {"metadata": {"at": str(sim.clock.now())}})
        else:
            sim.delete(None, ids[number])

    def differences(self) -> list[str]:
        """Let everything come to rest, sync, and tell what differs."""
        self.lab.sim.switches.set(event_delay=(0.0, 0.0), stale_lists=(0.0, 0.0))
        self.lab.sim.clock.advance(50)
        self.runs.one(Fate(), streams=STREAMS)
        return Judge(self.lab, STREAMS).differences()


@settings(
    max_examples=400 if LONG else 8,
    deadline=None,
    derandomize=not LONG,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(STEP, max_size=25))
@pytest.mark.timeout(1500)
def test_any_sequence_of_steps_ends_with_equal_tables(
    stripe: SimulatedStripe, steps: list[tuple[str, int]]
) -> None:
    TALLY["stories"] += 1
    with tempfile.TemporaryDirectory() as directory, moved_by_waiting(stripe.clock):
        sequence = Sequence(stripe, str(Path(directory) / "warehouse.sqlite"))
        for step, number in steps:
            sequence.take(step, number)
        assert sequence.differences() == []
