"""What Airflow discovers about this provider."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as Airflow's ``provider_info.schema.json`` describes it."""
    return {
        "package-name": "airflow-provider-stripe-app",
        "name": "Stripe App",
        "description": "Stripe Apps OAuth: install from the Airflow UI, sync into your warehouse.",
    }
