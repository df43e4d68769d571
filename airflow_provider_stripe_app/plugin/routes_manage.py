"""Looking after an installation: test it, forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.plugin import rights, web

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def test(request: Request, user: Any) -> Response:
    """``POST /test``: ask Stripe for one event with the installation's token."""
    from starlette.concurrency import run_in_threadpool

    conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def work() -> Response:
        rights.check_change(user, conn_id)
        ask_stripe(conn_id)
        return web.done("test_ok", conn_id)

    return await run_in_threadpool(work)


def ask_stripe(conn_id: str) -> None:
    """Raise unless Stripe answers the installation's token.

    Events are asked for, because ``event_read`` is the one permission that every manifest has.

    :param conn_id: the installation's connection.
    :raises StripeAppError: saying what is wrong.
    """
    from airflow_provider_stripe_app.api.client import StripeClient
    from airflow_provider_stripe_app.api.tokens import StaticToken
    from airflow_provider_stripe_app.oauth import config
    from airflow_provider_stripe_app.oauth.install_target import refuse_hidden
    from airflow_provider_stripe_app.oauth.store import TokenStore

    refuse_hidden(conn_id)
    grant = TokenStore().live_token(conn_id)
    client = StripeClient(StaticToken(grant.access_token), api_base=config.api_base())
    client.request("GET", "/v1/events", {"limit": "1"}, purpose="test")


async def disconnect(request: Request, user: Any) -> Response:
    """``POST /disconnect``: forget the grant here; the app stays installed in Stripe."""
    from starlette.concurrency import run_in_threadpool

    conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def work() -> Response:
        from airflow_provider_stripe_app.oauth.store import TokenStore

        rights.check_change(user, conn_id)
        if not TokenStore().forget(conn_id):
            raise ConfigurationError(f"Connection {conn_id} holds no installation to forget.")
        return web.see_other(web.site().page, notice="disconnected", conn_id=conn_id)

    return await run_in_threadpool(work)
