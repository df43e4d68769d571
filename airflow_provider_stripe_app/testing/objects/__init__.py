"""Stripe's objects with every field of the pinned API version, at random but from a seed.

Each ``make_…`` takes the random generator, the id and the creation time, so that the same seed
makes the same objects; further keyword arguments set fields last, known or not.
"""

from __future__ import annotations

from airflow_provider_stripe_app.testing.objects.account import make_account
from airflow_provider_stripe_app.testing.objects.customers import make_customer
from airflow_provider_stripe_app.testing.objects.ids import inline_list, new_id
from airflow_provider_stripe_app.testing.objects.invoices import make_invoice, make_line
from airflow_provider_stripe_app.testing.objects.legacy import render_as_version
from airflow_provider_stripe_app.testing.objects.products import (
    make_discount,
    make_price,
    make_product,
    make_tax_rate,
    plan_of,
)
from airflow_provider_stripe_app.testing.objects.subscriptions import (
    make_subscription,
    make_subscription_item,
)

__all__ = [
    "inline_list",
    "make_account",
    "make_customer",
    "make_discount",
    "make_invoice",
    "make_line",
    "make_price",
    "make_product",
    "make_subscription",
    "make_subscription_item",
    "make_tax_rate",
    "new_id",
    "plan_of",
    "render_as_version",
]
