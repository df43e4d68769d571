"""Objects as older API versions rendered them, for events of accounts that never upgraded.

Source: the changelog of 2025-03-31.basil (https://docs.stripe.com/changelog/basil): an invoice's
``subscription`` moved into ``parent``, a subscription's current period to its items, a line's price
and proration into ``pricing`` and ``parent``, taxes into ``taxes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_stripe_app.testing.objects.products import plan_of

BASIL = "2025-03-31"

_NEWER: Mapping[str, tuple[str, ...]] = {
    "customer": ("business_name", "customer_account", "individual_name"),
    "invoice": (
        "amount_overpaid", "amount_paid_off_stripe", "customer_account", "parent", "status_details",
        "total_taxes",
    ),
    "line_item": ("parent", "pricing", "quantity_decimal", "subtotal", "taxes"),
    "subscription": (
        "billing_mode", "billing_schedules", "customer_account", "managed_payments",
        "presentment_details", "status_details",
    ),
    "subscription_item": (
        "billed_until", "current_period_end", "current_period_start", "current_trial",
    ),
}  # fmt: skip
"""Object → fields that came with Basil or later."""


def render_as_version(obj: dict[str, Any], api_version: str) -> dict[str, Any]:
    """Return an object as an API version renders it.

    :param obj: an object of the pinned version; it is not changed, but parts may be shared. What
        is left of a deleted one is the same in all versions.
    :param api_version: for example ``2024-06-20``; from ``2025-03-31.basil`` on, nothing changes.
    """
    if api_version[:10] >= BASIL or obj.get("deleted"):
        return dict(obj)
    renderer = _RENDERERS.get(obj.get("object", ""))
    return renderer(obj) if renderer else _without_newer(obj)


def _without_newer(obj: Mapping[str, Any]) -> dict[str, Any]:
    newer = _NEWER.get(obj.get("object", ""), ())
    return {key: value for key, value in obj.items() if key not in newer}


def _invoice(obj: Mapping[str, Any]) -> dict[str, Any]:
    details = (obj.get("parent") or {}).get("subscription_details") or {}
    taxes = obj.get("total_taxes") or []
    return {
        **_without_newer(obj),
        "application_fee_amount": None,
        "charge": None,
        "discount": None,
        "lines": _list(obj.get("lines"), _line),
        "paid": obj.get("status") == "paid",
        "paid_out_of_band": False,
        "payment_intent": None,
        "quote": None,
        "subscription": details.get("subscription"),
        "subscription_details": {"metadata": details.get("metadata")},
        "tax": sum(tax["amount"] for tax in taxes) if taxes else None,
        "total_tax_amounts": [_tax_amount(tax) for tax in taxes],
        "transfer_data": None,
    }


def _line(obj: Mapping[str, Any]) -> dict[str, Any]:
    parent = obj.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    pricing = obj.get("pricing") or {}
    price = pricing.get("price_details") or {}
    amount = pricing.get("unit_amount_decimal")
    line = {
        **_without_newer(obj),
        "amount_excluding_tax": obj["amount"],
        "price": {
            "id": price.get("price"),
            "object": "price",
            "currency": obj["currency"],
            "product": price.get("product"),
            "unit_amount_decimal": amount,
        },
        "proration": details.get("proration", False),
        "proration_details": details.get("proration_details"),
        "subscription": details.get("subscription"),
        "tax_amounts": [_tax_amount(tax) for tax in obj.get("taxes") or []],
        "tax_rates": [],
        "type": "subscription" if details.get("subscription_item") else "invoiceitem",
        "unit_amount_excluding_tax": amount,
    }
    for key in ("invoice_item", "subscription_item"):
        if details.get(key):
            line[key] = details[key]
    return line


def _tax_amount(tax: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "amount": tax["amount"],
        "inclusive": tax["tax_behavior"] == "inclusive",
        "tax_rate": (tax["tax_rate_details"] or {}).get("tax_rate"),
        "taxability_reason": tax["taxability_reason"],
        "taxable_amount": tax["taxable_amount"],
    }


def _subscription(obj: Mapping[str, Any]) -> dict[str, Any]:
    items = (obj.get("items") or {}).get("data") or []
    first = items[0] if items else {}
    return {
        **_without_newer(obj),
        "current_period_end": first.get("current_period_end", obj["created"]),
        "current_period_start": first.get("current_period_start", obj["created"]),
        "discount": None,
        "items": _list(obj.get("items"), _without_newer),
        "plan": plan_of(first["price"]) if len(items) == 1 else None,
        "quantity": first.get("quantity") if len(items) == 1 else None,
    }


def _list(obj: Mapping[str, Any] | None, render: Any) -> dict[str, Any] | None:
    if obj is None:
        return None
    return {**obj, "data": [render(item) for item in obj["data"]]}


_RENDERERS = {"invoice": _invoice, "line_item": _line, "subscription": _subscription}
