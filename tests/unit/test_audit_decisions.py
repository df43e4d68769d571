"""What a difference means, decided without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.sync.audit.result import AuditResult, TableAudit
from airflow_provider_stripe_app.sync.audit.spool import Look, Spool, spool
from airflow_provider_stripe_app.sync.audit.verdict import (
    MOST_FIELDS,
    Finding,
    cheaper_to_list,
    differences,
    fate,
    is_due,
    judge,
)
from airflow_provider_stripe_app.sync.audit.walk import gone
from airflow_provider_stripe_app.sync.fetch import Whole
from airflow_provider_stripe_app.warehouse.base import (
    Marks,
    Obligation,
    StagedChild,
    StagedRow,
    StoredRow,
)

CUSTOMERS, INVOICES = STREAMS["customers"], STREAMS["invoices"]
TRUE = '{"id":"cus_1","name":"Zoë","metadata":{"k":"v"},"next_invoice_sequence":1}'


def stored(raw: str = TRUE, *, dead: bool = False, wrong: tuple[str, ...] = ()) -> StoredRow:
    return StoredRow("cus_1", raw, dead, wrong)


def judged(row: StoredRow | None) -> Finding | None:
    return judge(CUSTOMERS, "cus_1", "cus_1", row, TRUE)


def with_fields(**fields: Any) -> str:
    return json.dumps({**json.loads(TRUE), **fields})


@pytest.mark.parametrize(
    ("stored_raw", "true_raw", "fields"),
    [
        ('{"a":1,"b":2}', '{"b": 2, "a": 1.0}', []),  # the same JSON in other words
        ('{"a":"\\u00e9"}', '{"a":"é"}', []),
        ('{"a":1}', '{"a":true}', ["a"]),
        ('{"a":0}', '{"a":false}', ["a"]),
        ('{"a":null}', "{}", ["a"]),
        ('{"a":{"b":1,"c":2}}', '{"a":{"b":1,"c":3}}', ["a.c"]),
        ('{"a":[{"b":1},{"b":2}]}', '{"a":[{"b":5},{"b":6}]}', ["a.[].b"]),
        ('{"a":[1]}', '{"a":[1,2]}', ["a"]),
        ('{"a":1}', '{"a":9007199254740993}', ["a"]),
        ('{"a":9007199254740992}', '{"a":9007199254740993}', ["a"]),
        ("not JSON", '{"a":1}', ["_raw"]),
        ("", '{"a":1}', ["_raw"]),
        ("[" * 100_000, '{"a":1}', ["_raw"]),
        ("7", '{"a":1}', ["_raw"]),
    ],
)
def test_json_differs_by_its_values_only(stored_raw: str, true_raw: str, fields: list[str]) -> None:
    assert differences(CUSTOMERS, stored_raw, true_raw) == (fields, [])


def test_links_made_anew_at_every_read_are_no_difference() -> None:
    one, other = (f'{{"id":"in_1","hosted_invoice_url":"{n}"}}' for n in (1, 2))
    assert differences(INVOICES, one, other) == ([], [])


def test_what_stripe_changes_without_an_event_is_told_apart() -> None:
    found = judged(stored(with_fields(next_invoice_sequence=2)))
    assert found is not None
    assert (found.kind, found.fields) == ("silent", ("next_invoice_sequence",))
    both = judged(stored(with_fields(next_invoice_sequence=2, name="Zoe")))
    assert both is not None
    assert (both.kind, both.fields) == ("different", ("name",))


def test_each_way_to_be_wrong_has_its_kind() -> None:
    absent, dead = judged(None), judged(stored(dead=True))
    column = judged(stored(wrong=("name", "livemode")))
    assert absent == Finding("customers", "cus_1", "cus_1", "missing")
    assert dead == Finding("customers", "cus_1", "cus_1", "missing", ("is_deleted",))
    assert column == Finding(
        "customers",
        "cus_1",
        "cus_1",
        "different",
        ("column name", "column livemode"),
        heals=False,
    )
    assert judged(stored()) is None


def test_a_row_that_is_all_wrong_names_a_bounded_number_of_fields() -> None:
    raw = json.dumps({f"field_{n}": n for n in range(1000)})
    found = judged(stored(raw))
    assert found is not None
    assert len(found.fields) == MOST_FIELDS


def owed(closes_at: int, event: str = "evt_1", *, ambiguous: bool = False) -> Obligation:
    return Obligation("customers", "cus_1", closes_at, event, "upsert", ambiguous=ambiguous)


@pytest.mark.parametrize(
    ("seen_at", "now", "event", "expected"),
    [
        (1002, Marks(True, 1002), None, "stands"),
        (None, Marks(), None, "stands"),
        (1002, Marks(True, 1012), None, "moved"),  # a sync has written it
        (None, Marks(True, 1012), None, "moved"),
        (1002, Marks(), None, "moved"),
        (1002, Marks(True, 1002), owed(101), "due"),  # a sync will read it
        (1002, Marks(True, 1002, owed=owed(101)), None, "due"),
        (None, Marks(), owed(1), "due"),
        (1002, Marks(True, 1002), owed(100), "stands"),  # closed: read after the event
        (1001, Marks(True, 1001, "evt_1"), owed(100), "stands"),  # closed: its own payload
        (1001, Marks(True, 1001, "evt_2"), owed(100), "due"),
        (1001, Marks(True, 1001, "evt_1"), owed(100, ambiguous=True), "due"),
        (1002, Marks(True, 1002, owed=owed(99)), owed(101), "due"),
    ],
)
def test_a_difference_stands_only_if_no_sync_will_mend_it(
    seen_at: int | None, now: Marks, event: Obligation | None, expected: str
) -> None:
    assert fate(seen_at, now, event) == expected


def test_a_sync_mends_no_column_and_no_silent_change() -> None:
    by_hand = Finding("customers", "cus_1", "cus_1", "different", ("column name",), heals=False)
    raw = Finding("customers", "cus_1", "cus_1", "different", ("name",))
    silent = Finding("customers", "cus_1", "cus_1", "silent", ("next_invoice_sequence",))
    assert [is_due(f, "due") for f in (by_hand, raw, silent)] == [False, True, False]
    assert [is_due(f, "moved") for f in (by_hand, raw, silent)] == [True, True, False]
    assert not any(is_due(f, "stands") for f in (by_hand, raw, silent))


def test_a_few_suspects_are_fetched_and_many_are_listed() -> None:
    assert not cheaper_to_list(150, 1_000)
    assert not cheaper_to_list(1_000, 100_000)
    assert cheaper_to_list(2_000, 100_000)
    assert cheaper_to_list(5_000, 0)


@pytest.mark.parametrize("odd", ['a"b', "a\\b", "a\nb", "é'", "x" * 300])
def test_a_row_with_any_id_can_become_a_tombstone(odd: str) -> None:
    row = gone(CUSTOMERS, odd, 100).row
    assert json.loads(row.raw) == {"id": odd, "object": "customer", "deleted": True}
    assert (row.version, row.deleted_at) == (1002, 100)


def test_the_spool_gives_back_what_it_was_given_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    children = {"invoice_line_items": [StagedChild("in_1", "il_1", '{"a":"\\ud800"}', '{"a":"?"}')]}
    look = Look("in_1", None, Whole(StagedRow("in_1", '{"é":1}', 1002), children))
    finding = Finding("invoice_line_items", "il_1", "in_1", "missing")
    with spool() as memory:
        assert list(tmp_path.iterdir())
        memory.suspect("invoices", ["in_1", "in_2"])
        memory.keep("invoices", [(look, [finding]), (Look("in_2", 7, look.whole), [])])
        assert memory.suspects("invoices") == 0
        assert memory.hopes("invoices")
        assert memory.take_looks("invoices", 10) == [(look, [finding])]
        assert memory.take_looks("invoices", 10) == []
        newest_event_stays(memory)
    assert list(tmp_path.iterdir()) == []


def newest_event_stays(memory: Spool) -> None:
    for closes_at in (100, 120, 110):
        memory.remember_events([owed(closes_at)])
    assert memory.event("customers", "cus_1") == owed(120)


def test_a_result_is_bounded_and_readable() -> None:
    table = TableAudit(checked=1234, equal=1230, missing=4, unrepaired=4)
    table.examples = {"missing": {f"cus_{n}": () for n in range(9)}}
    result = AuditResult("acct_1", False, {"customers": table}, {"audit:customers": 13})
    lines = result.lines()
    assert lines[0] == "customers: 1,234 checked, 1,230 equal: 4 DIFFER (4 missing)"
    assert len(lines) == 4
    assert result.as_dict()["equal"] is False
    assert json.loads(json.dumps(result.as_dict()))["tables"]["customers"]["missing"] == 4
