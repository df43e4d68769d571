"""What people and deployments do while a refresh is on its way."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.chaos.tokens.checks import NOWHERE, fails, says, works
from tests.chaos.tokens.together import Cases, Scene
from tests.chaos.tokens.world import PATIENT, Installed, Server

CASES = Cases()


def _during(one: Installed, server: Server, act: Callable[[], object]) -> None:
    one.expire()
    one.before_refresh(act)
    done = one.world.tasks(one, [server.url], patience=40)
    assert done.failed == {}
    assert one.row().status == "active"
    assert one.works()


@CASES.case
def form_saved_during_a_refresh_keeps_the_tokens_and_the_forms_values(scene: Scene) -> None:
    call, one = scene.world.orders.call, scene.world.installed(sim=scene.ignoring)
    server = one.server("form", **PATIENT)
    one.expire()
    old = call("extra", conn_id=one.conn_id)
    form = {**old, "colour": "red"}
    _during(one, server, lambda: call("set_extra", conn_id=one.conn_id, values=form))
    extra = call("extra", conn_id=one.conn_id)
    assert extra["colour"] == "red"
    assert extra["access_grant_token"] != old["access_grant_token"]
    works(one, server)
    server.kill()
    scene.say("form saved with yesterday's extra during a refresh: its values and new tokens")


@CASES.case
def extra_emptied_during_a_refresh_gets_its_keys_back(scene: Scene) -> None:
    call, one = scene.world.orders.call, scene.world.installed(sim=scene.ignoring)
    server = one.server("emptied", **PATIENT)
    _during(one, server, lambda: call("set_extra", conn_id=one.conn_id, values={"colour": "red"}))
    extra = call("extra", conn_id=one.conn_id)
    assert extra["broker_token"]
    assert extra["colour"] == "red"
    works(one, server)
    server.kill()
    scene.say("extra overwritten during a refresh: keys are back, the sync goes on")


@CASES.case
def connection_deleted_during_a_refresh_keeps_the_grant(scene: Scene) -> None:
    call, one = scene.world.orders.call, scene.world.installed(sim=scene.ignoring)
    server = one.server("deleted", **PATIENT)
    _during(one, server, lambda: call("delete_connection", conn_id=one.conn_id))
    text = fails(one, server, f"{one.conn_id}.*isn't defined", patience=2)
    assert (one.row().status, one.refreshes) == ("active", 1)
    server.kill()
    scene.say(f"connection deleted during a refresh: the grant stands; the next task says: {text}")


@CASES.case
def another_account_installed_during_a_refresh_stays(scene: Scene) -> None:
    one = scene.world.installed(sim=scene.ignoring)
    server = one.server("moved", **PATIENT)
    other = f"{one.account}other"
    _during(one, server, lambda: one.install(other))
    row = one.row()
    assert (row.account_id, row.generation) == (other, 2), "the older answer took its place"
    assert scene.world.tasks(one, [server.url], patience=20).failed == {}
    server.kill()
    scene.say("reinstalled with another account during a refresh: the older answer is dropped")


@CASES.case
def keep_alive_serves_workers_that_reach_no_broker(scene: Scene) -> None:
    world, one = scene.world, scene.world.installed(sim=scene.ignoring)
    server = one.server("no-broker")
    one.use_and_expire()
    number = world.start_tasks(one, [NOWHERE], api=[server.url], patience=60)
    time.sleep(1)
    assert world.orders.call("renew_due", env=one.env, conn_id=one.conn_id)
    assert world.end_tasks(number).failed == {}
    assert (one.refreshes, one.row().status) == (1, "active")
    one.expire()
    done = world.tasks(one, [NOWHERE], api=[server.url], patience=2)
    text = says(one, done.failed, "no API server with the Stripe App plugin answers.*broker_url")
    assert (one.refreshes, one.row().status) == (1, "active")
    server.kill()
    scene.say(f"broker out of reach: a renewal by the keep-alive arrives; else said: {text}")


@CASES.case
def copied_database_does_not_take_the_tokens_away_from_the_original(scene: Scene) -> None:
    one = scene.world.installed(sim=scene.ignoring)
    original = one.server("original")
    one.expire()
    cloned = one.server(
        "cloned",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{scene.world.copy_database()}",
        AIRFLOW__API__BASE_URL="http://clone.example",
    )
    text = fails(one, cloned, r"belong to the Airflow deployment.*'http://clone\.example'")
    assert one.refreshes == 0
    works(one, original)
    fails(one, cloned, r"belong to the Airflow deployment.*Take over")
    assert one.refreshes == 1
    original.kill()
    cloned.kill()
    scene.say(f"copied metadata database: 0 refreshes by the copy; said: {text[:120]}…")
