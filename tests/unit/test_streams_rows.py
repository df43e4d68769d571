"""The reference that the warehouses' SQL is held against (EQUALITY §8)."""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.streams.model import Column, ColumnType, Stream
from airflow_provider_stripe_app.streams.rows import canonical, content_hash, typed_row
from airflow_provider_stripe_app.testing.objects import make_customer, make_invoice, make_line

QUICK = settings(max_examples=150, deadline=None)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def stream_of(type_: ColumnType, *, expandable: bool = False) -> Stream:
    columns = (Column("id", ("id",), "text"), Column("v", ("o", "v"), type_, expandable))
    return Stream("things", "thing", "thing_read", "/v1/things", columns=columns)


def read(type_: ColumnType, value: str, *, expandable: bool = False) -> tuple[Any, bool]:
    raw = f'{{"id": "t_1", "o": {{"v": {value}}}}}'
    row = typed_row(stream_of(type_, expandable=expandable), raw)
    return row.values["v"], "v" in row.misfits


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("bigint", "5", 5),
        ("bigint", "-0", 0),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("text", '"a\\ud83e\\udd84"', "a🦄"),
        ("text", '""', ""),
        ("decimal", '"0.10"', "0.10"),
        ("timestamp", "0", datetime(1970, 1, 1, tzinfo=timezone.utc)),
        ("timestamp", "253402300799", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)),
        ("json", '{"b": [1.0, 1E2, 0.5], "a": "é"}', '{"a":"é","b":[1,100,0.5]}'),
        ("json", "false", "false"),
        ("json", "2.50", "2.5"),
    ],
)
def test_a_value_of_the_columns_type_is_taken(type_: ColumnType, value: str, expected: Any) -> None:
    assert read(type_, value) == (expected, False)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("bigint", "1.5"),
        ("bigint", "1.0"),
        ("bigint", "1e3"),
        ("bigint", "true"),
        ("bigint", '"5"'),
        ("bigint", "9223372036854775808"),
        ("bigint", "-9223372036854775809"),
        ("bigint", "9" * 5000),
        ("bigint", "{}"),
        ("boolean", "1"),
        ("boolean", '"true"'),
        ("text", "5"),
        ("text", "true"),
        ("text", "[]"),
        ("decimal", "0.1"),
        ("decimal", "1"),
        ("timestamp", "-1"),
        ("timestamp", "253402300800"),
        ("timestamp", "1700000000.5"),
        ("timestamp", '"2026-01-01"'),
        ("timestamp", "false"),
    ],
)
def test_a_value_of_another_type_is_a_misfit_and_null(type_: ColumnType, value: str) -> None:
    assert read(type_, value) == (None, True)


@pytest.mark.parametrize("type_", ["text", "bigint", "boolean", "timestamp", "decimal", "json"])
@pytest.mark.parametrize(
    "raw", ['{"o": {"v": null}}', '{"o": {}}', '{"o": null}', '{"o": 3}', "{}"]
)
def test_null_and_missing_are_null_and_no_misfit(type_: ColumnType, raw: str) -> None:
    row = typed_row(stream_of(type_), raw)
    assert row.values["v"] is None
    assert not row.misfits


@pytest.mark.parametrize(
    ("value", "expected", "misfit"),
    [
        ('"cus_1"', "cus_1", False),
        ('{"id": "cus_1", "object": "customer"}', "cus_1", False),
        ('{"id": null}', None, True),
        ('{"object": "customer"}', None, True),
        ('{"id": 7}', None, True),
        ("7", None, True),
        ("null", None, False),
    ],
)
def test_an_expandable_field_is_its_id(value: str, expected: str | None, misfit: bool) -> None:
    assert read("text", value, expandable=True) == (expected, misfit)


def test_an_expanded_object_without_an_id_is_a_misfit() -> None:
    # An object that is no id and has none: present, not null, nothing to put in the column.
    assert read("text", "{}", expandable=True) == (None, True)


def test_unknown_fields_are_found_and_known_ones_that_are_no_columns_are_not() -> None:
    customer = make_customer(random.Random(1), id="cus_1", created=5, loyalty_tier={"level": 3})
    row = typed_row(STREAMS["customers"], json.dumps({**customer, "sources": {"data": []}}))
    assert row.unknown == {"loyalty_tier": {"level": 3}}


