"""The simulated Stripe's objects are whole, consistent and reproducible."""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.streams.rows import typed_row
from airflow_provider_stripe_app.testing import objects
from airflow_provider_stripe_app.testing.objects import (
    make_account,
    make_customer,
    make_discount,
    make_invoice,
    make_line,
    make_price,
    make_product,
    make_subscription,
    make_subscription_item,
    make_tax_rate,
    new_id,
    plan_of,
    render_as_version,
)

Make = Callable[[random.Random], dict[str, Any]]
CREATED = 1_790_000_000

ABSENT = {
    "account": {"individual"},  # only in the account of a person; ours is a company
}
"""Object → fields left out on purpose, beside ``deleted`` and what only ``expand[]`` brings."""


def price(rng: random.Random) -> dict[str, Any]:
    return make_price(rng, id=new_id(rng, "price"), created=CREATED, product=new_id(rng, "prod"))


def line(rng: random.Random, **kwargs: Any) -> dict[str, Any]:
    options = {
        "subscription": "sub_1" if rng.random() < 0.5 else None,
        "discount": new_id(rng, "di") if rng.random() < 0.3 else None,
        "tax_rate": "txr_1" if rng.random() < 0.5 else None,
        "subscription_item": new_id(rng, "si") if rng.random() < 0.5 else None,
        **kwargs,
    }
    return make_line(rng, id=new_id(rng, "il"), invoice="in_1", created=CREATED, **options)


def invoice(rng: random.Random, **kwargs: Any) -> dict[str, Any]:
    lines = [line(rng) for _ in range(int(rng.random() * 14))]
    who = make_customer(rng, id=new_id(rng, "cus"), created=CREATED)
    sub = new_id(rng, "sub") if rng.random() < 0.5 else None
    options = {"customer": who, "lines": lines, "subscription": sub, **kwargs}
    return make_invoice(rng, id=new_id(rng, "in"), created=CREATED, **options)


def item(rng: random.Random) -> dict[str, Any]:
    return make_subscription_item(
        rng, id=new_id(rng, "si"), created=CREATED, price=price(rng), subscription="sub_1"
    )


def subscription(rng: random.Random, **kwargs: Any) -> dict[str, Any]:
    items = [item(rng) for _ in range(1 + int(rng.random() * 12))]
    options = {"customer": "cus_1", "items": items, **kwargs}
    return make_subscription(rng, id=new_id(rng, "sub"), created=CREATED, **options)


MAKERS: dict[str, tuple[str, Make]] = {
    "account": ("Account", lambda r: make_account(r, id=new_id(r, "acct"), created=CREATED)),
    "customer": ("Customer", lambda r: make_customer(r, id=new_id(r, "cus"), created=CREATED)),
    "discount": ("Discount", lambda r: make_discount(r, id=new_id(r, "di"), start=CREATED)),
    "invoice": ("Invoice", invoice),
    "line_item": ("InvoiceLineItem", line),
    "plan": ("Plan", lambda r: plan_of(price(r))),
    "price": ("Price", price),
    "product": ("Product", lambda r: make_product(r, id=new_id(r, "prod"), created=CREATED)),
    "subscription": ("Subscription", subscription),
    "subscription_item": ("SubscriptionItem", item),
    "tax_rate": ("TaxRate", lambda r: make_tax_rate(r, id=new_id(r, "txr"), created=CREATED)),
}


@pytest.fixture(scope="module")
def annotations() -> Any:
    scripts = str(Path(__file__).parents[2] / "scripts")
    sys.path.insert(0, scripts)
    try:
        import stripe_annotations
    finally:
        sys.path.remove(scripts)
    return stripe_annotations


FITS: dict[str, Callable[[Any], bool]] = {
    "text": lambda v: isinstance(v, str),
    "int": lambda v: type(v) is int,
    "time": lambda v: type(v) is int and v >= 0,
    "bool": lambda v: isinstance(v, bool),
    "decimal": lambda v: isinstance(v, str) and re.fullmatch(r"-?\d+(\.\d{1,12})?", v) is not None,
    "number": lambda v: isinstance(v, (int, float)),
    "map": lambda v: isinstance(v, dict),
    "union": lambda v: isinstance(v, dict),
}


def check(annotations: Any, shape: Any, value: Any, where: str) -> None:
    """Hold an object against the annotations, down to the last nested object."""
    assert isinstance(value, dict), where
    absent = annotations.ONLY_WHEN_EXPANDED.get(shape.name, frozenset()) | ABSENT.get(where, set())
    fields = {f.name: f for f in shape.fields if f.kind != "true" and f.name not in absent}
    assert set(value) == set(fields), where
    for name, field in fields.items():
        check_field(annotations, field, value[name], f"{where}.{name}")


