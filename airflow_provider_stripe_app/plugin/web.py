"""What all routes share: where this Airflow is, how answers are made, how errors become pages."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.plugin import pages, security
from airflow_provider_stripe_app.plugin.airflow_plugin import URL_PREFIX
from airflow_provider_stripe_app.plugin.shield import SECRET_PARAMETERS, query_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    Handler = Callable[[Request], Awaitable[Response]]

log = logging.getLogger(__name__)

DEFAULT_BASE_URL = "http://localhost:8080"


class Forbidden(StripeAppError):
    """The user may not do this."""


class NotFound(StripeAppError):
    """There is nothing of that name."""


_ERRORS: tuple[tuple[type[Exception], str, int], ...] = (
    (security.CsrfError, "Not carried out", 403),
    (Forbidden, "Not allowed", 403),
    (NotFound, "Not found", 404),
    (StripeAppError, "That did not work", 400),
)
"""What a route raises, with the title and status of the page that says so; the first that fits."""


@dataclass(frozen=True)
class Site:
    """Where this Airflow is.

    :param base_url: ``[api] base_url`` without a trailing slash.
    """

    base_url: str

    @property
    def base_path(self) -> str:
        """Return the path of the base URL without a trailing slash; empty for none."""
        return urlsplit(self.base_url).path.rstrip("/")

    @property
    def page(self) -> str:
        """Return the path of the page."""
        return f"{self.base_path}{URL_PREFIX}/"

    @property
    def airflow(self) -> str:
        """Return the path of Airflow's start page."""
        return f"{self.base_path}/"

    @property
    def connections(self) -> str:
        """Return the path of Airflow's list of connections."""
        return f"{self.base_path}/connections"

    @property
    def redirect_uri(self) -> str:
        """Return the address that Stripe sends browsers back to."""
        from airflow_provider_stripe_app.oauth.install import callback_uri

        return callback_uri(self.base_url)


def site() -> Site:
    """Return where this Airflow is, by its configuration: behind a proxy only that knows."""
    from airflow.configuration import conf

    base_url = conf.get("api", "base_url", fallback="") or DEFAULT_BASE_URL
    return Site(base_url.rstrip("/"))


def html(template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a rendered page."""
    from starlette.responses import HTMLResponse

    here = site()
    text = pages.render(template, airflow_url=here.airflow, page_url=here.page, **values)
    return HTMLResponse(text, status_code=status)


def message(
    title: str, text: str, *, kind: str = "bad", status: int = 400, back: str = ""
) -> Response:
    """Return a page with one sentence and the way back.

    :param back: where the way leads, relative to the pages; empty is the list.
    """
    return html("message.html", status=status, title=title, text=text, kind=kind, back=back)


def see_other(path: str, **query: str) -> Response:
    """Return a 303 to a path of this site."""
    from starlette.responses import RedirectResponse

    address = f"{path}?{urlencode(query)}" if query else path
    return RedirectResponse(address, status_code=303)


def done(notice: str, conn_id: str) -> Response:
    """Return to the page of an installation, which says what was done.

    :param notice: key of ``pages.NOTICES``.
    :param conn_id: the installation's connection.
    """
    return see_other(f"{site().page}installation", notice=notice, conn_id=conn_id)


def to_login(next_path: str) -> Response:
    """Send a browser to Airflow's login, which leads back to ``next_path``."""
    return see_other(security.login_url(site().base_path, next_path))


def endpoint(handler: Handler) -> Handler:
    """Make a route out of ``handler``: what it raises becomes a page with one sentence."""
    from starlette.exceptions import HTTPException

    @functools.wraps(handler)
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except HTTPException as error:  # of the form's parser: too large, or not well-formed
            return message("Not carried out", str(error.detail), status=error.status_code)
        except (security.CsrfError, StripeAppError) as error:
            title, status = next(
                (title, status) for kind, title, status in _ERRORS if isinstance(error, kind)
            )
            return message(title, str(error), status=status)
        except Exception:
            log.exception("Route %s of the Stripe App plugin failed", handler.__name__)
            return message(
                "Something broke",
                "Airflow could not do this because of an error in the Stripe App provider; the API "
                "server's log has the details.",
                status=500,
            )

    return guarded


def app_problems(app_conn_id: str) -> list[pages.Notice]:
    """Return why Stripe cannot even be asked about an app's installs, without asking it.

    :param app_conn_id: the app's connection.
    """
    from airflow_provider_stripe_app.oauth.connections import app_access
    from airflow_provider_stripe_app.oauth.installs import team_of

    try:
        app_access(app_conn_id, team_of(app_conn_id))
    except ConfigurationError as error:
        return [pages.Notice(str(error), "warn", site().connections, "Open the connections")]
    return []


async def form_of(request: Request, user: Any) -> Mapping[str, str]:
    """Return the fields of a form that the user's own page sent.

    :raises CsrfError: if it did not.
    """
    return await security.checked_form(request, user, site().base_url)


def needs_user(handler: Callable[[Request, Any], Awaitable[Response]]) -> Handler:
    """Make a POST route that somebody has to be logged in for."""

    @functools.wraps(handler)
    async def with_user(request: Request) -> Response:
        user = await security.current_user(request)
        if user is None:
            return message(
                "Log in first",
                "You are not logged in to Airflow, or your session has ended: open the page again.",
                status=401,
            )
        return await handler(request, user)

    return endpoint(with_user)


def shows(handler: Callable[[Request, Any], Awaitable[Response]]) -> Handler:
    """Make a page that somebody has to be logged in for; others are sent to Airflow's login."""

    @functools.wraps(handler)
    async def with_user(request: Request) -> Response:
        user = await security.current_user(request)
        if user is None:
            return to_login(_own_address(request))
        return await handler(request, user)

    return endpoint(with_user)


def _own_address(request: Request) -> str:
    """Return the path and query of a page, to come back to after the login."""
    query = query_of(request.scope)
    route = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    path = f"{site().page}{route.lstrip('/')}"
    return f"{path}?{urlencode(query)}" if query and not SECRET_PARAMETERS & query.keys() else path


def check_sees_connections(user: Any, seen: Collection[str] = ()) -> None:
    """Raise unless the user may see connections at all.

    :param user: Airflow's user.
    :param seen: connections that they are known to see.
    :raises Forbidden: if they may see none.
    """
    if not seen and not security.is_authorized(user, None, "GET"):
        raise Forbidden(
            "This page shows connections, and your Airflow role may not see any. Ask an "
            "administrator."
        )


def with_csrf(request: Request, user: Any, make: Callable[[str], Response]) -> Response:
    """Return a page with forms: ``make`` gets the form token, the answer gets the cookie half.

    :param request: the request for the page; a cookie of an open page is kept, so that two tabs
        work.
    :param user: Airflow's user.
    :param make: renders the page.
    """
    nonce = request.cookies.get(security.CSRF_COOKIE) or security.new_csrf_nonce()
    secret = security.signing_secret()
    token = security.csrf_token(secret, security.user_key(user), nonce, time.time())
    response = make(token)
    here = site()
    response.set_cookie(
        security.CSRF_COOKIE,
        nonce,
        max_age=security.CSRF_LIFETIME,
        path=here.page,
        httponly=True,
        secure=here.base_url.startswith("https://") or request.url.scheme == "https",
        samesite="strict",
    )
    return response
