"""One HTTP exchange with Stripe: no retries, no meaning, only bytes and time."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from airflow_provider_stripe_app import __version__
from airflow_provider_stripe_app.api.errors import StripeApiError
from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError

Pairs = Sequence[tuple[str, str]]

POOL_SIZE = 64
"""Connections kept open. More threads than that still work, but reconnect."""


class NetworkTrouble(StripeAppError):
    """No whole answer arrived; whether Stripe did what it was asked is unknown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    :param round_trip: seconds from before sending to the arrival of the headers.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    round_trip: float


class _Bearer(AuthBase):
    """Puts the token in. As an auth object it also keeps ``~/.netrc`` from replacing the header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Transport:
    """Sends requests over connections that are kept open. Thread-safe.

    :param api_base: scheme and host of Stripe's API.
    :param timeout: seconds to (connect, read).
    :param session: for tests and special proxies; a plain one with a pool by default.
    :raises ConfigurationError: if ``api_base`` is not an address.
    """

    def __init__(
        self,
        api_base: str,
        timeout: tuple[float, float],
        session: requests.Session | None = None,
    ) -> None:
        parts = urlsplit(api_base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"The API base {api_base!r} is not an address like https://api.stripe.com."
            )
        self.host = parts.netloc.rpartition("@")[2]
        self._base = api_base.rstrip("/")
        self._timeout = timeout
        self._session = session or pooled_session()
        self._environment: Any = None

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str,
        query: Pairs = (),
        form: Pairs | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and read the whole answer.

        :raises NetworkTrouble: if no whole answer arrived.
        """
        began = time.monotonic()
        request = requests.Request(
            method,
            self._base + path,
            params=list(query),
            data=list(form) if form is not None else None,
            headers={"Stripe-Version": API_VERSION, **(headers or {})},
            auth=_Bearer(token),
        )
        try:
            response = self._session.send(
                self._session.prepare_request(request),
                timeout=self._timeout,
                allow_redirects=False,
                **self._settings(),
            )
            round_trip = time.monotonic() - began
            with response:
                body = response.content
        except (requests.RequestException, OSError) as error:
            # `from None`: the original names the whole URL, and a proxy's password if there is one.
            raise self._trouble(error) from None
        return Reply(response.status_code, response.headers, body, round_trip)

    def _settings(self) -> Any:
        """Return what the environment says of proxies and certificates.

        Asked once: reading it for every request takes a third of the request's processor time.
        """
        if self._environment is None:
            # A stream returns when the headers are here: that ends the round trip.
            self._environment = self._session.merge_environment_settings(
                self._base, {}, True, None, None
            )
        return self._environment

    def _trouble(self, error: BaseException) -> StripeAppError:
        cause = _innermost(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigurationError(
                f"The certificate of {self.host} is not accepted ({cause.verify_message}): check "
                "the proxy settings and the certificate authorities of this machine "
                "(REQUESTS_CA_BUNDLE)."
            )
        words = getattr(cause, "strerror", None)
        name = type(cause).__name__
        # Class and system message only: neither has a URL in it.
        return NetworkTrouble(f"{self.host}: {name}: {words}" if words else f"{self.host}: {name}")

    def close(self) -> None:
        """Close the open connections."""
        self._session.close()


def pooled_session(pool_size: int = POOL_SIZE) -> requests.Session:
    """Return a session that many threads can share: a pool, no cookies, no retries of its own."""
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=pool_size, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = f"airflow-provider-stripe-app/{__version__}"
    session.headers["Accept"] = "application/json"
    return session


def date_of(headers: Mapping[str, str]) -> int:
    """Return the ``Date`` header in unix seconds.

    :raises StripeApiError: if there is none, because versions of rows are made of it (EQUALITY §1).
    """
    text = headers.get("Date")
    try:
        return int(parsedate_to_datetime(text or "").timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        stated = "no Date header" if text is None else "a Date header that is no date"
        raise StripeApiError(
            f"The answer has {stated}, so it cannot be ordered in time: check whether a proxy "
            "between this machine and Stripe removes or changes it.",
            request_id=headers.get("Request-Id"),
        ) from None


def _innermost(error: BaseException) -> BaseException:
    for _ in range(8):
        inner = _inner(error)
        if inner is None:
            break
        error = inner
    return error


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    for arg in error.args:
        if isinstance(arg, BaseException):
            return arg
    return error.__cause__ or error.__context__
