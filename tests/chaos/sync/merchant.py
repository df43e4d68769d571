"""Whoever uses Stripe: creates, changes, cancels, deletes, of everything that there is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.errors import ApiError

NAMES = ("Zoë 🦊", "n\u0000ul", "half \ud800", 'quo"te\\', "", "x" * 300)


USUAL = ("customer", "invoice", "subscription")
"""Kinds of which there is much, with children."""


class Merchant:
    """Writes of one account.

    :param kinds: types of objects (Stripe's ``object``) to make.
    :param silent: some changes emit no event.
    :param clocks: some customers live on a test clock, which lists hide.
    """

    def __init__(
        self,
        sim: SimulatedStripe,
        rng: random.Random,
        kinds: Sequence[str],
        *,
        silent: bool = False,
        clocks: bool = False,
    ) -> None:
        self._sim, self._random, self._kinds = sim, rng, list(kinds)
        self._silent, self._clocks = silent, clocks

    def act(self) -> str:
        """Do something, or several things, and return it in words."""
        acts = (
            *[self.change_anything] * (5 if len(self._kinds) > len(USUAL) else 0),
            self.create,
            self.create,
            self.update,
            self.update,
            self.update,
            self.delete,
            self.change_lines,
            self.change_lines,
            self.change_items,
            self.move_invoice,
            self.update_twice,
            self.change_many,
        )
        done = []
        for _ in range(self._random.choice([1, 2, 4])):
            act = self._random.choice(acts)
            with suppress(ApiError):  # Stripe refuses, as it would refuse a person
                act()
            done.append(act.__name__)
        return " ".join(done)

    def ids(self, kind: str) -> list[str]:
        """Return the ids of what lives."""
        return [str(o["id"]) for o in self._sim.objects(None, kind)]

    def create(self) -> None:
        kind = self._random.choice(USUAL)
        fields: dict[str, Any] = {}
        if kind == "customer":
            fields["name"] = self._random.choice(NAMES)
            if self._clocks and self._random.random() < 0.3:
                fields["test_clock"] = "clock_1"
        elif kind == "invoice":
            fields["customer"] = self._random.choice(self.ids("customer") or [None])
            fields["lines"] = [{"amount": n} for n in range(self._random.choice([0, 1, 4, 12]))]
        self._sim.create(None, kind, fields, silent=self._quietly())

    def change_anything(self) -> None:
        """Let something of any kind be made, edited, deleted, or go on in its life."""
        self._sim.random_change(None, self._kinds)

    def update(self) -> None:
        objects = self._sim.objects(None, self._random.choice(USUAL))
        if not objects:
            return
        chosen = self._random.choice(objects)
        self._sim.update(None, str(chosen["id"]), self._changes(), silent=self._quietly())

    def update_twice(self) -> None:
        """Make two events of one object, mostly in one second."""
        customers = self._sim.objects(None, "customer")
        if customers:
            chosen = self._random.choice(customers)
            for _ in range(2):
                self._sim.update(None, str(chosen["id"]), self._changes())
            if self._random.random() < 0.3:
                self._sim.delete(None, str(chosen["id"]))

    def change_many(self) -> None:
        """Change so many that listing them may be cheaper than reading each."""
        for id_ in self.ids("customer")[:: self._random.choice([1, 2, 5])][:40]:
            self._sim.update(None, id_, {"metadata": {"all": str(self._random.random())}})

    def delete(self) -> None:
        if ids := self.ids(self._random.choice(USUAL)):
            self._sim.delete(None, self._random.choice(ids), silent=self._quietly())

    def change_lines(self) -> None:
        drafts = [o for o in self._sim.objects(None, "invoice") if o["status"] == "draft"]
        if not drafts:
            return
        draft = str(self._random.choice(drafts)["id"])
        lines = [str(x["id"]) for x in self._sim.get(None, draft)["lines"]["data"]]
        act = self._random.choice(["add", "add", "remove", "update"])
        if act == "add" or not lines:
            entries = [{"amount": n} for n in range(self._random.choice([1, 5, 14, 120]))]
            self._sim.add_lines(None, draft, entries, silent=self._quietly())
        elif act == "remove":
            half = self._random.sample(lines, (len(lines) + 1) // 2)
            self._sim.remove_lines(None, draft, half)
        else:
            line = self._random.choice(lines)
            self._sim.update_line(None, draft, line, {"description": str(self._random.random())})

    def change_items(self) -> None:
        items = self.ids("subscription_item")
        if items:
            chosen = self._random.choice(items)
            if self._random.random() < 0.3:
                self._sim.delete(None, chosen)
            else:
                self._sim.update(None, chosen, {"quantity": self._random.randint(1, 99)})

    def move_invoice(self) -> None:
        if invoices := self.ids("invoice"):
            move = self._random.choice(["finalize", "pay", "void", "mark_uncollectible"])
            self._sim.move_invoice(None, self._random.choice(invoices), move)

    def _changes(self) -> dict[str, Any]:
        return {"metadata": {"n": str(self._random.random()), "odd": self._random.choice(NAMES)}}

    def _quietly(self) -> bool:
        return self._silent and self._random.random() < 0.2
