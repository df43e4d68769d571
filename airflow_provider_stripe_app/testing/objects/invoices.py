"""Invoices and their lines; an invoice's totals are the sums of its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.objects import values
from airflow_provider_stripe_app.testing.objects.filling import RARE_SHARE, fill_some
from airflow_provider_stripe_app.testing.objects.ids import inline_list, new_id
from airflow_provider_stripe_app.testing.objects.shapes import fields_of

DAY = 86_400
STATUSES = ("paid", "paid", "paid", "paid", "open", "open", "draft", "void", "uncollectible")
_METHODS = tuple(fields_of("invoice.payment_settings.payment_method_options"))
_RARE = (
    "application", "automatic_tax", "custom_fields", "customer_account", "customer_tax_ids",
    "default_payment_method", "default_source", "default_tax_rates", "from_invoice", "issuer",
    "last_finalization_error", "latest_revision", "next_payment_attempt", "on_behalf_of",
    "payment_settings", "rendering", "shipping_cost", "shipping_details", "statement_descriptor",
    "status_details", "threshold_reason",
)  # fmt: skip
"""Filled in all together in a few invoices; none of them takes part in the totals."""


def make_line(
    rng: Random,
    *,
    id: str,
    invoice: str,
    created: int,
    currency: str = "usd",
    amount: int | None = None,
    quantity: int | None = None,
    price: str | None = None,
    product: str | None = None,
    subscription: str | None = None,
    subscription_item: str | None = None,
    discount: str | None = None,
    tax_rate: str | None = None,
    livemode: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Return a whole invoice line item.

    :param created: unix seconds when its period starts.
    :param amount: before discounts and taxes, in the currency's minor unit; at random if not given.
    :param discount: id of a discount that takes 10 % off.
    :param tax_rate: id of an exclusive 20 % tax rate.
    :param subscription_item: with it the line comes from a subscription, else an invoice item.
    """
    if quantity is None:
        quantity = 1 + int(rng.random() * 3)
    if amount is None:
        amount = values.unit_amount(rng, currency) * quantity
    off = amount // 10 if discount else 0
    tax = (amount - off) // 5 if tax_rate else 0
    line = {
        "id": id,
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": values.pick(rng, values.SENTENCES) if rng.random() < 0.8 else None,
        "discount_amounts": [{"amount": off, "discount": discount}] if discount else [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": livemode,
        "metadata": values.metadata(rng),
        "parent": _line_parent(rng, subscription, subscription_item),
        "period": {"end": created + 30 * DAY, "start": created},
        "pretax_credit_amounts": (
            [
                {
                    "amount": off,
                    "credit_balance_transaction": None,
                    "discount": discount,
                    "type": "discount",
                }
            ]
            if discount
            else []
        ),
        "pricing": {
            "price_details": {
                "price": price or new_id(rng, "price"),
                "product": product or new_id(rng, "prod"),
            },
            "type": "price_details",
            "unit_amount_decimal": _decimal(amount, quantity),
        },
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription,
        "subtotal": amount,
        "taxes": [_tax(tax_rate, tax, amount - off)] if tax_rate else [],
    }
    line.update(overrides)
    return line


def _line_parent(rng: Random, subscription: str | None, item: str | None) -> dict[str, Any]:
    if item is None:
        details = {
            "invoice_item": new_id(rng, "ii"),
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": subscription,
        }
        return {
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": subscription,
            "subscription_item": item,
        },
        "type": "subscription_item_details",
    }


def _tax(rate: str, amount: int, taxable: int) -> dict[str, Any]:
    return {
        "amount": amount,
        "tax_behavior": "exclusive",
        "tax_rate_details": {"tax_rate": rate},
        "taxability_reason": "standard_rated",
        "taxable_amount": taxable,
        "type": "tax_rate_details",
    }


