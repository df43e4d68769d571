"""The worker's side of a report: told once, within seconds, and whatever goes wrong is no trouble.

A table that was synced is not made any better by telling so: no failure here fails a task or delays
it noticeably.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import requests

from airflow_provider_stripe_app.oauth.broker_client import (
    MARKER,
    candidates,
    speaks,
)
from airflow_provider_stripe_app.oauth.credentials import (
    ConnectionLike,
    InstallationSettings,
    read_settings,
)
from airflow_provider_stripe_app.oauth.stream_reports import MAX_REPORTS, StreamReport

log = logging.getLogger(__name__)

REPORT_PATH = "/stripe-app/report"
SECONDS = 3.0
"""What a report may take in all. Looking up a name can hang for longer and knows no timeout, so
another thread does it, which is left behind."""

TIMEOUT = (1.0, 2.0)
"""Seconds to connect and to wait for an answer."""

Post = Callable[[list[str], dict[str, Any]], None]


def send(
    conn_id: str,
    reports: Sequence[StreamReport],
    *,
    read_connection: Callable[[str], ConnectionLike] | None = None,
    direct: Callable[[], bool] | None = None,
    seconds: float = SECONDS,
) -> None:
    """Tell the API server about a run; never raises.

    With a restricted key there is no installation and nothing is told. Where the metadata database
    may be used (``airflow dags test``), it is written there.

    :param conn_id: the installation's connection.
    :param reports: what to tell.
    :param read_connection: reads the connection; by default as tasks may.
    :param direct: tells whether the metadata database may be used; found out by default.
    :param seconds: what it may take in all.
    """
    try:
        told = list(reports)[:MAX_REPORTS]
        if not told:
            return
        from airflow_provider_stripe_app.oauth import database

        settings = read_settings((read_connection or _read_connection)(conn_id))
        if not isinstance(settings, InstallationSettings):
            return
        if (direct or database.may_use_metadata_db)():
            _record(conn_id, told)
        elif settings.broker_token:
            body = {
                "conn_id": conn_id,
                "broker_token": settings.broker_token,
                "streams": [one.as_dict() for one in told],
            }
            _within(seconds, lambda: _post(candidates(), body, time.monotonic() + seconds))
    except Exception as error:
        log.debug("The run was not reported (%s)", type(error).__name__)


def _read_connection(conn_id: str) -> ConnectionLike:
    from airflow.providers.common.compat.sdk import BaseHook

    conn: ConnectionLike = BaseHook.get_connection(conn_id)
    return conn


def _record(conn_id: str, told: list[StreamReport]) -> None:
    from airflow_provider_stripe_app.oauth import stream_reports

    stream_reports.record(conn_id, told, time.time())


def _within(seconds: float, work: Callable[[], None]) -> None:
    def run() -> None:
        try:
            work()
        except Exception as error:
            log.debug("The run was not reported (%s)", type(error).__name__)

    thread = threading.Thread(target=run, name="stripe-app-report", daemon=True)
    thread.start()
    thread.join(seconds)


def _post(addresses: list[str], body: dict[str, Any], deadline: float) -> None:
    """Send it to the first address at which this plugin answers.

    A server of an older version answers 404 or a page of Airflow's UI: it is not told then.
    """
    for address in addresses:
        if time.monotonic() > deadline:
            return
        if not speaks(address, TIMEOUT):
            continue
        answer = requests.post(
            f"{address}{REPORT_PATH}",
            json=body,
            headers={"Accept": "application/json"},
            timeout=TIMEOUT,
            allow_redirects=False,
        )
        if _is_ours(answer):
            if answer.status_code != 200:
                log.debug("The run was not taken: %s", answer.json().get("message"))
            return


def _is_ours(answer: requests.Response) -> bool:
    try:
        values: Any = answer.json()
    except ValueError:
        return False
    return isinstance(values, dict) and values.get(MARKER) == 1
