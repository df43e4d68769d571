"""Looking after an installation: test it, forget it, uninstall it, take it over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.plugin import rights, security, web
from airflow_provider_stripe_app.plugin.views.paging import address

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_stripe_app.oauth.status import InstallationStatus


async def test(request: Request, user: Any) -> Response:
    """``POST /test``: ask Stripe for one event with the installation's token."""

    def work(conn_id: str) -> Response:
        from airflow_provider_stripe_app.oauth import trial

        trial.ask_stripe(conn_id)
        return web.done("test_ok", conn_id)

    return await _act(request, user, work)


async def disconnect(request: Request, user: Any) -> Response:
    """``POST /disconnect``: forget the grant here; the app stays installed in Stripe."""

    def work(conn_id: str) -> Response:
        from airflow_provider_stripe_app.oauth.store import TokenStore

        if not TokenStore().forget(conn_id, by=security.person(user)):
            raise ConfigurationError(f"Connection {conn_id} holds no installation to forget.")
        return web.see_other(web.site().page, notice="disconnected", conn_id=conn_id)

    return await _act(request, user, work)


async def uninstall(request: Request, user: Any) -> Response:
    """``POST /uninstall``: remove the app from the account at Stripe, and forget it here."""

    def work(conn_id: str) -> Response:
        from airflow_provider_stripe_app.oauth.installs import Installs

        one = _installation(conn_id)
        # It is done with the app's secret key, so the user must be allowed to use that, too.
        if one is not None:
            rights.check_see(user, one.app_conn_id)
        Installs().uninstall(conn_id, security.person(user))
        return web.see_other(web.site().page, notice="uninstalled", conn_id=conn_id)

    return await _act(request, user, work)


async def take_over(request: Request, user: Any) -> Response:
    """``POST /take-over``: renew the tokens here from now on, not in another deployment."""

    def work(conn_id: str) -> Response:
        from airflow_provider_stripe_app.oauth.store import TokenStore

        if not TokenStore().take_over(conn_id, security.person(user)):
            raise ConfigurationError(
                f"There is nothing to take over: connection {conn_id} holds no installation that "
                "belongs to another deployment."
            )
        return web.done("taken_over", conn_id)

    return await _act(request, user, work)


async def _act(request: Request, user: Any, work: Callable[[str], Response]) -> Response:
    """Do something with the connection that a form names, if the user may change it.

    :param request: the form.
    :param user: Airflow's user.
    :param work: gets the connection's id; runs in a thread. What it raises becomes a sentence with
        the way back to the installation.
    """
    from starlette.concurrency import run_in_threadpool

    conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def checked() -> Response:
        rights.check_change(user, conn_id)
        try:
            return work(conn_id)
        except web.Forbidden:
            raise
        except StripeAppError as error:
            there = _installation(conn_id) is not None
            back = address("installation", conn_id=conn_id) if there else ""
            return web.message("That did not work", str(error), back=back)

    return await run_in_threadpool(checked)


def _installation(conn_id: str) -> InstallationStatus | None:
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return TokenStore().status(conn_id)
