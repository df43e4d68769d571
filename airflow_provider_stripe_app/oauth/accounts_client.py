"""Which accounts have installed an app, as a task may know: only the API server does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from airflow_provider_stripe_app.exceptions import ConfigurationError, TokenUnavailable
from airflow_provider_stripe_app.oauth import database
from airflow_provider_stripe_app.oauth.broker_client import MARKER, candidates, speaks
from airflow_provider_stripe_app.oauth.credentials import InstallationSettings, read_settings

ACCOUNTS_PATH = "/stripe-app/worker-accounts"
TIMEOUT = (5.0, 30.0)
"""Seconds to connect and to wait for an answer."""


def installed_accounts(
    conn_id: str, *, direct: Callable[[], bool] = database.may_use_metadata_db
) -> list[str]:
    """Return the connections of all accounts that installed the app of an installation.

    Called in a task, for example by ``stripe_sync_task_group(accounts=partial(installed_accounts,
    "stripe_acme"))``. The installation's own ``broker_token`` is what opens it: a task needs no
    access to the app's secret key.

    :param conn_id: connection of any of the installations; it is in the answer.
    :param direct: tells whether the metadata database may be used; found out by default.
    :return: connection ids in alphabetical order; those of the same mode and team, and also those
        that have to be installed again: their syncs fail and say so.
    :raises ConfigurationError: if it is no installation's connection.
    :raises TokenUnavailable: if no API server with this plugin answers; a retry may mend it.
    """
    from airflow.providers.common.compat.sdk import BaseHook

    settings = read_settings(BaseHook.get_connection(conn_id))
    if not isinstance(settings, InstallationSettings):
        raise ConfigurationError(
            f"Connection {conn_id} is no installation of a Stripe App, so it is unknown whose "
            "accounts are asked for: name the connection of an installation, or list the accounts."
        )
    if direct():
        from airflow_provider_stripe_app.oauth.accounts_server import accounts_beside

        return accounts_beside(conn_id)
    body = {"conn_id": conn_id, "broker_token": settings.broker_token}
    addresses = candidates()
    for address in addresses:
        if speaks(address, TIMEOUT):
            return _read(conn_id, _post(address, body))
    raise TokenUnavailable(
        f"No API server with the Stripe App plugin answers at {', '.join(addresses)}, and only it "
        "knows which accounts have installed the app: set option [stripe_app] broker_url to the "
        "address under which workers reach it, or list the accounts."
    )


def _post(address: str, body: dict[str, Any]) -> tuple[int, Any]:
    try:
        answer = requests.post(
            f"{address}{ACCOUNTS_PATH}",
            json=body,
            headers={"Accept": "application/json"},
            timeout=TIMEOUT,
            allow_redirects=False,
        )
        return answer.status_code, answer.json()
    except (requests.RequestException, ValueError, OSError):
        return 503, None


def _read(conn_id: str, answer: tuple[int, Any]) -> list[str]:
    status, values = answer
    if not isinstance(values, dict) or values.get(MARKER) != 1:
        raise TokenUnavailable(
            f"The API server gave no answer to which accounts are beside {conn_id}: its log says "
            "why. (A server with an older version of this provider does not know the question.)"
        )
    if status == 200:
        return [str(one) for one in values["conn_ids"]]
    message = str(values.get("message") or f"HTTP {status}")
    if status == 422:
        raise ConfigurationError(message)
    raise TokenUnavailable(f"Which accounts are beside {conn_id}? The API server says: {message}")
