"""SIGKILL of the API server at every step of a refresh, while a worker waits for the token."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.chaos.tokens.lanes import ANY, STEPS, Lane, strike_all, table
from tests.chaos.tokens.replicas import Replica, Replicas
from tests.chaos.tokens.sizes import KILLS, LANES, LONG
from tests.chaos.tokens.world import TOKEN, World

IN_MEMORY = {"answer arriving", "answer read", "before the spool", "spool half written", ANY}
"""Steps at which the new tokens can exist in the dying process only."""


def _steps() -> list[str]:
    """Return every step, and one kill in four at a moment of chance."""
    steps = [*STEPS, ANY, ANY]
    if not LONG:
        return steps
    return list(itertools.islice(itertools.cycle([*STEPS, *[ANY] * 4]), max(KILLS, len(steps))))


@pytest.fixture(scope="module")
def lanes(sqlite_world: World):
    made = [Lane(sqlite_world, number) for number in range(LANES)]
    yield made
    for lane in made:
        lane.stop()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("honoured", [True, False], ids=["honoured", "ignored"])
def test_killed_api_server_costs_an_installation_only_in_the_moment_nobody_can_cover(
    sqlite_world, lanes, say, honoured
):
    sim = sqlite_world.sim
    sim.switches.set(token_idempotency=honoured, revoke_after_refresh=0.0)
    sim.fail("stall", TOKEN, seconds=0.05)
    begun = time.monotonic()
    strikes = strike_all(lanes, _steps())
    word = "honoured" if honoured else "ignored"
    say(f"SIGKILL at every step, Idempotency-Key {word}, {time.monotonic() - begun:.0f} s:")
    for line in table(strikes):
        say(line)
    lost = [one for one in strikes if one.outcome == "lost"]
    assert {one.step for one in strikes} == {*STEPS, ANY}
    if honoured:
        assert lost == []
    else:
        assert all(one.nowhere and one.step in IN_MEMORY for one in lost), lost
        assert all(one.outcome != "survived" for one in strikes if one.nowhere), (
            "then why did we lose?"
        )


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
