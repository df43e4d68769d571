"""The token broker for workers, and a sign of life."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from starlette.requests import Request
    from starlette.responses import Response

BODY_LIMIT = 16_384
"""Bytes; a request holds a connection id, a broker token and a fingerprint."""

THREADS = 32


async def token(request: Request) -> Response:
    """``POST /token``: an access token for whoever shows the installation's broker token.

    Requests may wait for a renewal, so they have threads of their own: with Airflow's shared ones
    a wave of workers would make the whole API server wait.
    """
    from anyio import to_thread
    from starlette.responses import JSONResponse

    from airflow_provider_stripe_app.oauth.broker_server import answer_token_request

    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            return JSONResponse({"error": "too large"}, status_code=413)
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    status, answer = await to_thread.run_sync(
        answer_token_request, asked, limiter=_threads(request.app.state)
    )
    return JSONResponse(answer, status_code=status)


def _threads(state: Any) -> CapacityLimiter:
    """Return the broker's threads of this process; made late, for they belong to the event loop."""
    from anyio import CapacityLimiter

    if not hasattr(state, "broker_threads"):
        state.broker_threads = CapacityLimiter(THREADS)
    limiter: CapacityLimiter = state.broker_threads
    return limiter


async def health(request: Request) -> Response:
    """``GET /health``: says that the plugin is mounted here, which a 200 of Airflow's UI does
    not.
    """
    from starlette.responses import JSONResponse

    from airflow_provider_stripe_app import __version__
    from airflow_provider_stripe_app.oauth.broker_client import PROVIDER

    return JSONResponse({"provider": PROVIDER, "version": __version__})
