"""Which column holds which field, and the statements' building blocks."""

from __future__ import annotations

import json

import msgspec
import pytest

from airflow_provider_stripe_app.streams.model import Column, ColumnType, Stream
from airflow_provider_stripe_app.warehouse import sql
from airflow_provider_stripe_app.warehouse.base import Batch, Obligation, StagedChild, StagedRow
from airflow_provider_stripe_app.warehouse.columns import (
    MAX_COLUMNS,
    META_COLUMNS,
    Slot,
    free_name,
    infer_type,
    plain_keys,
    plan_columns,
    safe_copy,
)
from airflow_provider_stripe_app.warehouse.documents import Look, safe_keys
from airflow_provider_stripe_app.warehouse.duckdb_sql import Shape
from airflow_provider_stripe_app.warehouse.postgres import PostgresDialect
from airflow_provider_stripe_app.warehouse.postgres_copy import copy_binary
from airflow_provider_stripe_app.warehouse.staging import stage_children, stage_rows
from airflow_provider_stripe_app.warehouse.state import fold

STREAM = Stream(
    "things",
    "thing",
    "p",
    "/v1/things",
    columns=(
        Column("id", ("id",), "text"),
        Column("city", ("address", "city"), "text"),
        Column("n", ("n",), "bigint"),
    ),
)
WIDE = (
    Slot(("id",), "id", "text"),
    Slot(("n",), "n", "bigint"),
    Slot(("at",), "at", "timestamp"),
    Slot(("yes",), "yes", "boolean"),
    Slot(("address", "city"), "city", "text"),
    Slot(("of",), "of", "text", expandable=True),
    Slot(("any",), "any", "json"),
)
SLOTS = plan_columns(STREAM, stored={}, existing=[], fields={}, limit=63).slots
PARTS = Stream("parts", "part", "p", "", parent="things", inlined="parts", parent_column="thing")


def test_a_new_table_has_the_catalogue_first_then_what_every_table_has() -> None:
    plan = plan_columns(STREAM, stored={}, existing=[], fields={"x": "text"}, limit=63)
    names = [name for name, _ in plan.add]
    assert names == ["id", "city", "n", "x", *META_COLUMNS]
    assert plan.found == ("x",)
    assert [slot.path for slot in plan.remember] == [("id",), ("address", "city"), ("n",), ("x",)]


def test_a_known_table_needs_nothing() -> None:
    first = plan_columns(STREAM, stored={}, existing=[], fields={"x": "text"}, limit=63)
    stored = {slot.path: (slot.name, slot.type) for slot in first.slots}
    again = plan_columns(
        STREAM,
        stored=stored,
        existing=[name for name, _ in first.add],
        fields={"x": "text"},
        limit=63,
    )
    assert (again.add, again.remember, again.found) == ((), (), ())
    assert again.slots == first.slots


def test_a_remembered_type_outlives_what_is_seen_later() -> None:
    fields: dict[str, ColumnType] = {"x": "text"}
    plan = plan_columns(
        STREAM, stored={("x",): ("x", "bigint")}, existing=["_raw"], fields=fields, limit=63
    )
    assert Slot(("x",), "x", "bigint") in plan.slots
    assert plan.found == ()


def test_a_column_of_the_users_own_is_not_taken_for_a_new_field() -> None:
    plan = plan_columns(
        STREAM, stored={}, existing=["_raw", "Note"], fields={"note": "text"}, limit=63
    )
    assert plan.found[0].startswith("note_")


def test_no_table_grows_beyond_the_limit_of_columns() -> None:
    fields: dict[str, ColumnType] = {f"f{i}": "text" for i in range(MAX_COLUMNS)}
    plan = plan_columns(STREAM, stored={}, existing=[], fields=fields, limit=63)
    assert len(plan.add) == MAX_COLUMNS


