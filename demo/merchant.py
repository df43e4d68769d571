"""What people do at Stripe between two runs, through Stripe's own API."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_provider_stripe_app.api.version import API_VERSION


@dataclass
class Changes:
    """What was done, in words for people and as ids for tests."""

    created: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


class Merchant:
    """Somebody with the account's secret key.

    :param url: address of Stripe's API.
    :param key: the secret key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers.update(
            {"Authorization": f"Bearer {key}", "Stripe-Version": API_VERSION}
        )

    def call(self, method: str, path: str, fields: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return the decoded answer.

        :param fields: parameters; nested ones are encoded as Stripe wants them.
        :raises requests.HTTPError: if Stripe refuses it.
        """
        data = dict(_encoded(fields or {}))
        query, body = (data, None) if method == "GET" else (None, data)
        for _ in range(200):
            answer = self._session.request(
                method, f"{self._url}{path}", timeout=60, params=query, data=body
            )
            if answer.status_code != 429:
                break
            time.sleep(0.1)
        if not answer.ok:
            raise requests.HTTPError(f"{method} {path}: {answer.text[:500]}", response=answer)
        return answer.json()

    def some(self, path: str, count: int, **params: str) -> list[dict[str, Any]]:
        """Return the newest objects of a list.

        :param count: how many at most (100 is a page).
        """
        return list(self.call("GET", path, {"limit": count, **params})["data"])

    def a_busy_day(self) -> Changes:
        """Change, delete, cancel and create; every kind of change that the tables must follow."""
        done = Changes()
        self._customers(done)
        self._drafts(done)
        self._invoices(done)
        self._subscriptions(done)
        return done

    def _customers(self, done: Changes) -> None:
        customers = self.some("/v1/customers", 60)
        for number, customer in enumerate(customers[:40]):
            fields = {"name": f"Zoë & Søn №{number} 😀", "description": f"tier {number}"}
            self.call("POST", f"/v1/customers/{customer['id']}", fields)
        done.said.append("40 customers renamed")
        for customer in customers[40:45]:
            self.call("DELETE", f"/v1/customers/{customer['id']}")
            done.deleted.append(customer["id"])
        done.said.append("5 customers deleted")
        for number in range(25):
            made = self.call("POST", "/v1/customers", {"email": f"new{number}@example.com"})
            done.created.append(made["id"])
        done.said.append("25 customers created")

    def _drafts(self, done: Changes) -> None:
        drafts = self.some("/v1/invoices", 20, status="draft")
        grow, shrink, edit, gone = drafts[:4]
        lines = [{"amount": 100 + n, "description": f"Seat {n}"} for n in range(30)]
        self.call("POST", f"/v1/invoices/{grow['id']}/add_lines", {"lines": lines})
        done.said.append("an invoice got 30 more lines")
        last = shrink["lines"]["data"][-1]["id"]
        self.call("POST", f"/v1/invoices/{shrink['id']}/remove_lines", {"lines": [{"id": last}]})
        done.said.append("an invoice lost a line")
        first = edit["lines"]["data"][0]["id"]
        self.call("POST", f"/v1/invoices/{edit['id']}/lines/{first}", {"description": "Corrected"})
        done.said.append("a line was corrected")
        self.call("DELETE", f"/v1/invoices/{gone['id']}")
        done.deleted.append(gone["id"])
        done.said.append("a draft invoice was deleted")

    def _invoices(self, done: Changes) -> None:
        moved = 0
        for invoice in self.some("/v1/invoices", 20, status="open"):
            action = "pay" if moved % 2 else "void"
            self.call("POST", f"/v1/invoices/{invoice['id']}/{action}")
            moved += 1
        done.said.append(f"{moved} invoices paid or voided")

    def _subscriptions(self, done: Changes) -> None:
        active = self.some("/v1/subscriptions", 30, status="active")
        for subscription in active[:10]:
            self.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
        done.said.append("10 subscriptions canceled")
        for subscription in active[10:20]:
            item = subscription["items"]["data"][0]["id"]
            self.call("POST", f"/v1/subscription_items/{item}", {"quantity": 7})
        done.said.append("10 subscription items changed")
        several = [one for one in active[20:] if len(one["items"]["data"]) > 1]
        for subscription in several[:3]:
            item = subscription["items"]["data"][-1]["id"]
            self.call("DELETE", f"/v1/subscription_items/{item}")
            done.deleted.append(item)
        done.said.append(f"{len(several[:3])} subscription items removed")


def _encoded(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield form fields: ``a[b]=1``, ``lines[0][amount]=5``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _encoded(inner, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(value):
            yield from _encoded(inner, f"{name}[{index}]")
    else:
        yield name, str(value).lower() if isinstance(value, bool) else str(value)
