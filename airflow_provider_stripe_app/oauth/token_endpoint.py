"""The two calls to Stripe's token endpoint, and what its answers mean.

``classify`` is pure and knows every kind of answer; ``TokenEndpoint`` is the thin I/O around it. No
message made here holds a code, a token or a key: descriptions that Stripe sends can quote them, so
they are scrubbed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_stripe_app.oauth.key_client import KeyClient, RawAnswer, decode, scrub

ACCESS_TOKEN_SECONDS = 3600
"""Stripe documents one hour and sends no ``expires_in`` (STRIPE.md §1)."""
REFRESH_TOKEN_SECONDS = 365 * 86400
PATH = "/v1/oauth/token"


@dataclass(frozen=True)
class Granted:
    """Stripe handed out a pair of tokens. They exist nowhere else until they are stored.

    :param account_id: account ``acct_…``; a refresh answer may leave it out.
    :param livemode: live or test; a refresh answer may leave it out.
    :param expires_at: unix seconds; never later than the access token's real end.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    account_id: str | None
    livemode: bool | None
    expires_at: float
    request_id: str | None = None
    replayed: bool = False
    scope: str | None = None


@dataclass(frozen=True)
class Refused:
    """Stripe says that the code or refresh token is not, or no longer, worth anything."""

    error: str
    description: str
    request_id: str | None = None
    replayed: bool = False

    @property
    def message(self) -> str:
        """Return the refusal in words, without secrets."""
        return f"Stripe answered {self.error}: {self.description or 'no description'}"


@dataclass(frozen=True)
class WrongKey:
    """The secret key is not the one of this app and mode; says nothing about the token."""

    description: str
    request_id: str | None = None

    @property
    def message(self) -> str:
        """Return the refusal in words, without secrets."""
        return f"Stripe refused the app's secret key: {self.description or 'no description'}"


@dataclass(frozen=True)
class Trouble:
    """No usable answer; says nothing about the token.

    :param reason: what happened, without secrets.
    :param received: whether Stripe itself answered completely. If not, the request may have had its
        effect and a repetition with the same ``Idempotency-Key`` may return the lost tokens; if so,
        a repetition with the same key would return the same answer for a day, so it needs another
        key.
    :param retry_after: seconds that Stripe asks to wait.
    """

    reason: str
    received: bool
    retry_after: float | None = None
    request_id: str | None = None

    @property
    def message(self) -> str:
        """Return the trouble in words."""
        return self.reason


Outcome = Granted | Refused | WrongKey | Trouble


def classify(
    answer: RawAnswer | Exception, *, sent_at: float, first_sent_at: float | None = None
) -> Outcome:
    """Say what an answer of the token endpoint means.

    :param answer: the answer, or what was raised instead of one.
    :param sent_at: unix seconds at which the request was sent.
    :param first_sent_at: when the same request with the same key was sent for the first time: a
        replayed answer's tokens may be as old as that.
    """
    if isinstance(answer, Exception):
        return Trouble(f"No answer from Stripe's token endpoint ({type(answer).__name__})", False)
    request_id = answer.headers.get("request-id")
    replayed = answer.headers.get("idempotent-replayed", "").lower() == "true"
    body = decode(answer.body)
    if answer.status == 200:
        issued_at = first_sent_at if replayed and first_sent_at is not None else sent_at
        return _granted(body, issued_at, request_id, replayed)
    error, description = _error(body)
    if answer.status in {401, 403} or _is_about_the_key(error, description):
        return WrongKey(description or f"HTTP {answer.status}", request_id)
    if answer.status == 400 and error == "invalid_grant":
        return Refused(error, description, request_id, replayed)
    return _trouble(answer, body, description, request_id)


def _error(body: dict[str, Any] | None) -> tuple[str, str]:
    """Return (error, description) of an OAuth error or of one in the API's shape."""
    if body is None:
        return "", ""
    error = body.get("error")
    if isinstance(error, dict):
        kind = error.get("code") or error.get("type") or ""
        return str(kind), scrub(error.get("message") or "")
    return str(error or ""), scrub(body.get("error_description") or "")


