"""One seeded story: a merchant, the weather and runs of all kinds; at its end the tables equal."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_stripe_app.streams.catalog import DEFAULT_STREAMS, STREAMS
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.versions import DAY
from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.resources import COLLECTIONS
from tests.chaos.sync.figures import TALLY
from tests.chaos.sync.judge import Judge, tops
from tests.chaos.sync.merchant import Merchant
from tests.chaos.sync.runs import Fate, Runs
from tests.chaos.sync.weather import (
    OLDER,
    TickingClock,
    Weather,
    moved_by_waiting,
)
from tests.integration.audit_lab import audit
from tests.integration.sync_lab import Lab


@dataclass(frozen=True)
class Traits:
    """What is special about a seed's story.

    :param streams: what is synced; the merchant makes objects of their kinds.
    :param ticking: Stripe's time stands still but for ticks, else it is the real time.
    :param late: events may come later than any overlap, so only the daily sweep finds them.
    :param silent: some changes emit no event, so only a full load or a repair finds them.
    :param clocks: some customers live on test clocks.
    :param reused: new objects may take the ids of deleted ones.
    :param dated: runs ask for start dates.
    :param upgraded: runs of an earlier release, pinned to another API version, come between.
    """

    streams: tuple[str, ...]
    ticking: bool
    late: bool
    silent: bool
    clocks: bool
    reused: bool
    dated: bool
    upgraded: bool

    @classmethod
    def of(cls, seed: int) -> Traits:
        """Draw them."""
        rng = random.Random(f"{seed}-traits")

        def chance(share: float) -> bool:
            return rng.random() < share

        others = sorted(simulated() - set(DEFAULT_STREAMS))
        more = set(rng.sample(others, rng.choice([0, 0, 2, 6])))
        more |= {s.name for s in STREAMS.values() if s.parent in more}
        names = {*DEFAULT_STREAMS, *more}
        return cls(
            streams=tuple(name for name in STREAMS if name in names),
            ticking=chance(0.8),
            late=chance(0.2),
            silent=chance(0.2),
            clocks=chance(0.3),
            reused=chance(0.2),
            dated=chance(0.25),
            upgraded=chance(0.25),
        )


def simulated() -> set[str]:
    """Return the streams that nobody is the parent of and that the simulation has as well."""
    paths = {f"/v1/{row.path}" for row in COLLECTIONS}
    return {s.name for s in STREAMS.values() if s.parent is None and s.path in paths}


def told_by_events(stream: Stream) -> bool:
    """Tell whether events tell everything about a stream, at once."""
    return stream.creates and not stream.relisted and stream.open_while is None


class Story:
    """Tells itself step by step.

    :param path: where the warehouse's file is made, if it has one.
    :param kind: ``sqlite``, ``duckdb`` or ``postgres``.
    :param where: an empty database's address, for a server.
    """

    def __init__(self, seed: int, path: Path, kind: str, where: str = "") -> None:
        self.seed, self.traits = seed, Traits.of(seed)
        self._path, self._kind, self._where = path, kind, where
        self.steps: list[str] = [f"seed {seed} {kind} {self.traits}"]

    def tell(self, steps: int) -> list[str]:
        """Let so much happen, then come to rest.

        :return: what differs then, in words.
        """
        TALLY["stories"] += 1
        clock = TickingClock(self.seed) if self.traits.ticking else None
        with (
            SimulatedStripe(seed=self.seed, clock=clock) as sim,
            moved_by_waiting(sim.clock),
        ):
            sim.switches.set(
                rate_limits=False,
                embedded_prices=self.seed % 2 == 0,
                reuse_ids=0.3 if self.traits.reused else 0.0,
            )
            where = self._where or str(self._path / f"warehouse.{self._kind}")
            self._begin(Lab(sim, self._kind, where))
            for _ in range(steps):
                self._step()
            return self._end()

    def _begin(self, lab: Lab) -> None:
        rng = self._random = random.Random(self.seed)
        self._lab = lab
        many = rng.random() < 0.15
        lab.sim.populate(lab.account, customers=260 if many else 25, invoices=15, subscriptions=10)
        kinds = dict.fromkeys(STREAMS[name].object for name in tops(self.traits.streams))
        self._merchant = Merchant(
            lab.sim, rng, list(kinds), silent=self.traits.silent, clocks=self.traits.clocks
        )
        starts: list[int] = []
        if self.traits.dated:
            created = sorted(o["created"] for o in lab.sim.objects(None, "customer"))
            starts = [created[len(created) * n // 4] for n in (1, 2, 3)]
        self._runs = Runs(lab, rng, self.traits.streams, starts)
        self._weather = Weather(lab.sim, rng, late=self.traits.late)
        self._judge = Judge(lab, self.traits.streams)

    def _step(self) -> None:
        acts = [self._merchant.act] * 4 + [self._weather.change] + [self._run] * 3
        self.steps.append(self._random.choice(acts)())
        self.steps.append(self._weather.pass_time())

    def _run(self) -> str:
        runs = self._runs
        kinds = [runs.usual] * 8 + [
            runs.with_dying_tokens,
            runs.with_less_permission,
            runs.overlapping,
            self._silence,
        ]
        if self.traits.upgraded:
            kinds += [lambda: runs.of_the_last_release(OLDER)] * 3
        if self._random.random() < 0.5:
            # From a generator of its own: the server's thread must not draw from the story's.
            writer = Merchant(
                self._lab.sim, random.Random(self._random.random()), self._merchant._kinds
            )
            nth = self._random.randint(1, 8)
            self._lab.sim.before("/v1/", lambda _: writer.act(), nth=nth)
        told = self._random.choice(kinds)()
        self._judge.watch()
        return told

    def _silence(self) -> str:
        self._lab.sim.clock.advance(31 * DAY)
        return "31 days of silence"

    def _bound(self) -> int:
        """Return how stale tables may be, in days: what no event tells is looked for now and then.

        Stripe hides events of what may not be read; a daily sweep finds them.
        """
        if not all(told_by_events(STREAMS[name]) for name in tops(self.traits.streams)):
            return 8
        return 1 if self._runs.blinded else 0

    def _end(self) -> list[str]:
        self._weather.calm(self._bound())
        start = self._runs._starts[0] if self._runs._starts else None
        summary = self._runs.one(Fate(), streams=self.traits.streams, start_date=start)
        self.steps.append(f"last run: {summary}")
        if self.traits.silent:
            self._lab.sim.clock.advance(20)
            audit(self._lab, repair=True)
        found = self._judge.differences()
        for name in tops(self.traits.streams):
            stored = self._judge.state(name).start_date
            if stored not in self._runs.asked or (start is not None and (stored or 0) > start):
                found.append(f"{name}: start date {stored}, asked for were {self._runs.asked}")
        if not found:
            result = audit(self._lab)
            wrong = {n: t for n, t in result.tables.items() if t.missing + t.extra + t.different}
            found += [f"the audit found {name}: {table}" for name, table in wrong.items()]
        return found
