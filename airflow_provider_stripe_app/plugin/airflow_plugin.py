"""The plugin that Airflow loads through the entry point ``airflow.plugins``.

Every Airflow process imports this module, so nothing heavy is imported until the API server asks
for the app. The entry point is the way to register it: through provider info alone a plugin is not
loaded while ``[core] lazy_discover_providers`` is on, which is the default.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

URL_PREFIX = "/stripe-app"

log = logging.getLogger(__name__)


def _nav_href() -> str:
    """Return the page's path below ``[api] base_url``, which alone knows a proxy's prefix."""
    from airflow.configuration import conf

    try:
        base_path = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    except ValueError:  # Airflow itself will say what is wrong with it
        base_path = ""
    return f"{base_path}{URL_PREFIX}/"


def _build_app() -> Any | None:
    """Return the sub-app, or one that says it is broken, or nothing: Airflow starts all the same.

    What is raised while Airflow collects its plugins stops the whole API server.
    """
    try:
        from airflow_provider_stripe_app.plugin.app import create_app

        return create_app()
    except Exception:
        log.exception("The Stripe App pages could not be loaded; Airflow goes on without them.")
    try:
        from airflow_provider_stripe_app.plugin.fallback import create_fallback_app

        return create_fallback_app()
    except Exception:
        log.exception("Not even the page that says so could be made.")
        return None


class StripeAppPlugin(AirflowPlugin):
    """Registers the app under ``/stripe-app`` and its entry in Airflow's navigation."""

    name = "stripe_app"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Built when the API server reads it, never in a worker or a DAG processor."""
        app = _build_app()
        return [] if app is None else [{"app": app, "url_prefix": URL_PREFIX, "name": "Stripe App"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Without ``url_route``: Airflow's frame for it is a sandbox that cannot open Stripe."""
        return [
            {
                "name": "Stripe App",
                "href": _nav_href(),
                "destination": "nav",
                "category": "admin",
            }
        ]
