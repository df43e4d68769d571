"""The comparison that the demo and the integration tests trust must see every difference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import STREAMS
from demo.compare import compare, compare_tables, decode, differing_paths

CUSTOMERS = STREAMS["customers"]
INVOICES = STREAMS["invoices"]


def rows(*objects: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: json.dumps(one) for one in objects}


def truth(*objects: dict[str, Any]) -> dict[str, Any]:
    return {one["id"]: decode(json.dumps(one)) for one in objects}


def test_the_same_objects_in_another_key_order_are_equal() -> None:
    result = compare(
        CUSTOMERS, {"cus_1": '{"b": 1, "id": "cus_1"}'}, {"cus_1": {"id": "cus_1", "b": 1}}
    )
    assert result.equal
    assert str(result) == "customers: 1 rows, equal"


def test_a_missing_a_surplus_and_a_changed_object_are_each_named() -> None:
    result = compare(
        CUSTOMERS,
        rows({"id": "cus_1", "name": "old"}, {"id": "cus_gone"}),
        truth({"id": "cus_1", "name": "new"}, {"id": "cus_2"}),
    )
    assert not result.equal
    assert result.missing == ("cus_2",)
    assert result.surplus == ("cus_gone",)
    assert result.different == {"cus_1": ("name",)}
    assert "cus_2" in str(result)
    assert "cus_gone" in str(result)
    assert "cus_1: name" in str(result)


def test_links_that_differ_at_every_read_do_not_count() -> None:
    assert compare(
        INVOICES,
        rows({"id": "in_1", "invoice_pdf": "https://a"}),
        truth({"id": "in_1", "invoice_pdf": "https://b"}),
    ).equal


def test_silent_fields_are_reported_apart_but_never_hide_a_real_difference() -> None:
    quiet = compare(
        INVOICES,
        rows({"id": "in_1", "customer_name": "a"}),
        truth({"id": "in_1", "customer_name": "b"}),
    )
    assert quiet.equal
    assert quiet.silent == {"in_1": ("customer_name",)}
    loud = compare(
        INVOICES,
        rows({"id": "in_1", "customer_name": "a", "total": 1}),
        truth({"id": "in_1", "customer_name": "b", "total": 2}),
    )
    assert loud.different == {"in_1": ("total",)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("0", "false"),
        ("1", '"1"'),
        ("null", '""'),
        ("{}", '{"a": null}'),
        ("[1, 2]", "[2, 1]"),
        ("1", "1.5"),
        ("0.1", "0.10000000000000001"),
        ("9007199254740993", "9007199254740992"),
        ("[true]", "[1]"),
        ('[{"a": [1]}]', '[{"a": [true]}]'),
    ],
)
def test_values_that_python_or_floats_would_call_equal_differ(one: str, other: str) -> None:
    assert differing_paths(decode(one), decode(other))


@pytest.mark.parametrize(
    ("one", "other"), [("1.10", "1.1"), ('"\\u00e4"', '"ä"'), ("1.0e5", "1E5")]
)
def test_two_spellings_of_one_value_are_equal(one: str, other: str) -> None:
    assert differing_paths(decode(one), decode(other)) == []


def test_tombstones_and_other_accounts_are_not_living_rows() -> None:
    import sqlite3

    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE customers (account_id, id, _raw, is_deleted)")
    database.executemany(
        "INSERT INTO customers VALUES (?, ?, ?, ?)",
        [
            ("acct_1", "cus_1", '{"id": "cus_1"}', 0),
            ("acct_1", "cus_2", '{"id": "cus_2"}', 1),
            ("acct_2", "cus_3", '{"id": "cus_3"}', 0),
        ],
    )
    [result] = compare_tables(
        database.cursor(), {"customers": {"cus_1": {"id": "cus_1"}}}, "acct_1"
    )
    assert result.equal
    assert result.rows == 1


def test_silent_fields_within_lists_hide_nothing_beside_them() -> None:
    def item(price: int, quantity: int) -> dict[str, Any]:
        return {"id": "si_1", "price": {"amount": price}, "quantity": quantity}

    def subscription(*items: dict[str, Any]) -> dict[str, Any]:
        return {"id": "sub_1", "items": {"data": list(items)}}

    stored = {"sub_1": json.dumps(subscription(item(1, 1), item(1, 1)))}
    stream = STREAMS["subscriptions"]
    quiet = compare(stream, stored, {"sub_1": subscription(item(2, 1), item(3, 1))})
    assert quiet.equal
    assert quiet.silent == {"sub_1": ("items.data.[].price.amount",)}
    loud = compare(stream, stored, {"sub_1": subscription(item(2, 1), item(1, 7))})
    assert loud.different == {"sub_1": ("items.data.[].quantity",)}
    assert not compare(stream, stored, {"sub_1": subscription(item(1, 1))}).equal
