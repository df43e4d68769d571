"""The FastAPI app under ``/stripe-app``: only the wiring.

Routes are plain Starlette endpoints. FastAPI itself is needed because Airflow runs the lifespan of
mounted FastAPI apps only.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from airflow_provider_stripe_app.plugin.web import Handler

log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")


def create_app() -> FastAPI:
    """Return the app that the plugin mounts."""
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from airflow_provider_stripe_app.plugin import keepalive
    from airflow_provider_stripe_app.plugin.shield import QueryShield

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with keepalive.running():
            yield

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    # A redirect to the same path with a slash would carry the masked query instead of the real one.
    app.router.redirect_slashes = False
    for method, path, handler in routes():
        app.add_route(path, handler, methods=[method])
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(QueryShield, form_targets=_form_targets())
    return app


def routes() -> list[tuple[str, str, Handler]]:
    """Return every route: method, path, endpoint.

    ``shows`` sends whoever is not logged in to Airflow's login, ``needs_user`` refuses them; what
    the user may do is checked by each handler, on the connections that it is about.
    """
    from airflow_provider_stripe_app.plugin import (
        routes_accounts,
        routes_broker,
        routes_detail,
        routes_install,
        routes_manage,
        routes_manifest,
        routes_pages,
        routes_report,
        routes_status,
    )
    from airflow_provider_stripe_app.plugin.web import endpoint, needs_user, shows

    return [
        ("GET", "/", shows(routes_pages.page)),
        ("GET", "/installation", shows(routes_detail.page)),
        ("GET", "/uninstall", shows(routes_detail.ask_uninstall)),
        ("GET", "/accounts", shows(routes_accounts.page)),
        ("GET", "/manifest", shows(routes_manifest.page)),
        ("GET", "/manifest/stripe-app.json", shows(routes_manifest.download)),
        ("GET", "/status.json", routes_status.status),
        ("GET", "/callback", endpoint(routes_install.callback)),
        ("GET", "/confirm", endpoint(routes_install.ask)),
        ("POST", "/install", needs_user(routes_install.start)),
        ("POST", "/confirm", needs_user(routes_install.confirm)),
        ("POST", "/test", needs_user(routes_manage.test)),
        ("POST", "/disconnect", needs_user(routes_manage.disconnect)),
        ("POST", "/uninstall", needs_user(routes_manage.uninstall)),
        ("POST", "/take-over", needs_user(routes_manage.take_over)),
        ("POST", "/reconcile", needs_user(routes_accounts.reconcile)),
        ("POST", "/adopt", needs_user(routes_accounts.adopt)),
        ("POST", "/token", routes_broker.token),
        ("POST", "/report", routes_report.report),
        ("POST", "/worker-accounts", routes_broker.accounts),
        ("GET", "/health", routes_broker.health),
    ]


def _form_targets() -> tuple[str, ...]:
    """Return the origin of the simulated Stripe, for the Install form may redirect there."""
    from airflow_provider_stripe_app.exceptions import ConfigurationError
    from airflow_provider_stripe_app.oauth import config
    from airflow_provider_stripe_app.plugin.security import origin_of

    try:
        base = config.marketplace_base()
    except ConfigurationError as error:
        log.warning("%s", error)  # the page says it again when somebody installs
        return ()
    return (origin_of(base),) if base else ()
