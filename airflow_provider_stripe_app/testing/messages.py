"""A request and an answer, free of any web framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_stripe_app.testing.api_keys import parse_basic


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    :param headers: names in lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query as asked for."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def bearer(self) -> str | None:
        """The API key: bearer token, or user name of HTTP Basic as Stripe also takes it."""
        header = self.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip() or None
        basic = parse_basic(header)
        return basic[0] if basic else None


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer; the server adds ``Date`` and ``Content-Length``."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A line of the request log; it holds no secret.

    :param at: the simulation's time.
    :param target: path and query; the query of OAuth pages is left out.
    :param key_id: tells keys apart without giving them away.
    :param fault: the injected failure, if one was.
    """

    at: float
    method: str
    target: str
    account: str | None
    status: int
    key_id: str | None
    request_id: str
    size: int
    fault: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}