def _decimal(amount: int, quantity: int) -> str:
    """Return the unit amount as Stripe writes decimals: at most 12 places, no trailing zeros."""
    if quantity in (0, 1) or amount % quantity == 0:
        return str(amount // (quantity or 1))
    return f"{amount / quantity:.12f}".rstrip("0").rstrip(".")


def make_invoice(
    rng: Random,
    *,
    id: str,
    created: int,
    customer: str | Mapping[str, Any],
    lines: Sequence[dict[str, Any]] = (),
    livemode: bool = False,
    status: str | None = None,
    currency: str | None = None,
    subscription: str | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Return a whole invoice; the first ten lines are inlined, the totals are of all of them.

    :param created: unix seconds.
    :param customer: the customer's id, or the whole customer to mirror its address and so on.
    :param lines: all its lines, made with :func:`make_line` for this invoice's id and currency.
    :param status: at random if not given.
    :param currency: that of the lines if not given.
    :param subscription: id of the subscription that generated it.
    """
    random = rng.random
    status = status or values.pick(rng, STATUSES)
    currency = currency or (lines[0]["currency"] if lines else values.currency(rng))
    finalized = created + 3600 if status != "draft" else None
    sends = random() < 0.3
    who = {"id": customer} if isinstance(customer, str) else customer
    link = f"{'live' if livemode else 'test'}_{id[3:]}"
    invoice = {
        "id": id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Simulated, Inc. 🧪",
        "account_tax_ids": None,
        **_totals(lines, status),
        "application": None,
        "attempt_count": 1 if status == "paid" else 0,
        "attempted": status == "paid",
        "auto_advance": status in {"draft", "open"},
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": created + 3600 if status == "draft" else None,
        "billing_reason": "subscription_cycle" if subscription else "manual",
        "collection_method": "send_invoice" if sends else "charge_automatically",
        "created": created,
        "currency": currency,
        "custom_fields": [{"name": "PO №", "value": "42"}] if random() < 0.05 else None,
        "customer": who["id"],
        "customer_account": None,
        **_mirrored(who),
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": values.maybe(rng, 0.2, values.SENTENCES),
        "discounts": [],
        "due_date": created + 30 * DAY if sends else None,
        "effective_at": finalized,
        "footer": values.maybe(rng, 0.1, values.SENTENCES),
        "from_invoice": (
            {"action": "revision", "invoice": new_id(rng, "in")} if random() < 0.01 else None
        ),
        "hosted_invoice_url": (
            f"https://invoice.stripe.com/i/acct_sim/{link}?s=ap" if finalized else None
        ),
        "invoice_pdf": (
            f"https://pay.stripe.com/invoice/acct_sim/{link}/pdf?s=ap" if finalized else None
        ),
        "issuer": {"account": None, "type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": inline_list(lines, f"/v1/invoices/{id}/lines"),
        "livemode": livemode,
        "metadata": values.nullable_metadata(rng),
        "next_payment_attempt": created + 3600 if status == "draft" and not sends else None,
        "number": f"{who['id'][-8:].upper()}-{int(random() * 10_000):04d}" if finalized else None,
        "on_behalf_of": None,
        "parent": _parent(subscription),
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": _payment_options() if random() < 0.1 else None,
            "payment_method_types": ["card"] if random() < 0.1 else None,
        },
        "period_end": created,
        "period_start": created - 30 * DAY if subscription else created,
        "receipt_number": f"2{int(random() * 1e7):07d}" if status == "paid" else None,
        "rendering": (
            {
                "amount_tax_display": None,
                "pdf": {"page_size": "letter"},
                "template": None,
                "template_version": None,
            }
            if random() < 0.3
            else None
        ),
        "shipping_cost": None,
        "shipping_details": (
            values.shipping(rng, values.pick(rng, values.NAMES)) if random() < 0.05 else None
        ),
        "statement_descriptor": None,
        "status": status,
        "status_details": (
            {"uncollectible": {"reason": "max_payment_attempts"}}
            if status == "uncollectible"
            else None
        ),
        "status_transitions": {
            "finalized_at": finalized,
            "marked_uncollectible_at": created + DAY if status == "uncollectible" else None,
            "paid_at": finalized if status == "paid" else None,
            "voided_at": created + DAY if status == "void" else None,
        },
        "test_clock": None,
        "threshold_reason": None,
        "webhooks_delivered_at": created if random() < 0.9 else None,
    }
    if random() < RARE_SHARE:
        invoice.update(fill_some(rng, "invoice", _RARE, created))
    invoice.update(overrides)
    return invoice


def _mirrored(customer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an invoice shows of its customer; copies, for the invoice keeps its own."""
    address, shipping = customer.get("address"), customer.get("shipping")
    if shipping:
        shipping = {**shipping, "address": dict(shipping["address"] or {}) or None}
    return {
        "customer_address": dict(address) if address else None,
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_phone": customer.get("phone"),
        "customer_shipping": shipping,
        "customer_tax_exempt": customer.get("tax_exempt") or "none",
    }


def _totals(lines: Sequence[Mapping[str, Any]], status: str) -> dict[str, Any]:
    """Return the amounts of an invoice, computed from all its lines (taxes are exclusive)."""
    subtotal = sum(line["amount"] for line in lines)
    discounts: dict[str, int] = {}
    taxes: dict[str, dict[str, Any]] = {}
    for line in lines:
        for part in line["discount_amounts"]:
            discounts[part["discount"]] = discounts.get(part["discount"], 0) + part["amount"]
        for tax in line["taxes"]:
            rate = tax["tax_rate_details"]["tax_rate"]
            if rate in taxes:
                taxes[rate]["amount"] += tax["amount"]
                taxes[rate]["taxable_amount"] += tax["taxable_amount"]
            else:
                taxes[rate] = _tax(rate, tax["amount"], tax["taxable_amount"])
    before_tax = subtotal - sum(discounts.values())
    total = before_tax + sum(tax["amount"] for tax in taxes.values())
    due = max(total, 0)
    paid = due if status == "paid" else 0
    return {
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": paid,
        "amount_paid_off_stripe": 0,
        "amount_remaining": due - paid,
        "amount_shipping": 0,
        "ending_balance": min(total, 0) if status != "draft" else None,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": [
            {"amount": amount, "discount": discount} for discount, amount in discounts.items()
        ],
        "total_excluding_tax": before_tax,
        "total_pretax_credit_amounts": [
            {
                "amount": amount,
                "credit_balance_transaction": None,
                "discount": discount,
                "type": "discount",
            }
            for discount, amount in discounts.items()
        ],
        "total_taxes": list(taxes.values()),
    }


def _parent(subscription: str | None) -> dict[str, Any] | None:
    if subscription is None:
        return None
    return {
        "quote_details": None,
        "subscription_details": {
            "metadata": {},
            "subscription": subscription,
            "subscription_proration_date": None,
        },
        "type": "subscription_details",
    }


def _payment_options() -> dict[str, Any]:
    options: dict[str, Any] = dict.fromkeys(_METHODS)
    options["card"] = {
        "installments": {"enabled": False},
        "request_three_d_secure": "automatic",
    }
    return options
