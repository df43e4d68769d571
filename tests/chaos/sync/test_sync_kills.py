"""Syncs in processes of their own, killed with SIGKILL at any moment, and the server under them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.sync.versions import DAY
from airflow_provider_stripe_app.warehouse.base import WarehouseError
from demo.embedded_postgres import EmbeddedPostgres
from tests.chaos.sync.figures import TALLY
from tests.chaos.sync.judge import Judge
from tests.chaos.sync.merchant import Merchant
from tests.chaos.sync.processes import Process
from tests.chaos.sync.sizes import KILLS, SERVER_KILLS
from tests.chaos.sync.weather import OLDER
from tests.integration.sync_lab import ALL, Lab, lab

KINDS = ("customer", "invoice", "subscription")
LEASE: dict[str, Any] = {"lease_ttl": 1.0, "lease_wait": 60.0}


def begin(one: Lab) -> tuple[Merchant, random.Random]:
    """Fill Stripe, and return who changes it."""
    one.sim.populate(one.account, customers=200, invoices=25, subscriptions=12)
    one.settle()
    rng = random.Random(1)
    return Merchant(one.sim, rng, KINDS), rng


def at_rest(one: Lab) -> list[str]:
    """Let everything come to rest and return what differs then."""
    one.settle()
    one.sync(owner="last", **LEASE)
    return Judge(one, ALL).differences()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_a_sync_killed_with_sigkill_at_any_moment_goes_on(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    where = request.getfixturevalue("postgres_warehouse") if kind == "postgres" else None
    with lab(tmp_path, kind, latency=(0.001, 0.01)) as first, Process() as one, Process() as two:
        place = first if where is None else first.beside(kind, where)
        merchant, rng = begin(place)
        began = time.monotonic()
        one.start(place, ALL, **LEASE)
        assert one.end().error == ""
        longest = time.monotonic() - began
        killed, tries = 0, 0
        while killed < KILLS:
            tries += 1
            assert tries < 10 * KILLS, "most runs are over before they are killed"
            for _ in range(5):
                merchant.act()
            place.sim.clock.advance(rng.choice([0, 3, 15, 70, 31 * DAY]))
            options = {"mode": rng.choice(["auto", "full"]), "batch_rows": 50, **LEASE}
            version = rng.choice(["", "", OLDER])
            one.start(place, ALL, owner=f"one {tries}", version=version, **options)
            if rng.random() < 0.3:
                two.start(place, ALL, owner=f"two {tries}", **options)
                time.sleep(rng.uniform(0, longest))
                two.kill()
                killed += two.end().killed
            time.sleep(rng.uniform(0, longest))
            one.kill()
            killed += one.end().killed
        assert at_rest(place) == []


@pytest.fixture
def mortal_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server that nobody else uses."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_a_warehouse_server_killed_with_sigkill_loses_nothing(
    mortal_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with lab(tmp_path, "sqlite", latency=(0.001, 0.005)) as first:
        one = first.beside("postgres", mortal_server.url())
        merchant, rng = begin(one)
        began = time.monotonic()
        one.sync(owner="first", batch_rows=40, **LEASE)
        longest = time.monotonic() - began
        cut_off = 0
        for turn in range(SERVER_KILLS * 10):
            if cut_off == SERVER_KILLS:
                break
            for _ in range(5):
                merchant.act()
            one.sim.clock.advance(rng.choice([0, 15, 31 * DAY]))
            errors: list[BaseException] = []

            def run(errors: list[BaseException] = errors, owner: str = f"run {turn}") -> None:
                TALLY["runs"] += 1
                try:
                    one.sync(mode="full", owner=owner, batch_rows=40, **LEASE)
                except BaseException as why:
                    errors.append(why)

            thread = threading.Thread(target=run)
            thread.start()
            time.sleep(rng.uniform(0, longest * 0.8))
            mortal_server.kill()
            TALLY["warehouse servers killed with SIGKILL"] += 1
            thread.join()
            mortal_server.restart()
            for error in errors:
                assert isinstance(error, WarehouseError), error
            cut_off += bool(errors)
        assert cut_off == SERVER_KILLS
        assert at_rest(one) == []
