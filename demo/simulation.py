"""The simulated Stripe as a process of its own, and its remote control."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import requests

from airflow_provider_stripe_app.streams.model import Stream
from demo.compare import decode
from demo.processes import ManagedProcess, ProcessFailed, TemporaryHome, inherited_environment


@dataclass(frozen=True)
class App:
    """A Stripe App as its developer sees it in the Dashboard."""

    client_id: str
    secret_key: str
    install_link: str
    app_id: str


class Simulation:
    """A simulated Stripe. Use it as a context manager.

    :param options: of ``python -m airflow_provider_stripe_app.testing``.
    """

    def __init__(self, *options: str) -> None:
        self._temporary = TemporaryHome("stripe-app-simulation-")
        module = "airflow_provider_stripe_app.testing"
        port = () if "--port" in options else ("--port", "0")
        self.process = ManagedProcess(
            "simulated-stripe",
            [sys.executable, "-m", module, *port, *options],
            self._temporary.path,
            inherited_environment(),
        )
        self.url = ""
        self.account_id = ""
        self.secret_key = ""
        self._session = requests.Session()

    def start(self, seconds: float = 60) -> Simulation:
        """Start it and wait until it listens.

        :param seconds: how long it may take to make its objects.
        :raises ProcessFailed: if it does not.
        """
        try:
            self.process.start()
            line = self.process.wait_for_json_line("url", seconds)
        except BaseException:
            self.stop()
            raise
        self.url = str(line["url"]).rstrip("/")
        self.account_id = str(line["account"])
        self.secret_key = str(line["secret_key"])
        return self

    def stop(self) -> None:
        """Stop it."""
        self.process.stop(grace=3)
        self._temporary.remove()

    def __enter__(self) -> Simulation:
        """Start it."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it; the end of its log is printed where its answer was the trouble."""
        if isinstance(error, requests.RequestException):
            print(self.process.tail(), file=sys.stderr)
        self.stop()

    # ---- remote control

    def control(self, method: str, name: str, **arguments: Any) -> Any:
        """Call a route under ``/_sim/`` and return the decoded answer.

        :raises ProcessFailed: if the simulation refuses or does not answer.
        """
        self.process.check()
        query, body = (arguments, None) if method == "GET" else (None, arguments)
        answer = self._session.request(
            method, f"{self.url}/_sim/{name}", timeout=120, params=query, json=body
        )
        if not answer.ok:
            raise ProcessFailed(f"{method} /_sim/{name} answered {answer.text[:1000]}")
        return decode(answer.text)

    def register_app(self, redirect_uris: Sequence[str], permissions: Iterable[str]) -> App:
        """Upload an app (test mode, external test link)."""
        made = self.control(
            "POST", "apps", redirect_uris=list(redirect_uris), permissions=sorted(permissions)
        )
        return App(made["client_id"], made["secret_key"], made["install_link"], made["app_id"])

    def advance(self, seconds: float) -> None:
        """Let time pass at Stripe."""
        self.control("POST", "advance", seconds=seconds)

    def truth(self, streams: Iterable[Stream]) -> dict[str, dict[str, Any]]:
        """Return stream → id → the object as Stripe would return it now.

        Compared with :class:`demo.compare.StripeReader` in ``tests/integration``.
        """
        return {
            stream.name: {
                one["id"]: one
                for one in self.control(
                    "GET", "objects", type=stream.object, account=self.account_id
                )["data"]
            }
            for stream in streams
        }

    def counts(self) -> dict[str, int]:
        """Return what was asked of the OAuth server, e.g. ``exchange`` and ``refresh``."""
        return {name: int(count) for name, count in self.control("GET", "stats")["oauth"].items()}

    def requests(self, pattern: str) -> list[dict[str, Any]]:
        """Return logged requests whose method, path and query match a regular expression."""
        return list(self.control("GET", "requests", match=pattern)["requests"])