def _is_about_the_key(error: str, description: str) -> bool:
    """Tell a key of another app or mode from a dead token: both come as ``invalid_grant``."""
    if error in {"invalid_client", "unauthorized_client"}:
        return True
    return error == "invalid_grant" and "does not belong to you" in description


def _granted(
    body: dict[str, Any] | None, issued_at: float, request_id: str | None, replayed: bool
) -> Outcome:
    if body is None:
        # The tokens are made but lost on the way: the same key may bring them back.
        return Trouble("Stripe's answer with the tokens was cut off", False, None, request_id)
    access, refresh = body.get("access_token"), body.get("refresh_token")
    if not (isinstance(access, str) and access and isinstance(refresh, str) and refresh):
        return Trouble(
            "Stripe's answer has no access_token or refresh_token", True, None, request_id
        )
    # One live report has the refresh answer name the account account_id (STRIPE.md §1).
    account = body.get("stripe_user_id") or body.get("account_id")
    livemode, expires_in = body.get("livemode"), body.get("expires_in")
    lifetime = float(ACCESS_TOKEN_SECONDS)
    if isinstance(expires_in, (int, float)) and not isinstance(expires_in, bool) and expires_in > 0:
        lifetime = float(expires_in)
    scope = body.get("scope")
    return Granted(
        access_token=access,
        refresh_token=refresh,
        account_id=account if isinstance(account, str) else None,
        livemode=livemode if isinstance(livemode, bool) else None,
        expires_at=issued_at + lifetime,
        request_id=request_id,
        replayed=replayed,
        scope=scope if isinstance(scope, str) else None,
    )


def _trouble(
    answer: RawAnswer, body: dict[str, Any] | None, description: str, request_id: str | None
) -> Trouble:
    said = f": {description}" if description else ""
    reason = f"Stripe's token endpoint answered HTTP {answer.status}{said}"
    if answer.status == 404 or 300 <= answer.status < 400:
        reason += ". Is option [stripe_app] api_base right?"
    # A 5xx page of a proxy is no answer of Stripe's: the request may have succeeded behind it. 409
    # (the key is in use) and 429 are said before anything is done, and are not stored under the
    # key.
    stripe_answered = body is not None and "error" in body
    received = stripe_answered and answer.status not in {409, 429}
    return Trouble(reason, received, _retry_after(answer.headers), request_id)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), 3600.0)


class TokenEndpoint:
    """Stripe's ``/v1/oauth/token`` with one app's secret key.

    :param secret_key: the app developer's secret key, sent as HTTP Basic user with an empty
        password.
    :param api_base: address of Stripe's API.
    :param timeout: seconds that a call may take in all, also when the answer drips in.
    """

    def __init__(self, secret_key: str, *, api_base: str, timeout: float = 20) -> None:
        self._client = KeyClient(secret_key, api_base=api_base, timeout=timeout)

    def exchange(self, code: str) -> Outcome:
        """Exchange an authorization code; it works once and for 5 minutes.

        :param code: ``ac_…`` from the callback.
        :return: what Stripe's answer means; this never raises for an answer of any kind.
        """
        form = {"grant_type": "authorization_code", "code": code}
        digest = hashlib.sha256(f"stripe-app-exchange:{code}".encode()).hexdigest()[:40]
        outcome: Outcome = Trouble("not asked", received=True)
        for suffix in range(3):
            # As with a renewal: the same key after a lost answer, another one after an answer.
            now = time.time()
            answer = self._client.post(
                PATH, form, {"Idempotency-Key": f"exchange-{digest}-{suffix}"}
            )
            outcome = classify(answer, sent_at=now)
            if not (isinstance(outcome, Trouble) and outcome.received):
                break
        return outcome

    def refresh(
        self, refresh_token: str, idempotency_key: str, first_sent_at: float | None = None
    ) -> Outcome:
        """Roll the tokens; whatever the outcome, the refresh token may be spent after this.

        :param refresh_token: the newest refresh token.
        :param idempotency_key: makes a repetition after a lost answer return the same tokens.
        :param first_sent_at: when this key was used for the first time, unix seconds.
        :return: what Stripe's answer means.
        """
        now = time.time()
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = self._client.post(PATH, form, {"Idempotency-Key": idempotency_key})
        return classify(answer, sent_at=now, first_sent_at=first_sent_at)
