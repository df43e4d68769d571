"""The three warehouses keep the contract of warehouse/base.py, and give the same rows."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_stripe_app.api.split import sanitize
from airflow_provider_stripe_app.streams.model import Column
from airflow_provider_stripe_app.streams.rows import canonical, typed_row
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    ForeignTable,
    LeaseHeld,
    Obligation,
    StagedRow,
    StaleWriter,
    StateKey,
    TableChange,
    WarehouseError,
)
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse
from tests.integration.warehouse_lab import (
    ACCOUNT,
    COLUMNS,
    KEY,
    PARTS,
    THINGS,
    Place,
    claim,
    gone,
    merge,
    part,
    place_for,
    thing,
)

KINDS = ("sqlite", "duckdb", "psycopg", "psycopg2")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Any) -> Place:
    kind = request.param
    socket = ""
    if kind.startswith("psycopg"):
        pytest.importorskip(kind, reason="this environment has the other PostgreSQL driver only")
        socket = request.getfixturevalue("postgres").socket_directory
    return place_for(kind, tmp_path, socket, f"t_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def warehouse(place: Place) -> Iterator[SqlWarehouse]:
    opened = place.warehouse()
    yield opened
    opened.close()


# --- typing ---------------------------------------------------------------------------------

NASTY: dict[str, str] = {
    "plain": '{"id":"plain","amount":5,"paid":true,"name":"x","created":1700000000,"rate":"1.10",'
    '"metadata":{"b":1,"a":[1,2.50]},"customer":"cus_1","address":{"city":"Köln","geo":{"lat":-3}},'
    '"order":"o","select":{"from":"f"}}',
    "missing": '{"id":"missing"}',
    "nulls": '{"id":"nulls","amount":null,"paid":null,"name":null,"created":null,"rate":null,'
    '"metadata":null,"customer":null,"address":null,"order":null,"select":{"from":null}}',
    "fraction": '{"id":"fraction","amount":1.5,"created":1.5,"rate":1.5}',
    "whole_fraction": '{"id":"whole_fraction","amount":1.0,"created":1e9}',
    "exponent": '{"id":"exponent","amount":1e3}',
    "true_as_int": '{"id":"true_as_int","amount":true,"created":false,"paid":1}',
    "text_as_int": '{"id":"text_as_int","amount":"5","created":"5","paid":"true"}',
    "abc": '{"id":"abc","amount":"abc","paid":"abc"}',
    "int64": '{"id":"int64","amount":9223372036854775807}',
    "int64_min": '{"id":"int64_min","amount":-9223372036854775808}',
    "beyond": '{"id":"beyond","amount":9223372036854775808}',
    "below": '{"id":"below","amount":-9223372036854775809}',
    "huge": '{"id":"huge","amount":123456789012345678901234567890,"created":99999999999999999999}',
    "minus_zero": '{"id":"minus_zero","amount":-0}',
    "last_second": '{"id":"last_second","created":253402300799}',
    "too_late": '{"id":"too_late","created":253402300800}',
    "too_early": '{"id":"too_early","created":-1}',
    "epoch": '{"id":"epoch","created":0}',
    "int_as_text": '{"id":"int_as_text","name":5,"order":true,"customer":7,"rate":5}',
    "object_as_text": '{"id":"object_as_text","name":{"a":1},"order":[1]}',
    "expanded": '{"id":"expanded","customer":{"id":"cus_2","object":"customer"}}',
    "expanded_bad": '{"id":"expanded_bad","customer":{"id":5}}',
    "expanded_empty": '{"id":"expanded_empty","customer":{}}',
    "expanded_list": '{"id":"expanded_list","customer":["cus"]}',
    "not_an_object": '{"id":"not_an_object","address":"Köln","select":[{"from":"f"}]}',
    "half_an_object": '{"id":"half_an_object","address":{"city":5,"geo":"x"}}',
    "json_text": '{"id":"json_text","metadata":"5"}',
    "json_number": '{"id":"json_number","metadata":-0.5}',
    "json_false": '{"id":"json_false","metadata":false}',
    "json_nested_null": '{"id":"json_nested_null","metadata":{"a":null}}',
    "json_big": '{"id":"json_big","metadata":{"n":123456789012345678901234567890}}',
    "long_metadata": json.dumps(
        {"id": "long_metadata", "metadata": {f"k{i}": "ü" * 500 for i in range(50)}}
    ),
    "unicode": '{"id":"unicode",'
    '"name":"\\u00e9\\ud83d\\ude00 日本 \U0001f600 \\"q\\" \\\\ \\/ \\n\\t"}',
    "backslash_u": '{"id":"backslash_u","name":"\\\\u0000 \\\\ud800"}',
    "escaped_keys": r'{"id":"escaped_keys","am\u006funt":5,"n\u0061me" : "\u0061me\": \\"}',
    "quotes": '{"id":"quotes","name":"it\'s; DROP TABLE things;--"}',
    "spaces": '{ "id" : "spaces" ,\n\t"amount" : 7 , "name" : "" }',
    "nul": '{"id":"nul","name":"a\\u0000b","metadata":{"k\\u0000":"\\u0000"}}',
    "lone": '{"id":"lone","name":"\\ud800","order":"x\\uDC00y","metadata":["\\udfff"]}',
}


def staged(raw: str, version: int = 100) -> StagedRow:
    copy = sanitize(raw.encode())
    return StagedRow(json.loads(raw)["id"], raw, version, copy.decode() if copy else None)


def test_every_warehouse_types_as_the_reference_does(place: Place, warehouse: SqlWarehouse) -> None:
    rows = [staged(raw) for raw in NASTY.values()]
    change = merge(warehouse, rows)["things"]
    assert (change.inserted, change.new_columns) == (len(NASTY), ())
    found = {row["id"]: row for row in place.rows("things")}
    misfits: dict[str, int] = {}
    for row in rows:
        expected = typed_row(THINGS, row.raw, row.typed_from)
        for name, value in expected.values.items():
            want = canonical(value) if name == "metadata" and isinstance(value, str) else value
            assert (row.id, name, found[row.id][name]) == (row.id, name, want)
        for name in expected.misfits:
            misfits[name] = misfits.get(name, 0) + 1
    assert dict(change.misfits) == misfits


def test_raw_comes_back_byte_for_byte(place: Place, warehouse: SqlWarehouse) -> None:
    merge(warehouse, [staged(raw) for raw in NASTY.values()])
    assert {row["id"]: row["_raw"] for row in place.rows("things")} == NASTY


def test_a_row_says_where_it_comes_from(place: Place, warehouse: SqlWarehouse) -> None:
    before = datetime.now(timezone.utc)
    row = StagedRow("t1", '{"id":"t1","livemode":true}', 1002, event_id="evt_1")
    other = StagedRow("t2", '{"id":"t2","livemode":"yes"}', 1002)
    merge(warehouse, [row, other], [], load_id=7)
    found = place.row("t1")
    assert found["account_id"] == ACCOUNT
    assert found["livemode"] is True  # the object's own word
    assert place.row("t2")["livemode"] is False  # the batch's
    assert (found["is_deleted"], found["deleted_at"]) == (False, None)
    assert (found["_version"], found["_children_version"]) == (1002, 1002)
    assert (found["_event_id"], found["_load_id"], found["_schema_version"]) == ("evt_1", 7, 1)
    assert found["_api_version"] == "2026-10-28.endive"
    assert abs((found["_synced_at"] - before).total_seconds()) < 60


# --- which row wins -------------------------------------------------------------------------


def test_an_older_or_equal_version_loses(place: Place, warehouse: SqlWarehouse) -> None:
    merge(warehouse, [thing("t1", 100, amount=1)])
    for version in (99, 100):
        change = merge(warehouse, [thing("t1", version, amount=2)])["things"]
        assert change == TableChange(unchanged=1)
    assert place.row("t1")["amount"] == 1
    assert merge(warehouse, [thing("t1", 101, amount=3)])["things"] == TableChange(updated=1)
    assert (place.row("t1")["amount"], place.row("t1")["_version"]) == (3, 101)


def test_of_an_id_twice_the_highest_version_wins_and_the_last_among_equals(
    place: Place, warehouse: SqlWarehouse
) -> None:
    rows = [thing("a", 2, amount=2), thing("a", 1, amount=1)]
    rows += [thing("b", 5, amount=1), thing("b", 5, amount=2)]
    assert merge(warehouse, rows)["things"] == TableChange(inserted=2)
    assert [(r["id"], r["amount"]) for r in place.rows("things")] == [("a", 2), ("b", 2)]


def test_the_same_json_again_is_no_change_but_moves_the_version(
    place: Place, warehouse: SqlWarehouse
) -> None:
    merge(warehouse, [thing("t1", 100, amount=1)])
    assert merge(warehouse, [thing("t1", 110, amount=1)], [])["things"] == TableChange(unchanged=1)
    row = place.row("t1")
    assert (row["_version"], row["_children_version"], row["amount"]) == (110, 110, 1)


def test_two_accounts_may_share_an_id(place: Place, warehouse: SqlWarehouse) -> None:
    merge(warehouse, [thing("t1", 100, amount=1)])
    with warehouse.transaction() as tx:
        tx.merge(Batch(THINGS, "acct_2", True, [thing("t1", 50, amount=2)]), {})
    found = [(r["account_id"], r["amount"], r["livemode"]) for r in place.rows("things")]
    assert sorted(found) == [("acct_1", 1, False), ("acct_2", 2, True)]


def test_a_tombstone_keeps_the_columns_and_a_newer_row_comes_back(
    place: Place, warehouse: SqlWarehouse
) -> None:
    merge(warehouse, [thing("t1", 100, amount=1)])
    assert merge(warehouse, [gone("t1", 99, 9)])["things"] == TableChange(unchanged=1)
    assert merge(warehouse, [gone("t1", 201, 20)])["things"] == TableChange(deleted=1)
    row = place.row("t1")
    assert (row["is_deleted"], row["amount"], row["_version"]) == (True, 1, 201)
    assert row["deleted_at"] == datetime.fromtimestamp(20, timezone.utc)
    assert row["_event_id"] == "evt_gone"
    assert json.loads(row["_raw"]) == {"id": "t1", "amount": 1}
    assert merge(warehouse, [gone("t1", 211, 20)])["things"] == TableChange(unchanged=1)
    # The very same JSON: it counts as updated because it came back.
    assert merge(warehouse, [thing("t1", 300, amount=1)])["things"] == TableChange(updated=1)
    row = place.row("t1")
    assert (row["is_deleted"], row["deleted_at"], row["_version"]) == (False, None, 300)


def test_a_tombstone_of_an_unknown_row_is_kept_against_older_pages(
    place: Place, warehouse: SqlWarehouse
) -> None:
    change = merge(warehouse, [gone("t9", 200, 20)])["things"]
    assert change == TableChange(deleted=1)  # and "deleted" became no column
    assert merge(warehouse, [thing("t9", 199, amount=1)])["things"] == TableChange(unchanged=1)
    assert place.row("t9")["is_deleted"] is True


# --- children -------------------------------------------------------------------------------


def living(place: Place) -> dict[str, str]:
    return {row["id"]: row["thing"] for row in place.rows("parts") if not row["is_deleted"]}


def test_children_are_replaced_emptied_and_buried_with_their_parent(
    place: Place, warehouse: SqlWarehouse
) -> None:
    rows = [thing("t1", 1002), thing("t2", 1002)]
    change = merge(warehouse, rows, [part("t1", "a"), part("t1", "b"), part("t2", "c")])
    assert change["parts"] == TableChange(inserted=3)
    assert living(place) == {"a": "t1", "b": "t1", "c": "t2"}

    change = merge(warehouse, [thing("t1", 1012)], [part("t1", "b", 2), part("t1", "d")])
    assert change["parts"] == TableChange(inserted=1, updated=1, deleted=1)
    assert living(place) == {"b": "t1", "c": "t2", "d": "t1"}
    buried = place.row("a", "parts")
    assert buried["deleted_at"] == datetime.fromtimestamp(101, timezone.utc)
    assert (buried["_version"], place.row("b", "parts")["n"]) == (1012, 2)

    assert merge(warehouse, [thing("t1", 1022)], [])["parts"] == TableChange(deleted=2)
    assert living(place) == {"c": "t2"}

    change = merge(warehouse, [thing("t1", 1032)], [part("t1", "a")])
    assert change["parts"] == TableChange(updated=1)
    assert place.row("a", "parts")["deleted_at"] is None

    change = merge(warehouse, [gone("t1", 2001, 200)], [])
    assert (change["things"].deleted, change["parts"].deleted) == (1, 1)
    assert place.row("a", "parts")["deleted_at"] == datetime.fromtimestamp(200, timezone.utc)
    assert living(place) == {"c": "t2"}


def test_children_of_a_parent_that_loses_are_left_alone(
    place: Place, warehouse: SqlWarehouse
) -> None:
    merge(warehouse, [thing("t1", 1002)], [part("t1", "a")])
    change = merge(warehouse, [thing("t1", 1002, amount=9)], [part("t1", "z")])
    assert change["parts"] == TableChange(unchanged=1)
    assert living(place) == {"a": "t1"}
    assert merge(warehouse, [gone("t1", 900, 90)], [])["parts"] == TableChange()
    assert living(place) == {"a": "t1"}


def test_a_child_that_moves_is_not_buried_with_its_old_parent(
    place: Place, warehouse: SqlWarehouse
) -> None:
    merge(warehouse, [thing("t1", 1002), thing("t2", 1002)], [part("t1", "a"), part("t2", "b")])
    merge(warehouse, [thing("t1", 1012), thing("t2", 1012)], [part("t2", "a"), part("t2", "b")])
    assert living(place) == {"a": "t2", "b": "t2"}


def test_the_parent_of_a_child_is_the_staged_one_even_if_the_json_has_another(
    place: Place, warehouse: SqlWarehouse
) -> None:
    child = replace(part("t1", "a"), raw='{"id":"a","thing":null,"n":1}')
    merge(warehouse, [thing("t1", 1002)], [child])
    assert (living(place), place.row("a", "parts")["n"]) == ({"a": "t1"}, 1)


# --- columns --------------------------------------------------------------------------------


def test_unknown_fields_become_typed_columns_and_old_rows_are_filled(
    place: Place, warehouse: SqlWarehouse
) -> None:
    merge(warehouse, [thing("t1", 100, amount=1), gone("t0", 100, 10)])
    # A row that older code stored without the column: its JSON holds the field.
    holds = '{"id":"t1","fresh":true,"extra":{"a":1},"count":5,"label":"\\ud800x"}'
    table = place.named("things")
    place.query(f"UPDATE {table} SET _raw = '{holds}' WHERE id = 't1'")
    new = {"fresh": False, "extra": [1], "count": 7, "label": "é", "mixed": 1, "void": None}
    new |= {"parts": {"object": "list", "data": []}, "payments": {"object": "list", "data": []}}
    rows = [thing("t2", 100, **new), thing("t3", 100, mixed="x")]
    change = merge(warehouse, rows, [])["things"]
    assert change.new_columns == ("count", "extra", "fresh", "label", "mixed")
    old, row, third = (place.row(i) for i in ("t1", "t2", "t3"))
    assert (old["fresh"], old["extra"], old["count"]) == (True, '{"a":1}', 5)
    assert old["label"] == "\ufffdx"
    assert (row["fresh"], row["extra"], row["count"], row["label"]) == (False, "[1]", 7, "é")
    assert (row["mixed"], third["mixed"], third["count"]) == ("1", '"x"', None)
    change = merge(warehouse, [thing("t4", 100, count="many")])["things"]
    assert (change.new_columns, dict(change.misfits)) == ((), {"count": 1})


def test_a_stream_of_ids_only_is_a_table_too(place: Place, warehouse: SqlWarehouse) -> None:
    bare = replace(THINGS, columns=COLUMNS[:1])
    assert merge(warehouse, [thing("t1", 100)], stream=bare)["things"] == TableChange(inserted=1)
    assert place.row("t1")["_version"] == 100


def test_field_names_that_clash_get_columns_of_their_own(
    place: Place, warehouse: SqlWarehouse
) -> None:
    long = "n" * 300
    fields = {"Foo": 1, "foo": 2, "_version": 3, "deleted_at": 4, "1st": 5, "a b%?'": 6, "": 7}
    fields |= {long + "a": 8, long + "b": 9, 'quo"te': 10, "user": 11, "größe": 12}
    change = merge(warehouse, [thing("t1", 100, **fields)])["things"]
    row = place.row("t1")
    assert sorted(row[name] for name in change.new_columns) == [1, 2, 3, 4, 5, 6, 8, 9, 11]
    assert (row["_version"], row["deleted_at"], row["_1st"], row["user"]) == (100, None, 5, 11)
    # Once given, the names stay, whatever comes first next time.
    again = merge(warehouse, [thing("t2", 100, foo=20), thing("t3", 100, Foo=10)])["things"]
    assert again.new_columns == ()
    by_value = {row[name]: name for name in change.new_columns}
    assert place.row("t2")[by_value[2]] == 20
    assert place.row("t3")[by_value[1]] == 10


def test_a_column_that_the_catalogue_gains_is_added_and_filled(
    place: Place, warehouse: SqlWarehouse
) -> None:
    merge(warehouse, [thing("t1", 100, address={"city": "Bonn"}, name="n")])
    old = place.named("things")
    before = replace(THINGS, columns=COLUMNS)
    after = replace(before, columns=(*COLUMNS, Column("address_zip", ("address", "zip"), "text")))
    place.query(
        f'UPDATE {old} SET _raw = \'{{"id":"t1","address":{{"zip":"53111"}}}}\' WHERE id = \'t1\''
    )
    change = merge(warehouse, [thing("t2", 100, address={"zip": "1"})], stream=after)["things"]
    assert change.new_columns == ()  # the catalogue knows it
    assert (place.row("t1")["address_zip"], place.row("t2")["address_zip"]) == ("53111", "1")


def test_an_older_provider_does_not_write_a_newer_table(warehouse: SqlWarehouse) -> None:
    warehouse.schema_version = 2
    merge(warehouse, [thing("t1", 100)])
    warehouse.schema_version = 1
    with pytest.raises(WarehouseError, match=r"(?s)newer version.*upgrade the provider"):
        merge(warehouse, [thing("t2", 100)])


def test_a_table_of_somebody_else_is_named_and_left_alone(
    place: Place, warehouse: SqlWarehouse
) -> None:
    claim(warehouse)
    table = place.named("things")
    place.query(f"CREATE TABLE {table} (id text, account_id text)")
    place.query(f"INSERT INTO {table} VALUES ('x', 'y')")
    with pytest.raises(ForeignTable, match=rf"{re.escape(table)}.*another schema.*rename"):
        merge(warehouse, [thing("t1", 100)])
    assert place.query(f"SELECT * FROM {table}") == [("x", "y")]
    with warehouse.transaction() as tx, pytest.raises(ForeignTable):
        tx.unseen(THINGS, ACCOUNT, False, 1, 1000, 10)


# --- leases, state, commits -----------------------------------------------------------------


def test_a_lease_is_held_renewed_given_back_and_taken_over(warehouse: SqlWarehouse) -> None:
    first = claim(warehouse, "one", ttl=60)
    assert (first.fence, first.state) == (1, None)
    with pytest.raises(LeaseHeld, match="held by one") as caught:
        claim(warehouse, "two")
    assert 50 < caught.value.seconds_left <= 60
    with warehouse.transaction() as tx:
        tx.advance(first, '{"page":1}')
    again = claim(warehouse, "one", ttl=0.2)  # its own, at once
    assert (again.fence, again.state) == (2, '{"page":1}')
    time.sleep(0.3)
    third = claim(warehouse, "two")  # expired
    assert third.fence == 3
    with warehouse.transaction() as tx:
        tx.release(again)  # not ours any more: nothing
    with pytest.raises(LeaseHeld):
        claim(warehouse, "three")
    with warehouse.transaction() as tx:
        tx.advance(third, None)
        tx.release(third)
    assert claim(warehouse, "three").state == '{"page":1}'
    with warehouse.transaction() as tx:
        assert tx.states(ACCOUNT, False) == {"things": '{"page":1}'}
        assert tx.states(ACCOUNT, True) == {}
        tx.claim(StateKey(ACCOUNT, True, "things"), "x", 1, "")  # live mode is another stream


def test_a_stale_writer_is_refused_and_what_it_brought_is_discarded(
    place: Place, warehouse: SqlWarehouse
) -> None:
    stale = claim(warehouse, "one", ttl=0)
    merge(warehouse, [thing("t1", 100, amount=1)])
    claim(warehouse, "two")
    with pytest.raises(StaleWriter, match="taken over"), warehouse.transaction() as tx:  # noqa: PT012
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 200, amount=2)]), {})
        tx.advance(stale, '{"x":1}')
    assert place.row("t1")["amount"] == 1


def test_a_swallowed_stale_writer_does_not_commit(place: Place, warehouse: SqlWarehouse) -> None:
    stale = claim(warehouse, "one", ttl=0)
    claim(warehouse, "two")
    merge(warehouse, [thing("t1", 100, amount=1)])
    with (  # noqa: PT012
        pytest.raises(WarehouseError, match="nothing was committed"),
        warehouse.transaction() as tx,
    ):
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 200, amount=2)]), {})
        with pytest.raises(StaleWriter):
            tx.advance(stale, None)
    assert place.row("t1")["amount"] == 1


def test_an_error_leaves_nothing_behind(place: Place, warehouse: SqlWarehouse) -> None:
    held = claim(warehouse)
    with pytest.raises(KeyError), warehouse.transaction() as tx:  # noqa: PT012
        tx.advance(held, '{"x":1}')
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 100, more=1)]), {})
        raise KeyError
    with warehouse.transaction() as tx:
        assert tx.states(ACCOUNT, False) == {}
        assert tx.unseen(THINGS, ACCOUNT, False, 1, 1000, 10) == []  # not even the table
    change = merge(warehouse, [thing("t1", 100, more=1)])["things"]
    assert (change.inserted, change.new_columns) == (1, ("more",))


def test_a_swallowed_error_does_not_commit(place: Place, warehouse: SqlWarehouse) -> None:
    held = claim(warehouse)
    merge(warehouse, [thing("t1", 100, amount=1)])
    with (  # noqa: PT012
        pytest.raises(WarehouseError, match="nothing was committed"),
        warehouse.transaction() as tx,
    ):
        tx.advance(held, '{"x":1}')
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 200, amount=2)]), {})
        with pytest.raises(WarehouseError, match="JSON of t2 cannot be typed"):
            tx.merge(Batch(THINGS, ACCOUNT, False, [StagedRow("t2", "{no json", 200)]), {})
        with pytest.raises(WarehouseError):
            tx._session.run("wrong", "SELECT nonsense FROM nowhere")
    assert place.row("t1")["amount"] == 1


def test_stopped_before_any_statement_a_merge_happens_whole_or_not_at_all(
    place: Place, warehouse: SqlWarehouse
) -> None:
    held = claim(warehouse)
    merge(warehouse, [thing("t1", 1002)], [part("t1", "a")], load_id=1)
    before = (place.rows("things"), place.rows("parts"))
    batch = Batch(
        THINGS,
        ACCOUNT,
        False,
        [thing("t1", 1012, novel=1), gone("t2", 1011, 100)],
        {"parts": [part("t1", "b")]},
        load_id=2,
    )

    def attempt() -> None:
        with warehouse.transaction() as tx:
            tx.advance(held, '{"page":2}')
            tx.merge(batch, {"parts": PARTS})

    stops = 0
    while True:
        seen = 0

        def fault(label: str, at: int = stops) -> None:
            nonlocal seen
            seen += 1
            if seen > at and label != "verify":
                raise RuntimeError(label)

        warehouse.fault = fault
        try:
            attempt()
        except RuntimeError:
            stops += 1
            warehouse.fault = None
            if stops % 7 == 0:  # reading is dear in DuckDB
                assert (place.rows("things"), place.rows("parts")) == before
            continue
        break
    warehouse.fault = None
    assert stops > 20
    assert place.row("t1")["novel"] == 1
    with warehouse.transaction() as tx:
        assert tx.states(ACCOUNT, False) == {"things": '{"page":2}'}


def test_a_commit_that_commits_nothing_is_noticed(
    warehouse: SqlWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = claim(warehouse)
    with warehouse.transaction() as tx:
        kind = type(tx._session)
    monkeypatch.setattr(kind, "_commit", kind._rollback)
    with pytest.raises(WarehouseError, match="did not take effect"), warehouse.transaction() as tx:
        tx.advance(held, '{"x":1}')
    with pytest.raises(WarehouseError, match="did not take effect"):
        claim(warehouse)


# --- seen and owed --------------------------------------------------------------------------


def test_a_full_load_marks_rows_that_lose_as_seen(warehouse: SqlWarehouse) -> None:
    merge(warehouse, [thing(f"t{i}", 100) for i in range(4)] + [gone("dead", 100, 1)])
    merge(warehouse, [thing("t0", 90), thing("t1", 110)], load_id=5)
    with warehouse.transaction() as tx:
        assert tx.unseen(THINGS, ACCOUNT, False, 5, 1000, 10) == ["t2", "t3"]
        assert tx.unseen(THINGS, ACCOUNT, False, 5, 1000, 1) == ["t2"]
        assert tx.unseen(THINGS, ACCOUNT, False, 5, 100, 10) == []
        assert tx.unseen(THINGS, ACCOUNT, False, 6, 105, 10) == ["t0", "t2", "t3"]
        assert tx.unseen(THINGS, ACCOUNT, True, 5, 1000, 10) == []


def owed(id_: str, closes_at: int, event: str = "evt_a", **more: Any) -> Obligation:
    return Obligation("things", id_, closes_at, event, **({"effect": "gone"} | more))


def test_the_newest_obligation_stays_and_a_tie_is_ambiguous(warehouse: SqlWarehouse) -> None:
    def due() -> dict[str, Obligation]:
        return {o.id: o for o in tx.due(ACCOUNT, False, "things", 100)}

    tie = Obligation("things", "tie", 50, "evt_a", "upsert", True, None)
    with warehouse.transaction() as tx:
        tx.owe(
            ACCOUNT,
            False,
            [
                owed("new", 60, payload="{}"),
                owed("new", 50, "evt_b"),
                owed("tie", 50, payload="{}"),
            ],
        )
        tx.owe(ACCOUNT, False, [owed("tie", 50, "evt_b"), owed("same", 50, payload="{}")])
        tx.owe(ACCOUNT, False, [owed("same", 50), owed("one", 9), owed("one", 9, "evt_b")])
        tx.owe(ACCOUNT, False, [])
        tx.owe(ACCOUNT, True, [owed("live", 50)])
        tx.owe(ACCOUNT, False, [replace(owed("else", 50), stream="others")])
        found = due()
    assert found["new"] == owed("new", 60, payload="{}")
    assert found["tie"] == tie
    assert found["same"] == owed("same", 50, payload="{}")
    assert found["one"] == replace(tie, id="one", closes_at=9)
    assert set(found) == {"new", "tie", "same", "one"}
    with warehouse.transaction() as tx:
        tx.owe(ACCOUNT, False, [owed("tie", 50), owed("one", 70, "evt_c")])
        assert due()["tie"] == tie  # once ambiguous, an old event again makes it no clearer
        assert due()["one"] == owed("one", 70, "evt_c")
        tx.owe(ACCOUNT, False, [owed("one", 60, "evt_d")])
        assert due()["one"] == owed("one", 70, "evt_c")
        assert [o.id for o in tx.due(ACCOUNT, False, "things", 2)] == ["same", "tie"]


def test_obligations_are_settled_by_what_closes_them_only(warehouse: SqlWarehouse) -> None:
    with warehouse.transaction() as tx:
        tx.owe(ACCOUNT, False, [owed("t1", 50), owed("forgiven", 50)])
        assert tx.settle(THINGS, ACCOUNT, False) == 0  # there is no table yet
        assert tx.settle(THINGS, ACCOUNT, False, ["forgiven", "unknown"]) == 1
    rows = [
        StagedRow("read", '{"id":"read"}', 502),
        StagedRow("read_early", '{"id":"read_early"}', 492),
        StagedRow("payload", '{"id":"payload"}', 501, event_id="evt_a"),
        StagedRow("other_event", '{"id":"other_event"}', 501, event_id="evt_b"),
        StagedRow("unclear", '{"id":"unclear"}', 501, event_id="evt_a"),
    ]
    merge(warehouse, rows)
    with warehouse.transaction() as tx:
        tx.owe(ACCOUNT, False, [owed(row.id, 50, ambiguous=row.id == "unclear") for row in rows])
        assert tx.settle(THINGS, ACCOUNT, False) == 2
        left = {o.id for o in tx.due(ACCOUNT, False, "things", 100)}
    assert left == {"t1", "read_early", "other_event", "unclear"}
    with warehouse.transaction() as tx:
        many = [f"id{i}" for i in range(1201)]
        tx.owe(ACCOUNT, False, [owed(i, 50) for i in many])
        assert tx.settle(THINGS, ACCOUNT, False, many) == 1201


def test_an_obligation_may_be_settled_and_owed_anew_in_one_transaction(
    warehouse: SqlWarehouse,
) -> None:
    merge(warehouse, [thing("t1", 502)])
    with warehouse.transaction() as tx:
        tx.owe(ACCOUNT, False, [owed("t1", 50)])
    with warehouse.transaction() as tx:
        assert tx.settle(THINGS, ACCOUNT, False) == 1
        tx.owe(ACCOUNT, False, [owed("t1", 60)])
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 602, amount=1)]), {})
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 702, amount=2)]), {})
        assert tx.settle(THINGS, ACCOUNT, False) == 1
    with warehouse.transaction() as tx:
        assert tx.due(ACCOUNT, False, "things", 10) == []
        assert KEY.stream not in tx.states(ACCOUNT, False)
