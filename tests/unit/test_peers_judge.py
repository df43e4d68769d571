"""The judge of the peers' benchmark is judged: it sees each difference, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from benchmarks.peers import readings, report
from benchmarks.peers.judge import (
    COMPARED,
    Record,
    Row,
    Verdict,
    compared,
    deduplicated,
    explained,
    judge,
    upserted,
)
from benchmarks.peers.server import summarised

ADA, BOB = {"email": "ada@x"}, {"email": "bob@x"}


def test_equal_tables_have_no_difference() -> None:
    verdict = judge({"a": ADA, "b": BOB}, {"a": Row(ADA), "b": Row(BOB), "c": Row({}, True)})
    assert verdict == Verdict(rows=2)


@pytest.mark.parametrize(
    ("table", "kind", "ids"),
    [
        ({"a": Row(ADA)}, "missing", ["b"]),
        ({"a": Row(ADA), "b": Row(ADA)}, "stale", ["b"]),
        ({"a": Row(ADA), "b": Row({})}, "stale", ["b"]),
        ({"a": Row(ADA), "b": Row(BOB), "c": Row(BOB)}, "ghosts", ["c"]),
        ({"a": Row(ADA), "b": Row(BOB, deleted=True)}, "buried", ["b"]),
    ],
)
def test_each_kind_of_difference_is_found_and_only_it(table, kind, ids) -> None:
    found = judge({"a": ADA, "b": BOB}, table).differences()
    assert found == {"missing": [], "stale": [], "ghosts": [], "buried": []} | {kind: ids}


def test_how_a_number_is_stored_is_no_difference_but_its_value_is() -> None:
    truth = {"a": {"balance": 5}}
    for stored in (5, 5.0, Decimal("5.000000000")):
        assert not judge(truth, {"a": Row({"balance": stored})}).stale
    for stored in ("5", Decimal("5.5"), 6, None, float("nan")):
        assert judge(truth, {"a": Row({"balance": stored})}).stale == ["a"]


def test_a_difference_is_explained_by_what_was_done_to_the_object() -> None:
    verdicts = {
        "invoices": Verdict(missing=["in_1", "in_2"]),
        "invoice_line_items": Verdict(ghosts=["il_1", "in_3"]),
    }
    touched = {"in_1": "invoice paid", "il_1": "line removed", "in_3": "invoice paid"}
    known = {"in_1": "invoices", "in_2": "invoices", "in_3": "invoices"}
    assert explained(verdicts, touched, known) == {
        "invoices missing: invoice paid": 1,
        "invoices missing: not touched": 1,
        "invoice_line_items living though deleted at Stripe: line removed": 1,
        "invoice_line_items living though deleted at Stripe: a row of invoices in their place": 1,
    }


def test_the_last_record_wins_an_upsert_and_the_greatest_cursor_a_deduplication() -> None:
    records = [
        Record("a", Row(ADA), (2,)),
        Record("a", Row(BOB), (1,)),
        Record("b", Row(ADA), (1,)),
        Record("b", Row(BOB), (1,)),
    ]
    assert upserted(records) == {"a": Row(BOB), "b": Row(BOB)}
    assert deduplicated(records) == {"a": Row(ADA), "b": Row(BOB)}


def test_a_price_is_compared_by_its_id_whether_it_is_whole_or_not() -> None:
    whole = {"quantity": 2, "price": {"id": "price_1", "active": True}, "metadata": {}}
    assert compared("subscription_items", whole) == {"quantity": 2, "price": "price_1"}
    assert compared("subscription_items", {"price": "price_1"})["price"] == "price_1"


def test_airbytes_messages_become_a_deduplicated_table() -> None:
    def record(emitted: int, **data: object) -> dict[str, object]:
        return {
            "type": "RECORD",
            "record": {"stream": "customers", "data": data, "emitted_at": emitted},
        }

    messages = [
        {"type": "LOG"},
        record(1, id="cus_1", email="old", updated=100),
        record(2, id="cus_1", email="new", updated=101),
        record(3, id="cus_1", email="older event, listed later", updated=100),
        record(4, id="cus_2", updated=100, is_deleted=True),
    ]
    table = readings.airbyte_tables(messages)["customers"]
    assert table["cus_1"].values["email"] == "new"
    assert (table["cus_1"].deleted, table["cus_2"].deleted) == (False, True)


def test_airbytes_next_run_gets_the_last_state_of_each_stream() -> None:
    def state(name: str, cursor: str) -> dict[str, object]:
        stream = {"stream_descriptor": {"name": name}, "stream_state": {"updated": cursor}}
        return {"type": "STATE", "state": {"type": "STREAM", "stream": stream}}

    messages = [state("customers", "1"), state("invoices", "1"), state("customers", "2")]
    found = [entry["stream"] for entry in readings.airbyte_state(messages)]
    assert [entry["stream_state"]["updated"] for entry in found] == ["2", "1"]


def test_a_taps_deletion_is_believed_but_for_subscriptions_where_it_is_a_cancellation() -> None:
    def record(stream: str, id_: str, event: str) -> dict[str, object]:
        data = {"id": id_, "updated_by_event_type": event, "status": "canceled"}
        return {"type": "RECORD", "stream": stream, "record": data}

    tables = readings.singer_tables(
        [
            record("customers", "cus_1", "customer.deleted"),
            record("customers", "cus_2", "customer.updated"),
            record("subscriptions", "sub_1", "customer.subscription.deleted"),
        ]
    )
    assert [row.deleted for row in tables["customers"].values()] == [True, False]
    assert tables["subscriptions"]["sub_1"] == Row(
        compared("subscriptions", {"status": "canceled"})
    )


def test_a_taps_state_stays_if_a_run_writes_none() -> None:
    assert readings.singer_state([{"type": "SCHEMA"}], {"bookmarks": 1}) == {"bookmarks": 1}
    states = [{"type": "STATE", "value": 1}, {"type": "STATE", "value": 2}]
    assert readings.singer_state(states, None) == 2


def test_what_is_no_json_line_is_left_out(tmp_path) -> None:
    path = tmp_path / "out"
    path.write_text('progress…\n{"type": "LOG"}\n\n')
    assert list(readings.lines_of([path, path])) == [{"type": "LOG"}] * 2


def test_tables_of_duckdb_are_read_with_their_deletions(tmp_path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="the lock of Python 3.10 has no DuckDB")
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        for stream, names in COMPARED.items():
            columns = ", ".join("price_id" if n == "price" else f'"{n}"' for n in names)
            rows = f"('x_1', {'1, ' * len(names)}true), ('x_2', {'2, ' * len(names)}false)"
            named = f"(VALUES {rows}) AS t(id, {columns}, is_deleted)"
            connection.execute(f"CREATE TABLE {stream} AS SELECT * FROM {named}")
    tables = readings.duckdb_tables(path, readings.our_queries())
    for stream, names in COMPARED.items():
        assert tables[stream] == {
            "x_1": Row(dict.fromkeys(names, 1), True),
            "x_2": Row(dict.fromkeys(names, 2), False),
        }


def test_requests_are_counted_by_operation_and_refusals_apart() -> None:
    lines = [
        {"method": "GET", "target": "/v1/invoices?limit=100", "status": 200},
        {"method": "GET", "target": "/v1/invoices/in_1A/lines?limit=100", "status": 429},
        {"method": "GET", "target": "/v1/invoices/in_2B/lines", "status": 200},
    ]
    assert summarised(lines).as_dict() == {
        "total": 3,
        "operations": {"GET /v1/invoices/{id}/lines": 2, "GET /v1/invoices": 1},
        "refused": {"429": 1},
    }


def facts() -> dict[str, object]:
    """Three contestants, of whom one failed at once, and one that could not be installed."""

    def run(seconds: float, requests: int) -> dict[str, object]:
        verdict = Verdict(missing=["a"], rows=200).counts()
        return {
            "seconds": seconds,
            "cpu": seconds / 2,
            "peak_mb": 100.0,
            "code": 0,
            "requests": {"total": requests, "operations": {}, "refused": {"429": 3}},
            "verdicts": dict.fromkeys(COMPARED, verdict),
            "why": {"customers missing: customer created": 1},
        }

    phases = ("unlimited", "first", "idle", "changed")
    return {
        "numbers": {"customers": 1000},
        "share": 0.01,
        "changes": {"customer deleted": 2},
        "date": "2026-11-24",
        "load": 0.4,
        "minutes": 3.0,
        "about": {
            "one": {"settings": "defaults", "versions": {"x": "1.0"}},
            "two": {"settings": "", "versions": {}},
            "three": {"settings": "", "missing": "no Python"},
        },
        "results": {
            "one": {phase: run(20.0, 7) for phase in phases},
            "other": {phase: run(10.0, 9) for phase in phases},
            "two": {"unlimited": {"code": 1, "failed": "no such thing"}},
        },
    }


def test_the_best_of_each_column_is_bold_whosever_it_is_and_failures_are_told() -> None:
    text = report.tables(facts())
    [one, other, failed] = text.split("in force")[1].split("\n")[4:7]
    assert [cell.strip() for cell in one.split("|")[1:6]] == ["one", "20.0", "1,000", "50", "**7**"]
    assert [c.strip() for c in other.split("|")[1:6]] == [
        "other",
        "**10.0**",
        "1,000",
        "**100**",
        "9",
    ]
    assert "no such thing" in failed
    assert "**three**: not run. no Python" in text
    assert "30 days of idle hours" in text
    assert "5,040" in text


def test_a_busy_machine_is_told() -> None:
    assert "busy" not in report.tables(facts())
    assert "load 9 when it began" in report.tables(facts() | {"load": 9.2})


def test_only_what_is_between_the_markers_of_a_page_is_replaced() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter"
    new = report.replaced(page, "new")
    assert new == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter"
    assert report.replaced(new, "new") == new
    with pytest.raises(ValueError, match="no place"):
        report.replaced("no markers", "new")


def test_a_run_is_told_in_a_line() -> None:
    run = json.loads(json.dumps(facts()))["results"]["one"]["first"]
    assert "7 requests" in report.one_line(run)
    assert "'missing': 5" in report.one_line(run)
    assert report.one_line({"code": 1, "failed": "x"}) == "failed with 1: x"
