"""The API server's side of the broker: who may have a token, and which.

Called by the plugin's route, in a thread: it may wait for another process's renewal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
)
from airflow_provider_stripe_app.oauth.adoption import update_copy
from airflow_provider_stripe_app.oauth.broker_access import WorkerRequest, may_ask
from airflow_provider_stripe_app.oauth.broker_client import MARKER
from airflow_provider_stripe_app.oauth.store import TokenStore

log = logging.getLogger(__name__)
WAIT_SECONDS = 15.0
"""How long one request may wait: longer ones use up the server's threads; workers ask again."""


def answer_token_request(
    body: object,
    store: TokenStore | None = None,
    *,
    mend: Callable[[str], None] = update_copy,
) -> tuple[int, dict[str, Any]]:
    """Answer a worker's request for a token.

    An unknown connection and a wrong ``broker_token`` get the same answer for the same work.

    :param body: the decoded JSON body: ``conn_id``, ``broker_token`` and, after a 401, the
        ``refused_fingerprint``.
    :param store: the token store.
    :param mend: what to do about a connection whose worker was refused: it may have lost its keys
        to a form, and has them when the worker reads it once more. The API server does it apart
        from the answer, whose time would else tell which connections exist.
    :return: HTTP status and JSON body: 200 with the token; 401; 409 if the app has to be installed
        again; 422 if something is set up wrongly; 503 if a later request may succeed.
    """
    asked = WorkerRequest.of(body)
    if asked is None:
        return _error(400, "malformed", "The request is not one of this provider's workers.")
    try:
        store = store or TokenStore()
        if not may_ask(asked.conn_id, asked.broker_token):
            mend(asked.conn_id)
            return _error(401, "unauthorized", "Unknown connection or wrong broker_token.")
        grant = store.live_token(
            asked.conn_id, asked.refused_fingerprint, wait_seconds=WAIT_SECONDS
        )
    except ReauthorizationRequired as error:
        return _error(409, "reauthorization_required", str(error))
    except ConfigurationError as error:
        return _error(422, "configuration", str(error))
    except StripeAppError as error:
        return _error(503, "unavailable", str(error))
    update_copy(asked.conn_id)
    return 200, {
        MARKER: 1,
        "access_token": grant.access_token,
        "expires_at": grant.expires_at,
        "generation": grant.generation,
        "account_id": grant.account_id,
        "livemode": grant.livemode,
    }


def too_many_requests() -> tuple[int, dict[str, Any]]:
    """Return the answer to one wrong ``broker_token`` too many; like a 401 it says no more."""
    return _error(429, "too_many", "Too many requests with a wrong broker_token: ask later.")


def _error(status: int, error: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {MARKER: 1, "error": error, "message": message}
