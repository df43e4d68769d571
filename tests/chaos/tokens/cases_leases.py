"""A process that renews is stopped, or told to end, at the worst moment."""

from __future__ import annotations

import os
import signal

from demo.processes import wait_for
from tests.chaos.tokens.checks import says
from tests.chaos.tokens.together import Cases, Scene
from tests.chaos.tokens.world import Installed, Server

CASES = Cases()


def _stopped_while_it_renews(one: Installed, server: Server) -> int:
    """Stop a server when Stripe has rolled the tokens and is about to answer.

    :return: the order of the worker that waits for it.
    """
    one.expire()
    stopped: list[int] = []

    def stop() -> None:
        os.kill(server.pid, signal.SIGSTOP)
        stopped.append(server.pid)

    one.after_refresh(stop)
    number = one.world.start_tasks(one, [server.url], patience=60)
    wait_for(lambda: bool(stopped), 40, "the token to be renewed", every=0.02)
    return number


@CASES.case
def stopped_process_whose_lease_is_over_costs_nothing_where_the_key_is_honoured(
    scene: Scene,
) -> None:
    world, one = scene.world, scene.world.installed(sim=scene.honouring)
    first, second = one.server("stopped"), one.server("other")
    waiting = _stopped_while_it_renews(one, first)
    assert world.tasks(one, [second.url], patience=60).failed == {}, "Stripe gave the same again"
    assert (one.refreshes, one.row().generation) == (1, 2)
    first.kill(signal.SIGCONT)
    assert world.end_tasks(waiting).failed == {}
    assert (one.refreshes, one.row().generation, one.row().status) == (1, 2, "active")
    first.kill()
    second.kill()
    scene.say("process stopped past its lease, key honoured: another one gets the same tokens")


@CASES.case
def late_answer_after_a_lost_lease_is_stored_by_who_has_it(scene: Scene) -> None:
    world, one = scene.world, scene.world.installed(sim=scene.ignoring)
    first, second = one.server("stopped"), one.server("other")
    waiting = _stopped_while_it_renews(one, first)
    other = world.start_tasks(one, [second.url], patience=60)
    wait_for(
        lambda: one.row().refused_at is not None, 40, "the other one to be refused", every=0.02
    )
    assert one.row().status == "active", "somebody may still come with the tokens"
    first.kill(signal.SIGCONT)
    assert world.end_tasks(waiting).failed == {}
    assert world.end_tasks(other).failed == {}
    assert (one.refreshes, one.row().generation, one.row().status) == (1, 2, "active")
    assert one.works()
    first.kill()
    second.kill()
    scene.say("process stopped past its lease, key ignored: its late answer is stored, 0 failed")


@CASES.case
def answer_that_comes_after_the_grant_was_given_up_brings_it_back(scene: Scene) -> None:
    world, one = scene.world, scene.world.installed(sim=scene.ignoring)
    first, second = one.server("stopped"), one.server("other")
    waiting = _stopped_while_it_renews(one, first)
    done = world.tasks(one, [second.url], patience=60)
    says(one, done.failed, "ReauthorizationRequired.*press Reauthorize")
    assert one.row().status == "reauthorization_required"
    first.kill(signal.SIGCONT)
    assert world.end_tasks(waiting).failed == {}
    assert (one.refreshes, one.row().status) == (1, "active")
    assert one.works()
    first.kill()
    second.kill()
    scene.say("answer after the grant was given up (lost_after): active again by itself")


@CASES.many("step", "answer arriving", "answer read", "before the transaction", "before the commit")
def sigterm_between_answer_and_store_loses_nothing(scene: Scene, step: str) -> None:
    world, one = scene.world, scene.world.installed(sim=scene.ignoring)
    server = one.server("term")
    one.expire()
    server.order_kill(f"term:{step}")
    number = world.start_tasks(one, [server.url], patience=60)
    assert server.killed() in {0, -signal.SIGTERM}
    assert (one.refreshes, one.row().generation) == (1, 2), "stored before it ended"
    server.start(**one.env)
    assert world.end_tasks(number).failed == {}
    assert (one.refreshes, one.row().status, one.spool_files) == (1, "active", [])
    assert one.works()
    server.kill()
    scene.say(f"SIGTERM at {step}: stored before the process ended")


@CASES.case
def tokens_that_a_dead_process_left_on_disk_are_stored_once(scene: Scene) -> None:
    world, one = scene.world, scene.world.installed(sim=scene.ignoring)
    first, second = one.server("spool-1"), one.server("spool-2")
    one.expire()
    first.order_kill("before the transaction")
    number = world.start_tasks(one, [first.url], patience=60)
    assert first.killed() == -signal.SIGKILL
    assert one.spool_files
    first.start(**one.env)
    assert world.tasks(one, [first.url, second.url], 10, patience=60).failed == {}
    assert world.end_tasks(number).failed == {}
    row = one.row()
    assert (one.refreshes, row.generation, row.status, one.spool_files) == (1, 2, "active", [])
    first.kill()
    second.kill()
    scene.say("tokens that a dead process left on disk: stored once by whoever comes first")
