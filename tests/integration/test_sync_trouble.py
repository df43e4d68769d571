"""Errors, waits and other runs in the middle of a sync: nothing swallowed, nothing lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import PermissionMissing, ServerTrouble
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.exceptions import ReauthorizationRequired
from airflow_provider_stripe_app.sync import workoff
from airflow_provider_stripe_app.sync.run import CoverageLost
from airflow_provider_stripe_app.sync.summary import SyncFailed
from airflow_provider_stripe_app.sync.versions import DAY
from airflow_provider_stripe_app.warehouse.base import LeaseHeld, Obligation, StateKey
from airflow_provider_stripe_app.warehouse.postgres import PostgresWarehouse
from tests.integration.sync_lab import Lab, lab

OTHER_VERSION = "2024-06-20"


def at_transaction(warehouse: Any, number: int, action: Callable[[], object]) -> Any:
    """Have something done right before a warehouse's n-th transaction."""
    begun = 0

    def fault(label: str) -> None:
        nonlocal begun
        if label == "begin":
            begun += 1
            if begun == number:
                action()

    warehouse.fault = fault
    return warehouse


def change_customers(one: Lab, count: int, **changes: Any) -> None:
    for customer in one.sim.objects(one.account, "customer")[:count]:
        one.sim.update(one.account, customer["id"], {"name": "changed", **changes})


# ---- other runs


def test_a_feed_begun_anew_by_another_task_leaves_no_stream_behind(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=10, invoices=5)
        one.settle()
        one.sync(["customers", "invoices"])
        change_customers(one, 3)
        one.sim.clock.advance(31 * DAY)
        # The other task runs after this one has planned and before it reads the feed.
        warehouse = at_transaction(one.warehouse(), 3, lambda: one.sync(["invoices"], owner="b"))
        summary = one.sync(["customers"], warehouse=warehouse)
        assert summary.requests["list:customers"] >= 1
        one.assert_equal(["customers", "invoices"])


@pytest.mark.parametrize("loading", [False, True])
def test_a_stream_that_another_task_finds_hidden_is_not_called_complete(
    tmp_path: Path, loading: bool
) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=10, invoices=5)
        one.settle()
        one.sync(["customers", "invoices"])
        blind = one.sim.restricted_key(["invoice_read", "event_read"], one.account)
        one.sim.clock.advance(DAY + 60)

        def sweep(*_: Any) -> None:
            one.sim.clock.advance(DAY + 60)
            one.sync(["invoices"], client=one.client(StaticToken(blind)), owner="b")
            change_customers(one, 3)
            one.settle()

        if loading:
            one.sim.before(r"/v1/customers\?", lambda _: run_beside(sweep), nth=2)
            with pytest.raises(SyncFailed, match="customers") as failed:
                one.sync(["customers"], mode="full")
            assert isinstance(failed.value.errors["customers"], CoverageLost)
            one.sync(["customers"])
        else:
            warehouse = at_transaction(one.warehouse(), 3, sweep)
            one.sync(["customers"], warehouse=warehouse)
        one.assert_equal(["customers"])


