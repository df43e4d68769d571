"""Every stream of the catalogue against the simulated Stripe, which has all of them from the same
annotations but knows nothing of the catalogue: equal after the lives of its objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.testing.resources import BY_PATH
from tests.integration.sync_lab import Lab, lab

DAY = 86_400
ALL = tuple(STREAMS)
TOPS = tuple(stream for stream in STREAMS.values() if stream.parent is None)
KINDS = {stream.object: stream for stream in TOPS}
TOLD = tuple(s.name for s in TOPS if s.creates and s.updates and s.deletes)
"""Streams of which events tell everything: equal as soon as the events are due."""


def plurals(number: int) -> dict[str, int]:
    """Return how many of each type to make that only scripting makes."""
    rows = [BY_PATH[s.path.removeprefix("/v1/")] for s in TOPS]
    return {row.plural: number for row in rows if not row.writable}


def fill(one: Lab, number: int) -> None:
    one.sim.populate(
        customers=number, invoices=number, subscriptions=number, products=2, prices=2,
        events=True, **plurals(number),
    )  # fmt: skip


def wrong(one: Lab, streams: tuple[str, ...]) -> list[str]:
    """Return what differs. A closed review is not listed but stays in the table, as it is now."""
    found = []
    for comparison in one.compare(streams):
        if comparison.table == "reviews":
            closed = {r["id"] for r in one.sim.objects(one.account, "review") if not r["open"]}
            if set(comparison.surplus) <= closed and not comparison.missing:
                continue
        if not comparison.equal:
            found.append(str(comparison))
    return found


def change(one: Lab, times: int) -> None:
    """Let objects of all types live for a while."""
    for _ in range(times):
        one.sim.random_change(one.account, list(KINDS))
        if one.sim.service.ledger.rng.random() < 0.2:
            one.sim.clock.advance(1)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_all_streams_are_equal_after_their_objects_lives(kind: str, tmp_path: Path) -> None:
    with lab(tmp_path, kind, event_delay=[0, 6], event_shuffle=True) as one:
        fill(one, 3)
        one.sync(ALL)
        change(one, 200)
        one.settle()
        one.sync(ALL)
        assert wrong(one, TOLD) == []
        one.sim.clock.advance(8 * DAY)
        one.sync(ALL)
        one.settle()
        one.sync(ALL)
        assert wrong(one, ALL) == []


MONEY = ("balance_transactions", "charges", "credit_notes", "credit_note_line_items",
         "payment_intents", "refunds")  # fmt: skip


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_money_is_equal_after_its_life_in_other_warehouses(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with lab(tmp_path, "duckdb") as first:
        one = first
        if kind == "postgres":
            one = first.beside(kind, request.getfixturevalue("postgres_warehouse"))
        fill(one, 5)
        one.sync(MONEY)
        change(one, 100)
        one.sim.clock.advance(8 * DAY)
        one.sync(MONEY)
        one.settle()
        one.sync(MONEY)
        assert wrong(one, MONEY) == []


def test_an_app_with_the_permissions_of_a_manifest_reads_every_stream(tmp_path: Path) -> None:
    from airflow_provider_stripe_app.streams.catalog import permissions_for

    with lab(tmp_path, "sqlite") as one:
        fill(one, 1)
        wanted = [name for name, _ in permissions_for(STREAMS.values())]
        one.key = one.sim.restricted_key(wanted, one.account)
        summary: Any = one.sync(ALL)
        assert all(summary.table(stream.name).rows for stream in TOPS)
