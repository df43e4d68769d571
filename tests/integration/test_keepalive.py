"""Jobs, what is due and workers' reports in real databases: SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models import Connection
from sqlalchemy import delete, event, insert

from airflow_provider_stripe_app.oauth import due, jobs, report_client, stream_reports
from airflow_provider_stripe_app.oauth.cipher import seal
from airflow_provider_stripe_app.oauth.models import Base, Installation, Job
from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE, LOST
from airflow_provider_stripe_app.oauth.report_server import answer_report
from airflow_provider_stripe_app.oauth.store import TokenStore
from airflow_provider_stripe_app.oauth.stream_reports import StreamReport
from airflow_provider_stripe_app.plugin import keepalive
from tests.integration.oauth_lab import in_processes, own_tables, session

NOW = 1_800_000_000.0
DAY = 86400.0


def new_database(server: Any, name: str) -> str:
    """Make a database of its own: other modules have Airflow's tables in the usual one."""
    import psycopg2

    connection = psycopg2.connect(server.url())
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    return server.url("postgresql+psycopg2", name)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def database(request, tmp_path_factory) -> Iterator[str]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('jobs')}/airflow.db"
    else:
        url = new_database(request.getfixturevalue("postgres"), "keepalive")
    with own_tables(url):
        yield url


@pytest.fixture(autouse=True)
def empty(database: str) -> None:
    with session() as s:
        for table in reversed(Base.metadata.sorted_tables):
            s.execute(delete(table))


def add(conn_id: str, **values: Any) -> None:
    sealed = dict.fromkeys(
        ("access_token_sealed", "refresh_token_sealed", "broker_token_sealed"), "no Fernet token"
    )
    usual = {
        "app_conn_id": "app",
        "account_id": f"acct_{conn_id}",
        "livemode": False,
        "status": ACTIVE,
        "access_expires_at": NOW + 3600,
        "refresh_expires_at": NOW + 365 * DAY,
        "generation": 1,
        "version": 1,
        "idempotency_suffix": 0,
        "last_refreshed_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    with session() as s:
        s.execute(insert(Installation).values(conn_id=conn_id, **{**sealed, **usual, **values}))


class Statements:
    """The SQL that this process sends."""

    def __enter__(self) -> list[str]:
        from airflow import settings

        self.seen: list[str] = []
        self._engine = settings.get_engine()
        event.listen(self._engine, "before_cursor_execute", self._note)
        return self.seen

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, _c: object, _k: object, statement: str, *_: object) -> None:
        self.seen.append(statement)


# -- jobs


def test_of_many_processes_that_want_a_job_one_gets_it_first_and_later() -> None:
    def compete(name: str) -> list[str]:
        def work() -> str:
            owner = multiprocessing.current_process().name
            return owner if jobs.take(name, owner, 60, NOW) else ""

        assert jobs.last_done(name) is None  # imports once what the forked processes need
        return [found for found in in_processes(5, work) if found]

    assert len(compete("new")) == 1
    with session() as s:
        s.execute(insert(Job).values(name="old", owner="dead", lease_until=NOW - 1))
    assert len(compete("old")) == 1


def test_a_lease_is_kept_by_its_owner_and_passes_on_when_it_ends() -> None:
    assert jobs.take("job", "a", 60, NOW)
    assert not jobs.take("job", "b", 60, NOW + 59)
    assert jobs.take("job", "a", 60, NOW + 59), "its owner makes it longer"
    assert not jobs.take("job", "b", 60, NOW + 118)
    assert jobs.take("job", "b", 60, NOW + 119), "a died"
    assert not jobs.done("job", "a", NOW + 120), "a comes back too late"
    assert jobs.last_done("job") is None
    assert jobs.done("job", "b", NOW + 121)
    assert jobs.last_done("job") == NOW + 121
    assert jobs.take("job", "a", 60, NOW + 121), "done gives the lease back"
    assert jobs.release("job", "a")
    assert jobs.last_done("job") == NOW + 121
    assert jobs.take("job", "b", 60, NOW + 121)


