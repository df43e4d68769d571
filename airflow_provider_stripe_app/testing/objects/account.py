"""The account that an app is installed on."""

from __future__ import annotations

from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.objects import values
from airflow_provider_stripe_app.testing.objects.filling import blank
from airflow_provider_stripe_app.testing.objects.shapes import fields_of


def make_account(rng: Random, *, id: str, created: int, **overrides: Any) -> dict[str, Any]:
    """Return a whole standard account of a company; ``individual`` is only in a person's.

    :param created: unix seconds.
    """
    capabilities = dict.fromkeys(fields_of("account.capabilities"), "inactive")
    capabilities |= {"card_payments": "active", "transfers": "active", "link_payments": "active"}
    account = blank("account")
    account.update(
        {
            "id": id,
            "object": "account",
            "business_type": "company",
            "capabilities": capabilities,
            "charges_enabled": True,
            "country": "US",
            "created": created,
            "default_currency": "usd",
            "details_submitted": True,
            "email": f"owner-{id[-6:].lower()}@example.com",
            "external_accounts": {
                "object": "list",
                "data": [],
                "has_more": False,
                "total_count": 0,
                "url": f"/v1/accounts/{id}/external_accounts",
            },
            "metadata": {},
            "payouts_enabled": True,
            "settings": _settings(rng),
            "type": "standard",
        }
    )
    account["business_profile"] = {
        **blank("account.business_profile"),
        "mcc": "5734",
        "name": values.pick(rng, values.NAMES),
        "support_address": values.address(rng),
        "url": "https://example.com",
    }
    del account["individual"]
    account.update(overrides)
    return account


def _settings(rng: Random) -> dict[str, Any]:
    settings = blank("account.settings")
    settings["dashboard"] = {"display_name": values.pick(rng, values.NAMES), "timezone": "Etc/UTC"}
    settings["payments"]["statement_descriptor"] = "SIMULATED"
    return settings
