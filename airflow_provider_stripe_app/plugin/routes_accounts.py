"""The accounts that have an app, by Stripe's Install API: look again, adopt one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.plugin import gather, pages, rights, security, web
from airflow_provider_stripe_app.plugin.shield import query_of
from airflow_provider_stripe_app.plugin.views import accounts as views
from airflow_provider_stripe_app.plugin.views.paging import address

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def page(request: Request, user: Any) -> Response:
    """``GET /accounts``: what Stripe last said of an app's accounts."""
    from starlette.concurrency import run_in_threadpool

    shown = await run_in_threadpool(_collect, user, query_of(request.scope))
    return web.with_csrf(request, user, lambda csrf: web.html("accounts.html", csrf=csrf, **shown))


def _collect(user: Any, query: dict[str, str]) -> dict[str, Any]:
    from airflow_provider_stripe_app.oauth.installs import Installs

    app_conn_id = query.get("conn_id", "")
    rights.check_see(user, app_conn_id)
    known = Installs().accounts(app_conn_id)
    here = {one.conn_id for one in known if one.conn_id}
    visible = security.readable(user, here)
    names = {
        one.conn_id: one.account_name or ""
        for one in gather.installations()
        if one.conn_id in visible
    }
    part = views.accounts(
        known,
        names=names,
        visible=visible,
        taken={*here, *gather.connection_ids()},
        page=query.get("page", ""),
    )

    def at(number: int) -> str:
        return address("accounts", conn_id=app_conn_id, page=number)

    return {
        "app_conn_id": app_conn_id,
        "notice": pages.notice_for(query, [app_conn_id]),
        "problems": web.app_problems(app_conn_id),
        "part": part,
        "seen": views.looked_at(known, time.time()),
        "can_change": security.may(user, app_conn_id, "PUT"),
        "may_add": security.is_authorized(user, None, "POST"),
        "previous": at(part.page - 1) if part.page > 1 else "",
        "following": at(part.page + 1) if part.page < part.pages else "",
    }


async def reconcile(request: Request, user: Any) -> Response:
    """``POST /reconcile``: ask Stripe again."""
    from starlette.concurrency import run_in_threadpool

    app_conn_id = (await web.form_of(request, user)).get("conn_id", "")

    def work() -> Response:
        from airflow_provider_stripe_app.oauth.reconcile import reconcile_app

        rights.check_change(user, app_conn_id)
        try:
            reconcile_app(app_conn_id)
        except StripeAppError as error:
            return web.message(
                "That did not work", str(error), back=address("accounts", conn_id=app_conn_id)
            )
        return web.see_other(f"{web.site().page}accounts", notice="reconciled", conn_id=app_conn_id)

    return await run_in_threadpool(work)


async def adopt(request: Request, user: Any) -> Response:
    """``POST /adopt``: make an installation here of an account that has the app already."""
    from starlette.concurrency import run_in_threadpool

    form = await web.form_of(request, user)
    app_conn_id, account_id = form.get("conn_id", ""), form.get("account_id", "")
    conn_id = form.get("installation_conn_id", "").strip()

    def work() -> Response:
        from airflow_provider_stripe_app.oauth.installs import Installs

        rights.check_install(user, app_conn_id, conn_id)
        try:
            Installs().adopt(app_conn_id, account_id, conn_id, security.person(user))
        except StripeAppError as error:
            return web.message(
                "That did not work", str(error), back=address("accounts", conn_id=app_conn_id)
            )
        return web.done("adopted", conn_id)

    return await run_in_threadpool(work)
