"""Who is asking, what they may do, and whether their own page sent the form.

Apps mounted by a plugin are not authenticated by Airflow, so every route comes through here. The
permissions are Airflow's own on *connections*.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import inspect
import secrets
import time
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request

Method = Literal["GET", "POST", "PUT", "DELETE"]

CSRF_COOKIE = "stripe_app_csrf"
CSRF_LIFETIME = 12 * 3600
"""Seconds that an open page's forms stay valid: a working day."""

_KEY_NAME_LENGTH = 8


class CsrfError(Exception):
    """A form did not come from the user's own page."""


# --- who ------------------------------------------------------------------------------------------


async def current_user(request: Request) -> Any | None:
    """Return Airflow's user of this request, or None if nobody is logged in.

    Uses Airflow's own dependency, so that every auth manager and the refresh of sessions work. Its
    parameters differ between releases: all but the two needed ones get None.
    """
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import HTTPException
    from fastapi.security import HTTPBearer

    credentials = await HTTPBearer(auto_error=False)(request)
    names = [name for name in inspect.signature(get_user).parameters if name != "request"]
    arguments = {name: credentials if name == "bearer_credentials" else None for name in names}
    try:
        return await get_user(request, **arguments)  # type: ignore[arg-type]
    except HTTPException:
        return None


def user_key(user: Any) -> str:
    """Return what a state and a form are bound to: the auth manager's id of the user."""
    return f"airflow:{user.get_id()}"


def person(user: Any) -> str:
    """Return who it is for the history: a name, where FAB's id is a number.

    :param user: Airflow's user.
    """
    return f"airflow:{user.get_name() or user.get_id()}"


def login_url(base_path: str, next_path: str) -> str:
    """Return the address of Airflow's login that leads back to ``next_path``.

    :param base_path: path of ``[api] base_url`` without a trailing slash.
    :param next_path: path (with query) below the same host.
    """
    return f"{base_path}/api/v2/auth/login?{urlencode({'next': next_path})}"


# --- what they may do
# -------------------------------------------------------------------------------


def is_authorized(user: Any, conn_id: str | None, method: Method, team: str | None = None) -> bool:
    """Ask Airflow's auth manager about a connection. May block: call it in a thread.

    :param user: Airflow's user.
    :param conn_id: the connection; None asks about connections in general.
    :param method: ``GET`` to see, ``PUT`` to change, ``POST`` to create, ``DELETE`` to remove.
    :param team: the team of the connection, when multi-team is on.
    """
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails

    return bool(
        get_auth_manager().is_authorized_connection(
            method=method, details=ConnectionDetails(conn_id=conn_id, team_name=team), user=user
        )
    )


def may(user: Any, conn_id: str, method: Method) -> bool:
    """Return :func:`is_authorized` with the teams looked up."""
    return bool(allowed(user, [conn_id], method))


def may_create(user: Any, conn_id: str, team: str | None) -> bool:
    """Tell whether the user may create a connection in a team. May block.

    If it was there before and its installation still is, that one's team is asked about, too.

    :param user: Airflow's user.
    :param conn_id: a connection that does not exist.
    :param team: the team it will belong to.
    """
    teams = {team, *(_installation_teams([conn_id]).values() if _multi_team() else ())}
    return all(is_authorized(user, conn_id, "POST", one) for one in teams)


def readable(user: Any, conn_ids: Iterable[str]) -> set[str]:
    """Return those of ``conn_ids`` that the user may see."""
    return allowed(user, conn_ids, "GET")


def allowed(user: Any, conn_ids: Iterable[str], method: Method) -> set[str]:
    """Return those of ``conn_ids`` for which the user may do something. May block.

    An installation is its team's even if its connection was deleted, or made again by another team
    under the same name: then the user needs to be allowed for both teams.

    :param user: Airflow's user.
    :param conn_ids: connections, which need not exist.
    :param method: see :func:`is_authorized`.
    """
    wanted = list(conn_ids)
    teams = _teams(wanted)
    return {
        one for one in wanted if all(is_authorized(user, one, method, team) for team in teams[one])
    }


def _teams(conn_ids: list[str]) -> dict[str, set[str | None]]:
    """Return the team of each connection, and that of the installation that it holds."""
    from airflow.models.connection import Connection

    if not conn_ids:
        return {}
    of_rows: Mapping[str, str | None] = Connection.get_conn_id_to_team_name_mapping(conn_ids)
    teams = {one: {of_rows.get(one)} for one in conn_ids}
    if _multi_team():
        for one, team in _installation_teams(conn_ids).items():
            teams[one] = {team} if one not in of_rows else teams[one] | {team}
    return teams


def _multi_team() -> bool:
    from airflow.configuration import conf

    return bool(conf.getboolean("core", "multi_team", fallback=False))


