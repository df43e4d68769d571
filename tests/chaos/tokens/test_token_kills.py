"""SIGKILL of the API server at every step of a refresh, while a worker waits for the token."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from tests.chaos.tokens.lanes import (
    ANY,
    IN_MEMORY,
    MENDING,
    STEPS,
    Lane,
    Order,
    Strike,
    strike_all,
    table,
)
from tests.chaos.tokens.replicas import Replica, Replicas
from tests.chaos.tokens.sizes import KILLS, LANES, LONG
from tests.chaos.tokens.world import TOKEN, World

pytestmark = pytest.mark.timeout(3600)

LEAST = ["after the lease", "answer arriving", "spool half written", "before the commit", ANY]
"""What `make test` has time for."""


def _steps() -> list[str]:
    """Return where to kill; in the long version every fourth time at a moment of chance."""
    if not LONG:
        return LEAST
    many = itertools.cycle([*STEPS, *[ANY] * 4])
    return list(itertools.islice(many, max(KILLS, len(STEPS) + 4)))


def _mending() -> list[Order]:
    thens = MENDING * 5 if LONG else ["reinstalled", "spooled, not synced"]
    return [Order("answer read", True, then) for then in thens]


@pytest.fixture(scope="module")
def lanes(sqlite_world: World) -> Iterator[list[Lane]]:
    made = [Lane(sqlite_world, number) for number in range(LANES)]
    yield made
    for lane in made:
        lane.stop()


@pytest.fixture(scope="module")
def where_ignored(sqlite_world: World, lanes: list[Lane]) -> list[Strike]:
    """All kills under a Stripe that ignores the Idempotency-Key, in one go."""
    sim = sqlite_world.sim
    sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    fault = sim.fail("stall", TOKEN, seconds=0.05)
    bare = [Order(step) for step in _steps()]
    mendable = [Order(step, mendable=True) for step in _steps()]
    strikes = strike_all(lanes, [*_mending(), *bare, *mendable])
    sim.faults.remove(fault.id)
    return strikes


def _tell(say, strikes: list[Strike], headline: str) -> None:
    slowest = max(one.seconds for one in strikes)
    say(f"{headline}; the worker had its token after {slowest:.0f} s at most:")
    for line in table(strikes):
        say(line)


def test_api_server_killed_at_any_step_loses_nothing_where_stripe_honours_the_key(
    sqlite_world, lanes, say
):
    sqlite_world.sim.switches.set(token_idempotency=True, revoke_after_refresh=0.0)
    sqlite_world.sim.fail("stall", TOKEN, seconds=0.05)
    begun = time.monotonic()
    strikes = strike_all(lanes, [Order(step) for step in _steps()])
    _tell(say, strikes, f"SIGKILL, key honoured, {time.monotonic() - begun:.0f} s")
    assert {one.outcome for one in strikes} == {"survived"}


def test_where_stripe_ignores_the_key_only_tokens_that_were_nowhere_else_are_lost(
    where_ignored, say
):
    strikes = [one for one in where_ignored if not one.order.mendable]
    _tell(say, strikes, "SIGKILL, key ignored, no Install API")
    for one in strikes:
        assert (one.outcome == "lost") == one.nowhere, one
        assert one.order.step in IN_MEMORY or not one.nowhere, one


def test_with_the_install_api_no_kill_at_any_step_loses_an_installation(where_ignored, say):
    strikes = [one for one in where_ignored if one.order.mendable and not one.order.then]
    _tell(say, strikes, "SIGKILL, key ignored, Install API works")
    for one in strikes:
        assert one.outcome == ("healed" if one.nowhere else "survived"), one


def test_api_server_killed_while_it_mends_a_lost_grant_loses_nothing(where_ignored, say):
    strikes = [one for one in where_ignored if one.order.then]
    _tell(say, strikes, "SIGKILL of two servers, the second while it mends what the first lost")
    assert all(one.nowhere for one in strikes), "there was something to mend"
    assert {one.outcome for one in strikes} <= {"healed", "survived"}


@pytest.mark.parametrize("step", STEPS if LONG else ["answer arriving"])
def test_real_api_server_with_two_processes_loses_one_at_a_step_and_the_task_goes_on(
    postgres_world: World, replicas: Replicas, say, step
):
    """The other process, or the other replica, finishes what the killed one began."""
    world, replica = postgres_world, replicas.first
    world.sim.switches.set(token_idempotency=True)
    one = world.installed()
    one.expire()
    replica.order_kill(step)
    # Both processes can be on their way back from two kills, which takes a busy machine a minute.
    task = world.start_tasks(one, [replica.url], api=replicas.urls[-1:], patience=180)
    replica.wait_for_kill()
    assert world.end_tasks(task, seconds=300).failed == {}
    assert (one.row().status, one.refreshes) == ("active", 1)
    assert one.works()
    say(f"real airflow api-server --workers 2 killed {step}: task went on, installation active")


@pytest.mark.skipif(not LONG, reason="three starts of a real API server: `make chaos` runs it")
def test_real_api_server_that_is_killed_whole_and_started_again_loses_nothing(
    sqlite_world: World, say
):
    """On SQLite, where every process shares one file."""
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    server = Replica(world, "alone", workers=1)
    server.ready()
    for step in ("spooled, not synced", "before the commit"):
        one = world.installed()
        one.expire()
        server.order_kill(step)
        task = world.start_tasks(one, [server.url], patience=90)
        server.wait_for_kill()
        server.restart()
        assert world.end_tasks(task).failed == {}
        assert (one.row().status, one.refreshes) == ("active", 1)
        assert one.works()
        say(f"real airflow api-server on SQLite killed {step}, started again: active")
    server.process.stop(3)
