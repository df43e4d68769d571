"""The list of installations, and the connections that could hold one."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.plugin import gather, pages, security, web
from airflow_provider_stripe_app.plugin.shield import query_of
from airflow_provider_stripe_app.plugin.views import connections as views
from airflow_provider_stripe_app.plugin.views import listing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_stripe_app.plugin.views.connections import ConnectionView
    from airflow_provider_stripe_app.plugin.views.listing import Checked


MOST = 100
"""Connections without an installation that are shown; a thousand forgotten ones help nobody."""


async def page(request: Request, user: Any) -> Response:
    """``GET /``: the list."""
    from starlette.concurrency import run_in_threadpool

    shown = await run_in_threadpool(_collect, user, request)
    return web.with_csrf(request, user, lambda csrf: web.html("list.html", csrf=csrf, **shown))


def _collect(user: Any, request: Request) -> dict[str, Any]:
    """Return what the list shows this user: only connections that they may see."""
    query, here = query_of(request.scope), web.site()
    checked, problems = _checked()
    installed = {one.one.conn_id: one.one.app_conn_id for one in checked}
    # An installation of its own says nothing that the store does not know.
    known = gather.connections(without=installed.keys() - set(installed.values()))
    seen = security.readable(user, {*installed, *installed.values(), *known})
    web.check_sees_connections(user, seen)
    visible = [one for one in checked if one.one.conn_id in seen]
    found, part = listing.select(visible, query)
    narrowed = bool(found.query or found.word or found.previous)
    others = {} if narrowed else {name: one for name, one in known.items() if name in seen}
    unlisted = set() if narrowed else (set(installed.values()) & seen) - known.keys()
    changeable = security.allowed(
        user, {*(one.one.conn_id for one in part), *others, *unlisted}, "PUT"
    )
    now = time.time()
    rows = tuple(
        listing.row(one, now=now, can_change=one.one.conn_id in changeable) for one in part
    )
    apps, rest = _connections(others, unlisted, visible, changeable)
    return {
        "notice": pages.notice_for(query, sorted(seen)),
        "problems": problems,
        "listing": replace(found, rows=rows),
        "narrowed": narrowed,
        "apps": apps,
        "connections": rest[:MOST],
        "unshown": max(len(rest) - MOST, 0),
        "may_add": security.is_authorized(user, None, "POST"),
        "redirect_uri": here.redirect_uri,
        "redirect_warning": pages.redirect_warning(
            here.redirect_uri, security.origin_of(str(request.base_url))
        ),
        "connections_url": here.connections,
    }


def _checked() -> tuple[list[Checked], list[pages.Notice]]:
    try:
        return gather.checked_installations(), []
    except ConfigurationError as error:  # for example: the table is missing
        return [], [pages.Notice(str(error))]


def _connections(
    known: Mapping[str, gather.Known],
    unlisted: Collection[str],
    visible: Sequence[Checked],
    changeable: set[str],
) -> tuple[list[ConnectionView], list[ConnectionView]]:
    """Return the apps, and the connections that are neither app nor installed."""
    installed: dict[str, list[str]] = {}
    for one in visible:
        installed.setdefault(one.one.app_conn_id, []).append(one.one.conn_id)
    holding = {one.one.conn_id for one in visible}
    apps, rest = [], []
    for conn_id, connection in known.items():
        view = views.connection_view(
            conn_id,
            connection.settings,
            # An environment variable cannot be changed, but another connection may be installed.
            can_change=conn_id in changeable,
            installed_as=installed.get(conn_id, ()),
            source=connection.source,
        )
        if view.accounts:
            apps.append(view)
        elif conn_id not in holding or isinstance(connection.settings, Exception):
            rest.append(view)
    apps += [
        views.unlisted_app_view(
            conn_id, can_change=conn_id in changeable, installed_as=installed[conn_id]
        )
        for conn_id in unlisted
        if conn_id in installed
    ]
    return sorted(apps, key=lambda view: view.conn_id), rest