def check_field(annotations: Any, field: Any, value: Any, where: str) -> None:
    if value is None:
        assert field.optional, f"{where} must not be null"
        return
    shape = field.shape
    if shape is None and field.target is not None:
        shape = annotations.resource(field.target)
    if field.kind == "list":
        elements = value["data"] if isinstance(value, dict) else value
        for element in elements if shape else ():
            check(annotations, shape, element, f"{where}[]")
    elif shape is not None:
        check(annotations, shape, value, where)
    else:
        assert FITS[field.kind](value), f"{where} is {value!r}, not {field.kind}"


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_objects_have_exactly_the_fields_of_the_pinned_version(annotations: Any, name: str) -> None:
    class_name, make = MAKERS[name]
    rng = random.Random(name)
    for _ in range(150):
        made = make(rng)
        assert made["object"] == name
        check(annotations, annotations.resource(class_name), made, name)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_the_same_seed_makes_the_same_objects(name: str) -> None:
    _, make = MAKERS[name]
    assert make(random.Random(7)) == make(random.Random(7))


NEVER_FILLED = {
    "customers": {
        # A customer's discount hangs on nothing else.
        "discount_checkout_session", "discount_customer_account", "discount_invoice",
        "discount_invoice_item", "discount_subscription", "discount_subscription_item",
        "customer_account", "individual_name", "invoice_settings_rendering_options_template",
        "test_clock",
    },
    "invoices": {
        # Whole API objects of other kinds, quotes and previews, which are not simulated.
        "last_finalization_error_payment_intent", "last_finalization_error_payment_method",
        "last_finalization_error_setup_intent", "last_finalization_error_source",
        "parent_quote_details_quote", "parent_subscription_details_subscription_proration_date",
        "account_tax_ids", "test_clock",
    },
    "invoice_line_items": {"parent_subscription_item_details_invoice_item"},
    "subscriptions": {"test_clock"},
    "subscription_items": {
        # Metered, tiered and pay-what-you-want prices.
        "plan_meter", "plan_tiers_mode", "price_recurring_meter", "price_tiers_mode",
        "price_custom_unit_amount_maximum", "price_custom_unit_amount_minimum",
        "price_custom_unit_amount_preset",
    },
}  # fmt: skip
"""Stream → columns that no factory fills by itself (``overrides`` can)."""

STREAM_OF = {
    "customer": "customers", "invoice": "invoices", "line_item": "invoice_line_items",
    "subscription": "subscriptions", "subscription_item": "subscription_items",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(STREAM_OF))
def test_every_value_fits_its_column_and_every_column_meets_a_value(name: str) -> None:
    rng = random.Random(name)
    seen = set()
    for _ in range(600):
        row = typed_row(STREAMS[STREAM_OF[name]], json.dumps(MAKERS[name][1](rng)))
        assert not row.misfits
        assert not row.unknown
        seen |= {column for column, value in row.values.items() if value is not None}
    stream = STREAMS[STREAM_OF[name]]
    assert {column.name for column in stream.columns} - seen == NEVER_FILLED[stream.name]


def test_an_invoices_totals_are_the_sums_of_all_its_lines() -> None:
    rng = random.Random(2)
    lines = [line(rng, currency="jpy") for _ in range(250)]
    made = make_invoice(
        rng, id="in_1", created=CREATED, customer="cus_12345678", lines=lines, status="paid"
    )
    off = sum(part["amount"] for li in lines for part in li["discount_amounts"])
    tax = sum(part["amount"] for li in lines for part in li["taxes"])
    assert made["subtotal"] == sum(li["amount"] for li in lines)
    assert sum(part["amount"] for part in made["total_discount_amounts"]) == off > 0
    assert sum(part["amount"] for part in made["total_taxes"]) == tax > 0
    assert made["total_excluding_tax"] == made["subtotal"] - off
    assert made["total"] == made["subtotal"] - off + tax
    assert made["amount_due"] == made["total"] == made["amount_paid"] + made["amount_remaining"]
    assert made["currency"] == "jpy"


def test_a_parent_inlines_ten_children_and_says_that_there_are_more() -> None:
    rng = random.Random(2)
    lines = [line(rng) for _ in range(11)]
    made = make_invoice(rng, id="in_1", created=CREATED, customer="cus_12345678", lines=lines)
    assert made["lines"] == {
        "object": "list",
        "data": lines[:10],
        "has_more": True,
        "total_count": 11,
        "url": "/v1/invoices/in_1/lines",
    }
    assert objects.inline_list(lines[:10], "/x")["has_more"] is False


def test_an_invoice_mirrors_its_customer() -> None:
    rng = random.Random(2)
    who = make_customer(rng, id="cus_12345678", created=CREATED, name="Zoë", tax_exempt="reverse")
    made = make_invoice(rng, id="in_1", created=CREATED, customer=who)
    assert made["customer"] == "cus_12345678"
    assert made["customer_name"] == "Zoë"
    assert made["customer_tax_exempt"] == "reverse"


