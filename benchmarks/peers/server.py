"""The simulated Stripe as the benchmark holds it: data, limits, the log of requests, the truth."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from benchmarks.peers.judge import STREAMS, compared

ROOT = Path(__file__).parents[2]
ACCOUNT = "acct_1PeersBenchmark"
KINDS = {
    "customers": "customer",
    "invoices": "invoice",
    "invoice_line_items": "line_item",
    "subscriptions": "subscription",
    "subscription_items": "subscription_item",
}
_ID = re.compile(r"/(?:cus|in|sub|si|il|acct|evt)_\w+")


@dataclass(slots=True)
class Requests:
    """What was asked of Stripe.

    :param by_operation: method and path with open ids → number.
    :param by_status: HTTP status → number.
    """

    by_operation: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for the report."""
        return {
            "total": self.by_status.total(),
            "operations": dict(self.by_operation.most_common()),
            "refused": {str(s): n for s, n in self.by_status.items() if s >= 400},
        }


def summarised(lines: list[Mapping[str, Any]]) -> Requests:
    """Count logged requests by operation and by status."""
    found = Requests()
    for line in lines:
        path = _ID.sub("/{id}", line["target"].partition("?")[0])
        found.by_operation[f"{line['method']} {path}"] += 1
        found.by_status[line["status"]] += 1
    return found


class Stripe:
    """The simulated Stripe in a process of its own.

    :param url: base URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = ""
        self._http = requests.Session()

    def prepare(self, *, ordered_events: bool, **numbers: int) -> None:
        """Make an account with objects and a key.

        Those of the last 30 days have their events, as on Stripe.

        :param ordered_events: whether events of one second are listed in their order.
        :param numbers: how many ``customers``, ``invoices`` and ``subscriptions``.
        """
        self._call("POST", "switches", {"event_shuffle": not ordered_events})
        self._call("POST", "accounts", {"account": ACCOUNT, "livemode": True})
        self.control("POST", "populate", events=True, **numbers)
        self.key = self.control("POST", "keys", kind="secret")["key"]

    def limit(self, limited: bool) -> None:
        """Enforce Stripe's limits of live mode (100/s, 25/s an endpoint), or none."""
        self._call("POST", "switches", {"rate_limits": limited})

    def forget_requests(self) -> None:
        """Empty the log."""
        self._call("DELETE", "requests", {})

    def requests(self) -> Requests:
        """Return what was asked since the log was emptied."""
        return summarised(self._call("GET", "requests", {})["requests"])

    def objects(self, stream: str) -> list[dict[str, Any]]:
        """Return the living objects of a stream as Stripe has them now."""
        found: list[dict[str, Any]] = self.control("GET", "objects", type=KINDS[stream])["data"]
        return found

    def truth(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return stream → id → the fields that are compared."""
        return {
            stream: {obj["id"]: compared(stream, obj) for obj in self.objects(stream)}
            for stream in STREAMS
        }

    def api(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        """Call the API itself, as the business behind the account does."""
        answer = self._http.request(
            method,
            f"{self.url}/v1/{path}",
            data=form,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
        )
        body: dict[str, Any] = answer.json()
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {path}: {body}")
        return body

    def control(self, method: str, name: str, **arguments: Any) -> Any:
        """Call a control route for the benchmark's account."""
        return self._call(method, name, {"account": ACCOUNT, "livemode": True, **arguments})

    def _call(self, method: str, name: str, arguments: Mapping[str, Any]) -> Any:
        url = f"{self.url}/_sim/{name}"
        if method == "GET":
            texts = {k: "true" if v is True else v for k, v in arguments.items()}
            answer = self._http.get(url, params=texts, timeout=600)
        else:
            answer = self._http.request(method, url, json=arguments, timeout=600)
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {url}: {answer.text}")
        return answer.json()


@contextmanager
def simulated_stripe() -> Iterator[Stripe]:
    """Start the simulated Stripe and end it."""
    command = [sys.executable, "-m", "airflow_provider_stripe_app.testing", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Stripe(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.wait(timeout=30)
