"""The world around a refresh fails: Stripe, network, clocks, processes, people.

Each case ends in the right state with one clear message, and nothing that passes by itself ever
marks an installation as lost. The cases are in ``cases_*.py`` and run side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.tokens import cases_leases, cases_people, cases_stripe
from tests.chaos.tokens.together import Cases, Running, Scene
from tests.chaos.tokens.world import World, quiet_stripe

MODULES = (cases_stripe, cases_people, cases_leases)
ALL = Cases({name: case for module in MODULES for name, case in module.CASES.by_name.items()})


@pytest.fixture(scope="module")
def running(sqlite_world: World, say) -> Iterator[Running]:
    with (
        quiet_stripe(token_idempotency=True, revoke_after_refresh=0.0) as honouring,
        quiet_stripe(token_idempotency=False, revoke_after_refresh=0.0) as ignoring,
    ):
        cases = ALL.start(Scene(sqlite_world, honouring, ignoring, say))
        yield cases
        cases.stop()


@pytest.mark.parametrize("promise", ALL.by_name)
def test_trouble_around_a_refresh(running: Running, promise: str):
    running.result(promise)
