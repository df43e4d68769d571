"""Cases that run at the same time, each with a test of its own that waits for its end.

Most of their time they wait for leases and pauses to be over: one after the other they take
minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_stripe_app.testing import SimulatedStripe
from tests.chaos.tokens.world import World

AT_ONCE = 8


@dataclass
class Scene:
    """What every case has.

    :param world: a deployment that it shares with the others.
    :param honouring: a Stripe that honours the Idempotency-Key of token requests.
    :param ignoring: one that does not: each repetition costs the grant.
    :param say: keeps a line for the summary.
    """

    world: World
    honouring: SimulatedStripe
    ignoring: SimulatedStripe
    say: Callable[[str], None]


Case = Callable[[Scene], None]


@dataclass
class Cases:
    """A collection of cases."""

    by_name: dict[str, Case] = field(default_factory=dict)

    def case(self, run: Case) -> Case:
        """Add a function."""
        assert run.__name__ not in self.by_name
        self.by_name[run.__name__] = run
        return run

    def many(self, name: str, *values: Any) -> Callable[[Callable[..., None]], None]:
        """Add a function for each of some values.

        :param name: of its second parameter.
        """

        def add(run: Callable[..., None]) -> None:
            for value in values:
                self.by_name[f"{run.__name__}-{value}"] = _bound(run, name, value)

        return add

    def start(self, scene: Scene) -> Running:
        """Start all of them."""
        pool = ThreadPoolExecutor(AT_ONCE)
        return Running(pool, {name: pool.submit(run, scene) for name, run in self.by_name.items()})


def _bound(run: Callable[..., None], name: str, value: Any) -> Case:
    return lambda scene: run(scene, **{name: value})


@dataclass
class Running:
    """Cases on their way."""

    pool: ThreadPoolExecutor
    futures: dict[str, Future[None]]

    def result(self, name: str) -> None:
        """Wait for a case and raise what it raised."""
        self.futures[name].result()

    def stop(self) -> None:
        """Begin no further case; wait for those that run."""
        self.pool.shutdown(cancel_futures=True)
