"""What Airflow discovers about this provider. Every Airflow process reads it: keep it light."""

from __future__ import annotations

from typing import Any

from airflow_provider_stripe_app.oauth.config import CONFIG_SECTION

PACKAGE = "airflow_provider_stripe_app"
INTEGRATION = "Stripe App"

CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "stripe_app",
    "hook-name": "Stripe App",
    "hook-class-name": f"{PACKAGE}.hooks.stripe_app.StripeAppHook",
    "ui-field-behaviour": {
        "hidden-fields": ["host", "port", "schema"],
        "relabeling": {
            "login": "Install link",
            "password": "Secret key or restricted key",
        },
        "placeholders": {
            # The form shows about 55 characters.
            "login": "Paste the whole link: marketplace.stripe.com/oauth/v2/…",
            "password": "sk_… of the app; or no link, and your own rk_…",
            "app_conn_id": "stripe_app_default",
        },
    },
    # Only what a person fills in: the form of a new connection shows every declared key. What the
    # provider writes (account, livemode, broker_token, access_grant_token) is not declared; Airflow
    # masks the secrets among it by their names.
    "conn-fields": {
        "app_conn_id": {
            "label": "App connection",
            "description": "Only in the connection of an installation: the connection that holds "
            "the "
            "app's install link and secret key. The Stripe App page fills it in. Leave it empty in "
            "the app's own connection.",
            "schema": {"type": ["string", "null"]},
        },
        "mode": {
            "label": "Mode of the install link",
            "description": "Optional. Says whether the install link is of live or of test mode, "
            "so that "
            "a link and a key that do not belong together are found before consent.",
            "schema": {"type": ["string", "null"], "enum": ["", "live", "test"]},
        },
        "app_id": {
            "label": "App id",
            "description": "Optional, in the app's own connection: the id that begins with app_ "
            "(Stripe Dashboard, your app's page). With it lost installations are mended by "
            "themselves, and permissions and installed accounts are read from Stripe.",
            "schema": {"type": ["string", "null"]},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as Airflow's ``provider_info.schema.json`` describes it."""
    return {
        "package-name": "airflow-provider-stripe-app",
        "name": "Stripe App",
        "description": "Stripe Apps: install from the Airflow UI, keep the rotating tokens alive, "
        "keep "
        "warehouse tables equal to Stripe.",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://docs.stripe.com/stripe-apps",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    f"{PACKAGE}.operators.{module}" for module in ("sync", "audit", "task_group")
                ],
            }
        ],
        "hooks": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [f"{PACKAGE}.hooks.stripe_app", f"{PACKAGE}.hooks.warehouse"],
            }
        ],
        "connection-types": [CONNECTION_TYPE],
        "extra-links": [f"{PACKAGE}.operators.sync.StripeDashboardLink"],
        # No handler: Airflow then takes stripe://… as it is. The shape is ours to keep.
        "asset-uris": [{"schemes": ["stripe"], "handler": None}],
        "db-managers": [f"{PACKAGE}.oauth.db_manager.StripeAppDBManager"],
        "cli": [f"{PACKAGE}.cli.get_provider_cli_commands"],
        "config": CONFIG_SECTION,
    }
