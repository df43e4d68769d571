"""The manifest of the app: ticked together on a page, and as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.plugin import pages, security, web
from airflow_provider_stripe_app.plugin.shield import query_of
from airflow_provider_stripe_app.plugin.views import manifest as views

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def page(request: Request, user: Any) -> Response:
    """``GET /manifest``: the form, what is wrong with it, the file and the commands."""
    from starlette.concurrency import run_in_threadpool

    await run_in_threadpool(web.check_sees_connections, user)
    here = web.site()
    return web.html(
        "manifest.html",
        form=views.form(query_of(request.scope), here.redirect_uri),
        redirect_uri=here.redirect_uri,
        redirect_warning=pages.redirect_warning(
            here.redirect_uri, security.origin_of(str(request.base_url))
        ),
        connections_url=here.connections,
    )


async def download(request: Request, user: Any) -> Response:
    """``GET /manifest/stripe-app.json``: the file."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response as Answer

    await run_in_threadpool(web.check_sees_connections, user)
    made = views.form(query_of(request.scope), web.site().redirect_uri)
    if not made.text:
        return web.message(
            "That did not work",
            "The manifest is not complete: open the page of the manifest, which says what is "
            "wrong beside each field.",
            back="manifest",
        )
    return Answer(
        made.text,
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="stripe-app.json"'},
    )
