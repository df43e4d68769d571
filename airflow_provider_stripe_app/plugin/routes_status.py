"""``status.json``: the health of installations for monitoring, with the rights of the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.plugin import gather, security, web
from airflow_provider_stripe_app.plugin.shield import query_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def status(request: Request) -> Response:
    """``GET /status.json``: all installations that the user may see, or the one of ``conn_id``.

    A monitor logs in as any client of Airflow's REST API does, with a bearer token. The HTTP status
    says whether this could be answered; whether all is well says ``healthy``.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    user = await security.current_user(request)
    if user is None:
        return JSONResponse({"error": "Log in first: send a bearer token of Airflow's API."}, 401)
    conn_id = query_of(request.scope).get("conn_id")
    try:
        found = await run_in_threadpool(_report, user, conn_id)
    except web.Forbidden as error:
        return JSONResponse({"error": str(error)}, 403)
    except web.NotFound as error:
        return JSONResponse({"error": str(error)}, 404)
    except ConfigurationError as error:
        return JSONResponse({"healthy": False, "error": str(error)}, 500)
    except StripeAppError as error:
        return JSONResponse({"healthy": False, "error": str(error)}, 503)
    return JSONResponse(found)


def _report(user: Any, conn_id: str | None) -> dict[str, Any]:
    from airflow_provider_stripe_app.oauth.checkup import checkup

    found = gather.installations(None if conn_id is None else [conn_id])
    seen = security.readable(user, [one.conn_id for one in found])
    web.check_sees_connections(user, seen)
    visible = [one for one in found if one.conn_id in seen]
    if conn_id is not None and not visible:
        raise web.NotFound(f"There is no installation {conn_id[:200]} that you may see.")
    return checkup(visible)
