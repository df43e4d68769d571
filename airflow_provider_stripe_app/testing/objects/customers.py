"""Customers."""

from __future__ import annotations

from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.objects import values
from airflow_provider_stripe_app.testing.objects.ids import new_id
from airflow_provider_stripe_app.testing.objects.products import make_discount


def make_customer(
    rng: Random, *, id: str, created: int, livemode: bool = False, **overrides: Any
) -> dict[str, Any]:
    """Return a whole customer as Stripe lists it, without what only ``expand[]`` brings.

    :param created: unix seconds.
    :param overrides: fields to set last; unknown ones are added.
    """
    random = rng.random
    name = values.maybe(rng, 0.9, values.NAMES)
    return {
        "id": id,
        "object": "customer",
        "address": values.address(rng) if random() < 0.6 else None,
        "balance": 0 if random() < 0.9 else int(random() * 200_000) - 100_000,
        "business_name": values.maybe(rng, 0.1, values.NAMES),
        "created": created,
        "currency": values.maybe(rng, 0.7, values.CURRENCIES),
        "customer_account": None,
        "default_source": new_id(rng, "card") if random() < 0.2 else None,
        "delinquent": random() < 0.05,
        "description": values.maybe(rng, 0.3, values.SENTENCES),
        "discount": (
            make_discount(rng, id=new_id(rng, "di"), start=created, customer=id)
            if random() < 0.05
            else None
        ),
        "email": f"{id[4:].lower()}@example.com" if random() < 0.95 else None,
        "individual_name": None,
        "invoice_prefix": id[-8:].upper(),
        "invoice_settings": {
            "custom_fields": [{"name": "VAT №", "value": "DE123"}] if random() < 0.05 else None,
            "default_payment_method": new_id(rng, "pm") if random() < 0.3 else None,
            "footer": values.maybe(rng, 0.1, values.SENTENCES),
            "rendering_options": (
                {"amount_tax_display": "include_inclusive_tax", "template": None}
                if random() < 0.05
                else None
            ),
        },
        "livemode": livemode,
        "metadata": values.nullable_metadata(rng),
        "name": name,
        "next_invoice_sequence": 1 + int(random() * 20),
        "phone": values.phone(rng) if random() < 0.4 else None,
        "preferred_locales": [values.pick(rng, values.LOCALES)] if random() < 0.3 else [],
        "shipping": values.shipping(rng, name) if random() < 0.2 else None,
        "tax_exempt": "none" if random() < 0.9 else values.pick(rng, ("exempt", "reverse")),
        "test_clock": None,
        **overrides,
    }
