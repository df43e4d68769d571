"""Two tasks of one account, each with streams of its own, do not wait for each other's loads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.sync.context import LeaseTimeout
from airflow_provider_stripe_app.sync.summary import RunSummary
from tests.integration.sync_lab import Lab, lab

INVOICES = ["invoices", "invoice_line_items"]


class Halting:
    """A pacer that stops at an operation until it is told to go on.

    :param operation: the first request of it waits.
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.reached, self.go = threading.Event(), threading.Event()

    def acquire(self, operation: str) -> float:
        if operation == self.operation:
            self.reached.set()
            assert self.go.wait(60)
        return 0.0

    def throttled(self, operation: str, reason: str | None) -> None:
        pass

    def rates(self) -> Mapping[str, float]:
        return {}


def start(account: Lab, streams: list[str], halting: Halting) -> tuple[threading.Thread, list]:
    """Start a sync that halts, in a thread, and return once it does."""
    ended: list[RunSummary | Exception] = []
    client = StripeClient(StaticToken(account.key), api_base=account.sim.url, limiter=halting)

    def run() -> None:
        try:
            ended.append(account.sync(streams, client=client, owner="first"))
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert halting.reached.wait(60)
    return thread, ended


def finish(thread: threading.Thread, ended: list, halting: Halting) -> None:
    halting.go.set()
    thread.join(60)
    assert isinstance(ended[0], RunSummary), ended


def test_a_task_does_not_wait_while_another_one_lists_its_own_stream(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as account:
        account.sim.populate(account.account, customers=250, invoices=120)
        halting = Halting("GET /v1/customers")
        first = start(account, ["customers"], halting)
        # It would raise LeaseTimeout if it had to wait at all: while the first lists, and again,
        # with changes that both follow.
        account.sync(INVOICES, owner="second", lease_wait=0.0)
        account.sim.create(account.account, "customer", {"name": "during"})
        account.settle()
        account.sync(INVOICES, owner="second", lease_wait=0.0)
        finish(*first, halting)
        account.settle()
        account.sync(["customers"], owner="first", lease_wait=0.0)
        account.assert_equal(["customers", *INVOICES])


def test_the_feeds_lease_is_held_for_a_pass_only_and_then_the_other_task_goes_on(
    tmp_path: Path,
) -> None:
    with lab(tmp_path, "sqlite") as account:
        account.sim.populate(account.account, customers=30, invoices=20)
        account.sync(["customers"], owner="first")
        halting = Halting("GET /v1/events")
        first = start(account, ["customers"], halting)
        with pytest.raises(LeaseTimeout, match=r"Another run \(first\)"):
            account.sync(INVOICES, owner="second", lease_wait=0.0)
        waiting = threading.Timer(0.3, halting.go.set)
        waiting.start()
        account.sync(INVOICES, owner="second", lease_wait=60.0)
        finish(*first, halting)
        account.assert_equal(["customers", *INVOICES])
