"""Full loads use what Stripe allows and no more, and a busy warehouse does not hold them up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.rate_limit import RateLimiter
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.warehouse.base import Warehouse
from tests.integration.sync_lab import Lab, lab

TOP = ("customers", "invoices", "subscriptions")
PATIENCE = 30.0
"""Seconds after which something that waits for another thing is said to wait in vain."""


def busy(it: Lab, ready: Any) -> tuple[Warehouse, list[str]]:
    """Return a warehouse that does nothing with customers until ``ready()``.

    The list names the statements that waited in vain.
    """
    warehouse: Any = it.warehouse()
    in_vain: list[str] = []

    def wait(label: str) -> None:
        until = time.monotonic() + PATIENCE
        while label.startswith("customers") and not in_vain and not ready():
            if time.monotonic() > until:
                in_vain.append(label)
            time.sleep(0.01)

    warehouse.fault = wait
    return warehouse, in_vain


def test_lists_are_read_while_the_warehouse_is_busy(tmp_path: Path) -> None:
    with lab(tmp_path) as it:
        it.sim.populate(customers=2_000, small=True)
        client = it.client()
        warehouse, in_vain = busy(it, lambda: client.requests["list:customers"] >= 20)
        summary = it.sync(["customers"], client=client, warehouse=warehouse, batch_rows=200)
        assert not in_vain, f"the list was not read to its end during {in_vain}"
        assert summary.streams["customers"].inserted == 2_000


def test_what_waits_for_a_busy_warehouse_is_bounded_in_bytes(tmp_path: Path) -> None:
    with lab(tmp_path) as it:
        it.sim.populate(customers=1_500)
        client = it.client()
        asked: list[int] = []

        def stopped() -> bool:
            """Tell whether no page has been asked for in a while."""
            asked.append(client.requests["list:customers"])
            return len(asked) > 25 and asked[-25] == asked[-1]

        warehouse, in_vain = busy(it, stopped)
        page = len(client.request("GET", "/v1/customers", {"limit": 100}).body)
        summary = it.sync(
            ["customers"], client=client, warehouse=warehouse, queue_bytes=5 * page, workers=2
        )
        assert not in_vain
        assert max(asked[:26]) <= 10, "five pages, and what was under way"
        assert summary.streams["customers"].inserted == 1_500


def test_an_account_of_a_few_objects_costs_one_list_request_a_stream(tmp_path: Path) -> None:
    with lab(tmp_path) as it:
        it.sim.populate(customers=3)
        summary = it.sync(TOP)
        assert {s: summary.requests[f"list:{s}"] for s in TOP} == dict.fromkeys(TOP, 1)


@pytest.mark.parametrize("spread", ["minute", "day"])
def test_skewed_lists_take_less_than_twice_the_least_requests(tmp_path: Path, spread: Any) -> None:
    with lab(tmp_path, latency=(0.02, 0.04)) as it:
        it.sim.populate(customers=1_500, small=True, spread=spread)
        summary = it.sync(["customers"], workers=20)
        assert summary.streams["customers"].inserted == 1_500
        assert summary.requests["list:customers"] <= 2 * 15
        it.assert_equal(["customers"])


def test_several_lists_share_a_sandbox_without_a_429(tmp_path: Path) -> None:
    with lab(tmp_path, rate_limits=True, latency=(0.05, 0.1)) as it:
        it.sim.populate(customers=1_000, invoices=1_000, small=True)
        it.sim.switches.set(rate_burst_seconds=0.2)
        client = StripeClient(
            StaticToken(it.key), api_base=it.sim.url, limiter=RateLimiter.for_mode(False)
        )
        summary = it.sync(["customers", "invoices"], client=client, workers=20)
        assert summary.throttled == {}
        assert summary.streams["customers"].inserted == summary.streams["invoices"].inserted
