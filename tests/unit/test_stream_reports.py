"""A worker tells how its sync went: strictly read, and never at the cost of the task."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from airflow_provider_stripe_app.api.errors import PermissionMissing, ServerTrouble
from airflow_provider_stripe_app.exceptions import ReauthorizationRequired
from airflow_provider_stripe_app.oauth import report_client
from airflow_provider_stripe_app.oauth.broker_client import HEALTH_PATH, MARKER, PROVIDER
from airflow_provider_stripe_app.oauth.report_client import REPORT_PATH, send
from airflow_provider_stripe_app.oauth.stream_reports import (
    MAX_REPORTS,
    MalformedReport,
    StreamReport,
    clean,
    parse,
)
from airflow_provider_stripe_app.operators.reports import (
    Task,
    reports_of_error,
    reports_of_summary,
    task_of,
)
from airflow_provider_stripe_app.operators.sync import StripeSyncOperator
from airflow_provider_stripe_app.streams.catalog import resolve_streams
from airflow_provider_stripe_app.sync.summary import RunSummary, SyncFailed

GOOD = StreamReport(
    "invoices",
    "warehouse",
    True,
    complete_to=1_800_000_000,
    inserted=1,
    updated=0,
    deleted=2,
    dag_id="dag",
    task_id="task",
    run_id="scheduled__2026-11-24T00:00:00+00:00",
)
BAD = StreamReport("invoices", "warehouse", False, error="No.", permission="invoice_read")

# -- what is read


@pytest.mark.parametrize("report", [GOOD, BAD])
def test_what_a_worker_sends_is_what_the_server_reads(report: StreamReport) -> None:
    assert parse(json.loads(json.dumps([report.as_dict()]))) == [report]


@pytest.mark.parametrize(
    "change",
    [
        {"stream": None},
        {"stream": ""},
        {"stream": "Robert'); DROP TABLE"},
        {"stream": "x" * 101},
        {"stream": ["invoices"]},
        {"warehouse_conn_id": None},
        {"warehouse_conn_id": "a<script>"},
        {"warehouse_conn_id": "x" * 251},
        {"ok": None},
        {"ok": "yes"},
        {"ok": 1},
        {"complete_to": -1},
        {"complete_to": 2**60},
        {"complete_to": 1.5},
        {"complete_to": float("nan")},
        {"inserted": True},
        {"inserted": "7"},
        {"dag_id": "x" * 251},
        {"dag_id": ""},
        {"run_id": {"a": 1}},
        {"error": "x" * 4001},
        {"permission": "invoice read"},
        {"at": 5},
        {"conn_id": "another"},
        {"access_token": "x"},
    ],
)
def test_anything_else_is_refused(change: dict) -> None:
    with pytest.raises(MalformedReport):
        parse([{**GOOD.as_dict(), **change}])


@pytest.mark.parametrize(
    "body", [None, {}, [], "streams", [GOOD.as_dict()] * (MAX_REPORTS + 1), [[]], [None], [7]]
)
def test_a_request_that_is_no_list_of_reports_is_refused(body: object) -> None:
    with pytest.raises(MalformedReport):
        parse(body)


def test_sentences_are_one_bounded_line_without_anything_like_a_secret() -> None:
    key = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    text = f"Bad\nkey {key} at postgres://ann:hunter2@db/x\x00\ud800 " + "y" * 2000
    line = clean(text)
    assert key not in line
    assert "hunter2" not in line
    assert line.isprintable()
    assert len(line) == 1000
    (read,) = parse([{**BAD.as_dict(), "error": f"key {key}"}])
    assert key not in str(read)


# -- what a task tells

STREAMS = resolve_streams(["customers", "invoice_line_items"])
TASK = Task("dag", "task", "run")


def test_a_green_run_tells_of_every_table() -> None:
    summary = RunSummary("acct_1", livemode=False, complete_to=1_800_000_000)
    summary.table("customers").inserted = 5
    told = {r.stream: r for r in reports_of_summary(summary, STREAMS, "w", TASK)}
    assert set(told) == {"customers", "invoices", "invoice_line_items"}
    assert all(r.ok and r.complete_to == 1_800_000_000 for r in told.values())
    customers = told["customers"]
    assert (customers.inserted, customers.updated, customers.deleted) == (5, 0, 0)
    assert (customers.dag_id, customers.task_id, customers.run_id) == ("dag", "task", "run")
    parse([r.as_dict() for r in told.values()])


def test_a_failed_stream_takes_its_children_along_and_names_the_permission() -> None:
    denied = PermissionMissing("invoice_read is missing", permission="invoice_read")
    summary = RunSummary("acct_1", livemode=False, errors={"invoices": denied})
    error = SyncFailed(summary.errors, summary)
    told = {r.stream: r for r in reports_of_error(error, STREAMS, "w", TASK)}
    assert {name for name, r in told.items() if not r.ok} == {"invoices", "invoice_line_items"}
    assert told["invoices"].permission == "invoice_read"
    assert told["invoices"].error == "invoice_read is missing"
    assert told["customers"].complete_to is None
    parse([r.as_dict() for r in told.values()])


def test_an_error_of_the_whole_run_is_told_for_every_table() -> None:
    told = reports_of_error(ReauthorizationRequired("install again"), STREAMS, "w", TASK)
    assert {(r.ok, r.error) for r in told} == {(False, "install again")}
    parse([r.as_dict() for r in told])


def test_of_a_foreign_error_only_the_kind_is_told() -> None:
    told = reports_of_error(RuntimeError("postgres://ann:hunter2@db"), STREAMS, "w", TASK)
    assert {r.error for r in told} == {"It failed by an error of its own (RuntimeError)."}
    odd = PermissionMissing("", permission="not a name")
    (first, *_) = reports_of_error(odd, STREAMS, "w", TASK)
    assert (first.permission, first.error) == (None, "PermissionMissing")


def test_long_names_of_a_task_are_cut_to_what_is_stored() -> None:
    ti = SimpleNamespace(dag_id="d" * 300, task_id="t", run_id="")
    assert task_of({"ti": ti}) == Task("d" * 250, "t", None)


# -- the operator

TI = SimpleNamespace(dag_id="dag", task_id="sync", run_id="run", map_index=-1)
READS = {"spent": 3, "days": 30, "budget": 10_000, "share": 0.0}


def run_operator(monkeypatch: pytest.MonkeyPatch, outcome: object) -> list[StreamReport]:
    told: list[StreamReport] = []

    def sync(self: object, context: object, streams: object) -> RunSummary:
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, RunSummary)
        return outcome

    def note(conn_id: str, reports: list[StreamReport]) -> None:
        assert conn_id == "shop"
        told.extend(reports)

    monkeypatch.setattr(StripeSyncOperator, "_sync", sync)
    monkeypatch.setattr(report_client, "send", note)
    operator = StripeSyncOperator(
        task_id="sync", streams=["customers"], warehouse_conn_id="w", stripe_app_conn_id="shop"
    )
    if isinstance(outcome, Exception):
        with pytest.raises(Exception, match=str(outcome)):
            operator.execute({"ti": TI})  # type: ignore[typeddict-item]
    else:
        operator.execute({"ti": TI})  # type: ignore[typeddict-item]
    return told


@pytest.mark.parametrize(
    ("outcome", "ok"),
    [
        (RunSummary("acct_1", livemode=False, reads=READS), True),
        (ServerTrouble("Stripe is down"), False),
        (RuntimeError("boom"), False),
    ],
)
def test_the_operator_tells_how_it_went_green_or_failed(
    monkeypatch: pytest.MonkeyPatch, outcome: object, ok: bool
) -> None:
    (told,) = run_operator(monkeypatch, outcome)
    assert (told.stream, told.warehouse_conn_id, told.ok) == ("customers", "w", ok)
    assert told.task_id == "sync"


# -- the way to the server


@dataclass
class Connection:
    conn_id: str = "shop"
    conn_type: str = "stripe_app"
    login: str | None = None
    password: str | None = None
    extra: str | None = field(
        default_factory=lambda: json.dumps({"app_conn_id": "app", "broker_token": "secret"})
    )


@contextmanager
def server(speaks: bool = True, answer: bytes = b"", status: int = 200) -> Iterator[tuple]:
    """An API server with this plugin, an older one, or a stranger."""
    posted: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = speaks and self.path == HEALTH_PATH
            self.answer(200, json.dumps({"provider": PROVIDER}).encode() if known else b"<html>")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append({"path": self.path, **json.loads(body)})
            self.answer(status, answer)

        def answer(self, code: int, text: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}", posted
    finally:
        listener.shutdown()
        thread.join(5)
        listener.server_close()


def tell(monkeypatch: pytest.MonkeyPatch, *addresses: str, **options: object) -> None:
    monkeypatch.setattr(report_client, "candidates", lambda: list(addresses))
    given = {"read_connection": lambda _: Connection(), "direct": lambda: False, **options}
    send("shop", [GOOD], **given)  # type: ignore[arg-type]


def test_the_report_goes_to_the_first_server_that_runs_the_plugin(monkeypatch) -> None:
    stored = json.dumps({MARKER: 1, "stored": 1}).encode()
    with server(speaks=False) as (stranger, heard), server(answer=stored) as (ours, posted):
        tell(monkeypatch, "http://127.0.0.1:9", stranger, ours, ours)
    assert heard == [], "a stranger never sees the broker token"
    assert posted == [
        {
            "path": REPORT_PATH,
            "conn_id": "shop",
            "broker_token": "secret",
            "streams": [GOOD.as_dict()],
        }
    ]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (404, b'{"detail": "Not Found"}'),
        (200, b"<html>Airflow</html>"),
        (401, json.dumps({MARKER: 1, "message": "no"}).encode()),
        (500, b""),
    ],
)
def test_a_server_that_does_not_take_it_is_no_trouble(monkeypatch, caplog, status, answer) -> None:
    with server(answer=answer, status=status) as (address, posted):
        tell(monkeypatch, address)
    assert len(posted) == 1
    assert not [r for r in caplog.records if r.levelname not in {"DEBUG", "INFO"}]


def test_nothing_is_told_with_a_restricted_key_or_without_installation(monkeypatch) -> None:
    key = Connection(password="rk_" + "test_" + "51abcdefghijklmnop", extra=None)
    bare = Connection(extra=json.dumps({"app_conn_id": "app"}))
    with server() as (address, posted):
        for connection in (key, bare):
            tell(monkeypatch, address, read_connection=lambda _, c=connection: c)
    assert posted == []


def test_a_server_that_hangs_holds_a_task_up_for_no_longer_than_said(monkeypatch) -> None:
    entered, release = threading.Event(), threading.Event()

    def hang(addresses: object, body: object, deadline: object) -> None:
        entered.set()
        release.wait(30)

    monkeypatch.setattr(report_client, "_post", hang)
    begun = time.monotonic()
    tell(monkeypatch, "http://anywhere", seconds=0.2)
    assert entered.is_set()
    assert time.monotonic() - begun < 5
    release.set()


def test_no_failure_of_a_report_is_a_failure_of_the_task(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such connection")

    tell(monkeypatch, read_connection=fail)
    tell(monkeypatch, direct=fail)
    monkeypatch.setattr(report_client, "_post", fail)
    tell(monkeypatch, "http://anywhere")


def test_where_the_database_may_be_used_no_server_is_asked(monkeypatch) -> None:
    written = []
    monkeypatch.setattr(report_client, "_record", lambda *told: written.append(told))
    with server() as (address, posted):
        tell(monkeypatch, address, direct=lambda: True)
    assert written == [("shop", [GOOD])]
    assert posted == []