@pytest.mark.parametrize("wanted", ["a" * 64, "ü" * 63, "_raw", "Select", "1st", "", "a b"])
def test_a_column_name_is_plain_within_the_limit_and_free(wanted: str) -> None:
    taken = set(META_COLUMNS)
    first = free_name(wanted, (wanted,), taken, 63)
    second = free_name(wanted, (wanted, "other"), taken | {first}, 63)
    for name in (first, second):
        assert len(name) <= 63
        assert name.isascii()
        assert name == name.lower()
        assert name not in META_COLUMNS
        assert not name[0].isdigit()
    assert first != second


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "null"], "bigint"),
        (["null"], None),
        (["true", "false"], "boolean"),
        (['"a"', '""'], "text"),
        (["1.5"], "json"),
        (["1e3"], "json"),
        (["{}"], "json"),
        (["1", '"a"'], "json"),
        (['"a"', "[1]", '"a"'], "json"),
        (["true", "1"], "json"),
    ],
)
def test_the_type_of_a_new_field_fits_all_its_values(
    values: list[str], expected: ColumnType | None
) -> None:
    found: ColumnType | None = None
    for value in values:
        found = infer_type(value.encode(), found)
    assert found == expected


def test_only_unknown_fields_of_living_objects_become_columns() -> None:
    raw = json.dumps(
        {
            "id": "t1",
            "object": "thing",
            "livemode": True,
            "n": 1,
            "address": {"zip": "1"},
            "parts": {"data": []},
            "refunds": {"object": "list", "data": []},
            "new": 1,
            "listed": {"kind": "list"},
        }
    )
    rows = [StagedRow("t1", raw, 1), StagedRow("t2", '{"id":"t2","dead":1}', 1, deleted_at=1)]
    staging = stage_rows(Batch(STREAM, "acct", False, rows), SLOTS, ["parts"])
    assert staging.fields == {"listed": "json", "new": "bigint"}
    livemode = [name for name, _ in sql.STAGE_COLUMNS].index("livemode")
    assert staging.columns[livemode] == [True, False]


def test_a_childs_parent_is_no_new_column() -> None:
    batch = Batch(STREAM, "acct", False, [], {"parts": [StagedChild("t", "a", '{"thing":"t"}')]})
    assert stage_children(batch, PARTS, ()).fields == {}


def test_text_that_no_engine_takes_is_mended_for_typing_only() -> None:
    assert safe_copy('{"a":"\\u00e9 \\ud83d\\ude00"}') is None
    assert safe_copy('{"a":"\\\\u0000"}') is None
    assert safe_copy('{"a":"\\u0000 \\ud800 x"}') == '{"a":"\\ufffd \\ufffd x"}'


def test_keys_lose_their_escapes_and_values_keep_theirs() -> None:
    text = r'{"\u0061" : "\u0061\"", "b":["\u0061:"], "c\u0022":1e3, "d\\":"\u00e9"}'
    assert plain_keys(text) == r'{"a" : "\u0061\"", "b":["\u0061:"], "c\"":1e3, "d\\":"\u00e9"}'
    assert plain_keys(r'{"a":"\u0061"}') == r'{"a":"\u0061"}'


def test_what_comes_from_outside_is_quoted() -> None:
    assert sql.identifier('a"b') == '"a""b"'
    assert sql.literal("it's") == "'it''s'"
    assert [sql.literal(v) for v in (None, True, 5)] == ["NULL", "TRUE", "5"]
    for quote in (sql.identifier, sql.literal):
        with pytest.raises(ValueError, match="NUL"):
            quote("a\0b")


def test_a_binary_copy_is_what_the_manual_says() -> None:
    columns: tuple[tuple[str, ColumnType], ...] = (
        ("n", "bigint"),
        ("yes", "boolean"),
        ("raw", "text"),
    )
    raw = msgspec.json.decode(b'["\xc3\xa9"]', type=list[msgspec.Raw])[0]
    sent = b"".join(copy_binary(columns, ([-2, None], [True, None], [raw, "a\tb"])))
    assert sent == (
        b"PGCOPY\n\xff\r\n\x00" + bytes(8)
        + b"\x00\x03" + b"\x00\x00\x00\x08" + b"\xff" * 7 + b"\xfe"
        + b"\x00\x00\x00\x01\x01" + b'\x00\x00\x00\x04"\xc3\xa9"'
        + b"\x00\x03" + b"\xff" * 8 + b"\x00\x00\x00\x03a\tb" + b"\xff\xff"
    )  # fmt: skip
    latin = b"".join(copy_binary(columns[2:], ([raw],), "iso8859-1"))
    assert b'\x00\x00\x00\x03"\xe9"' in latin


