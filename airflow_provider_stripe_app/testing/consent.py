"""The page on which an account's owner allows or denies an app, and the token endpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Literal
from urllib.parse import parse_qsl

from airflow_provider_stripe_app.testing.messages import Request, Response
from airflow_provider_stripe_app.testing.oauth import (
    Consent,
    ErrorPage,
    OAuthServer,
    Redirect,
    parse_basic,
)
from airflow_provider_stripe_app.testing.wire import encode

AUTHORIZE = re.compile(r"^/oauth/v2/(?:(?:chnlink_|channellink\*)[^/]+/)?authorize$")
TOKEN = "/v1/oauth/token"

_HEADERS = (
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32em;margin:3em auto;padding:0 1em}"
    "button{font:inherit;padding:.5em 1.2em;margin-right:.5em}select{font:inherit}"
)


def page(oauth: OAuthServer, request: Request, accounts: Iterable[str]) -> Response:
    """Answer the consent page's GET and POST.

    :param accounts: ids to choose from.
    """
    if request.method == "POST":
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        account, decision = form.pop("account", ""), form.pop("decision", "")
        choice: Literal["allow", "deny"] = "allow" if decision == "allow" else "deny"
        outcome = oauth.authorize(form, account, choice, path=request.path)
        if isinstance(outcome, Redirect):
            return Response(302, b"", (*_HEADERS, ("Location", outcome.location)), "text/html")
        return _error(outcome)
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    asked = oauth.consent(request.path, query)
    if isinstance(asked, ErrorPage):
        return _error(asked)
    return Response(200, _form(asked, query, accounts), _HEADERS, "text/html; charset=utf-8")


def token(oauth: OAuthServer, request: Request, request_id: str) -> Response:
    """Answer ``POST /v1/oauth/token``."""
    user, password = parse_basic(request.headers.get("authorization")) or (request.bearer, "")
    form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
    status, headers, body = oauth.token(user, form, request.headers, basic_password=password or "")
    extra = (*headers.items(), ("Request-Id", request_id), ("Cache-Control", "no-store"))
    return Response(status, encode(body), extra)


def _form(asked: Consent, query: dict[str, str], accounts: Iterable[str]) -> bytes:
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in query.items()
    )
    options = "".join(f"<option>{escape(account)}</option>" for account in accounts)
    wanted = "".join(f"<li><code>{escape(p)}</code></li>" for p in sorted(asked.app.permissions))
    mode = "live" if asked.app.livemode else "test"
    body = (
        f"<h1>Install this app?</h1><p><code>{escape(asked.app.client_id)}</code> ({mode} mode) "
        f"asks for:</p><ul>{wanted}</ul>"
        f'<form method="post">{hidden}<p><label>Account <select name="account">{options}</select>'
        '</label></p><button name="decision" value="allow">Authorize</button>'
        '<button name="decision" value="deny">Deny</button></form>'
    )
    return _html("Simulated Stripe", body)


def _error(error: ErrorPage) -> Response:
    body = _html("Something went wrong", f"<h1>Something went wrong</h1><p>{escape(error.message)}")
    return Response(error.status, body, _HEADERS, "text/html; charset=utf-8")


def _html(title: str, body: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>"
    ).encode()
