"""Random writes, crashes, late events and faults; at the end every table equals Stripe.

A short version of what ``make chaos`` will run for long. A failing seed replays:
``CHAOS_SEEDS=17 pytest tests/integration/test_sync_chaos.py``.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sync_lab import ALL, Lab, lab


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it, the transaction is never committed."""


def seeds() -> list[int]:
    """Return the seeds to run: ``CHAOS_SEEDS`` (``7`` or ``0-99``) or a few."""
    first, _, last = os.environ.get("CHAOS_SEEDS", "1-4").partition("-")
    return list(range(int(first), int(last or first) + 1))


class Chaos:
    """One seeded run."""

    def __init__(self, one: Lab, seed: int) -> None:
        self.lab, self.sim = one, one.sim
        self.random = random.Random(seed)

    def step(self) -> None:
        self.random.choice([self.write, self.write, self.write, self.weather, self.sync])()
        self.sim.clock.advance(self.random.choice([0, 0, 0, 1, 3, 8, 20, 70]))

    def write(self) -> None:
        """Change something at Stripe."""
        pick = self.random.choice
        for _ in range(self.random.randint(1, 6)):
            kind = pick(["customer", "invoice", "subscription"])
            ids = [o["id"] for o in self.sim.objects(None, kind)]
            act = pick(["create", "update", "update", "delete", "lines"])
            if act == "create" or not ids:
                self.create(kind)
            elif act == "update":
                changes = {"metadata": {"n": str(self.random.random())}}
                self.sim.update(None, pick(ids), changes)
            elif act == "lines":
                self.change_lines()
            else:
                self.delete(kind, pick(ids))

    def create(self, kind: str) -> None:
        fields: dict[str, Any] = {}
        if kind == "invoice":
            fields["customer"] = self.sim.create(None, "customer", {})["id"]
        if kind == "subscription":
            return
        self.sim.create(None, kind, fields)

    def delete(self, kind: str, id_: str) -> None:
        found = next(o for o in self.sim.objects(None, kind) if o["id"] == id_)
        deletable = {
            "customer": True,
            "invoice": found.get("status") == "draft",
            "subscription": found.get("status") in ("active", "trialing", "past_due"),
        }
        if deletable[kind]:
            self.sim.delete(None, id_)

    def change_lines(self) -> None:
        drafts = [i["id"] for i in self.sim.objects(None, "invoice") if i["status"] == "draft"]
        if not drafts:
            return
        draft = self.random.choice(drafts)
        lines = [x["id"] for x in self.sim.get(None, draft)["lines"]["data"]]
        if lines and self.random.random() < 0.4:
            self.sim.remove_lines(None, draft, self.random.sample(lines, len(lines) // 2))
        else:
            amounts = [{"amount": n} for n in range(self.random.choice([1, 5, 14]))]
            self.sim.add_lines(None, draft, amounts)

    def weather(self) -> None:
        """Change how Stripe behaves."""
        pick = self.random.choice
        self.sim.switches.set(
            event_delay=pick([(0.0, 0.0), (0.0, 6.0), (0.0, 45.0)]),
            stale_lists=pick([(0.0, 0.0), (0.0, 3.0)]),
            event_api_version=pick(["2026-10-28.endive", "2024-06-20"]),
        )
        self.sim.faults.remove()
        action = pick([None, "reset", "truncate", "rate_limit", "status"])
        if action:
            self.sim.fail(action, "/v1/", probability=0.1)

    def sync(self) -> None:
        """Sync, and perhaps die in the middle of it, or be disturbed by writes."""
        warehouse: Any = self.lab.warehouse()
        left = self.random.choice([0, 0, self.random.randint(1, 60)])
        made = 0

        def count(_: str) -> None:
            nonlocal made
            made += 1
            if left and made >= left:
                raise Killed

        warehouse.fault = count
        if self.random.random() < 0.5:
            nth = self.random.randint(1, 5)
            self.sim.before("/v1/(customers|invoices|sub)", lambda _: self.write(), nth=nth)
        streams = self.random.choice([ALL, ALL, ("customers",), ("invoices",)])
        mode = self.random.choice(["auto"] * 6 + ["full"])
        with suppress(Killed):
            self.lab.sync(
                streams,
                client=self.lab.patient_client(),
                warehouse=warehouse,
                mode=mode,
                batch_rows=self.random.choice([10, 100, 5000]),
            )

    def calm(self) -> None:
        """Let Stripe and the feed come to rest, then sync for good."""
        self.sim.faults.remove()
        self.sim.switches.set(event_delay=(0.0, 0.0), stale_lists=(0.0, 0.0))
        self.sim.clock.advance(50)
        self.lab.sync(client=self.lab.patient_client())


@pytest.mark.parametrize("seed", seeds())
def test_at_rest_the_tables_equal_stripe(tmp_path: Path, seed: int) -> None:
    with lab(tmp_path, "sqlite", embedded_prices=False) as one:
        one.sim.populate(one.account, customers=25, invoices=15, subscriptions=10)
        chaos = Chaos(one, seed)
        for _ in range(40):
            chaos.step()
        chaos.calm()
        one.assert_equal()
