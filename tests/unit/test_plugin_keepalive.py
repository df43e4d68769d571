"""Tokens in use are renewed before they expire, idle ones weekly, and nothing stops the thread."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest

from airflow_provider_stripe_app.exceptions import TokenUnavailable
from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE, LOST
from airflow_provider_stripe_app.plugin.keepalive import Due, KeepAlive, due, ending, running

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0


@dataclass
class Status:
    conn_id: str = "shop"
    status: str = ACTIVE
    access_expires_at: float = NOW + HOUR
    refresh_expires_at: float = NOW + 365 * DAY
    last_refreshed_at: float = NOW
    last_used_at: float | None = NOW


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(), []),
        (Status(access_expires_at=NOW + 899), [Due("shop", "in use")]),
        (Status(access_expires_at=NOW - 5), [Due("shop", "in use")]),
        (Status(access_expires_at=NOW - 5, last_used_at=NOW - 3 * HOUR), []),
        (Status(access_expires_at=NOW - 5, last_used_at=None), []),
        (
            Status(access_expires_at=NOW - 5, last_used_at=None, last_refreshed_at=NOW - 8 * DAY),
            [Due("shop", "idle")],
        ),
        (Status(status=LOST, access_expires_at=NOW - 5), []),
    ],
)
def test_what_is_due(status, expected):
    assert due([status], NOW) == expected


@pytest.mark.parametrize(
    ("days", "expected"), [(31, []), (29, [30]), (6, [7]), (0.5, [1]), (-1, [1])]
)
def test_an_end_that_cannot_be_prevented_is_announced(days, expected):
    found = ending([Status(refresh_expires_at=NOW + days * DAY)], NOW)
    assert [days for _, days in found] == expected


class Store:
    def __init__(self, *statuses: Status) -> None:
        self.statuses = statuses
        self.calls: list[tuple] = []

    def installations(self):
        return list(self.statuses)

    def live_token(self, conn_id, **options):
        self.calls.append(("live_token", conn_id, options["wait_seconds"]))
        if conn_id == "broken":
            raise TokenUnavailable("Stripe is away")

    def renew(self, conn_id):
        self.calls.append(("renew", conn_id))


def test_one_broken_installation_does_not_keep_the_others_from_being_renewed():
    store = Store(
        Status("broken", access_expires_at=NOW),
        Status("shop", access_expires_at=NOW),
        Status("idle", last_used_at=None, last_refreshed_at=NOW - 8 * DAY),
    )
    keeper = KeepAlive(lambda: store, lambda: True, clock=lambda: NOW)
    assert keeper.look() == 2
    assert store.calls == [
        ("live_token", "broken", 0),
        ("live_token", "shop", 0),
        ("renew", "idle"),
    ]


def run_until(keeper: KeepAlive, done: threading.Event) -> bool:
    keeper.start()
    reached = done.wait(10)
    keeper.stop()
    return reached


def test_thread_survives_every_error():
    looks, done = [], threading.Event()

    def store():
        looks.append(1)
        if len(looks) == 3:
            done.set()
        raise RuntimeError("boom")

    keeper = KeepAlive(store, lambda: True, every=0.01, first_after=0.01)
    assert run_until(keeper, done)


def test_switched_off_it_never_looks():
    asked, done = [], threading.Event()

    def enabled() -> bool:
        asked.append(1)
        if len(asked) == 3:
            done.set()
        return False

    def store():
        raise AssertionError("looked")

    keeper = KeepAlive(store, enabled, every=0.01, first_after=0.01)
    assert run_until(keeper, done)


def test_starting_and_stopping_waits_for_nothing(monkeypatch):
    started = time.monotonic()
    with running():
        assert any(t.name == "stripe-app-keepalive" and t.daemon for t in threading.enumerate())
    assert time.monotonic() - started < 1


def test_failing_start_does_not_stop_the_api_server(monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(KeepAlive, "start", fail)
    with running() as value:
        assert value is None


def test_same_warning_is_said_once_an_hour(caplog):
    store = Store(Status("broken", access_expires_at=NOW))
    keeper = KeepAlive(lambda: store, lambda: True, clock=lambda: NOW)
    keeper.look()
    keeper.look()
    assert [record.getMessage() for record in caplog.records].count(
        "Connection broken was not renewed: Stripe is away"
    ) == 1