def run_beside(action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


@pytest.mark.postgres
def test_two_runs_that_owe_the_same_objects_do_not_wait_for_each_other_forever(
    postgres: Any,
) -> None:
    import psycopg

    def connect() -> Any:
        return psycopg.connect(postgres.url())

    def owe(first: str, second: str, meet: Callable[[], object]) -> None:
        warehouse = PostgresWarehouse(connect, "owing")
        with warehouse.transaction() as tx:
            for place, id_ in enumerate((first, second)):
                if place:
                    meet()
                tx.owe("acct", False, [Obligation("customers", id_, 1, "evt", "upsert")])
        warehouse.close()

    owe("a", "b", lambda: None)
    begun = threading.Event()
    errors: list[Exception] = []

    def other() -> None:
        try:
            owe("b", "a", begun.set)
        except Exception as error:
            errors.append(error)
            begun.set()

    thread = threading.Thread(target=other)

    def start_other() -> None:
        thread.start()
        begun.wait(0.5)

    owe("a", "b", start_other)
    thread.join()
    assert errors == []


# ---- waits


@pytest.mark.parametrize(
    ("path", "mode", "change"),
    [
        ("/v1/events", "auto", {}),
        ("/v1/customers/cus_", "auto", {}),
        ("/v1/customers/cus_", "full", {"silent": True}),
        (r"/v1/customers\?limit=1", "auto", {}),
    ],
    ids=["feed", "refetch", "confirm", "probe"],
)
def test_leases_outlive_a_request_that_is_tried_for_long(
    tmp_path: Path, path: str, mode: str, change: dict[str, bool]
) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        one.sim.populate(one.account, customers=3)
        one.settle()
        one.sync(["customers"])
        if change:
            victim = one.sim.objects(one.account, "customer")[0]["id"]
            one.sim.delete(one.account, victim, silent=True)
        else:
            change_customers(one, 1)
        if "limit" in path:
            one.sim.clock.advance(DAY)
        one.settle()
        held: list[bool] = []

        def somebody_else(_: Any) -> None:
            other = one.warehouse()
            try:
                with other.transaction() as tx:
                    tx.claim(StateKey(one.account.id, False, "customers"), "other", 9.0, "")
                    held.append(False)
            except LeaseHeld:
                held.append(True)
            finally:
                other.close()

        one.sim.fail("status", path, status=503, count=1)
        one.sim.before(path, somebody_else, nth=2)
        policy = RetryPolicy(base=2.4)  # waits 1.2 s to 2.4 s
        client = StripeClient(StaticToken(one.key), api_base=one.sim.url, retry=policy)
        one.sync(["customers"], client=client, lease_ttl=0.9, mode=mode)
        assert held == [True]
        one.assert_equal(["customers"])


# ---- errors


class TokensUntil:
    """Tokens that are lost after some requests.

    :param error: raised from then on, each time after a wait.
    """

    def __init__(self, key: str, requests: int, error: BaseException) -> None:
        self.key, self.left, self.error = key, requests, error
        self.refused = 0

    def get(self) -> str:
        self.left -= 1
        if self.left < 0:
            self.refused += 1
            time.sleep(0.05)
            raise self.error
        return self.key

    def replace(self, refused: str) -> str:
        return self.get()


@pytest.fixture
def singly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run read what is owed one by one where listing would be cheaper."""
    monkeypatch.setattr(workoff, "FEWEST_TO_PLAN", 1_000_000)


def owing(one: Lab, customers: int = 60) -> None:
    """Have customers that must be refetched, each for itself."""
    one.sim.populate(one.account, customers=customers)
    one.settle()
    one.sync(["customers"])
    one.sim.switches.set(event_api_version=OTHER_VERSION)
    change_customers(one, customers)
    one.settle()


@pytest.mark.parametrize(
    "error",
    [ReauthorizationRequired("install the app again"), KeyboardInterrupt()],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.usefixtures("singly")
def test_a_lost_token_ends_the_refetches_at_once_and_gives_the_leases_back(
    tmp_path: Path, error: BaseException
) -> None:
    with lab(tmp_path, "sqlite") as one:
        owing(one)
        tokens = TokensUntil(one.key, 5, error)
        with pytest.raises(type(error)):
            one.sync(["customers"], client=one.client(tokens), workers=2)
        assert tokens.refused <= 20  # of sixty; on a busy machine some are under way
        one.sync(["customers"], owner="another", lease_wait=0.0)
        one.assert_equal(["customers"])


def test_a_lost_token_ends_a_load_with_its_own_error(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=350)
        one.settle()
        tokens = TokensUntil(one.key, 2, ReauthorizationRequired("install the app again"))
        with pytest.raises(ReauthorizationRequired):
            one.sync(["customers"], client=one.client(tokens), workers=2)
        one.sync(["customers"], owner="another", lease_wait=0.0)
        one.assert_equal(["customers"])


@pytest.mark.usefixtures("singly")
def test_an_outage_is_not_asked_once_for_every_object(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        owing(one, 100)
        one.sim.fail("status", "/v1/customers/cus_", status=503)
        client = StripeClient(
            StaticToken(one.key), api_base=one.sim.url, retry=RetryPolicy(attempts=1)
        )
        with pytest.raises(SyncFailed) as failed:
            one.sync(["customers"], client=client, workers=4)
        assert isinstance(failed.value.errors["customers"], ServerTrouble)
        assert client.requests["refetch:customers"] <= 30
        one.sim.faults.remove()
        one.sync(["customers"])
        one.assert_equal(["customers"])


@pytest.mark.usefixtures("singly")
def test_one_broken_object_does_not_keep_the_others_from_being_fetched(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        owing(one, 40)
        broken = one.sim.objects(one.account, "customer")[0]["id"]
        one.sim.fail("status", f"/v1/customers/{broken}", status=500)
        client = StripeClient(
            StaticToken(one.key), api_base=one.sim.url, retry=RetryPolicy(attempts=1)
        )
        with pytest.raises(SyncFailed):
            one.sync(["customers"], client=client)
        [changed] = one.query("SELECT count(*) FROM customers WHERE name = 'changed'")
        assert changed == (39,)


def test_a_failing_list_cancels_what_waits_for_its_stream(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=5, invoices=60)
        for invoice in one.sim.objects(one.account, "invoice"):
            if invoice["status"] == "draft":
                one.sim.add_lines(one.account, invoice["id"], [{"amount": n} for n in range(12)])
        one.settle()
        long = [i for i in one.sim.objects(one.account, "invoice") if i["lines"]["has_more"]]
        assert len(long) > 5
        one.sim.fail("status", "/lines", status=500)
        client = StripeClient(
            StaticToken(one.key), api_base=one.sim.url, retry=RetryPolicy(attempts=1)
        )
        with pytest.raises(SyncFailed, match="invoices"):
            one.sync(client=client, workers=1)
        assert client.requests["children:invoices"] <= 2
        one.assert_equal(["customers"])
        one.sim.faults.remove()
        one.sync()
        one.assert_equal()


def test_a_warehouse_that_cannot_be_closed_does_not_hide_the_error(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=3)
        warehouse: Any = one.warehouse()
        close = warehouse.close

        def broken_close() -> None:
            close()
            raise RuntimeError("cannot be closed")

        warehouse.close = broken_close
        key = one.sim.restricted_key(["customer_read"], one.account)
        with pytest.raises(PermissionMissing, match="event_read"):
            one.sync(["customers"], client=one.client(StaticToken(key)), warehouse=warehouse)


def test_a_feed_lease_that_cannot_be_given_back_does_not_hide_the_error(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        warehouse: Any = one.warehouse()

        def fault(label: str) -> None:
            if label == "release":
                raise RuntimeError("cannot be given back")

        warehouse.fault = fault
        key = one.sim.restricted_key(["customer_read"], one.account)
        with pytest.raises(PermissionMissing, match="event_read"):
            one.sync(["customers"], client=one.client(StaticToken(key)), warehouse=warehouse)


# ---- full loads


def test_a_full_load_ends_when_the_table_is_older_than_its_state(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=20)
        one.settle()
        one.sync(["customers"])
        created = sorted(o["created"] for o in one.sim.objects(one.account, "customer"))
        connection = one.connect()
        connection.execute("DELETE FROM _stripe_sync_state")
        connection.commit()
        connection.close()
        one.settle()
        summary = one.sync(["customers"], start_date=created[10])
        assert summary.requests["confirm:customers"] == 10
        living = one.query("SELECT count(*) FROM customers WHERE NOT is_deleted")
        assert living == [(sum(c >= created[10] for c in created),)]


def test_a_full_sync_in_the_second_of_another_one_sees_silent_deletions(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=20)
        one.settle()
        one.sync(["customers"])
        one.sim.clock.freeze()
        change_customers(one, 20)
        one.sim.clock.advance(11)  # the least after which the changes are read
        one.sync(["customers"])
        victim = one.sim.objects(one.account, "customer")[4]["id"]
        one.sim.delete(one.account, victim, silent=True)
        one.sync(["customers"], mode="full")
        one.assert_equal(["customers"])
