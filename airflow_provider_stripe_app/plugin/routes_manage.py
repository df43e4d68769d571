"""Looking after an installation: test it, forget it, uninstall it, take it over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.plugin import rights, security, web

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_stripe_app.oauth.status import InstallationStatus


async def test(request: Request, user: Any) -> Response:
    """``POST /test``: ask Stripe for one event with the installation's token."""
    from starlette.concurrency import run_in_threadpool

    conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def work() -> Response:
        from airflow_provider_stripe_app.oauth import trial

        rights.check_change(user, conn_id)
        trial.ask_stripe(conn_id)
        return web.done("test_ok", conn_id)

    return await run_in_threadpool(work)


async def disconnect(request: Request, user: Any) -> Response:
    """``POST /disconnect``: forget the grant here; the app stays installed in Stripe."""
    from starlette.concurrency import run_in_threadpool

    conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def work() -> Response:
        from airflow_provider_stripe_app.oauth.store import TokenStore

        rights.check_change(user, conn_id)
        if not TokenStore().forget(conn_id, by=security.user_key(user)):
            raise ConfigurationError(f"Connection {conn_id} holds no installation to forget.")
        return web.see_other(web.site().page, notice="disconnected", conn_id=conn_id)

    return await run_in_threadpool(work)


async def uninstall(request: Request, user: Any) -> Response:
    """``POST /uninstall``: remove the app from the account at Stripe, and forget it here."""
    from starlette.concurrency import run_in_threadpool

    conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def work() -> Response:
        from airflow_provider_stripe_app.oauth.installs import Installs

        one = _installation(user, conn_id)
        # It is done with the app's secret key, so the user must be allowed to use that, too.
        rights.check_see(user, one.app_conn_id)
        Installs().uninstall(conn_id, security.user_key(user))
        return web.see_other(web.site().page, notice="uninstalled", conn_id=conn_id)

    return await run_in_threadpool(work)


async def take_over(request: Request, user: Any) -> Response:
    """``POST /take-over``: renew the tokens here from now on, not in another deployment."""
    from starlette.concurrency import run_in_threadpool

    conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def work() -> Response:
        from airflow_provider_stripe_app.oauth.store import TokenStore

        _installation(user, conn_id)
        if not TokenStore().take_over(conn_id, security.user_key(user)):
            raise ConfigurationError(f"The tokens of {conn_id} belong to this deployment already.")
        return web.done("taken_over", conn_id)

    return await run_in_threadpool(work)


def _installation(user: Any, conn_id: str) -> InstallationStatus:
    """Return the installation, if the user may change it.

    :raises Forbidden: if they may not, whether it exists or not.
    :raises ConfigurationError: if the connection holds none.
    """
    from airflow_provider_stripe_app.oauth.store import TokenStore

    rights.check_change(user, conn_id)
    one = TokenStore().status(conn_id)
    if one is None:
        raise ConfigurationError(f"Connection {conn_id[:200]} holds no installation.")
    return one