@pytest.mark.parametrize(
    "wrong",
    [
        '{"n":1.0}',
        '{"n":1e2}',
        '{"n":"1"}',
        '{"n":true}',
        '{"n":9223372036854775808}',
        '{"n":-9223372036854775809}',
        '{"n":18446744073709551616}',
        '{"at":-1}',
        '{"at":253402300800}',
        '{"yes":1}',
        '{"address":{"city":1}}',
        '{"address":"x"}',
        '{"address":[]}',
        '{"of":{"id":"x"}}',
        '{"new":1}',
        '{"new":null}',
        "[]",
        "{",
    ],
)
def test_a_document_that_does_not_fit_is_found_out(wrong: str) -> None:
    raw = msgspec.json.decode(f"[{wrong}]", type=list[msgspec.Raw])[0] if wrong != "{" else wrong
    look = Look(WIDE, frozenset({"known"}))
    assert (look.fits(wrong), look.fits(raw)) == ((False, None), (False, None))


@pytest.mark.parametrize(
    "right",
    [
        "{}",
        '{"n":9223372036854775807,"at":253402300799,"yes":false}',
        '{"n":-9223372036854775808,"at":0,"yes":null}',
        '{"n":null,"at":null,"address":null,"of":null,"any":null,"known":null}',
        '{"address":{"city":"x","other":1},"of":"id","any":[1,{"a":"b"}],"known":1}',
    ],
)
def test_a_document_that_fits_is_no_work(right: str) -> None:
    assert Look(WIDE, frozenset({"known"})).fits(right) == (True, None)


def test_a_document_says_which_mode_it_is_of_and_only_with_a_boolean() -> None:
    look = Look(WIDE, frozenset({"livemode"}))
    for text, live in (("true", True), ("false", False), ('"yes"', "yes"), ("null", None)):
        assert look.fits(f'{{"livemode":{text}}}') == (True, live)


def test_columns_whose_paths_cross_make_no_shape() -> None:
    crossed = (Slot(("a",), "a", "json"), Slot(("a", "b"), "b", "text"))
    for slots in (crossed, crossed[::-1]):
        assert Look(slots, frozenset()).fits("{}") == (False, None)


def test_escaped_keys_are_found_in_slices_too() -> None:
    text = r'{"\u0061":"x","b":"\u0061"}'
    raw = msgspec.json.decode(f"[{text}]", type=list[msgspec.Raw])[0]
    assert safe_keys(raw) == safe_keys(text) == r'{"a":"x","b":"\u0061"}'
    harmless = msgspec.json.decode(r'[{"b":"\u0061: \""}]', type=list[msgspec.Raw])[0]
    assert safe_keys(harmless) is harmless


def test_a_struct_keeps_fields_apart_that_it_cannot_hold_together() -> None:
    paths = [("a", "b"), ("Foo",), ("foo",), ("a",), ("a", "B"), ("Foo", "x"), ("a", "c")]
    shape = Shape([Slot(path, f"c{i}", "text") for i, path in enumerate(paths)])
    assert shape.struct == {"a": {"b": "JSON", "c": "JSON"}, "Foo": "JSON"}
    assert list(shape.apart.values()) == [("foo",), ("a",), ("a", "B"), ("Foo", "x")]
    assert shape.leaves[:3] == ['s."a"."b"', 's."Foo"', "x0"]


def test_a_key_too_long_for_a_name_is_read_all_the_same() -> None:
    key = "k" * 64
    slots = [Slot((key,), "a", "text"), Slot((key, "b"), "b", "text"), Slot(("c",), "c", "text")]
    statement = PostgresDialect().typed("SELECT 1 AS seq, '{}' AS doc", slots)
    assert f"-> '{key}'" in statement
    assert f'"{key}"' not in statement


def test_a_batch_of_obligations_is_folded_like_the_stored_ones() -> None:
    def owed(at: int, event: str, payload: str | None = "{}") -> Obligation:
        return Obligation("things", "t1", at, event, "gone", payload=payload)

    assert fold([owed(1, "a"), owed(2, "b"), owed(1, "c")]) == [owed(2, "b")]
    assert fold([owed(2, "a"), owed(2, "a")]) == [owed(2, "a")]
    tie = Obligation("things", "t1", 2, "a", "upsert", ambiguous=True)
    assert fold([owed(2, "a"), owed(2, "b"), owed(2, "a")]) == [tie]
