"""The worker's HTTP call to the broker, and what its answers mean.

Airflow's UI answers every unknown path with 200 and HTML, so only JSON with the marker counts as an
answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_stripe_app.exceptions import ConfigurationError, ReauthorizationRequired
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant

MARKER = "stripe_app"
PROVIDER = "airflow-provider-stripe-app"
HEALTH_PATH = "/stripe-app/health"
TOKEN_PATH = "/stripe-app/token"  # noqa: S105 - a path


@dataclass(frozen=True)
class Given:
    """The broker gave a live token."""

    grant: AccessGrant


@dataclass(frozen=True)
class Unauthorized:
    """The broker refused the ``broker_token``."""


@dataclass(frozen=True)
class Busy:
    """The broker answered, but has no live token right now."""

    message: str


@dataclass(frozen=True)
class Unreachable:
    """Nobody who speaks for this plugin answered.

    :param tried: the addresses.
    """

    tried: list[str] = field(default_factory=list)


BrokerAnswer = Given | Unauthorized | Busy | Unreachable


def candidates() -> list[str]:
    """Return the addresses at which the broker may be, best first.

    ``[stripe_app] broker_url`` alone if it is set; else ``[api] base_url`` with its path, then the
    server of ``[core] execution_api_server_url`` (which may run without plugins), then this host.
    """
    own = config.broker_url()
    if own:
        return [own]
    from airflow.providers.common.compat.sdk import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    execution = str(conf.get("core", "execution_api_server_url", fallback="") or "").rstrip("/")
    port = conf.get("api", "port", fallback="8080")
    path = urlsplit(base).path.rstrip("/")
    found = [base, execution.removesuffix("/execution"), f"http://localhost:{port}{path}"]
    usable = [url for url in found if urlsplit(url).scheme in {"http", "https"}]
    return list(dict.fromkeys(usable))


def speaks(address: str, timeout: tuple[float, float]) -> bool:
    """Tell whether this plugin answers there, before a stranger is sent a broker token.

    :param address: without a path of ours.
    :param timeout: connect and read timeout in seconds.
    """
    try:
        response = requests.get(f"{address}{HEALTH_PATH}", timeout=timeout, allow_redirects=False)
        values: Any = response.json()
    except (requests.RequestException, OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("provider") == PROVIDER


def read_answer(status: int, body: bytes, conn_id: str) -> BrokerAnswer | None:
    """Say what an HTTP answer means.

    :param status: HTTP status.
    :param body: the body.
    :param conn_id: the connection that was asked for.
    :return: ``None`` if it is not the broker's.
    :raises ReauthorizationRequired: if the grant is lost.
    :raises ConfigurationError: if the server says that something is set up wrongly.
    """
    try:
        values: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(values, dict) or values.get(MARKER) != 1:
        return None
    message = str(values.get("message") or f"HTTP {status}")
    if status == 200:
        grant = AccessGrant.from_values(values)
        return Busy("its answer is incomplete") if grant is None else Given(grant)
    if status in {401, 429}:  # wrong once, or wrong once too often
        return Unauthorized()
    if status == 409:
        raise ReauthorizationRequired(message)
    if status == 422:
        raise ConfigurationError(f"{message} (said by the API server for connection {conn_id})")
    return Busy(message)


class BrokerClient:
    """Asks the broker; remembers which address answered.

    :param addresses: where it may be, best first.
    :param timeout: connect and read timeout in seconds; the broker waits for other renewals for
        less.
    """

    def __init__(
        self,
        addresses: Callable[[], list[str]] = candidates,
        timeout: tuple[float, float] = (5.0, 60.0),
    ) -> None:
        self._addresses = addresses
        self._timeout = timeout
        self._known: str | None = None

    def ask(self, conn_id: str, broker_token: str, refused: str | None) -> BrokerAnswer:
        """Ask for a live token.

        :param conn_id: the installation's connection.
        :param broker_token: what that connection's extra says.
        :param refused: fingerprint of the token that Stripe refused.
        :raises ReauthorizationRequired: if the grant is lost.
        :raises ConfigurationError: if the server says that something is set up wrongly.
        """
        body = {"conn_id": conn_id, "broker_token": broker_token, "refused_fingerprint": refused}
        tried = self._addresses()
        known = [self._known] if self._known in tried else []
        for address in dict.fromkeys([*known, *tried]):
            if address != self._known and not speaks(address, self._timeout):
                continue
            answer = self._post(address, body, conn_id)
            if answer is not None:
                self._known = address
                return answer
        return Unreachable(tried)

    def _post(self, address: str, body: dict[str, Any], conn_id: str) -> BrokerAnswer | None:
        try:
            response = requests.post(
                f"{address}{TOKEN_PATH}",
                json=body,
                headers={"Accept": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,  # a login page is no broker
            )
        except (requests.RequestException, OSError):
            return None
        return read_answer(response.status_code, response.content, conn_id)
