"""Requests with an app developer's secret key: one call, bounded in time, that never raises.

For the few calls that keep an installation alive. What comes back is an answer or what was raised
instead of one; its meaning is the caller's to find.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_provider_stripe_app.api.version import API_VERSION

LATE_SECONDS = 1.0
"""Seconds in which an answer may be read to its end when its time is over."""
_BODY_LIMIT = 1024 * 1024
_SECRETS = re.compile(r"\b(sk|rk|pk|rt|ac|tok|uk|whsec|absec|ek)_[A-Za-z0-9_*]+")


@dataclass(frozen=True)
class RawAnswer:
    """An HTTP answer as it came in, complete or not.

    :param status: HTTP status.
    :param headers: response headers, names in lower case.
    :param body: the body's bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def scrub(text: object) -> str:
    """Return a text of Stripe's without keys, codes and tokens, of bounded length."""
    return _SECRETS.sub(r"\1_***", str(text))[:500]


def decode(body: bytes) -> dict[str, Any] | None:
    """Return the body's JSON object, ``None`` for HTML, a cut-off body or anything else."""
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class KeyClient:
    """Sends requests with HTTP Basic: the secret key as user and an empty password.

    :param secret_key: the app developer's secret key.
    :param api_base: address of Stripe's API.
    :param timeout: seconds that a call may take in all, also when the answer drips in.
    """

    def __init__(self, secret_key: str, *, api_base: str, timeout: float = 20) -> None:
        self._secret_key = secret_key
        self._base = api_base.rstrip("/")
        self._timeout = timeout

    def get(self, path: str, query: Mapping[str, str]) -> RawAnswer | Exception:
        """Send a GET request.

        :param path: begins with ``/v1/``.
        :param query: parameters.
        """
        return self._send("GET", path, params=query)

    def post(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> RawAnswer | Exception:
        """Send a POST request.

        :param path: begins with ``/v1/``.
        :param form: parameters.
        :param headers: for example ``Idempotency-Key``.
        """
        return self._send("POST", path, data=form, headers=headers)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawAnswer | Exception:
        deadline = time.monotonic() + self._timeout
        try:
            with requests.request(
                method,
                f"{self._base}{path}",
                params=params,
                data=data,
                headers={**(headers or {}), "Stripe-Version": API_VERSION},
                auth=(self._secret_key, ""),
                timeout=(min(5.0, self._timeout / 2), self._timeout / 2),
                allow_redirects=False,  # the key goes to the configured address and nowhere else
                stream=True,
            ) as response:
                body = self._read(response, deadline)
                names = {name.lower(): value for name, value in response.headers.items()}
                return RawAnswer(response.status_code, names, body)
        except (requests.RequestException, OSError) as error:
            return error

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        late = False
        # Byte by byte: a larger read waits for all of its bytes, however slowly they drip in, and
        # each one starts the socket's timeout anew. Answers are small.
        for part in response.iter_content(1):
            body += part
            if len(body) > _BODY_LIMIT:
                raise OSError("the answer is too long")
            if time.monotonic() > deadline:
                if late:
                    raise TimeoutError("the answer took too long")
                # A process that was stopped for a while finds an answer that has long been there,
                # perhaps with tokens that nobody else has: it is not thrown away.
                late, deadline = True, time.monotonic() + LATE_SECONDS
        return bytes(body)
