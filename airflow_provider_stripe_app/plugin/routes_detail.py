"""The page of one installation, and the question before it is uninstalled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.plugin import gather, pages, rights, security, web
from airflow_provider_stripe_app.plugin.shield import query_of
from airflow_provider_stripe_app.plugin.views import detail as views
from airflow_provider_stripe_app.plugin.views import paging
from airflow_provider_stripe_app.plugin.views.common import plain

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_stripe_app.plugin.views.listing import Checked

DEEPEST = 200
"""Pages of the history that can be opened; it is kept for 90 days."""


async def page(request: Request, user: Any) -> Response:
    """``GET /installation``: everything about one installation."""
    from starlette.concurrency import run_in_threadpool

    shown = await run_in_threadpool(_collect, user, request)
    return web.with_csrf(request, user, lambda csrf: web.html("detail.html", csrf=csrf, **shown))


async def ask_uninstall(request: Request, user: Any) -> Response:
    """``GET /uninstall``: say what uninstalling does, and ask."""
    from starlette.concurrency import run_in_threadpool

    conn_id = query_of(request.scope).get("conn_id", "")

    def work() -> tuple[Checked, list[pages.Notice]]:
        rights.check_change(user, conn_id)
        checked = _one(conn_id)
        return checked, web.app_problems(checked.one.app_conn_id)

    checked, problems = await run_in_threadpool(work)
    one = checked.one
    values: dict[str, Any] = {
        "one": one,
        "problems": problems,
        "name": plain(one.account_name) or one.account_id,
        "back": paging.address("installation", conn_id=conn_id),
    }
    return web.with_csrf(
        request, user, lambda csrf: web.html("uninstall.html", csrf=csrf, **values)
    )


def _collect(user: Any, request: Request) -> dict[str, Any]:
    from airflow_provider_stripe_app.oauth.store import TokenStore

    query, here = query_of(request.scope), web.site()
    conn_id = query.get("conn_id", "")
    rights.check_see(user, conn_id)
    checked = _one(conn_id)
    number = paging.number(query.get("history", ""), DEEPEST)
    lines = TokenStore().history(conn_id, limit=number * views.HISTORY_PAGE + 1)
    now = time.time()
    shown = views.detail(
        checked,
        views.history_page(lines, conn_id, number, now=now),
        now=now,
        can_change=security.may(user, conn_id, "PUT"),
        base_path=here.base_path,
    )
    return {"notice": pages.notice_for(query, [conn_id]), "one": shown}


def _one(conn_id: str) -> Checked:
    found = gather.checked_installations([conn_id])
    if not found:
        raise web.NotFound(
            f"Connection {conn_id[:200]} holds no installation. Open the list and press Install."
        )
    return found[0]
