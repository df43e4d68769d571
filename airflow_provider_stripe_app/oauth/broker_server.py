"""The API server's side of the broker: who may have a token, and which.

Called by the plugin's route, in a thread: it may wait for another process's renewal.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
)
from airflow_provider_stripe_app.oauth.adoption import update_copy
from airflow_provider_stripe_app.oauth.broker_client import MARKER
from airflow_provider_stripe_app.oauth.store import TokenStore

log = logging.getLogger(__name__)
WAIT_SECONDS = 15.0
"""How long one request may wait: longer ones use up the server's threads; workers ask again."""


def answer_token_request(
    body: object, store: TokenStore | None = None
) -> tuple[int, dict[str, Any]]:
    """Answer a worker's request for a token.

    An unknown connection and a wrong ``broker_token`` get the same answer.

    :param body: the decoded JSON body: ``conn_id``, ``broker_token`` and, after a 401, the
        ``refused_fingerprint``.
    :param store: the token store.
    :return: HTTP status and JSON body: 200 with the token; 401; 409 if the app has to be installed
        again; 422 if something is set up wrongly; 503 if a later request may succeed.
    """
    asked = body if isinstance(body, dict) else {}
    conn_id, broker_token = asked.get("conn_id"), asked.get("broker_token")
    refused = asked.get("refused_fingerprint")
    if not (isinstance(conn_id, str) and isinstance(broker_token, str)) or not (
        refused is None or isinstance(refused, str)
    ):
        return _error(400, "malformed", "The request is not one of this provider's workers.")
    try:
        store = store or TokenStore()
        if not store.may_ask(conn_id, broker_token):
            # Nothing is said, but a connection whose keys were damaged by a form gets them back, so
            # that the worker, which reads it once more, comes with the right one.
            update_copy(conn_id)
            return _error(401, "unauthorized", "Unknown connection or wrong broker_token.")
        grant = store.live_token(conn_id, refused, wait_seconds=WAIT_SECONDS)
    except ReauthorizationRequired as error:
        return _error(409, "reauthorization_required", str(error))
    except ConfigurationError as error:
        return _error(422, "configuration", str(error))
    except StripeAppError as error:
        return _error(503, "unavailable", str(error))
    update_copy(conn_id)
    return 200, {
        MARKER: 1,
        "access_token": grant.access_token,
        "expires_at": grant.expires_at,
        "generation": grant.generation,
        "account_id": grant.account_id,
        "livemode": grant.livemode,
    }


def _error(status: int, error: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {MARKER: 1, "error": error, "message": message}
