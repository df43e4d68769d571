"""The metadata database is away when new tokens must be written, and its keys are changed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from demo.processes import wait_for
from tests.chaos.tokens.checks import works
from tests.chaos.tokens.sizes import LONG
from tests.chaos.tokens.world import PATIENT, Installed, World


def _when_rolled(one: Installed, act: Callable[[], Callable[[], None]]) -> list[Callable[[], None]]:
    """Take the database away when Stripe has rolled the tokens; return what brings it back."""
    back: list[Callable[[], None]] = []
    one.after_refresh(lambda: back.append(act()))
    return back


def _database_is_away(world: World, seconds: float, say) -> None:
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    one = world.installed()
    server = one.server("away", **PATIENT)
    one.expire()
    back = _when_rolled(one, world.stop_database)
    number = world.start_tasks(one, [server.url], patience=60)
    wait_for(lambda: bool(one.spool_files), 40, "the tokens to be on disk", every=0.02)
    time.sleep(seconds)
    assert one.spool_files, "the only place of the new tokens"
    back[0]()
    assert world.end_tasks(number).failed == {}
    works(one, server)
    server.kill()
    say(
        f"{world.metadata} away for {seconds:g} s between Stripe's answer and the store "
        "(Idempotency-Key ignored): 1 refresh, 0 failed calls, nothing lost"
    )


SHORT, LONGER = 1.5, 8.0
"""Seconds: less and more than ``store_seconds``."""


@pytest.mark.parametrize("seconds", [SHORT, LONGER] if LONG else [SHORT])
def test_locked_sqlite_at_the_moment_of_storing_loses_nothing(sqlite_world: World, say, seconds):
    _database_is_away(sqlite_world, seconds, say)


@pytest.mark.parametrize("seconds", [SHORT, LONGER] if LONG else [SHORT])
def test_crashed_postgresql_at_the_moment_of_storing_loses_nothing(
    postgres_world: World, say, seconds
):
    _database_is_away(postgres_world, seconds, say)


def test_task_waits_for_a_database_that_goes_away_while_stripe_is_asked(postgres_world: World, say):
    """Airflow calls a connection undefined while its database is away."""
    world = postgres_world
    world.sim.switches.set(token_idempotency=True)
    one = world.installed()
    server = one.server("away-before")
    one.expire()
    back: list[Callable[[], None]] = []
    one.before_refresh(lambda: back.append(world.stop_database()))
    number = world.start_tasks(one, [server.url], patience=90)
    wait_for(lambda: bool(back), 40, "the token to be renewed", every=0.02)
    seconds = 12.0 if LONG else 3.0
    time.sleep(seconds)
    back[0]()
    assert world.end_tasks(number).failed == {}
    assert one.row().status == "active"
    assert one.refreshes == 1
    assert one.works()
    server.kill()
    say(f"PostgreSQL away for {seconds:g} s while Stripe is asked: the task waited and went on")


def test_sigterm_while_the_database_is_away_leaves_the_tokens_for_the_next_start(
    sqlite_world: World, say
):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    one = world.installed()
    server = one.server("term-locked", **PATIENT)
    one.expire()
    back = _when_rolled(one, world.stop_database)
    number = world.start_tasks(one, [server.url], patience=60)
    wait_for(lambda: bool(one.spool_files), 40, "the tokens to be on disk", every=0.02)
    server.kill(signal.SIGTERM)
    server.killed()
    assert one.spool_files, "the only place of the tokens"
    back[0]()
    assert one.row().generation == 1
    server.start(**one.env)
    assert world.end_tasks(number).failed == {}
    works(one, server)
    server.kill()
    say("SIGTERM while the database is away: the next start stores what waited on disk")


def test_tokens_on_one_machines_disk_are_stored_by_it_although_nobody_asks_it(
    sqlite_world: World, say
):
    """Its keep-alive thread does this every minute, whoever holds the keep-alive's lease."""
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    one = world.installed()
    machine = {"AIRFLOW_HOME": str(world.home / "machine")}
    server, other = one.server("machine", **machine, **PATIENT), one.server("another")
    one.expire()
    server.order_kill("before the transaction")
    number = world.start_tasks(one, [server.url, server.url], api=[other.url], patience=90)
    assert server.killed() == -signal.SIGKILL
    assert world.orders.call("recover_all", env={**one.env, **machine}) == 1
    works(one, other)
    server.start(**one.env, **machine)
    assert world.end_tasks(number).failed == {}
    assert (one.refreshes, one.row().generation) == (1, 2)
    server.kill()
    other.kill()
    say("tokens on one machine's disk: stored by that machine before another spends the old ones")


def test_fernet_key_is_rotated_in_the_midst_and_a_wrong_one_costs_nothing(sqlite_world: World, say):
    world = sqlite_world
    name = "AIRFLOW__CORE__FERNET_KEY"
    first, second = world.environment[name], Fernet.generate_key().decode()
    one = world.installed()
    server = one.server("key", **{name: Fernet.generate_key().decode()})
    right = one.server("key-right")
    one.expire()
    done = world.tasks(one, [server.url], api=[right.url], patience=3)
    (text,) = done.failed
    assert "option [core] fernet_key is not the one" in text
    assert (one.row().status, one.refreshes) == ("active", 0)
    both = {name: f"{second},{first}"}
    server.restart(**one.env, **both)
    assert world.tasks(one, [server.url], api=[server.url], patience=20).failed == {}
    assert (one.row().status, one.refreshes) == ("active", 1)
    assert world.orders.call("rotate", env=both) >= 1
    assert "token" in world.orders.call(
        "live_token", env={**one.env, name: second}, conn_id=one.conn_id
    )
    # All others of this database were sealed anew too: back, for the tests that follow.
    assert world.orders.call("rotate", env={name: f"{first},{second}"}) >= 1
    works(one, right)
    server.kill()
    right.kill()
    say("Fernet key: a wrong one is named and costs nothing; a rotated one goes on")
