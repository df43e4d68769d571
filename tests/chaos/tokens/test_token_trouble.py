"""The world around a refresh fails: database, network, clocks, keys, people.

Each case ends in the right state with one clear message, and nothing that passes by itself ever
marks an installation as lost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from demo.processes import wait_for
from tests.chaos.tokens.proxy import Answer, Proxy, html, json_error, truncated
from tests.chaos.tokens.side_by_side import side_by_side
from tests.chaos.tokens.world import TOKEN, Installed, World

NOWHERE = "http://127.0.0.1:1"
BASE = "AIRFLOW__STRIPE_APP__API_BASE"


def _fails(world: World, one: Installed, server, pattern: str, patience: float = 3) -> str:
    """Let a worker fail; return its one message."""
    done = world.tasks(one, [server.url], patience=patience)
    (text,) = done.failed
    assert re.search(pattern, text, re.DOTALL), text
    assert one.conn_id in text
    assert not re.search(r"\b(rt|sk|ak|ac|uk)_\w{8}", text), "a secret in a message"
    return text


def _works(world: World, one: Installed, server, refreshes: int = 1) -> None:
    """Assert that all is well."""
    done = world.tasks(one, [server.url], patience=60)
    assert done.failed == {}
    row = one.row()
    assert (row.status, row.last_error) == ("active", None)
    assert one.refreshes == refreshes
    assert one.works()
    assert one.spool_files == []


# -- Stripe and the way to it


def _stripe_trouble(world: World, name: str, base: str, pattern: str, proxy: Proxy | None = None):
    def case() -> None:
        one = world.installed()
        server = world.server(f"trouble-{name}", **{BASE: base})
        one.expire()
        text = _fails(world, one, server, pattern)
        assert "TokenUnavailable" in text
        row = one.row()
        assert row.status == "active", "it passes by itself"
        assert row.last_error
        assert row.lease_until is None
        if proxy is None:
            server.restart(**{BASE: world.sim.url})
        else:
            assert proxy.spoilt > 0
            proxy.spoil = None
        _works(world, one, server)
        server.kill()
        if proxy is not None:
            proxy.stop()

    return case


def test_stripe_out_of_reach_or_in_trouble_is_said_and_never_costs_an_installation(
    sqlite_world: World, say
):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=True)
    cases: dict[str, Callable[[], None]] = {
        "refused": _stripe_trouble(world, "refused", NOWHERE, "right now: No answer from Stripe"),
        "dns": _stripe_trouble(
            world, "dns", "http://stripe.invalid", "right now: No answer from Stripe"
        ),
    }
    spoilers: dict[str, tuple[Callable[[Answer], Answer], bool, str]] = {
        "500": (json_error(500), False, "HTTP 500: An unknown error"),
        "429": (json_error(429, **{"Retry-After": "1"}), False, "HTTP 429"),
        "truncated": (truncated, True, "right now: (Stripe's answer|No answer)"),
        "502-html-before": (html(502), False, "HTTP 502"),
        "502-html-after": (html(502), True, "HTTP 502"),
        "200-html-after": (html(200), True, "cut off"),
    }
    for name, (spoil, forward, pattern) in spoilers.items():
        proxy = Proxy(world.sim.url, spoil, forward=forward)
        cases[name] = _stripe_trouble(world, name, proxy.url, pattern, proxy)
    side_by_side(cases)
    say(f"Stripe in trouble ({', '.join(cases)}): said, status active, 1 refresh once it was over")


def test_stored_500_is_not_repeated_for_a_day_and_one_after_the_effect_is_mended(
    sqlite_world: World, say
):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=True)
    server = world.server("replayed")
    one = world.installed()
    one.expire()
    world.sim.oauth.fail_next(status=500, effect=False)
    _works(world, one, server)
    two = world.installed(mendable=True)
    two.expire()
    world.sim.oauth.fail_next(status=500, effect=True)
    assert world.tasks(two, [server.url], patience=60).failed == {}
    assert (two.row().status, two.mended) == ("active", 1)
    server.kill()
    say("500 without effect: another key, works; 500 after the effect: mended by the Install API")


# -- the database


def _wait_until(true: Callable[[], bool]) -> None:
    wait_for(true, 40, "the token to be renewed", every=0.02)


def _database_is_away(world: World, seconds: float, say) -> None:
    one = world.installed()
    server = world.server(f"database-{seconds:g}")
    one.expire()
    back: list[Callable[[], None]] = []
    world.sim.after(TOKEN, lambda _: back.append(world.stop_database()))
    number = world.start_tasks(one, [server.url], patience=60)
    _wait_until(lambda: bool(back))
    time.sleep(seconds)
    waiting = one.spool_files
    back[0]()
    assert world.end_tasks(number).failed == {}
    _works(world, one, server)
    server.kill()
    assert waiting, "the only other place of the new tokens"
    say(
        f"{world.metadata} away for {seconds:g} s between Stripe's answer and the store: "
        "1 refresh, 0 failed calls, nothing lost"
    )


@pytest.mark.parametrize("seconds", [2.0, 9.0], ids=["short", "longer-than-the-store-waits"])
def test_locked_sqlite_at_the_moment_of_storing_loses_nothing(sqlite_world: World, say, seconds):
    _database_is_away(sqlite_world, seconds, say)


def test_crashed_postgresql_at_the_moment_of_storing_loses_nothing(postgres_world: World, say):
    _database_is_away(postgres_world, 7.0, say)


def test_task_waits_for_a_database_that_goes_away_while_stripe_is_asked(postgres_world: World, say):
    """Airflow calls a connection undefined while its database is away; the token is waited for."""
    world = postgres_world
    one = world.installed()
    server = world.server("database-before")
    one.expire()
    # The worker has read its connection when it asks for the token: the answer is then a refusal.
    back: list[Callable[[], None]] = []
    world.sim.before(TOKEN, lambda _: back.append(world.stop_database()))
    world.sim.fail("reset", TOKEN, count=1)
    number = world.start_tasks(one, [server.url], patience=60)
    _wait_until(lambda: bool(back))
    time.sleep(12)
    back[0]()
    assert world.end_tasks(number).failed == {}
    _works(world, one, server)
    server.kill()
    say("PostgreSQL away for 12 s before Stripe answered: the task waited and went on")


# -- clocks


def test_worker_whose_clock_is_ten_minutes_wrong_loses_no_call_and_causes_no_refresh(
    sqlite_world: World, say
):
    world = sqlite_world
    world.sim.switches.set(access_token_seconds=8.0, expires_in=True, revoke_after_refresh=0.0)
    server = world.server("worker-clocks")

    def worker(wrong: float) -> Callable[[], None]:
        def case() -> None:
            one = world.installed()
            # For the slow clock, the copy in the connection is fresh when Stripe has ended it.
            time.sleep(9 if wrong < 0 else 0)
            done = world.tasks(one, [server.url], patience=20, wrong=wrong)
            assert done.failed == {}
            assert one.refreshes == (1 if wrong < 0 else 0)
            assert one.row().status == "active"

        return case

    side_by_side({"ahead": worker(600), "behind": worker(-600)})
    server.kill()
    say("a worker's clock 10 minutes wrong, both ways: 0 failed calls, no refresh too many")


@pytest.mark.parametrize("honoured", [True, False], ids=["honoured", "ignored"])
def test_api_server_whose_clock_is_ten_minutes_wrong_spends_no_token_twice(
    sqlite_world: World, say, honoured
):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=honoured, revoke_after_refresh=0.0)
    world.sim.fail("stall", TOKEN, seconds=0.3)
    server = world.server("right-clock")
    spent = world.sim.oauth.counts["spent_refresh"]

    def api_server(wrong: float) -> Callable[[], None]:
        def case() -> None:
            other = world.server(f"clock{wrong:g}", wrong=wrong)
            one = world.installed()
            one.expire()
            done = world.tasks(one, [server.url, other.url], 6, patience=40)
            assert done.failed == {}
            assert one.row().status == "active"
            assert one.works()
            other.kill()

        return case

    side_by_side({"ahead": api_server(600), "behind": api_server(-600)})
    server.kill()
    again = world.sim.oauth.counts["spent_refresh"] - spent
    say(
        "clock of one of two API servers 10 minutes wrong, both ways, Idempotency-Key "
        f"{'honoured' if honoured else 'ignored'}: 0 failed calls, {again} spent tokens sent, "
        "installation active"
    )


# -- the broker


def test_keep_alive_serves_workers_that_reach_no_broker(sqlite_world: World, say):
    world = sqlite_world
    server = world.server("no-broker")
    one = world.installed()
    world.tasks(one, [server.url])
    one.use_and_expire()
    number = world.start_tasks(one, [NOWHERE], api=[server.url], patience=40)
    time.sleep(1)
    assert world.orders.call("look") >= 1
    assert world.end_tasks(number).failed == {}
    assert (one.refreshes, one.row().status) == (1, "active")
    one.expire()
    done = world.tasks(one, [NOWHERE], api=[server.url], patience=2)
    (text,) = done.failed
    assert re.search(r"no API server with the Stripe App plugin answers.*broker_url", text), text
    assert (one.refreshes, one.row().status) == (1, "active")
    server.kill()
    say("broker out of reach: the keep-alive's renewal reaches workers by their connection")


# -- people, while a refresh is on its way


def test_connection_changed_during_a_refresh_costs_no_token(sqlite_world: World, say):
    world = sqlite_world
    server = world.server("edits")
    call = world.orders.call

    def during(one: Installed, act: Callable[[], object]) -> None:
        one.expire()
        world.sim.before(TOKEN, lambda _: act(), nth=1)
        done = world.tasks(one, [server.url], patience=40)
        world.sim.faults.remove()
        assert done.failed == {}
        assert one.row().status == "active"
        assert one.works()

    form = world.installed()
    old = call("extra", conn_id=form.conn_id)
    during(form, lambda: call("set_extra", conn_id=form.conn_id, values={**old, "colour": "red"}))
    extra = call("extra", conn_id=form.conn_id)
    assert extra["colour"] == "red"
    assert extra["access_grant_token"] != old["access_grant_token"]
    _works(world, form, server)

    emptied = world.installed()
    during(emptied, lambda: call("set_extra", conn_id=emptied.conn_id, values={"colour": "red"}))
    assert call("extra", conn_id=emptied.conn_id)["broker_token"]
    _works(world, emptied, server)

    deleted = world.installed()
    during(deleted, lambda: call("delete_connection", conn_id=deleted.conn_id))
    done = world.tasks(deleted, [server.url], patience=2)
    (text,) = done.failed
    assert re.search(rf"{deleted.conn_id}.*isn't defined", text), text
    assert (deleted.row().status, deleted.refreshes) == ("active", 1)

    moved = world.installed()
    other = f"{moved.account}other"
    during(moved, lambda: moved.install(other))
    row = moved.row()
    assert (row.account_id, row.generation) == (other, 2), "the older answer did not take its place"
    assert world.tasks(moved, [server.url], patience=20).failed == {}
    server.kill()
    say("connection saved, emptied, deleted, or given another account during a refresh: kept")


# -- keys and copies of the deployment


def test_fernet_key_is_rotated_in_the_midst_and_a_wrong_one_costs_nothing(sqlite_world: World, say):
    world = sqlite_world
    name = "AIRFLOW__CORE__FERNET_KEY"
    first = world.environment[name]
    second = Fernet.generate_key().decode()
    one = world.installed()
    wrong = world.server("key", **{name: Fernet.generate_key().decode()})
    right = world.server("key-right")
    one.expire()
    done = world.tasks(one, [wrong.url], api=[right.url], patience=3)
    (text,) = done.failed
    assert "option [core] fernet_key is not the one" in text
    assert (one.row().status, one.refreshes) == ("active", 0)
    both = {name: f"{second},{first}"}
    wrong.restart(**both)
    assert world.tasks(one, [wrong.url], api=[right.url], patience=20).failed == {}
    assert (one.row().status, one.refreshes) == ("active", 1)
    assert world.orders.call("rotate", env=both) >= 1
    one_key = {name: second}
    assert "token" in world.orders.call("live_token", env=one_key, conn_id=one.conn_id)
    # All others of this database are sealed anew too: rotate back for the cases that follow.
    assert world.orders.call("rotate", env={name: f"{first},{second}"}) >= 1
    _works(world, one, right)
    wrong.kill()
    right.kill()
    say("Fernet key: a wrong one is named and costs nothing; a rotated one goes on")


def test_copied_database_does_not_take_the_tokens_away_from_the_original(sqlite_world: World, say):
    world = sqlite_world
    one = world.installed()
    original = world.server("original")
    one.expire()
    copy = world.copy_database()
    cloned = world.server(
        "cloned",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{copy}",
        AIRFLOW__API__BASE_URL="http://clone.example",
    )
    text = _fails(world, one, cloned, r"belong to the Airflow deployment.*[Tt]ake over")
    assert "'http://clone.example'" in text
    assert one.refreshes == 0
    _works(world, one, original)
    _fails(world, one, cloned, r"belong to the Airflow deployment")
    assert one.refreshes == 1
    original.kill()
    cloned.kill()
    say("copied metadata database: 0 refreshes by the copy, which says why")
