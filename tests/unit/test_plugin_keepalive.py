"""Tokens in use are renewed before they expire, idle ones weekly, and nothing stops the thread."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth.due import (
    EARLY,
    SPREAD,
    App,
    Candidate,
    Due,
    due,
    ending,
    margin,
    reconcile_due,
    share,
)
from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE, LOST
from airflow_provider_stripe_app.plugin import keepalive
from airflow_provider_stripe_app.plugin.keepalive import JOB, KeepAlive, running
from airflow_provider_stripe_app.plugin.patience import IN_A_ROW
from airflow_provider_stripe_app.plugin.workers import work_off

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0


def one(conn_id: str = "shop", **values: object) -> Candidate:
    usual = {
        "status": ACTIVE,
        "access_expires_at": NOW + HOUR,
        "refresh_expires_at": NOW + 365 * DAY,
        "last_refreshed_at": NOW - HOUR,
        "last_used_at": NOW,
    }
    return Candidate(conn_id, **{**usual, **values})


# -- what is due


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (one(), []),
        (one(access_expires_at=NOW + 899), ["in use"]),
        (one(access_expires_at=NOW - 5), ["in use"]),
        (one(access_expires_at=NOW - 5, retry_at=NOW + 1), []),
        (one(access_expires_at=NOW - 5, retry_at=NOW - 1), ["in use"]),
        (one(access_expires_at=NOW - 5, last_used_at=NOW - 3 * HOUR), []),
        (one(access_expires_at=NOW - 5, last_used_at=None), []),
        (one(last_used_at=None, last_refreshed_at=NOW - 7 * DAY), []),
        (one(last_used_at=None, last_refreshed_at=NOW - 8 * DAY), ["idle"]),
        (one(status=LOST, access_expires_at=NOW - 5), []),
        (one(status=LOST, heal_after=NOW + 1), []),
        (one(status=LOST, heal_after=NOW - 1), ["healing"]),
        (one(status="something else", access_expires_at=NOW - 5, heal_after=NOW - 1), []),
    ],
)
def test_what_is_due(candidate, expected):
    assert [found.why for found in due([candidate], NOW)] == expected


def test_all_tokens_are_kept_fresh_where_nobody_sees_workers_use_them():
    unseen = one(access_expires_at=NOW + 899, last_used_at=None)
    assert [found.why for found in due([unseen], NOW, all_fresh=True)] == ["in use"]
    lost = one(status=LOST, access_expires_at=NOW + 899)
    assert due([lost, one(last_used_at=None)], NOW, all_fresh=True) == []
    store, desk = Store(), Desk(unseen)
    assert keeper_of(store, desk).look() == 0
    desk.all_fresh = True
    desk.holders.clear()
    assert keeper_of(store, desk).look() == 1


def test_the_token_that_ends_first_is_renewed_first():
    later, sooner = one("a", access_expires_at=NOW + 60), one("b", access_expires_at=NOW + 5)
    idle = one("c", last_used_at=None, last_refreshed_at=NOW - 9 * DAY)
    assert [found.conn_id for found in due([later, idle, sooner], NOW)] == ["c", "b", "a"]


def test_short_lived_tokens_are_not_renewed_at_every_look():
    short = one(last_refreshed_at=NOW, access_expires_at=NOW + 120)
    assert margin(short) == 60
    assert due([short], NOW + 59) == []
    assert due([short], NOW + 60) == [Due("shop", "in use", 60)]


def test_a_thousand_accounts_of_one_minute_are_renewed_over_a_quarter_of_an_hour():
    accounts = [one(f"shop-{n}", last_refreshed_at=NOW) for n in range(1000)]
    minutes = Counter()
    left = accounts
    for minute in range(61):
        found = {item.conn_id for item in due(left, NOW + 60 * minute)}
        minutes[minute] = len(found)
        left = [account for account in left if account.conn_id not in found]
    assert left == []
    used = [minute for minute, count in minutes.items() if count]
    assert (used[0], used[-1]) == ((HOUR - EARLY - SPREAD) / 60 + 1, (HOUR - EARLY) / 60)
    assert max(minutes.values()) < 100, "about 67 a minute"


def test_the_moment_of_a_connection_is_the_same_in_every_process():
    assert share("shop") == pytest.approx(0.55298, abs=0.00001)
    assert 0 <= share("") < 1


@pytest.mark.parametrize(
    ("days", "expected"), [(31, []), (29, [30]), (6, [7]), (0.5, [1]), (-1, [1])]
)
def test_an_end_that_cannot_be_prevented_is_announced(days, expected):
    found = ending([one(refresh_expires_at=NOW + days * DAY)], NOW)
    assert [days for _, days in found] == expected
    assert ending([one(status=LOST, refresh_expires_at=NOW + days * DAY)], NOW) == []


def test_every_app_is_compared_with_stripe_once_a_day_at_a_moment_of_its_own():
    moments = set()
    for number in range(20):
        name, at, done_at, hours = f"app-{number}", NOW, NOW, []
        for step in range(1, 24 * 12 + 1):  # every ten minutes for two days
            at = NOW + step * 600
            if reconcile_due([App(name, done_at, None)], at) == [name]:
                done_at = at
                hours.append(step)
        assert len(hours) == 2
        assert hours[1] - hours[0] == 144
        moments.add(hours[0])
    assert len(moments) > 10
    assert reconcile_due([App("new", None, None)], NOW) == ["new"]
    assert reconcile_due([App("new", None, NOW + 1)], NOW) == [], "somebody is at it"


# -- the look


class Store:
    def __init__(self, slow: threading.Event | None = None) -> None:
        self.calls: list[tuple] = []
        self._slow = slow

    def live_token(self, conn_id, **options):
        self.calls.append(("live_token", conn_id, options))
        if conn_id == "broken":
            raise TokenUnavailable("Stripe is away")
        if conn_id == "bug":
            raise RuntimeError("boom")
        if conn_id == "slow" and self._slow is not None:
            assert self._slow.wait(20)

    def renew(self, conn_id):
        self.calls.append(("renew", conn_id))

    def recover_all(self):
        self.calls.append(("recover_all",))
        return 0


class Desk:
    """The database in memory; a holder of a lease holds it for ever."""

    def __init__(self, *candidates: Candidate, apps: tuple[App, ...] = ()) -> None:
        self.all_fresh = False
        self.found = candidates
        self.found_apps = apps
        self.holders: dict[str, str] = {}
        self.calls: list[str] = []
        self.reconciled: list[str] = []
        self.finished: list[str] = []

    def take(self, name, owner, seconds):
        self.calls.append(f"take {name}")
        return self.holders.setdefault(name, owner) == owner

    def done(self, name, owner):
        self.finished.append(name)

    def release(self, name, owner):
        if self.holders.get(name) == owner:
            del self.holders[name]

    def candidates(self, now):
        self.calls.append("candidates")
        return self.found

    def apps(self):
        return self.found_apps

    def ages(self, now):
        return []

    def reconcile(self, app_conn_id):
        self.reconciled.append(app_conn_id)
        if app_conn_id == "refused":
            raise TokenUnavailable("Stripe is away")
        if app_conn_id == "bare":
            raise ConfigurationError("it has no app id")


def keeper_of(store: Store, desk: Desk) -> KeepAlive:
    return KeepAlive(lambda: store, lambda: True, desk=lambda: desk, clock=lambda: NOW, pace=0)


def test_one_broken_installation_does_not_keep_the_others_from_being_renewed():
    store = Store()
    desk = Desk(
        one("broken", access_expires_at=NOW),
        one("bug", access_expires_at=NOW),
        one("shop", access_expires_at=NOW),
        one("idle", last_used_at=None, last_refreshed_at=NOW - 8 * DAY),
        one("lost", status=LOST, heal_after=NOW),
    )
    assert keeper_of(store, desk).look() == 3
    asked = {call[1]: call for call in store.calls}
    assert set(asked) == {"broken", "bug", "shop", "idle", "lost"}
    assert asked["idle"] == ("renew", "idle")
    options = asked["shop"][2]
    assert options["wait_seconds"] == 0
    assert EARLY <= options["min_remaining"] <= EARLY + SPREAD
    assert asked["lost"][0] == "live_token"


def test_who_does_not_hold_the_lease_asks_one_thing_and_does_nothing():
    store, desk = Store(), Desk(one("shop", access_expires_at=NOW))
    winner, loser = keeper_of(store, desk), keeper_of(store, desk)
    assert winner.look() == 1
    desk.calls.clear()
    assert loser.look() == 0
    assert desk.calls == [f"take {JOB}"]
    assert len(store.calls) == 1


def test_one_slow_answer_does_not_hold_the_other_renewals():
    answered = threading.Event()
    store = Store(slow=answered)
    names = ["slow", *(f"shop-{n}" for n in range(20))]
    desk = Desk(*(one(name, access_expires_at=NOW + n) for n, name in enumerate(names)))
    looked = threading.Thread(target=keeper_of(store, desk).look)
    looked.start()
    deadline = time.monotonic() + 20
    while len(store.calls) < len(names) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(store.calls) == len(names)
    assert looked.is_alive()
    busy = [t for t in threading.enumerate() if t.name.startswith("stripe-app-keepalive-")]
    assert busy
    assert all(t.daemon for t in busy), "the end of the API server waits for none of them"
    answered.set()
    looked.join(20)
    assert not looked.is_alive()


class Away:
    """A store whose Stripe is away, for all or for some."""

    def __init__(self, *broken: str, error: type[Exception] = TokenUnavailable) -> None:
        self.tried: list[str] = []
        self.broken = set(broken)
        self.everything = not broken
        self.error = error

    def live_token(self, conn_id, **_):
        self.tried.append(conn_id)
        if self.everything or conn_id in self.broken:
            raise self.error("not now")


def crowd(app: str, count: int = 100) -> list[Candidate]:
    return [
        one(f"{app}-{n:03}", access_expires_at=NOW + n / 10, app_conn_id=app) for n in range(count)
    ]


def test_while_stripe_is_away_a_look_does_not_try_a_thousand_accounts(caplog):
    store, desk = Away(), Desk(*crowd("first"), *crowd("second"))
    keeper = keeper_of(store, desk)
    begun = time.monotonic()
    keeper._pace = 0.25
    assert keeper.look() == 0
    assert time.monotonic() - begun < 10
    for app in ("first", "second"):
        assert IN_A_ROW <= len([c for c in store.tried if c.startswith(app)]) < IN_A_ROW + 4
    assert "Renewals of app first failed one after the other" in caplog.text
    before = set(store.tried)
    keeper.look()
    assert before.isdisjoint(store.tried[len(before) :]), "others are tried before the same again"
    store.everything = False
    assert keeper.look() == 200


def test_a_few_broken_installations_never_keep_the_healthy_ones_waiting():
    broken = [f"shop-{n:03}" for n in range(20)]
    store, desk = Away(*broken), Desk(*crowd("shop"))
    keeper = keeper_of(store, desk)
    healthy = set()
    for _ in range(6):
        store.tried.clear()
        keeper.look()
        healthy |= set(store.tried) - set(broken)
    assert len(healthy) == 80


def test_installations_that_are_lost_say_nothing_about_the_others_of_their_app():
    store = Away(*(f"shop-{n:03}" for n in range(50)), error=ReauthorizationRequired)
    assert keeper_of(store, Desk(*crowd("shop"))).look() == 50


def test_apps_are_compared_with_stripe_beside_the_renewals_and_failures_said_once(caplog):
    desk = Desk(apps=tuple(App(name, None, None) for name in ("refused", "bare", "fine")))
    keeper = keeper_of(Store(), desk)
    for _ in range(2):
        keeper.look()
        keeper._reconciling.join(20)
        keeper._apps_at = float("-inf")
    assert desk.reconciled == ["refused", "bare", "fine"] * 2
    assert desk.finished == ["reconcile:bare", "reconcile:fine"] * 2, "the failed one rests"
    start = "The installations of app {} were not compared with Stripe's list: "
    said = [r.getMessage() for r in caplog.records if "compared" in r.getMessage()]
    assert said == [
        start.format("refused") + "Stripe is away",
        start.format("bare") + "it has no app id",
    ]


def test_the_pool_does_everything_three_at_once_and_no_faster_than_its_pace():
    lock, busy, most, finished = threading.Lock(), [0], [0], []
    together = threading.Barrier(3, timeout=20)

    def task() -> None:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        together.wait()
        with lock:
            busy[0] -= 1
            finished.append(1)

    begun = time.monotonic()
    held = []
    count = work_off(
        [task] * 12,
        threads=3,
        stop=threading.Event(),
        pace=0.1,
        meanwhile=lambda: held.append(1),
        every=0.05,
    )
    assert (count, len(finished), most[0]) == (12, 12, 3)
    assert time.monotonic() - begun >= 0.3, "four rounds of three, each but the last takes 0.1 s"
    assert held


def test_the_pool_begins_nothing_new_once_it_was_stopped():
    stop, begun = threading.Event(), []

    def task() -> None:
        begun.append(1)
        stop.set()

    assert work_off([task] * 5, threads=1, stop=stop) == 1
    assert begun == [1]


# -- the thread


def run_until(keeper: KeepAlive, done: threading.Event) -> bool:
    keeper.start()
    reached = done.wait(10)
    keeper.stop()
    return reached


@pytest.mark.parametrize("enabled", [True, False])
def test_tokens_on_disk_are_stored_by_every_process_whoever_has_the_lease(enabled):
    store, stored = Store(), threading.Event()
    real = store.recover_all

    def recover_all():
        real()
        stored.set()
        raise TokenUnavailable("the database is away")

    store.recover_all = recover_all
    desk = Desk(one("acme"))
    desk.take("keepalive", "another process", 60)
    keeper = KeepAlive(
        lambda: store, lambda: enabled, desk=lambda: desk, every=0.01, first_after=0.01
    )
    assert run_until(keeper, stored)


def test_thread_survives_every_error():
    looks, done = [], threading.Event()

    def desk():
        looks.append(1)
        if len(looks) == 3:
            done.set()
        raise RuntimeError("boom")

    keeper = KeepAlive(Store, lambda: True, desk=desk, every=0.01, first_after=0.01)
    assert run_until(keeper, done)


def test_switched_off_it_never_looks():
    asked, done = [], threading.Event()

    def enabled() -> bool:
        asked.append(1)
        if len(asked) == 3:
            done.set()
        return False

    def desk():
        raise AssertionError("looked")

    keeper = KeepAlive(Store, enabled, desk=desk, every=0.01, first_after=0.01)
    assert run_until(keeper, done)


def test_a_holder_that_stops_leaves_its_place_to_the_next_at_once():
    looked, desk = threading.Event(), Desk()
    desk.ages = lambda now: looked.set() or []
    keeper = KeepAlive(Store, lambda: True, desk=lambda: desk, every=0.01, first_after=0.01)
    assert run_until(keeper, looked)
    deadline = time.monotonic() + 10
    while desk.holders and time.monotonic() < deadline:
        time.sleep(0.01)
    assert desk.holders == {}


def test_starting_and_stopping_waits_for_nothing():
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


def test_same_warning_is_said_once_an_hour(caplog, monkeypatch):
    desk = Desk(
        one("broken", access_expires_at=NOW),
        one("old", refresh_expires_at=NOW + 5 * DAY),
    )
    keeper = keeper_of(Store(), desk)
    keeper.look()
    keeper.look()
    later = time.monotonic() + 3601
    monkeypatch.setattr(keepalive.time, "monotonic", lambda: later)
    keeper.look()
    said = Counter(record.getMessage() for record in caplog.records)
    assert said["Connection broken was not renewed: Stripe is away"] == 2
    (warning,) = [text for text in said if "connection old within 7 day(s)" in text]
    assert said[warning] == 2
