"""Subscriptions and their items."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.objects import values
from airflow_provider_stripe_app.testing.objects.filling import RARE_SHARE, fill_some
from airflow_provider_stripe_app.testing.objects.ids import inline_list, new_id
from airflow_provider_stripe_app.testing.objects.products import plan_of
from airflow_provider_stripe_app.testing.objects.shapes import fields_of

DAY = 86_400
PERIODS = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY, "year": 365 * DAY}
"""Length of a period in seconds; months are not calendar months here."""

STATUSES = (
    "active", "active", "active", "active", "active", "trialing", "past_due", "canceled",
    "unpaid", "incomplete", "incomplete_expired", "paused",
)  # fmt: skip
_ENDED = frozenset({"canceled", "incomplete_expired"})
_RARE = (
    "application", "automatic_tax", "billing_cycle_anchor_config", "billing_schedules",
    "customer_account", "default_source", "default_tax_rates", "invoice_settings",
    "next_pending_invoice_item_invoice", "on_behalf_of", "pause_collection", "payment_settings",
    "pending_invoice_item_interval", "pending_setup_intent", "pending_update",
    "presentment_details", "status_details", "transfer_data", "trial_settings",
)  # fmt: skip
"""Filled in all together in a few subscriptions."""

_RARE_IN_ITEM = ("billed_until", "billing_thresholds", "current_trial", "tax_rates")
_METHODS = tuple(fields_of("subscription.payment_settings.payment_method_options"))


def make_subscription_item(
    rng: Random,
    *,
    id: str,
    created: int,
    price: dict[str, Any],
    subscription: str,
    quantity: int | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Return a whole subscription item.

    :param created: unix seconds; the first billing period starts then.
    :param price: the whole price; it is copied, with the plan that Stripe shows beside it.
    :param subscription: id of the subscription.
    :param quantity: at random if not given.
    """
    recurring = price["recurring"] or {"interval": "month", "interval_count": 1}
    period = PERIODS[recurring["interval"]] * int(recurring["interval_count"])
    item: dict[str, Any] = {
        "id": id,
        "object": "subscription_item",
        "billed_until": None,
        "billing_thresholds": {"usage_gte": 100} if rng.random() < 0.03 else None,
        "created": created,
        "current_period_end": created + period,
        "current_period_start": created,
        "current_trial": None,
        "discounts": [],
        "metadata": values.metadata(rng),
        "plan": plan_of(price),
        "price": {key: _copy(value) for key, value in price.items()},
        "quantity": 1 + int(rng.random() * 10) if quantity is None else quantity,
        "subscription": subscription,
        "tax_rates": [],
    }
    if rng.random() < RARE_SHARE:
        item.update(fill_some(rng, "subscription_item", _RARE_IN_ITEM, created))
    item.update(overrides)
    return item


def _copy(value: Any) -> Any:
    """Return a copy of one field of a price, which has no deeper objects."""
    return dict(value) if isinstance(value, dict) else value


def make_subscription(
    rng: Random,
    *,
    id: str,
    created: int,
    customer: str,
    items: Sequence[dict[str, Any]] = (),
    livemode: bool = False,
    status: str | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Return a whole subscription; the first ten items are inlined.

    :param created: unix seconds.
    :param customer: id of the customer.
    :param items: all its items, made with :func:`make_subscription_item`.
    :param status: at random if not given.
    """
    random = rng.random
    status = status or values.pick(rng, STATUSES)
    trial = status == "trialing" or random() < 0.1
    trial_end = created + 14 * DAY if trial else None
    sends = random() < 0.2
    subscription = {
        "id": id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": 2.5 if random() < 0.02 else None,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
        },
        "billing_cycle_anchor": created,
        "billing_cycle_anchor_config": None,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"},
            "type": "flexible",
            "updated_at": created,
        },
        "billing_schedules": [],
        "billing_thresholds": (
            {"amount_gte": 100_000, "reset_billing_cycle_anchor": False}
            if random() < 0.02
            else None
        ),
        **_cancellation(rng, status, created),
        "collection_method": "send_invoice" if sends else "charge_automatically",
        "created": created,
        "currency": items[0]["price"]["currency"] if items else values.currency(rng),
        "customer": customer,
        "customer_account": None,
        "days_until_due": 30 if sends else None,
        "default_payment_method": new_id(rng, "pm") if random() < 0.4 else None,
        "default_source": None,
        "default_tax_rates": [],
        "description": values.maybe(rng, 0.1, values.SENTENCES),
        "discounts": [new_id(rng, "di")] if random() < 0.1 else [],
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"account": None, "type": "self"},
        },
        "items": inline_list(items, f"/v1/subscription_items?subscription={id}"),
        "latest_invoice": new_id(rng, "in") if status != "trialing" else None,
        "livemode": livemode,
        "managed_payments": {"enabled": False},
        "metadata": values.metadata(rng),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": (
            {"behavior": "void", "resumes_at": created + 60 * DAY} if random() < 0.03 else None
        ),
        "payment_settings": {
            "payment_method_options": _payment_options() if random() < 0.1 else None,
            "payment_method_types": ["card", "sepa_debit"] if random() < 0.2 else None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "presentment_details": None,
        "schedule": new_id(rng, "sub_sched") if random() < 0.03 else None,
        "start_date": created,
        "status": status,
        "status_details": None,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {
            "end_behavior": {
                "billing_cycle_anchor": None,
                "missing_payment_method": "create_invoice",
            }
        },
        "trial_start": created if trial else None,
    }
    if random() < RARE_SHARE:
        subscription.update(fill_some(rng, "subscription", _RARE, created))
    subscription.update(overrides)
    return subscription


def _cancellation(rng: Random, status: str, created: int) -> dict[str, Any]:
    """Return the fields that tell when and why a subscription ends."""
    ended = created + 20 * DAY if status in _ENDED else None
    leaving = ended is None and rng.random() < 0.05
    return {
        "cancel_at": created + 30 * DAY if leaving else None,
        "cancel_at_period_end": leaving,
        "canceled_at": ended or (created + DAY if leaving else None),
        "cancellation_details": {
            "comment": values.maybe(rng, 0.5, values.SENTENCES) if leaving else None,
            "feedback": "too_expensive" if leaving else None,
            "feedback_option": new_id(rng, "fbo") if leaving and rng.random() < 0.3 else None,
            "reason": "cancellation_requested" if ended or leaving else None,
        },
        "ended_at": ended,
    }


def _payment_options() -> dict[str, Any]:
    options: dict[str, Any] = dict.fromkeys(_METHODS)
    options["card"] = {
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    }
    return options
