"""The API server's answer to a worker that tells about its sync."""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.oauth import stream_reports
from airflow_provider_stripe_app.oauth.broker_access import WorkerRequest, may_ask
from airflow_provider_stripe_app.oauth.broker_client import MARKER

KEYS = frozenset({"conn_id", "broker_token", "streams"})


def answer_report(body: object) -> tuple[int, dict[str, Any]]:
    """Store a worker's report, if it shows the installation's ``broker_token``.

    An unknown connection and a wrong ``broker_token`` get the same answer, and what is reported is
    not looked at before: nobody without the token can find out anything.

    :param body: the decoded JSON body: ``conn_id``, ``broker_token`` and ``streams``.
    :return: HTTP status and JSON body: 200; 400; 401; 422 and 503 as for a token.
    """
    asked = WorkerRequest.of(body)
    values = body if isinstance(body, dict) else {}
    if asked is None or values.keys() - KEYS:
        return _error(400, "malformed", "The request is not one of this provider's workers.")
    try:
        if not may_ask(asked.conn_id, asked.broker_token):
            return _error(401, "unauthorized", "Unknown connection or wrong broker_token.")
        reports = stream_reports.parse(values.get("streams"))
        stream_reports.record(asked.conn_id, reports, time.time())
    except stream_reports.MalformedReport as error:
        return _error(400, "malformed", str(error))
    except ConfigurationError as error:
        return _error(422, "configuration", str(error))
    except StripeAppError as error:
        return _error(503, "unavailable", str(error))
    return 200, {MARKER: 1, "stored": len(reports)}


def _error(status: int, error: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {MARKER: 1, "error": error, "message": message}
