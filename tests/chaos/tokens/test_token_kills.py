"""SIGKILL of the API server at every step of a refresh, while a worker waits for the token."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.chaos.tokens.lanes import ANY, IN_MEMORY, MENDING, STEPS, Lane, Strike, strike_all, table
from tests.chaos.tokens.replicas import Replica, Replicas
from tests.chaos.tokens.sizes import KILLS, LANES, LONG
from tests.chaos.tokens.world import TOKEN, World

LEAST = ["after the lease", "answer arriving", "spool half written", "before the commit", ANY]
"""What `make test` has time for."""


def _steps(least: list[str]) -> list[tuple[str, str]]:
    """Return the steps to kill at; in the long version every fourth is at a moment of chance."""
    if not LONG:
        return [(step, "") for step in least]
    many = itertools.cycle([*STEPS, *[ANY] * 4])
    return [(step, "") for step in itertools.islice(many, max(KILLS, len(STEPS) + 4))]


@pytest.fixture(scope="module")
def lanes(sqlite_world: World):
    made = [Lane(sqlite_world, number) for number in range(LANES)]
    yield made
    for lane in made:
        lane.stop()


def _strike(lanes, say, steps, headline, **options) -> list[Strike]:
    begun = time.monotonic()
    strikes = strike_all(lanes, steps, **options)
    say(f"{headline}, {time.monotonic() - begun:.0f} s:")
    for line in table(strikes):
        say(line)
    return strikes


@pytest.mark.timeout(3600)
def test_api_server_killed_at_any_step_loses_nothing_where_stripe_honours_the_key(
    sqlite_world, lanes, say
):
    sqlite_world.sim.switches.set(token_idempotency=True, revoke_after_refresh=0.0)
    sqlite_world.sim.fail("stall", TOKEN, seconds=0.05)
    strikes = _strike(lanes, say, _steps(LEAST), "SIGKILL, Idempotency-Key honoured")
    assert {one.outcome for one in strikes} == {"survived"}


@pytest.mark.timeout(3600)
def test_where_stripe_ignores_the_key_only_tokens_that_were_nowhere_else_are_lost(
    sqlite_world, lanes, say
):
    sqlite_world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    sqlite_world.sim.fail("stall", TOKEN, seconds=0.05)
    headline = "SIGKILL, Idempotency-Key ignored, no Install API"
    strikes = _strike(lanes, say, _steps(LEAST), headline)
    for one in strikes:
        assert (one.outcome == "lost") == one.nowhere, one
        assert one.step in IN_MEMORY or not one.nowhere, one


@pytest.mark.timeout(3600)
def test_with_the_install_api_no_kill_at_any_step_loses_an_installation(sqlite_world, lanes, say):
    sqlite_world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    sqlite_world.sim.fail("stall", TOKEN, seconds=0.05)
    headline = "SIGKILL, Idempotency-Key ignored, Install API works"
    strikes = _strike(lanes, say, _steps(LEAST), headline, mendable=True)
    for one in strikes:
        assert one.outcome == ("healed" if one.nowhere else "survived"), one


@pytest.mark.timeout(3600)
def test_api_server_killed_while_it_mends_a_lost_grant_loses_nothing(sqlite_world, lanes, say):
    sqlite_world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    thens = MENDING * 5 if LONG else ["reinstalled", "code spent", "spooled, not synced"]
    steps = [("answer read", then) for then in thens]
    headline = "SIGKILL of two servers, the second while it mends"
    strikes = _strike(lanes, say, steps, headline, mendable=True)
    assert {one.outcome for one in strikes} <= {"healed", "survived"}
    assert all(one.nowhere for one in strikes), "there was something to mend"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", STEPS[3:] if LONG else ["answer arriving", "before the commit"])
def test_real_api_server_with_two_processes_loses_one_at_a_step_and_the_task_goes_on(
    postgres_world: World, replicas: Replicas, say, step
):
    """The other process, or the other replica, finishes what the killed one began."""
    _kill_a_real_one(postgres_world, replicas.first, replicas.urls, step)
    say(f"real airflow api-server --workers 2 killed {step}: task went on, installation active")


def _kill_a_real_one(world: World, replica: Replica, api: list[str], step: str) -> None:
    one = world.installed()
    one.expire()
    before = one.refreshes
    replica.order_kill(step)
    done = world.tasks(one, [replica.url], api=api, patience=90)
    assert not replica.kill_is_due
    assert done.failed == {}
    assert one.row().status == "active"
    assert one.refreshes == before + 1
    assert one.works()
