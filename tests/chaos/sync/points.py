"""Every point at which a sync can die, in turn: before and after each request, before each
statement.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from airflow_provider_stripe_app.sync.versions import OVERLAP
from airflow_provider_stripe_app.testing import SimulatedStripe
from tests.chaos.sync.judge import Judge
from tests.chaos.sync.runs import Fate, Killed, Runs
from tests.chaos.sync.weather import TickingClock, moved_by_waiting
from tests.integration.sync_lab import ALL, Lab
from tests.integration.test_sync_equality import change_everything


class Points:
    """A small account, and a sync of it that can be begun anew again and again.

    :param loaded: the sync that dies is not the first one.
    """

    def __init__(self, one: Lab, path: Path, *, loaded: bool) -> None:
        self.lab, self._path, self._loaded = one, path, loaded
        one.sim.populate(one.account, customers=12, invoices=6, subscriptions=4)
        one.settle()
        self._base = path / "base"
        if loaded:
            self.sync(Fate())
            change_everything(one)
            # So long ago that the next pass does not read them once more behind its cursor.
            one.sim.clock.advance(10 * OVERLAP)
            shutil.copy(one.where, self._base)

    def begin_again(self) -> None:
        """Have the warehouse as it was before the sync."""
        for leftover in self._path.glob("warehouse*"):
            leftover.unlink()
        if self._loaded:
            shutil.copy(self._base, self.lab.where)

    def sync(self, fate: Fate) -> None:
        """Sync with one request at a time, so that step follows step as before."""
        warehouse: Any = self.lab.warehouse()
        warehouse.fault = fate.step
        client = Runs(self.lab, random.Random(0), ALL, ()).client(fate)
        self.lab.sync(client=client, warehouse=warehouse, workers=1)

    def steps(self) -> int:
        """Return how many steps a sync takes that does not die."""
        self.begin_again()
        fate = Fate()
        self.sync(fate)
        assert Judge(self.lab, ALL).differences() == []
        return fate.steps

    def differences(self, point: int) -> list[str]:
        """Let a sync die at a point and the next one end; return what differs then."""
        self.begin_again()
        fate = Fate(point)
        with suppress(Killed):
            self.sync(fate)
        assert fate.dead, point
        return self.finish()

    def finish(self) -> list[str]:
        """Let somebody change something and the next sync end; return what differs."""
        sim = self.lab.sim
        customer = sim.objects(None, "customer")[0]["id"]
        sim.update(None, str(customer), {"metadata": {"n": str(sim.clock.now())}})
        self.lab.settle()
        self.sync(Fate())
        return Judge(self.lab, ALL).differences()


@contextmanager
def points(path: Path, kind: str, *, loaded: bool) -> Iterator[Points]:
    """Start a Stripe whose time stands still but for ticks."""
    clock = TickingClock(1)
    with SimulatedStripe(seed=1, clock=clock) as sim, moved_by_waiting(clock):
        sim.switches.set(rate_limits=False)
        yield Points(Lab(sim, kind, str(path / f"warehouse.{kind}")), path, loaded=loaded)
