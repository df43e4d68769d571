"""The outermost layer of the sub-app: secrets leave the query string, bodies are small, every
answer gets safe headers, also that to an error nobody caught.

Airflow's access log prints the query string *after* the answer, from the same ASGI scope that this
layer sees, also when authentication failed. So the values are taken out of the scope before
anything else runs, and handed on under a key of our own. Nothing has to be registered for log
masking, which would stay for the life of the process.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

BODY_LIMIT = 65_536
"""Bytes; the largest form is one of the manifest page."""

QUERY_KEY = "stripe_app.query"
"""Where the scope keeps the real query parameters, as a ``dict``."""

SECRET_PARAMETERS = frozenset(
    {"code", "state", "handle", "resume", "auth_code", "access_token", "refresh_token"}
)

_SECRET_WORD = re.compile(r"(?:ac|rk|rt|sk)_\w{8,}")
"""Codes, keys and tokens of Stripe's, whatever the parameter is called that they came in."""


def shield_query(scope: MutableMapping[str, Any]) -> None:
    """Move the query parameters of ``scope`` to :data:`QUERY_KEY` and mask the secret ones.

    The first value of a repeated parameter wins, so that a second one cannot replace it.

    :param scope: an ASGI HTTP scope; changed in place, because the access log holds the same
        object.
    """
    raw = bytes(scope.get("query_string", b""))
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
    values: dict[str, str] = {}
    for name, value in pairs:
        values.setdefault(name, value)
    scope[QUERY_KEY] = values
    masked = [_masked(name, value) for name, value in pairs]
    if masked != pairs:
        scope["query_string"] = urlencode(masked, safe="*").encode("ascii")


def _masked(name: str, value: str) -> tuple[str, str]:
    """Return a parameter as it may be written down."""
    hidden = name in SECRET_PARAMETERS or _SECRET_WORD.search(value)
    return _SECRET_WORD.sub("***", name), "***" if hidden else value


def query_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the real query parameters of a request that went through :class:`QueryShield`."""
    values: dict[str, str] = scope.get(QUERY_KEY, {})
    return values


def security_headers(form_targets: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the headers of every answer of the sub-app.

    ``form-action`` lists Stripe because browsers apply it to the redirect that follows the Install
    form. ``Referrer-Policy`` is ``same-origin``: pages of others learn nothing, and our own forms
    still send their ``Origin`` (with ``no-referrer`` browsers send ``Origin: null``).

    :param form_targets: further origins that a form's redirect may go to.
    """
    forms = " ".join(("'self'", "https://*.stripe.com", *form_targets))
    return {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
            f"form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


class QueryShield:
    """Pure ASGI middleware around the whole sub-app.

    :param app: the app inside.
    :param form_targets: see :func:`security_headers`.
    """

    def __init__(self, app: ASGIApp, form_targets: tuple[str, ...] = ()) -> None:
        self.app = app
        self.headers = [
            (name.lower().encode("ascii"), value.encode("ascii"))
            for name, value in security_headers(form_targets).items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "websocket":
            shield_query(scope)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        shield_query(scope)
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                present = {name.lower() for name, _ in message.get("headers", [])}
                added = [header for header in self.headers if header[0] not in present]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        try:
            await self.app(scope, limited(receive), send_with_headers)
        except Exception:
            if begun:
                raise
            # Further out an answer would be made without these headers.
            log.exception("A request to the Stripe App pages could not be answered")
            await send_with_headers(
                {
                    "type": "http.response.start",
                    "status": 500,
                    "headers": [(b"content-type", b"application/json")],
                }
            )
            await send_with_headers(
                {"type": "http.response.body", "body": b'{"error": "internal"}'}
            )


def limited(receive: Receive, most: int = BODY_LIMIT) -> Receive:
    """Return ``receive`` that gives up on a body larger than ``most`` bytes.

    :param receive: what the server gives.
    :param most: bytes.
    """
    seen = 0

    async def receive_some() -> Message:
        from starlette.exceptions import HTTPException

        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, "What was sent is too large.")
        return message

    return receive_some
