"""A round of changes, made through Stripe's API as a business makes them.

One in a hundred objects of each type by default: updates, deletions and creations, and each thing
that loaders are known to miss: deleted customers and drafts, canceled subscriptions, lines added
to, changed in and taken out of invoices (also beyond the ten that are inlined), items likewise,
an object changed twice, one changed and then deleted, one created and deleted between two runs.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from benchmarks.peers.server import Stripe

INLINED = 10
SECOND = 1.1
_OBJECT = re.compile(r"^(?:cus|in|sub|si|il)_\w+$")
Objects = list[dict[str, Any]]


class Round:
    """Makes the changes.

    :param share: of the objects of each type that change.

    :attr:`done` counts them by what they were, :attr:`touched` says it of each object.
    """

    def __init__(self, stripe: Stripe, share: float, seed: int = 0) -> None:
        self._stripe = stripe
        self._share = share
        self._rng = Random(seed)
        self.done: Counter[str] = Counter()
        self.touched: dict[str, str] = {}
        self._customers = stripe.objects("customers")
        self._invoices = stripe.objects("invoices")
        self._subscriptions = stripe.objects("subscriptions")
        self._prices = stripe.api("GET", "prices?limit=100&type=recurring")["data"]

    def make(self) -> None:
        """Make all of them, the limits of Stripe being off."""
        lines, items = self._children()
        self._change_customers()
        self._change_drafts()
        self._change_lines()
        self._change_subscriptions()
        self._change_items()
        now = self._children()
        self.touched |= dict.fromkeys(now[0] - lines, "line added")
        self.touched |= dict.fromkeys(now[1] - items, "item added or of a new subscription")

    def _children(self) -> tuple[set[str], set[str]]:
        lines = self._stripe.objects("invoice_line_items")
        items = self._stripe.objects("subscription_items")
        return {line["id"] for line in lines}, {item["id"] for item in items}

    def _change_customers(self) -> None:
        short = self._stripe.api("POST", "customers", name="Short")
        pool = self._shuffled(self._customers)
        updated = self._take(pool, 0.7)
        deleted = self._take(pool, 0.2, of=self._customers)
        for index, customer in enumerate(updated):
            path, mail = f"customers/{customer['id']}", f"changed{index}@example.com"
            self._do("customer updated", "POST", path, email=mail)
            if index % 20 == 1:
                self._do("customer updated twice within a second", "POST", path, balance="77")
        for customer in deleted[::4]:
            what, path = "customer updated, later deleted", f"customers/{customer['id']}"
            self._do(what, "POST", path, description="going")
        time.sleep(SECOND)
        for index, customer in enumerate(updated[::20]):
            path = f"customers/{customer['id']}"
            self._do("customer updated twice", "POST", path, balance=str(index + 1))
        for index, customer in enumerate(deleted):
            what, path = "customer deleted", f"customers/{customer['id']}"
            if index % 4 == 1:
                what = "customer updated and deleted within a second"
                self._stripe.api("POST", path, description="going at once")
            self._do(what, "DELETE", path)
        for index in range(self._number(self._customers, 0.1)):
            form = {"name": f"Created {index}", "email": f"{index}@new.example"}
            self._do("customer created", "POST", "customers", **form)
        self._do("customer created, then deleted", "DELETE", f"customers/{short['id']}")

    def _change_drafts(self) -> None:
        drafts = self._shuffled([i for i in self._invoices if i["status"] == "draft"])
        gone = {i["id"]: i for i in self._take(drafts, 0.2, of=self._invoices)}
        for line in self._stripe.objects("invoice_line_items"):
            if line["invoice"] in gone:
                self.touched[line["id"]] = "line of a deleted draft"
        for invoice_id in gone:
            self._do("draft deleted", "DELETE", f"invoices/{invoice_id}")
        for invoice in self._take(drafts, 0.2, of=self._invoices):
            path = f"invoices/{invoice['id']}/finalize"
            self._do("draft finalized", "POST", path)
        opened = self._shuffled([i for i in self._invoices if i["status"] == "open"])
        for invoice in self._take(opened, 0.3, of=self._invoices):
            self._do("invoice paid", "POST", f"invoices/{invoice['id']}/pay")
        self._drafts = drafts

    def _change_lines(self) -> None:
        """Change lines of drafts, half of them with more lines than are inlined."""
        long = [i for i in self._drafts if len(_data(i, "lines")) > INLINED or _more(i, "lines")]
        short = [i for i in self._drafts if i not in long and len(_data(i, "lines")) > 1]
        number = self._number(self._invoices, 0.3)
        chosen = [*long[: number // 2], *short[: number - number // 2]]
        again: list[tuple[str, dict[str, str]]] = []
        everything = {line["id"]: line for line in self._stripe.objects("invoice_line_items")}
        for index, invoice in enumerate(chosen):
            path = f"invoices/{invoice['id']}"
            lines = [line for line in everything.values() if line["invoice"] == invoice["id"]]
            last, first = lines[-1]["id"], lines[0]["id"]
            if index % 3 == 0:
                form = {"lines[0][description]": "added", "lines[0][amount]": "1234"}
                self._do("line added", "POST", f"{path}/add_lines", **form)
            elif index % 3 == 1:
                form = {"lines[0][id]": last, "lines[0][behavior]": "delete"}
                self._do("line removed", "POST", f"{path}/remove_lines", **form)
            else:
                self._do("line updated", "POST", f"{path}/lines/{first}", amount="4321")
                again.append((f"{path}/lines/{last}", {"description": "changed"}))
            self.touched[invoice["id"]] = "invoice whose lines changed"
        time.sleep(SECOND)
        for path, form in again:
            self._do("line updated", "POST", path, **form)

    def _change_subscriptions(self) -> None:
        before = {s["id"]: s["status"] for s in self._subscriptions}
        now = self._stripe.objects("subscriptions")
        for subscription in now:
            if subscription["status"] != before[subscription["id"]]:
                self.touched[subscription["id"]] = "subscription canceled with its customer"
        pool = self._shuffled([s for s in now if s["status"] == "active"])
        for subscription in self._take(pool, 0.3, of=self._subscriptions):
            self._do("subscription canceled", "DELETE", f"subscriptions/{subscription['id']}")
        for subscription in self._take(pool, 0.3, of=self._subscriptions):
            path = f"subscriptions/{subscription['id']}"
            self._do("subscription updated", "POST", path, cancel_at_period_end="true")
        living = self._stripe.api("GET", "customers?limit=100")["data"]
        for _ in range(self._number(self._subscriptions, 0.1)):
            form = {
                "customer": self._rng.choice(living)["id"],
                "items[0][price]": self._rng.choice(self._prices)["id"],
            }
            self._do("subscription created", "POST", "subscriptions", **form)
        self._active = pool

    def _change_items(self) -> None:
        chosen = self._take(self._active, 0.2, of=self._subscriptions)
        for subscription in chosen:
            path = f"subscription_items/{_data(subscription, 'items')[0]['id']}"
            self._do("item updated", "POST", path, quantity=str(100 + self._rng.randrange(900)))
        several = [s for s in self._active if len(_data(s, "items")) > 1]
        for subscription in several[: self._number(self._subscriptions, 0.1)]:
            path = f"subscription_items/{_data(subscription, 'items')[-1]['id']}"
            self._do("item removed", "DELETE", path)
        time.sleep(SECOND)
        for subscription in chosen:
            price = self._rng.choice(self._prices)["id"]
            form = {"subscription": subscription["id"], "price": price}
            self._do("item added", "POST", "subscription_items", **form)

    def _do(self, what: str, method: str, path: str, **form: str) -> dict[str, Any]:
        """Make a change and note it down for the last object that is named, or the new one."""
        self.done[what] += 1
        answer = self._stripe.api(method, path, **form)
        named = [text for text in (*path.split("/"), *form.values()) if _OBJECT.match(text)]
        created = "/" not in path
        self.touched[answer["id"] if created or not named else named[-1]] = what
        return answer

    def _number(self, objects: Sequence[Any], part: float) -> int:
        return max(1, round(self._share * part * len(objects)))

    def _take(self, pool: Objects, part: float, of: Sequence[Any] | None = None) -> Objects:
        """Take objects out of a pool, so that nothing is taken twice."""
        number = self._number(pool if of is None else of, part)
        taken, pool[:] = pool[:number], pool[number:]
        return taken

    def _shuffled(self, objects: Objects) -> Objects:
        return self._rng.sample(objects, len(objects))


def _data(obj: dict[str, Any], key: str) -> Objects:
    found: Objects = obj[key]["data"]
    return found


def _more(obj: dict[str, Any], key: str) -> bool:
    return bool(obj[key]["has_more"])
