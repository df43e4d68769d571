"""Where workers tell which streams they synced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

BODY_LIMIT = 65_536
"""Bytes; a report of every stream with a sentence each is smaller."""


async def report(request: Request) -> Response:
    """``POST /report``: the last sync of some streams, from whoever shows the installation's
    broker token.
    """
    from airflow_provider_stripe_app.oauth.report_server import answer_report
    from airflow_provider_stripe_app.plugin.routes_broker import answer_worker

    return await answer_worker(request, answer_report, name="report", limit=BODY_LIMIT)