def test_who_does_not_get_a_job_has_sent_one_select() -> None:
    jobs.take("job", "a", 60, NOW)
    with Statements() as sent:
        assert not jobs.take("job", "b", 60, NOW)
    assert [statement.split()[0] for statement in sent] == ["SELECT"]


# -- what is due


def test_one_query_of_a_few_columns_finds_all_that_may_be_due() -> None:
    add("fresh", last_used_at=NOW)
    early = {"access_expires_at": NOW + 100, "last_refreshed_at": NOW - 3500}
    add("in_use", last_used_at=NOW - 60, **early)
    add("unused", **early)
    add("idle", last_refreshed_at=NOW - 9 * DAY)
    add("lost", status=LOST)
    add("mendable", status=LOST, heal_after=NOW - 1)
    add("later", status=LOST, heal_after=NOW + 1)
    add("ending", refresh_expires_at=NOW + 20 * DAY)
    add("copied", last_used_at=NOW, access_expires_at=NOW, deployment_id="production")
    with Statements() as sent:
        found = due.read(NOW, "staging")
    assert len(sent) == 1
    assert "sealed" not in sent[0]
    assert {one.conn_id for one in found} == {"in_use", "idle", "mendable", "ending"}
    assert {one.conn_id for one in due.read(NOW)} - {one.conn_id for one in found} == {"copied"}
    assert {one.conn_id: one.why for one in due.due(found, NOW)} == {
        "in_use": "in use",
        "idle": "idle",
        "mendable": "healing",
    }
    assert due.ending(found, NOW) == [("ending", 30)]


def test_the_query_leaves_out_nothing_that_the_rules_would_take() -> None:
    """Every installation there is goes through the rules; the query must have found those due."""
    times = (NOW - 9 * DAY, NOW - 3 * 3600, NOW - 60, NOW, NOW + 1200, NOW + 1799, NOW + 3600)
    number = 0
    everything = []
    for used in (None, *times[:4]):
        for expires in times[2:]:
            for refreshed in times[:4]:
                number += 1
                values = {
                    "last_used_at": used,
                    "access_expires_at": expires,
                    "last_refreshed_at": refreshed,
                }
                add(f"c{number}", **values)
                everything.append(
                    due.Candidate(
                        f"c{number}", ACTIVE, refresh_expires_at=NOW + 365 * DAY, **values
                    )
                )
    sizes = []
    for fresh in (False, True):
        wanted = {one.conn_id for one in due.due(everything, NOW, all_fresh=fresh)}
        found = due.due(due.read(NOW, all_fresh=fresh), NOW, all_fresh=fresh)
        assert {one.conn_id for one in found} == wanted
        sizes.append(len(wanted))
    assert 10 < sizes[0] < sizes[1] < number


def test_ages_and_apps_are_one_query_each() -> None:
    add("a", app_conn_id="one", last_used_at=NOW, access_expires_at=NOW + 50)
    add("b", app_conn_id="one", last_refreshed_at=NOW - 500, access_expires_at=NOW - 900)
    add("c", app_conn_id="two", status=LOST, refresh_expires_at=NOW + 5)
    jobs.take(f"{due.RECONCILE}two", "me", 60, NOW)
    jobs.done(f"{due.RECONCILE}two", "me", NOW)
    with Statements() as sent:
        found = {one.status: one for one in due.ages(NOW)}
        apps = {one.conn_id: one for one in due.apps()}
    assert len(sent) == 2
    assert found[ACTIVE] == due.Ages(ACTIVE, 2, NOW - 500, NOW + 50, NOW + 365 * DAY)
    assert found[LOST] == due.Ages(LOST, 1, NOW, None, NOW + 5)
    assert apps == {"one": due.App("one", None, None), "two": due.App("two", NOW, None)}


# -- reports of workers


def report(stream: str = "customers", **values: Any) -> StreamReport:
    return StreamReport(stream, values.pop("warehouse", "w"), values.pop("ok", True), **values)