def _installation_teams(conn_ids: list[str]) -> dict[str, str]:
    from sqlalchemy import select

    from airflow_provider_stripe_app.exceptions import ConfigurationError
    from airflow_provider_stripe_app.oauth.database import transaction
    from airflow_provider_stripe_app.oauth.models import Installation

    query = select(Installation.conn_id, Installation.team_name).where(
        Installation.conn_id.in_(conn_ids), Installation.team_name.is_not(None)
    )
    try:
        return transaction(
            lambda session: {str(one): str(team) for one, team in session.execute(query)}
        )
    except ConfigurationError:  # without tables there are no installations
        return {}


# --- forms
# ------------------------------------------------------------------------------------------


def signing_secret() -> str:
    """Return the key of forms: one that all API servers of a deployment have in common.

    ``[api] secret_key`` if somebody set it. Its default is random in every process: with several, a
    form would be refused by chance. Then ``[api_auth] jwt_secret`` serves, without which no login
    would be accepted by another process either.
    """
    from airflow.configuration import conf

    own: str = conf.get("api", "secret_key", fallback="") or ""
    if own and own != conf.get_default_value("api", "secret_key"):
        return own
    return conf.get("api_auth", "jwt_secret", fallback="") or own or _random_secret()


@functools.cache
def _random_secret() -> str:
    return secrets.token_urlsafe(32)


def new_csrf_nonce() -> str:
    """Return a fresh value for the cookie half of the double submit."""
    return secrets.token_urlsafe(24)


def csrf_token(secret: str, user: str, nonce: str, now: float) -> str:
    """Return the form half: signed, bound to the user and to the cookie.

    It names the key, so that servers with different keys can be told apart from a forgery.

    :param secret: :func:`signing_secret`.
    :param user: :func:`user_key` of the user.
    :param nonce: the cookie half.
    :param now: unix seconds.
    """
    issued = str(int(now))
    return f"{issued}.{_key_name(secret)}.{_sign(secret, user, nonce, issued)}"


def check_csrf(secret: str, user: str, nonce: str, token: str, now: float) -> None:
    """Raise unless the token was made for this user and cookie and is young enough.

    :raises CsrfError: with a sentence for the page.
    """
    issued, _, rest = token.partition(".")
    key_name, _, signature = rest.partition(".")
    expected = _sign(secret, user, nonce, issued)
    # Bytes, because compare_digest raises on text that is not ASCII.
    genuine = bool(nonce) and hmac.compare_digest(signature.encode(), expected.encode())
    if not genuine:
        if len(key_name) == _KEY_NAME_LENGTH and key_name != _key_name(secret):
            raise CsrfError(
                "This form came from an API server with another [api] secret_key, or from before "
                "the key was changed: open the page again. If that does not help, set the same "
                "[api] secret_key on every API server and restart them."
            )
        raise CsrfError(
            "This form did not come from your own Stripe App page: open the page again."
        )
    if not -60 <= now - int(issued) <= CSRF_LIFETIME:
        raise CsrfError("The page was open for too long: open it again and repeat the step.")


def _key_name(secret: str) -> str:
    """Return what tells keys apart and says nothing about them."""
    return _sign(secret, "name of the key")[:_KEY_NAME_LENGTH]


def _sign(secret: str, *parts: str) -> str:
    message = "\x00".join(("stripe-app-csrf", *parts)).encode("utf-8", "replace")
    return hmac.new(secret.encode("utf-8"), message, hashlib.sha256).hexdigest()


def check_origin(headers: Mapping[str, str], own_origins: Iterable[str]) -> None:
    """Raise if the browser says that another site sent this form.

    Clients that are not browsers send neither header; for them the signed token has to do.

    :param headers: the request's headers, names in lower case.
    :param own_origins: ``scheme://host[:port]`` of the base URL and of the host that was asked.
    :raises CsrfError: with a sentence for the page.
    """
    site = headers.get("sec-fetch-site", "same-origin")
    origin = headers.get("origin")
    if site != "same-origin" or (origin is not None and origin.lower() not in set(own_origins)):
        raise CsrfError("This form was sent from another site, so it was not carried out.")


def origin_of(url: str) -> str:
    """Return ``scheme://host[:port]`` of a URL in lower case, without a default port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = f":{parts.port}" if parts.port and parts.port != default else ""
    return f"{parts.scheme.lower()}://{host}{port}"


async def checked_form(request: Request, user: Any, base_url: str) -> dict[str, str]:
    """Return the fields of a POSTed form after the CSRF checks.

    :param request: the request.
    :param user: Airflow's user.
    :param base_url: ``[api] base_url``.
    :raises CsrfError: if the form cannot be trusted.
    """
    own = {origin_of(url) for url in (base_url, str(request.base_url)) if url}
    check_origin(request.headers, own)
    form = await request.form(max_files=0, max_fields=50)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    check_csrf(
        signing_secret(),
        user_key(user),
        request.cookies.get(CSRF_COOKIE, ""),
        fields.pop("csrf", ""),
        time.time(),
    )
    return fields
