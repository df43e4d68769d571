"""The token broker for workers, and a sign of life."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_stripe_app.plugin.guesses import FailureLimit, Mender

log = logging.getLogger(__name__)

BODY_LIMIT = 16_384
"""Bytes; a request holds a connection id, a broker token and a fingerprint."""

THREADS = 32

RETRY_AFTER = "60"
"""Seconds, for who sent too many wrong tokens."""

Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Desk:
    """What one process keeps for its workers.

    :param threads: the broker's own. Requests may wait for a renewal: with Airflow's shared threads
        a wave of workers would make the whole API server wait.
    :param limit: counts wrong broker tokens.
    :param mender: puts lost keys back into connections.
    """

    threads: CapacityLimiter
    limit: FailureLimit
    mender: Mender


async def token(request: Request) -> Response:
    """``POST /token``: an access token for whoever shows the installation's broker token."""
    from airflow_provider_stripe_app.oauth.broker_server import answer_token_request

    mender = _desk(request).mender

    def work(asked: object) -> Answer:
        return answer_token_request(asked, mend=mender.later)

    return await answer_worker(request, work, name="token")


async def accounts(request: Request) -> Response:
    """``POST /worker-accounts``: the connections of an app's accounts, for a task that maps over
    them, from whoever shows the broker token of one.
    """
    from airflow_provider_stripe_app.oauth.accounts_server import answer_accounts

    mender = _desk(request).mender

    def work(asked: object) -> Answer:
        return answer_accounts(asked, mend=mender.later)

    return await answer_worker(request, work, name="accounts")


async def answer_worker(
    request: Request, work: Callable[[object], Answer], *, name: str, limit: int = BODY_LIMIT
) -> Response:
    """Answer a worker, whose only right is a connection's broker token; no login plays a part.

    :param request: with a small JSON body.
    :param name: of the route, for the metrics.
    :param limit: bytes that its body may have.
    :param work: gets the decoded body, ``None`` if it is no JSON; returns status and JSON. It runs
        in a thread and answers 401 to a wrong broker token.
    """
    from airflow_provider_stripe_app.oauth import metrics

    response = await _answer(request, work, limit)
    metrics.broker(name, response.status_code)
    return response


async def _answer(request: Request, work: Callable[[object], Answer], limit: int) -> Response:
    from anyio import to_thread
    from starlette.responses import JSONResponse

    from airflow_provider_stripe_app.oauth.broker_server import too_many_requests

    body = b""
    async for part in request.stream():
        body += part
        if len(body) > limit:
            return JSONResponse({"error": "too large"}, status_code=413)
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    desk = _desk(request)
    try:
        status, answer = await to_thread.run_sync(work, asked, limiter=desk.threads)
    except Exception:
        log.exception("A request of a worker could not be answered")
        return JSONResponse({"error": "internal"}, status_code=500)
    headers = {}
    if status == 401 and desk.limit.too_many(_address(request), _conn_id(asked)):
        (status, answer), headers = too_many_requests(), {"Retry-After": RETRY_AFTER}
    return JSONResponse(answer, status_code=status, headers=headers)


def _conn_id(asked: object) -> str:
    return str(asked.get("conn_id", "")) if isinstance(asked, dict) else ""


def _address(request: Request) -> str:
    """Return who asked, as far as the server knows: behind a proxy, often the proxy."""
    return request.client.host if request.client is not None else ""


def _desk(request: Request) -> Desk:
    """Return this process's; made late, for the threads belong to the event loop."""
    from anyio import CapacityLimiter

    from airflow_provider_stripe_app.oauth.adoption import update_copy
    from airflow_provider_stripe_app.plugin.guesses import FailureLimit, Mender

    state = request.app.state
    if not hasattr(state, "broker_desk"):
        state.broker_desk = Desk(CapacityLimiter(THREADS), FailureLimit(), Mender(update_copy))
    desk: Desk = state.broker_desk
    return desk


async def health(request: Request) -> Response:
    """``GET /health``: says that the plugin is mounted here, which a 200 of Airflow's UI does
    not.
    """
    from starlette.responses import JSONResponse

    from airflow_provider_stripe_app import __version__
    from airflow_provider_stripe_app.oauth.broker_client import PROVIDER

    return JSONResponse({"provider": PROVIDER, "version": __version__})
