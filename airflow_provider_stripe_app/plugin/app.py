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

log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")


def create_app() -> FastAPI:
    """Return the app that the plugin mounts."""
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from airflow_provider_stripe_app.plugin import (
        keepalive,
        routes_broker,
        routes_install,
        routes_manage,
        routes_pages,
        web,
    )
    from airflow_provider_stripe_app.plugin.shield import QueryShield

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with keepalive.running():
            yield

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    # A redirect to the same path with a slash would carry the masked query instead of the real one.
    app.router.redirect_slashes = False
    app.add_route("/", web.endpoint(routes_pages.page), methods=["GET"])
    app.add_route("/callback", web.endpoint(routes_install.callback), methods=["GET"])
    app.add_route("/install", web.needs_user(routes_install.start), methods=["POST"])
    app.add_route("/confirm", web.endpoint(routes_install.ask), methods=["GET"])
    app.add_route("/confirm", web.needs_user(routes_install.confirm), methods=["POST"])
    app.add_route("/test", web.needs_user(routes_manage.test), methods=["POST"])
    app.add_route("/disconnect", web.needs_user(routes_manage.disconnect), methods=["POST"])
    app.add_route("/token", routes_broker.token, methods=["POST"])
    app.add_route("/health", routes_broker.health, methods=["GET"])
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(QueryShield, form_targets=_form_targets())
    return app


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
