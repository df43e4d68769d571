"""The body of ``POST /v1/oauth/token``: which fields it may have, and PKCE (RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

from airflow_provider_stripe_app.testing.oauth_model import AuthError, oauth_error

_FIELDS = {
    "authorization_code": ("grant_type", "code"),
    "refresh_token": ("grant_type", "refresh_token"),
}
_OPTIONAL = {"authorization_code": ("code_verifier",), "refresh_token": ()}
_CHALLENGE = re.compile(r"^[A-Za-z0-9\-._~]{43,128}$")


def refuse_form(form: Mapping[str, str], *, strict: bool) -> AuthError | None:
    """Tell what is wrong with a token request's body, ``None`` if nothing.

    :param strict: refuse unknown fields.
    """
    grant_type = form.get("grant_type")
    if not grant_type:
        return oauth_error("invalid_request", "No grant type specified")
    if grant_type not in _FIELDS:
        return oauth_error("unsupported_grant_type", f"Unsupported grant type: {grant_type}")
    for name in _FIELDS[grant_type]:
        if not form.get(name):
            return oauth_error("invalid_request", f"Missing required parameter: {name}")
    known = {*_FIELDS[grant_type], *_OPTIONAL[grant_type]}
    unknown = sorted(set(form) - known)
    if unknown and strict:
        return oauth_error("invalid_request", f"Received unknown parameter: {unknown[0]}")
    return None


def valid_challenge(challenge: str) -> bool:
    """Tell whether a ``code_challenge`` has the form that the Install API asks for."""
    return _CHALLENGE.match(challenge) is not None


def challenge_of(verifier: str) -> str:
    """Return the S256 ``code_challenge`` of a verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def proves(verifier: str, challenge: str) -> bool:
    """Tell whether a ``code_verifier`` belongs to a ``code_challenge`` of S256."""
    return hmac.compare_digest(challenge_of(verifier).encode(), challenge.rstrip("=").encode())
