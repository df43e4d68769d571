"""What an account calls itself, for people who look at a list of ``acct_…``.

Only the name is taken, and only where the app may read its account (``connected_account_read``);
nothing depends on it (https://docs.stripe.com/api/accounts/object).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import update

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.key_client import KeyClient, RawAnswer, decode
from airflow_provider_stripe_app.oauth.models import Installation

TIMEOUT = 5.0
LENGTH = 255


def name_of(account: Mapping[str, Any]) -> str | None:
    """Return the name in an account object: the Dashboard's, else the business's.

    :param account: Stripe's object ``account``.
    """
    settings, business = account.get("settings"), account.get("business_profile")
    dashboard = settings.get("dashboard") if isinstance(settings, Mapping) else None
    for holder, field in ((dashboard, "display_name"), (business, "name")):
        name = holder.get(field) if isinstance(holder, Mapping) else None
        if isinstance(name, str) and name.strip():
            return " ".join(name.split())[:LENGTH]
    return None


def note_name(conn_id: str, access_token: str) -> str | None:
    """Ask Stripe for the account's name and write it down; what goes wrong costs only the name.

    :param conn_id: the installation's connection.
    :param access_token: a live token of it.
    :return: the name, ``None`` if Stripe does not tell it.
    """
    answer = KeyClient(access_token, api_base=config.api_base(), timeout=TIMEOUT).get(
        "/v1/account", {}
    )
    body = decode(answer.body) if isinstance(answer, RawAnswer) and answer.status == 200 else None
    name = name_of(body) if body is not None else None
    if body is None or name is None:
        return None
    statement = (
        update(Installation)
        .where(Installation.conn_id == conn_id, Installation.account_id == str(body.get("id")))
        .values(account_name=name)
        .execution_options(synchronize_session=False)
    )
    with contextlib.suppress(StripeAppError):
        transaction(lambda session: session.execute(statement) and None)
    return name
