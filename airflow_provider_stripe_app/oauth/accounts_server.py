"""The API server's answer to a worker that asks which accounts have installed an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
)
from airflow_provider_stripe_app.oauth.adoption import update_copy
from airflow_provider_stripe_app.oauth.broker_access import WorkerRequest, may_ask
from airflow_provider_stripe_app.oauth.broker_client import MARKER
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.models import Installation

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def accounts_beside(conn_id: str) -> list[str]:
    """Return the connections of all accounts that installed the same app, in the same mode.

    Those of another team are left out. Lost ones are not: a sync of theirs shall fail and say so.

    :param conn_id: the connection of one of them; it is among the answer.
    :raises ReauthorizationRequired: if it is no installation.
    :raises ConfigurationError: if the tables are missing.
    """

    def read(session: Session) -> list[str]:
        own = session.scalar(select(Installation).where(Installation.conn_id == conn_id))
        if own is None:
            return []
        beside = select(Installation.conn_id).where(
            Installation.app_conn_id == own.app_conn_id,
            Installation.livemode == own.livemode,
            Installation.team_name.is_(None)
            if own.team_name is None
            else Installation.team_name == own.team_name,
        )
        return list(session.scalars(beside.order_by(Installation.conn_id)))

    found = transaction(read)
    if not found:
        raise ReauthorizationRequired(
            f"The Stripe App is not installed for connection {conn_id}, so it is unknown whose "
            "accounts are asked for: name the connection of an installation, or open the page "
            "Stripe App in Airflow (/stripe-app/) and press Install."
        )
    return found


def answer_accounts(
    body: object, *, mend: Callable[[str], None] = update_copy
) -> tuple[int, dict[str, Any]]:
    """Tell a worker which accounts there are, if it shows the ``broker_token`` of one of them.

    :param body: the decoded JSON body: ``conn_id`` and ``broker_token``.
    :param mend: see :func:`.broker_server.answer_token_request`.
    :return: HTTP status and JSON body: 200 with ``conn_ids``; 400; 401; 422 and 503 as for a token.
    """
    asked = WorkerRequest.of(body)
    if asked is None:
        return _error(400, "malformed", "The request is not one of this provider's workers.")
    try:
        if not may_ask(asked.conn_id, asked.broker_token):
            mend(asked.conn_id)
            return _error(401, "unauthorized", "Unknown connection or wrong broker_token.")
        found = accounts_beside(asked.conn_id)
    except (ConfigurationError, ReauthorizationRequired) as error:
        return _error(422, "configuration", str(error))
    except StripeAppError as error:
        return _error(503, "unavailable", str(error))
    return 200, {MARKER: 1, "conn_ids": found}


def _error(status: int, error: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {MARKER: 1, "error": error, "message": message}
