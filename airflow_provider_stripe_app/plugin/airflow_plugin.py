"""The plugin that Airflow loads through the entry point ``airflow.plugins``."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class StripeAppPlugin(AirflowPlugin):
    """Registers the API server's part of the provider."""

    name = "stripe_app"