def test_values_come_from_the_safe_copy_when_there_is_one() -> None:
    row = typed_row(stream_of("text"), '{"o": {"v": "\\u0000"}}', '{"o": {"v": "\\ufffd"}}')
    assert row.values["v"] == "\ufffd"


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="stream things is not a JSON object"):
        typed_row(stream_of("text"), "[]")


@QUICK
@given(JSON)
def test_every_spelling_of_a_document_has_one_canonical_text(document: Any) -> None:
    plain = json.dumps(document)
    spaced = json.dumps(document, indent=2, ensure_ascii=False)
    assert canonical(plain) == canonical(spaced) == canonical(canonical(plain))


@QUICK
@given(JSON, JSON)
def test_documents_that_differ_have_different_canonical_texts(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    if same:
        assert canonical(json.dumps(one)) == canonical(json.dumps(other))
    elif canonical(json.dumps(one)) == canonical(json.dumps(other)):
        assert one == other  # they differ in the spelling of a number only: 1 and 1.0


@QUICK
@given(JSON)
def test_typing_any_value_gives_the_type_or_a_misfit(value: Any) -> None:
    kinds: dict[ColumnType, type] = {
        "text": str, "decimal": str, "bigint": int, "boolean": bool, "timestamp": datetime,
        "json": str,
    }  # fmt: skip
    for type_, kind in kinds.items():
        got, misfit = read(type_, json.dumps(value))
        assert got is None if misfit or value is None else type(got) is kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.10", "1.1"), ("1E5", "100000"), ("-0.0", "0"), ("1e300", "1" + "0" * 300),
        ('"\\u00e9"', '"é"'),
    ],
)  # fmt: skip
def test_engines_spellings_of_one_value_are_equal(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    "number", ["1e400", "1e9999999999999999999", "0e9999999999999999999", "9" * 5000]
)
def test_absurd_numbers_do_not_break_the_comparison(number: str) -> None:
    assert canonical(number)


def test_neighbouring_big_integers_differ() -> None:
    assert canonical("9007199254740993") != canonical("9007199254740992")


def invoice(**overrides: Any) -> str:
    rng = random.Random(3)
    lines = [make_line(rng, id="il_1", invoice="in_1", created=9)]
    kwargs = {"customer": "cus_12345678", "status": "open", "lines": lines, **overrides}
    return json.dumps(make_invoice(rng, id="in_1", created=9, **kwargs))


def test_links_that_differ_at_every_read_do_not_change_the_hash() -> None:
    again = invoice(hosted_invoice_url="https://other", invoice_pdf="https://other/pdf")
    assert again != invoice()
    assert content_hash(STREAMS["invoices"], again) == content_hash(STREAMS["invoices"], invoice())


def test_any_other_change_changes_the_hash() -> None:
    changed = invoice(metadata={"k": "v"})
    assert content_hash(STREAMS["invoices"], changed) != content_hash(
        STREAMS["invoices"], invoice()
    )


def test_a_lone_surrogate_can_be_hashed_and_tells_itself_from_another() -> None:
    stream = STREAMS["customers"]
    assert content_hash(stream, '{"name": "\\ud800"}') != content_hash(
        stream, '{"name": "\\ud801"}'
    )


def test_a_nested_volatile_path_is_left_out() -> None:
    stream = Stream("t", "t", "t", "/t", volatile=frozenset({("a", "url"), ("b", "url")}))
    one, other = '{"a": {"url": 1, "k": 2}, "b": null}', '{"a": {"k": 2}, "b": null}'
    assert content_hash(stream, one) == content_hash(stream, other)


def test_a_volatile_path_through_a_list_is_left_out_of_each_element() -> None:
    stream = Stream("t", "t", "t", "/t", volatile=frozenset({("a", "[]", "url")}))
    one, other = '{"a": [{"url": 1, "k": 2}, {"url": 3}, 4]}', '{"a": [{"k": 2}, {}, 4]}'
    assert content_hash(stream, one) == content_hash(stream, other)
    assert content_hash(stream, '{"a": {"url": 1}}') != content_hash(stream, '{"a": {}}')
