"""Products, prices, plans, discounts and tax rates: what invoices and subscriptions hold."""

from __future__ import annotations

from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.objects import values
from airflow_provider_stripe_app.testing.objects.ids import new_id

_PRODUCT_NAMES = (
    "Gold Plan", "Starter", "プレミアムプラン", "الخطة الذهبية", "T-shirt 👕",
    "Café Crème — 250 g", "API calls",
)  # fmt: skip
_INTERVALS = ("month", "month", "month", "year", "week", "day")
_TAXES = (
    ("VAT", "DE", "vat", 19.0),
    ("Sales Tax", "US", "sales_tax", 8.625),
    ("消費税", "JP", "jct", 10.0),
)


def make_product(
    rng: Random, *, id: str, created: int, livemode: bool = False, **overrides: Any
) -> dict[str, Any]:
    """Return a whole product.

    :param created: unix seconds.
    :param overrides: fields to set last; unknown ones are added.
    """
    return {
        "id": id,
        "object": "product",
        "active": rng.random() < 0.9,
        "created": created,
        "default_price": None,
        "description": values.maybe(rng, 0.5, values.SENTENCES),
        "images": ["https://files.stripe.com/links/simulated"] if rng.random() < 0.2 else [],
        "livemode": livemode,
        "marketing_features": [{"name": "Fast"}] if rng.random() < 0.2 else [],
        "metadata": values.metadata(rng),
        "name": values.pick(rng, _PRODUCT_NAMES),
        "package_dimensions": (
            {"height": 1.5, "length": 10.0, "weight": 3.25, "width": 5.0}
            if rng.random() < 0.1
            else None
        ),
        "shippable": values.maybe(rng, 0.3, (True, False)),
        "statement_descriptor": values.maybe(rng, 0.1, ("GOLD PLAN",)),
        "tax_code": values.maybe(rng, 0.3, ("txcd_10000000", "txcd_99999999")),
        "tax_details": None,
        "type": "service",
        "unit_label": values.maybe(rng, 0.2, ("seat", "席")),
        "updated": created,
        "url": None,
        **overrides,
    }


def make_price(
    rng: Random,
    *,
    id: str,
    created: int,
    product: str,
    livemode: bool = False,
    currency: str | None = None,
    recurring: bool = True,
    **overrides: Any,
) -> dict[str, Any]:
    """Return a whole price.

    :param product: id of its product.
    :param currency: three letters, lower case; one at random if not given.
    :param recurring: a subscription's price, else a one-time one.
    """
    code = currency or values.currency(rng)
    amount = values.unit_amount(rng, code)
    return {
        "id": id,
        "object": "price",
        "active": rng.random() < 0.9,
        "billing_scheme": "per_unit",
        "created": created,
        "currency": code,
        "custom_unit_amount": None,
        "livemode": livemode,
        "lookup_key": values.maybe(rng, 0.1, ("standard_monthly", "標準")),
        "metadata": values.metadata(rng),
        "nickname": values.maybe(rng, 0.3, ("Monthly", "年額")),
        "product": product,
        "recurring": (
            {
                "interval": values.pick(rng, _INTERVALS),
                "interval_count": 1 if rng.random() < 0.8 else 3,
                "meter": None,
                "trial_period_days": values.maybe(rng, 0.2, (7, 14, 30)),
                "usage_type": "licensed",
            }
            if recurring
            else None
        ),
        "tax_behavior": values.pick(rng, ("exclusive", "inclusive", "unspecified")),
        "tiers_mode": None,
        "transform_quantity": {"divide_by": 10, "round": "up"} if rng.random() < 0.05 else None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
        **overrides,
    }


def plan_of(price: dict[str, Any]) -> dict[str, Any]:
    """Return the plan that Stripe shows beside a recurring price, under the same id."""
    recurring = price["recurring"] or {"interval": "month", "interval_count": 1}
    quantity = price["transform_quantity"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": price["livemode"],
        "metadata": dict(price["metadata"]),
        "meter": recurring.get("meter"),
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": dict(quantity) if quantity else None,
        "trial_period_days": recurring.get("trial_period_days"),
        "usage_type": recurring.get("usage_type", "licensed"),
    }


def make_discount(
    rng: Random,
    *,
    id: str,
    start: int,
    customer: str | None = None,
    subscription: str | None = None,
    invoice: str | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Return a whole discount; it hangs on the customer, the subscription or the invoice.

    :param start: unix seconds when the coupon was applied.
    """
    return {
        "id": id,
        "object": "discount",
        "checkout_session": None,
        "customer": customer,
        "customer_account": None,
        "end": start + 90 * 86_400 if rng.random() < 0.5 else None,
        "invoice": invoice,
        "invoice_item": None,
        "promotion_code": new_id(rng, "promo") if rng.random() < 0.2 else None,
        "source": {
            "coupon": values.pick(rng, ("SPRING25", "Z4OV52SU", "友達割引")),
            "type": "coupon",
        },
        "start": start,
        "subscription": subscription,
        "subscription_item": None,
        **overrides,
    }


def make_tax_rate(
    rng: Random, *, id: str, created: int, livemode: bool = False, **overrides: Any
) -> dict[str, Any]:
    """Return a whole tax rate (a percentage; ``overrides`` make it another)."""
    name, country, kind, percentage = values.pick(rng, _TAXES)
    return {
        "id": id,
        "object": "tax_rate",
        "active": True,
        "country": country,
        "created": created,
        "description": None,
        "display_name": name,
        "effective_percentage": percentage,
        "flat_amount": None,
        "inclusive": rng.random() < 0.3,
        "jurisdiction": country,
        "jurisdiction_level": "country",
        "livemode": livemode,
        "metadata": {},
        "percentage": percentage,
        "rate_type": "percentage",
        "state": None,
        "tax_type": kind,
        **overrides,
    }