def test_the_last_sync_of_each_stream_and_warehouse_is_kept() -> None:
    add("shop")
    assert stream_reports.record("shop", [report(complete_to=5, inserted=7)], NOW)
    assert stream_reports.record("shop", [report(warehouse="v"), report("invoices")], NOW + 1)
    failed = report(ok=False, error="No.", permission="customer_read", dag_id="d")
    assert stream_reports.record("shop", [failed], NOW + 2)
    assert list(stream_reports.last_syncs("shop")["shop"]) == [
        report(warehouse="v", at=NOW + 1),
        replace(failed, at=NOW + 2, complete_to=5),
        report("invoices", at=NOW + 1),
    ]
    assert stream_reports.last_syncs("another") == {}


def test_a_run_counts_as_use_of_its_installation() -> None:
    add("shop", last_used_at=NOW - 9 * DAY, access_expires_at=NOW + 5, last_refreshed_at=NOW - 3600)
    assert due.due(due.read(NOW), NOW) == []
    stream_reports.record("shop", [report()], NOW)
    assert [one.why for one in due.due(due.read(NOW), NOW)] == ["in use"]


def test_nothing_is_kept_without_an_installation_nor_after_it_was_deleted() -> None:
    assert not stream_reports.record("unknown", [report()], NOW)
    assert stream_reports.last_syncs("unknown") == {}
    for conn_id in ("shop", "other"):
        add(conn_id)
        stream_reports.record(conn_id, [report()], NOW)
    assert TokenStore().forget("shop")
    assert stream_reports.last_syncs("shop") == {}
    assert len(stream_reports.last_syncs("other")["other"]) == 1


def test_two_first_reports_at_once_leave_one_row() -> None:
    add("shop")
    found = in_processes(4, lambda: stream_reports.record("shop", [report()], NOW))
    assert found == [True] * 4
    assert len(stream_reports.last_syncs("shop")["shop"]) == 1


def test_only_who_shows_the_broker_token_may_report() -> None:
    add("shop", broker_token_sealed=seal("the broker token"))
    good = {"conn_id": "shop", "broker_token": "the broker token", "streams": [report().as_dict()]}
    refused = [
        answer_report({**good, "broker_token": "wrong", "streams": "whatever"}),
        answer_report({**good, "conn_id": "unknown"}),
    ]
    assert refused[0] == refused[1]
    assert refused[0][0] == 401
    malformed = [
        None,
        [],
        {},
        {**good, "conn_id": 7},
        {**good, "broker_token": None},
        {**good, "more": 1},
        {**good, "streams": []},
        {**good, "streams": [{**report().as_dict(), "at": 5}]},
    ]
    assert [answer_report(body)[0] for body in malformed] == [400] * len(malformed)
    assert stream_reports.last_syncs("shop") == {}
    assert answer_report(good)[0] == 200
    (stored,) = stream_reports.last_syncs("shop")["shop"]
    assert abs(stored.at - time.time()) < 60, "by the server's clock"


def test_where_the_database_may_be_used_a_run_is_written_there() -> None:
    add("shop")
    extra = {"app_conn_id": "app", "broker_token": "b"}
    connection = Connection("shop", conn_type="stripe_app", extra=json.dumps(extra))
    report_client.send("shop", [report()], read_connection=lambda _: connection)
    (stored,) = stream_reports.last_syncs("shop")["shop"]
    assert (stored.stream, stored.ok) == ("customers", True)


# -- the keep-alive on top of them


class Renewals:
    """A store that only notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def live_token(self, conn_id: str, **_: object) -> None:
        self.asked.append(conn_id)


def test_the_others_take_over_when_the_holder_died(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.time()]
    monkeypatch.setattr(
        keepalive, "time", SimpleNamespace(**{**vars(time), "time": lambda: now[0]})
    )
    early = {"access_expires_at": now[0] + 100, "last_refreshed_at": now[0] - 3500}
    add("shop", last_used_at=now[0], refresh_expires_at=now[0] + 300 * DAY, **early)
    store = Renewals()
    first, second = (
        keepalive.KeepAlive(lambda: store, lambda: True, clock=lambda: now[0]) for _ in range(2)
    )
    for one in (first, second):
        one._start_reconciling = lambda _: None
    assert (first.look(), second.look()) == (1, 0)
    now[0] += keepalive.LEASE - 1  # the first is not heard of any more
    assert second.look() == 0
    now[0] += 2
    assert second.look() == 1
    assert first.look() == 0
    assert store.asked == ["shop", "shop"]
