"""What a new object looks like before anybody has changed it: the whole shape, plain values."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.testing import lives, objects
from airflow_provider_stripe_app.testing.errors import invalid
from airflow_provider_stripe_app.testing.forms import merged
from airflow_provider_stripe_app.testing.wire import JsonObject

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.ledger import Ledger, Space

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_LINE_INPUT = frozenset({"discounts", "invoice_item", "price_data", "tax_amounts", "tax_rates"})
_SHIPPING = ("address", "carrier", "name", "phone", "tracking_number")

_PLAIN: Mapping[str, JsonObject] = {
    "customer": {
        "address": None,
        "balance": 0,
        "business_name": None,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
    },
    "invoice": {
        "collection_method": "charge_automatically",
        "custom_fields": None,
        "description": None,
        "due_date": None,
        "footer": None,
        "from_invoice": None,
        "metadata": {},
        "shipping_details": None,
    },
    "subscription": {
        "application_fee_percent": None,
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": "charge_automatically",
        "days_until_due": None,
        "description": None,
        "discounts": [],
        "latest_invoice": None,
        "metadata": {},
        "pause_collection": None,
        "schedule": None,
        "trial_end": None,
        "trial_start": None,
    },
    "product": {
        "active": True,
        "description": None,
        "images": [],
        "marketing_features": [],
        "metadata": {},
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "unit_label": None,
    },
    "price": {
        "active": True,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "tax_behavior": "unspecified",
        "transform_quantity": None,
    },
}


def birth(ledger: Ledger, space: Space, kind: str, fields: Mapping[str, Any]) -> JsonObject:
    """Return a new object of the whole shape.

    :param fields: with ``id`` and ``created``; the others replace plain values. Children are given
        as a list of entries (``items``, ``lines``) or as a whole list object.
    :raises ApiError: for a reference to what does not exist.
    """
    make = _MAKERS.get(kind)
    if make is None:
        return lives.birth(ledger, space, kind, dict(fields))
    return make(ledger, space, dict(fields))


def birth_account(rng: Random, account_id: str, created: int) -> JsonObject:
    """Return a new account."""
    return objects.make_account(rng, id=account_id, created=created)


def birth_line(
    ledger: Ledger, space: Space, invoice: JsonObject, fields: Mapping[str, Any]
) -> JsonObject:
    """Return a new line of an invoice."""
    given = {name: value for name, value in fields.items() if name not in _LINE_INPUT}
    amount, quantity = given.pop("amount", None), given.pop("quantity", None) or 1
    price_id = (fields.get("pricing") or {}).get("price")
    price: JsonObject = {}
    if price_id is not None:
        record = space.record("price", price_id, "lines[0][pricing][price]", 400)
        price = space.collections["price"].whole(record)
        amount = (price["unit_amount"] or 0) * quantity if amount is None else amount
    line = objects.make_line(
        ledger.rng,
        id=given.pop("id", None) or ledger.new_id("il_"),
        invoice=invoice["id"],
        created=invoice["created"],
        currency=invoice["currency"],
        amount=1000 if amount is None else amount,
        quantity=quantity,
        price=price.get("id"),
        product=price.get("product"),
        livemode=space.livemode,
        metadata={},
        description=None,
    )
    given.pop("pricing", None)
    return merged(line, given)


def birth_item(
    ledger: Ledger, space: Space, subscription: JsonObject, fields: Mapping[str, Any]
) -> JsonObject:
    """Return a new item of a subscription.

    :param fields: ``price`` is the id of a price that exists.
    :raises ApiError: if it does not.
    """
    given = dict(fields)
    price = given.pop("price", None) or given.pop("plan", None)
    whole = price if isinstance(price, dict) else _price(ledger, space, price)
    item = objects.make_subscription_item(
        ledger.rng,
        id=given.pop("id", None) or ledger.new_id("si_"),
        created=int(ledger.clock.now()),
        price=whole,
        subscription=subscription["id"],
        quantity=given.pop("quantity", None) or 1,
        metadata={},
        billing_thresholds=None,
    )
    return merged(item, given)


def finalized(ledger: Ledger, space: Space, invoice: JsonObject, now: int) -> JsonObject:
    """Return what an invoice gets when it is finalized: number, links and dates."""
    mode = "live" if space.livemode else "test"
    link = f"{space.account_id}/{mode}_{invoice['id'][3:]}"
    number = f"{invoice['id'][-8:].upper()}-{ledger.rng.randrange(10_000):04d}"
    return {
        "number": invoice.get("number") or number,
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{link}?s=ap",
        "invoice_pdf": f"https://pay.stripe.com/invoice/{link}/pdf?s=ap",
        "effective_at": invoice.get("effective_at") or now,
        "ending_balance": 0,
        "automatically_finalizes_at": None,
        "next_payment_attempt": None,
    }


def completed(kind: str, obj: JsonObject) -> JsonObject:
    """Return an object whose parts have all their fields, as Stripe shows what was given partly."""
    pause = obj.get("pause_collection")
    if kind == "subscription" and pause:
        return {**obj, "pause_collection": {"behavior": None, "resumes_at": None, **pause}}
    if kind != "customer":
        return obj
    shipping = obj.get("shipping")
    if shipping:
        parts = {**dict.fromkeys(_SHIPPING), **shipping}
        obj = {**obj, "shipping": {**parts, "address": _address(parts["address"])}}
    return {**obj, "address": _address(obj.get("address"))}


def _address(given: JsonObject | None) -> JsonObject | None:
    return {**dict.fromkeys(_ADDRESS), **given} if given else None


def totals(invoice: JsonObject) -> JsonObject:
    """Return an invoice with the totals of its lines."""
    total = sum(line["amount"] for line in invoice["lines"]["data"])
    due = max(total, 0)
    return {
        **invoice,
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
        "amount_due": due,
        "amount_remaining": due - invoice["amount_paid"],
    }


def _customer(ledger: Ledger, space: Space, fields: JsonObject) -> JsonObject:
    made = objects.make_customer(
        ledger.rng,
        id=fields["id"],
        created=fields["created"],
        livemode=space.livemode,
        **_PLAIN["customer"],
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
    )
    return completed("customer", merged(made, fields))


def _invoice(ledger: Ledger, space: Space, fields: JsonObject) -> JsonObject:
    customer_id = fields.pop("customer", None) or _any_customer(ledger, space)
    customer = space.collections["customer"].whole(
        space.record("customer", customer_id, "customer", 400)
    )
    lines = fields.pop("lines", [])
    subscription = fields.pop("subscription", None)
    if subscription is not None:
        space.record("subscription", subscription, "subscription", 400)
    made = objects.make_invoice(
        ledger.rng,
        id=fields["id"],
        created=fields["created"],
        customer=customer,
        livemode=space.livemode,
        status=fields.pop("status", "draft"),
        currency=fields.pop("currency", None) or customer["currency"] or "usd",
        subscription=subscription,
        **_PLAIN["invoice"],
        test_clock=customer.get("test_clock"),
    )
    if isinstance(lines, Mapping):
        made["lines"] = dict(lines)
    else:
        made["lines"]["data"] = [birth_line(ledger, space, made, line) for line in lines]
        made = totals(made)
        if made["status"] == "paid":
            made.update(amount_paid=made["amount_due"], amount_remaining=0)
    return merged(made, fields)


def _subscription(ledger: Ledger, space: Space, fields: JsonObject) -> JsonObject:
    customer_id = fields.pop("customer", None) or _any_customer(ledger, space)
    customer = space.collections["customer"].whole(
        space.record("customer", customer_id, "customer", 400)
    )
    items = fields.pop("items", None) or [{}]
    data = (
        items["data"]
        if isinstance(items, Mapping)
        else [birth_item(ledger, space, {"id": fields["id"]}, entry) for entry in items]
    )
    days = fields.pop("trial_period_days", None)
    if days:
        start = fields["created"]
        fields |= {"trial_start": start, "trial_end": start + days * 86400}
    made = objects.make_subscription(
        ledger.rng,
        id=fields["id"],
        created=fields["created"],
        customer=customer_id,
        items=data,
        livemode=space.livemode,
        status=fields.pop("status", "trialing" if days else "active"),
        **_PLAIN["subscription"],
        test_clock=customer.get("test_clock"),
    )
    made["items"]["data"] = list(data)
    return merged(made, fields)


def _product(ledger: Ledger, space: Space, fields: JsonObject) -> JsonObject:
    made = objects.make_product(
        ledger.rng,
        id=fields["id"],
        created=fields["created"],
        livemode=space.livemode,
        **_PLAIN["product"],
    )
    return merged(made, fields)


def _new_price(ledger: Ledger, space: Space, fields: JsonObject) -> JsonObject:
    product = fields.pop("product", None)
    if product is None:
        product = ledger.create(space, "product", {"name": "Made with its price"})["id"]
    space.record("product", product, "product", 400)
    recurring = fields.pop("recurring", None)
    amount = fields.pop("unit_amount", None)
    if amount is not None:
        fields["unit_amount"], fields["unit_amount_decimal"] = amount, str(amount)
    made = objects.make_price(
        ledger.rng,
        id=fields["id"],
        created=fields["created"],
        product=product,
        livemode=space.livemode,
        currency=str(fields.pop("currency", "usd")).lower(),
        recurring=recurring is not None,
        **_PLAIN["price"],
    )
    if recurring is not None:
        if recurring.get("interval") not in ("day", "week", "month", "year"):
            raise invalid(f"Invalid interval: {recurring.get('interval')}", "recurring[interval]")
        plain = {"interval_count": 1, "meter": None, "trial_period_days": None}
        made["recurring"] = {**plain, "usage_type": "licensed", **recurring}
    return merged(made, fields)


def _price(ledger: Ledger, space: Space, price_id: str | None) -> JsonObject:
    if price_id is not None:
        record = space.record("price", price_id, "items[0][price]", 400)
        return space.collections["price"].whole(record)
    prices = space.collections["price"]
    for record in reversed(prices.ordered):
        found = prices.whole(record)
        if found["recurring"]:
            return found
    return ledger.create(
        space, "price", {"currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}}
    )


def _any_customer(ledger: Ledger, space: Space) -> str:
    """Return a customer for an in-process caller who does not care which."""
    customers = space.collections["customer"].ordered
    if customers:
        return customers[-1].id
    return str(ledger.create(space, "customer", {})["id"])


_MAKERS = {
    "customer": _customer,
    "invoice": _invoice,
    "subscription": _subscription,
    "product": _product,
    "price": _new_price,
}