@pytest.mark.parametrize("status", ["draft", "open", "paid", "uncollectible", "void"])
def test_an_invoices_status_and_its_transitions_agree(status: str) -> None:
    made = invoice(random.Random(4), status=status)
    steps = made["status_transitions"]
    assert (steps["finalized_at"] is None) == (status == "draft") == (made["number"] is None)
    assert (steps["paid_at"] is not None) == (status == "paid")
    assert (steps["voided_at"] is not None) == (status == "void")
    assert (made["hosted_invoice_url"] is None) == (status == "draft")


def test_values_cover_what_breaks_loaders() -> None:
    rng = random.Random(11)
    customers = [make_customer(rng, id=new_id(rng, "cus"), created=CREATED) for _ in range(3000)]
    names = "".join(c["name"] or "" for c in customers)
    assert {"🦄", "李", "م", "\u0301", "\u202e", "\u200d"} <= set(names)
    assert any(c["metadata"] is None for c in customers)
    huge = [c["metadata"] for c in customers if len(c["metadata"] or ()) == 50]
    assert huge
    assert all(len(value) == 500 for data in huge for value in data.values())
    assert {"jpy", "kwd"} <= {c["currency"] for c in customers}
    assert any(c["discount"] for c in customers)
    assert any(c["balance"] < 0 for c in customers)


def test_three_decimal_amounts_end_in_zero() -> None:
    rng = random.Random(1)
    for _ in range(50):
        made = make_price(rng, id="price_1", created=1, product="prod_1", currency="kwd")
        assert made["unit_amount"] % 10 == 0


def test_overrides_come_last_and_may_be_new_fields() -> None:
    made = make_customer(random.Random(1), id="cus_1", created=1, email=None, brand_new={"a": 1})
    assert made["email"] is None
    assert made["brand_new"] == {"a": 1}


def test_changing_one_object_changes_no_other() -> None:
    rng = random.Random(1)
    shared = price(rng)
    one, other = (
        make_subscription_item(rng, id=i, created=1, price=shared, subscription="sub_1")
        for i in ("si_1", "si_2")
    )
    before = json.dumps([other, shared])
    one["price"]["metadata"]["changed"] = "yes"
    one["plan"]["metadata"]["changed"] = "yes"
    one["price"]["recurring"]["interval"] = "decade"
    assert json.dumps([other, shared]) == before


def test_ids_look_like_stripes() -> None:
    rng = random.Random(1)
    assert re.fullmatch(r"cus_[A-Za-z0-9]{14}", new_id(rng, "cus"))
    assert re.fullmatch(r"in_1[A-Za-z0-9]{23}", new_id(rng, "in"))
    assert len({new_id(rng, "cus") for _ in range(20_000)}) == 20_000


def test_an_older_version_has_the_invoices_subscription_on_top() -> None:
    made = invoice(random.Random(5), subscription="sub_9", lines=[line(random.Random(1))])
    before = json.dumps(made)
    old = render_as_version(made, "2024-06-20")
    assert old["subscription"] == "sub_9"
    assert "parent" not in old
    assert old["paid"] == (made["status"] == "paid")
    assert "pricing" not in old["lines"]["data"][0]
    assert old["lines"]["data"][0]["type"] in {"subscription", "invoiceitem"}
    assert json.dumps(made) == before


def test_an_older_version_has_the_subscriptions_period_on_top() -> None:
    made = subscription(random.Random(5))
    old = render_as_version(made, "2025-02-24.acacia")
    first = made["items"]["data"][0]
    assert old["current_period_end"] == first["current_period_end"]
    assert "current_period_end" not in old["items"]["data"][0]
    assert "billing_mode" not in old


def test_an_older_customer_has_no_newer_fields() -> None:
    made = make_customer(random.Random(1), id="cus_1", created=1)
    assert set(made) - set(render_as_version(made, "2020-08-27")) == {
        "business_name", "customer_account", "individual_name",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["customer", "invoice", "subscription"])
def test_what_is_left_of_a_deleted_object_is_the_same_in_all_versions(name: str) -> None:
    left = {"id": "x_1", "object": name, "deleted": True}
    assert render_as_version(left, "2020-08-27") == left


@pytest.mark.parametrize("version", ["2025-03-31.basil", "2026-10-28.endive"])
def test_from_basil_on_nothing_moves(version: str) -> None:
    made = invoice(random.Random(5), subscription="sub_9")
    assert render_as_version(made, version) == made


def rate(make: Callable[[], Any], count: int) -> float:
    """Return calls per second of processor time, the best of three."""
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        for _ in range(count):
            make()
        best = max(best, count / (time.process_time() - start))
    return best


def test_objects_are_made_faster_than_a_server_can_send_them() -> None:
    rng = random.Random(1)
    lines = [line(rng) for _ in range(3)]
    assert rate(lambda: make_customer(rng, id=new_id(rng, "cus"), created=1), 2000) > 20_000
    assert (
        rate(
            lambda: make_invoice(
                rng, id=new_id(rng, "in"), created=1, customer="cus_12345678", lines=lines
            ),
            1000,
        )
        > 5_000
    )
