"""What answers under ``/stripe-app`` when the real app cannot be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def create_fallback_app() -> FastAPI:
    """Return an app that answers 503; without one Airflow's catch-all says 200 with HTML."""
    from fastapi import FastAPI
    from starlette.responses import JSONResponse

    from airflow_provider_stripe_app.plugin.shield import QueryShield

    async def unavailable(request: Request) -> Response:
        said = "The Stripe App pages could not be loaded; the API server's log says why."
        # The marker and the message are for workers, who ask for tokens here.
        return JSONResponse(
            {
                "provider": "airflow-provider-stripe-app",
                "stripe_app": 1,
                "error": said,
                "message": said,
            },
            status_code=503,
        )

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_route("/{path:path}", unavailable, methods=_METHODS)
    app.add_middleware(QueryShield)
    return app
