"""The page: what is installed, what could be, and what is missing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.oauth.credentials import CONN_TYPE, Settings, read_settings
from airflow_provider_stripe_app.plugin import pages, security, web
from airflow_provider_stripe_app.plugin.shield import query_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_stripe_app.oauth.store import InstallationStatus


async def page(request: Request) -> Response:
    """``GET /``: the page."""
    from starlette.concurrency import run_in_threadpool

    user = await security.current_user(request)
    if user is None:
        return web.to_login(web.site().page)
    shown = await run_in_threadpool(_collect, user, request)
    return web.with_csrf(request, user, lambda csrf: web.html("page.html", csrf=csrf, **shown))


def _collect(user: Any, request: Request) -> dict[str, Any]:
    """Return what the page shows this user: only connections that they may see."""
    query, opened_at = query_of(request.scope), security.origin_of(str(request.base_url))
    here = web.site()
    found, problems = _installations()
    settings = _settings()
    known = {one.conn_id for one in found} | set(settings)
    seen = security.readable(user, known)
    if not seen and not security.is_authorized(user, None, "GET"):
        raise web.Forbidden(
            "This page shows connections, and your Airflow role may not see any. Ask an "
            "administrator."
        )
    changeable = {conn_id for conn_id in seen if security.may(user, conn_id, "PUT")}
    now = time.time()
    installations = [
        pages.installation_view(one, now=now, can_change=one.conn_id in changeable)
        for one in found
        if one.conn_id in seen
    ]
    installed = {one.conn_id for one in found}
    connections = [
        pages.connection_view(
            conn_id,
            settings[conn_id],
            can_change=conn_id in changeable,
            installed_as=[
                one.conn_id for one in found if one.app_conn_id == conn_id and one.conn_id in seen
            ],
        )
        for conn_id in sorted(settings)
        if conn_id in seen and conn_id not in installed
    ]
    if not seen:
        problems.append(_no_connection(here))
    return {
        "notice": pages.notice_for(query, sorted(seen)),
        "problems": problems,
        "installations": installations,
        "connections": connections,
        "redirect_uri": here.redirect_uri,
        "redirect_warning": pages.redirect_warning(here.redirect_uri, opened_at),
    }


def _no_connection(here: web.Site) -> pages.Notice:
    return pages.Notice(
        "There is no connection of type Stripe App yet: create one with your app's install link "
        "and secret key (or with a restricted key), then come back here.",
        kind="warn",
        href=here.connections,
        link="Open Airflow's connections",
    )


def _installations() -> tuple[list[InstallationStatus], list[pages.Notice]]:
    from airflow_provider_stripe_app.oauth.store import TokenStore

    try:
        return TokenStore().installations(), []
    except ConfigurationError as error:  # for example: the table is missing
        return [], [pages.Notice(str(error))]


def _settings() -> dict[str, Settings | Exception]:
    """Return the connections of our type in the metadata database and what they say."""
    from airflow.models import Connection
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.database import transaction

    def work(session: Session) -> dict[str, Settings | Exception]:
        query = select(Connection).where(Connection.conn_type == CONN_TYPE)
        return {str(conn.conn_id): _read(conn) for conn in session.scalars(query)}

    return transaction(work)


def _read(conn: Any) -> Settings | Exception:
    try:
        return read_settings(conn)
    except StripeAppError as error:
        return error
    except Exception as error:
        return ConfigurationError(
            f"Connection {conn.conn_id} cannot be read ({type(error).__name__}): save it again."
        )
