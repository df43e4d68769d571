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
            "login": "The app's whole install link: https://marketplace.stripe.com/oauth/v2/…"
            "/authorize?client_id=ca_…  (leave empty for a restricted key)",
            "password": "App: secret key sk_live_… or sk_test_… · only your own account, no app: "
            "restricted key rk_…",
            "app_conn_id": "stripe_app_default",
        },
    },
    # Declared keys are hidden by the form while they are unset, undeclared ones are shown as
    # inputs. So what the provider itself writes is declared too, and secrets have names that
    # Airflow masks.
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
        "account": {
            "label": "Stripe account",
            "description": "acct_… of the installation. Written when the app is installed.",
            "schema": {"type": ["string", "null"]},
        },
        "livemode": {
            "label": "Installed in live mode",
            "description": "Written when the app is installed.",
            "schema": {"type": ["boolean", "null"]},
        },
        "broker_token": {
            "label": "Broker token",
            "description": "Written when the app is installed: workers show it to get access "
            "tokens. "
            "Do not change it.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "access_grant_token": {
            "label": "Copy of the access token",
            "description": "Rewritten at every refresh and safe to lose. Do not change it.",
            "schema": {"type": ["string", "null"], "format": "password"},
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
            {"integration-name": INTEGRATION, "python-modules": [f"{PACKAGE}.operators.sync"]}
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
