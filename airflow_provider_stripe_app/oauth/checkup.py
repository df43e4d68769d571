"""The health of installations with all that counts for it, for ``status.json`` and the CLI."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.health import overview
from airflow_provider_stripe_app.oauth.permissions import permissions_of
from airflow_provider_stripe_app.oauth.stream_reports import StreamReport, last_syncs
from airflow_provider_stripe_app.oauth.unread import unread
from airflow_provider_stripe_app.oauth.words import iso

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.status import InstallationStatus


def checkup(found: Sequence[InstallationStatus], now: float | None = None) -> dict[str, Any]:
    """Return the report on installations, see :func:`health.overview`.

    :param found: what the store says, for example ``TokenStore().installations()``.
    :param now: unix seconds, by default the clock's.
    :raises ConfigurationError: if the provider's tables are missing.
    """
    moment = time.time() if now is None else now
    syncs = last_syncs(found[0].conn_id if len(found) == 1 else None)
    missing = {
        one.conn_id: permissions_of(one, syncs.get(one.conn_id, ())).missing for one in found
    }
    made = overview(
        found,
        moment,
        deployment=config.deployment_id(),
        missing=missing,
        unread=unread(found),
    )
    for one in made["installations"]:
        one["streams"] = [_stream(sync) for sync in syncs.get(one["conn_id"], ())]
    return made


def _stream(sync: StreamReport) -> dict[str, Any]:
    return {
        "stream": sync.stream,
        "warehouse_conn_id": sync.warehouse_conn_id,
        "ok": sync.ok,
        "at": iso(sync.at),
        "complete_to": iso(sync.complete_to),
        "error": sync.error,
        "permission": sync.permission,
    }
