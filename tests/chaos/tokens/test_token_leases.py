"""A process that renews is stopped, or told to end, at the worst moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from demo.processes import wait_for
from tests.chaos.tokens.side_by_side import side_by_side
from tests.chaos.tokens.world import TOKEN, Installed, Server, World


def _stopped_while_it_renews(world: World, one: Installed, server: Server) -> int:
    """Stop a server when Stripe has rolled the tokens and is about to answer.

    :return: the order of the worker that waits for it.
    """
    one.expire()
    stopped: list[int] = []

    def stop(_: object) -> None:
        os.kill(server.pid, signal.SIGSTOP)
        stopped.append(server.pid)

    world.sim.after(TOKEN, stop)
    number = world.start_tasks(one, [server.url], patience=60)
    wait_for(lambda: bool(stopped), 30, "the token to be renewed", every=0.02)
    return number


def _goes_on(server: Server) -> None:
    os.kill(server.pid, signal.SIGCONT)


def test_late_answer_after_a_lost_lease_is_stored_by_whoever_has_it(sqlite_world: World, say):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=True, revoke_after_refresh=0.0)
    first, second = world.server("stopped"), world.server("other")
    one = world.installed()
    waiting = _stopped_while_it_renews(world, one, first)
    assert world.tasks(one, [second.url], patience=60).failed == {}, "Stripe gave the same again"
    assert (one.refreshes, one.row().generation) == (1, 2)
    _goes_on(first)
    assert world.end_tasks(waiting).failed == {}
    assert (one.refreshes, one.row().generation, one.row().status) == (1, 2, "active")

    world.sim.switches.set(token_idempotency=False)
    two = world.installed()
    waiting = _stopped_while_it_renews(world, two, first)
    other = world.start_tasks(two, [second.url], patience=60)
    wait_for(lambda: two.row().refused_at is not None, 30, "the other one to be refused")
    assert two.row().status == "active", "somebody may still come with the tokens"
    _goes_on(first)
    assert world.end_tasks(waiting).failed == {}
    assert world.end_tasks(other).failed == {}
    assert (two.refreshes, two.row().generation, two.row().status) == (1, 2, "active")
    assert two.works()
    first.kill()
    second.kill()
    say("a stopped process whose lease is over: its late answer is stored, 1 refresh, 0 failed")


def test_answer_that_comes_after_the_grant_was_given_up_brings_it_back(sqlite_world: World, say):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    first, second = world.server("stopped-long"), world.server("other-long")
    one = world.installed()
    waiting = _stopped_while_it_renews(world, one, first)
    done = world.tasks(one, [second.url], patience=60)
    (text,) = done.failed
    assert "ReauthorizationRequired" in text
    assert one.row().status == "reauthorization_required"
    _goes_on(first)
    assert world.end_tasks(waiting).failed == {}
    assert (one.refreshes, one.row().status) == (1, "active")
    assert one.works()
    first.kill()
    second.kill()
    say("an answer that comes after the grant was given up (lost_after): active again by itself")


def test_sigterm_between_answer_and_store_loses_nothing(sqlite_world: World, say):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)

    def at(step: str) -> Callable[[], None]:
        def case() -> None:
            server = world.server(f"term-{step.replace(' ', '-')}")
            one = world.installed()
            one.expire()
            server.order_kill(f"term:{step}")
            number = world.start_tasks(one, [server.url], patience=60)
            assert server.killed() in {0, -signal.SIGTERM}
            assert (one.refreshes, one.row().generation) == (1, 2), "stored before it ended"
            server.start()
            assert world.end_tasks(number).failed == {}
            assert (one.refreshes, one.row().status, one.spool_files) == (1, "active", [])
            assert one.works()
            server.kill()

        return case

    steps = ("answer arriving", "answer read", "before the transaction", "before the commit")
    side_by_side({step: at(step) for step in steps})
    say(f"SIGTERM at {', '.join(steps)}: stored before the process ended")


def test_sigterm_while_the_database_is_away_leaves_the_tokens_for_the_next_start(
    sqlite_world: World, say
):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    server = world.server("term-locked")
    one = world.installed()
    one.expire()
    back: list[Callable[[], None]] = []
    world.sim.after(TOKEN, lambda _: back.append(world.stop_database()))
    number = world.start_tasks(one, [server.url], patience=60)
    wait_for(lambda: bool(one.spool_files), 30, "the tokens to be on disk", every=0.02)
    server.kill(signal.SIGTERM)
    server.killed()
    assert one.spool_files, "the only place of the tokens"
    back[0]()
    time.sleep(0.1)
    assert one.row().generation == 1
    server.start()
    assert world.end_tasks(number).failed == {}
    assert (one.refreshes, one.row().status, one.spool_files) == (1, "active", [])
    assert one.works()
    server.kill()
    say("SIGTERM while the database is away: the next start stores what waited on disk")


def test_tokens_that_a_dead_process_left_on_disk_are_stored_once(sqlite_world: World, say):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    first, second = world.server("spool-1"), world.server("spool-2")
    one = world.installed()
    one.expire()
    first.order_kill("before the transaction")
    number = world.start_tasks(one, [first.url], patience=60)
    assert first.killed() == -signal.SIGKILL
    assert one.spool_files
    first.start()
    others = world.tasks(one, [first.url, second.url], 10, patience=60)
    assert others.failed == {}
    assert world.end_tasks(number).failed == {}
    row = one.row()
    assert (one.refreshes, row.generation, row.status, one.spool_files) == (1, 2, "active", [])
    first.kill()
    second.kill()
    say("tokens that a dead process left on disk: stored once by whoever comes first")
