"""How Stripe behaves meanwhile: its clock, its switches, its failures."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.sync import workoff
from airflow_provider_stripe_app.sync.versions import DAY
from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.clock import SimClock

OLDER = "2024-06-20"
"""An API version of which objects have another shape than in ours."""


class TickingClock(SimClock):
    """A clock that stands still but for a tick with each answer, so that a seed gives one story.

    :param seed: of the ticks.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(f"{seed}-ticks")
        self.freeze()

    def http_date(self) -> bytes:
        stated = super().http_date()
        self.advance(self._random.choice((0.0, 0.01, 0.05, 0.2, 0.7)))
        return stated


class StripesTime:
    """The module ``time`` for code that waits for Stripe's clock: waiting moves that clock."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)


@contextmanager
def moved_by_waiting(clock: SimClock) -> Iterator[None]:
    """Let a run not wait for a real second where it waits for one of Stripe's."""
    with mock.patch.object(workoff, "time", StripesTime(clock)):
        yield


FAULTS: tuple[dict[str, Any], ...] = (
    {"action": "reset"},
    {"action": "truncate"},
    {"action": "rate_limit", "reason": "endpoint-rate"},
    {"action": "rate_limit", "reason": "global-concurrency"},
    {"action": "lock_timeout"},
    {"action": "status", "status": 500},
    {"action": "status", "status": 502, "body": "html"},
    {"action": "status", "status": 503, "should_retry": True},
    {"action": "stall", "seconds": 0.01},
)


class Weather:
    """Changes it, and makes it fine again.

    :param late: events may come later than any overlap.
    """

    def __init__(self, sim: SimulatedStripe, rng: random.Random, *, late: bool) -> None:
        self._sim, self._random, self._late = sim, rng, late

    def change(self) -> str:
        """Change how Stripe behaves; return it in words."""
        pick = self._random.choice
        switches = {
            "event_delay": pick([(0.0, 0.0), (0.0, 6.0), (0.0, 45.0)]),
            "stale_lists": pick([(0.0, 0.0), (0.0, 3.0)]),
            "created_early": pick([(0.0, 0.0), (0.0, 0.0), (0.0, 3.0)]),
            "event_api_version": pick([API_VERSION, API_VERSION, OLDER]),
            "delete_cursor_every": pick([0, 0, 0, 7]),
            "volatile_urls": pick([False, True]),
            "pretty_json": pick([False, False, True]),
            "late_events": pick([0.0, 0.1]) if self._late else 0.0,
        }
        self._sim.switches.set(**switches)
        self._sim.faults.remove()
        fault = pick([None, None, *FAULTS])
        if fault is not None:
            self._sim.fail(path="/v1/", probability=0.1, **fault)
        return f"weather {switches} {fault}"

    def pass_time(self) -> str:
        """Let time go by, or not; return it in words."""
        seconds = self._random.choice([0, 0, 0, 0.3, 1, 3, 8, 11, 20, 70, 4000])
        self._sim.clock.advance(seconds)
        return f"{seconds} s"

    def calm(self, days: int) -> None:
        """Let Stripe come to rest: every event so far can be seen by the next run.

        :param days: so many days later, because tables may be stale for so long.
        """
        self._sim.faults.remove()
        self._sim.switches.set(
            event_delay=(0.0, 0.0),
            stale_lists=(0.0, 0.0),
            created_early=(0.0, 0.0),
            event_api_version=API_VERSION,
            delete_cursor_every=0,
            late_events=0.0,
        )
        if self._late:  # what comes later than the overlap is found by the daily sweep
            days = max(days, 1)
        self._sim.clock.advance(days * (DAY + 700))
        self._sim.clock.advance(50)
