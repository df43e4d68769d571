"""What no event tells: each class of the catalogue's coverage arrives in the tables in its time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.streams.catalog import STREAMS, resolve_streams
from airflow_provider_stripe_app.sync.audit.options import AuditOptions
from airflow_provider_stripe_app.sync.audit.run import run_audit
from airflow_provider_stripe_app.sync.options import SyncOptions
from airflow_provider_stripe_app.sync.run import run_sync
from airflow_provider_stripe_app.sync.summary import RunSummary, SyncFailed
from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse
from tests.integration.stub_stripe import DAY, START, StubStripe, stub_stripe

TOPS = tuple(name for name, stream in STREAMS.items() if stream.parent is None)


class Tables:
    """A warehouse that is kept equal to a stub, and what it holds."""

    def __init__(self, stripe: StubStripe, where: Path) -> None:
        self.stripe = stripe
        self.where = where
        self.requests: Counter[str] = Counter()

    def warehouse(self) -> SqlWarehouse:
        return SQLiteWarehouse(self.connect)

    def connect(self) -> Any:
        import sqlite3

        return sqlite3.connect(self.where)

    def sync(
        self, *streams: str, warehouse: SqlWarehouse | None = None, **options: Any
    ) -> RunSummary:
        """Let enough time pass that everything until now is due, and sync."""
        self.stripe.pass_time(15)
        self.stripe.asked.clear()
        client = self.client()
        self.requests = client.requests
        return run_sync(
            client,
            warehouse or self.warehouse(),
            account_id="acct_1",
            livemode=False,
            streams=resolve_streams(streams),
            options=SyncOptions(owner="test", workers=4, **options),
        )

    def audit(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Hold all tables to the stub; return table → what was found."""
        result = run_audit(
            self.client(),
            self.warehouse(),
            account_id="acct_1",
            livemode=False,
            options=AuditOptions(owner="audit", sleep=self.stripe.wait, **options),
        )
        return {name: table.as_dict() for name, table in result.tables.items()}

    def client(self) -> StripeClient:
        return StripeClient(
            StaticToken("rk_test_1"), api_base=self.stripe.url, retry=RetryPolicy(base=0.01)
        )

    def living(self, table: str) -> dict[str, dict[str, Any]]:
        """Return id → the object as the table has it."""
        connection = self.connect()
        try:
            rows = connection.execute(f"SELECT id, _raw FROM {table} WHERE NOT is_deleted")
            return {id_: json.loads(raw) for id_, raw in rows}
        finally:
            connection.close()

    def equal(self, *streams: str) -> bool:
        """Tell whether tables are what Stripe has."""
        return all(self.living(s) == self.stripe.objects[STREAMS[s].path] for s in streams)


@pytest.fixture
def stripe() -> Iterator[StubStripe]:
    with stub_stripe() as one:
        yield one


@pytest.fixture
def tables(stripe: StubStripe, tmp_path: Path) -> Tables:
    return Tables(stripe, tmp_path / "w.sqlite")


def something_happens(stripe: StubStripe) -> None:
    """Make an event that is about nothing in the tables."""
    stripe.tell("balance.available", {"object": "balance"})


def asked(stripe: StubStripe, streams: Sequence[str]) -> dict[str, int]:
    """Return stream → requests of its list and its objects."""
    return {
        name: n
        for name in streams
        if (n := sum(c for p, c in stripe.asked.items() if p.startswith(STREAMS[name].path)))
    }


def test_an_idle_run_of_all_streams_costs_one_request(stripe: StubStripe, tables: Tables) -> None:
    for name in TOPS:
        stripe.put(name)
    tables.sync(*TOPS)
    assert tables.equal(*TOPS)
    for _ in range(3):
        stripe.pass_time(3600)
        tables.sync(*TOPS)
        assert dict(stripe.asked) == {"/v1/events": 1}


def test_new_objects_that_no_event_tells_of_come_when_something_has_happened(
    stripe: StubStripe, tables: Tables
) -> None:
    names = ("balance_transactions", "payment_methods", "charges")
    tables.sync(*names)
    stripe.pass_time(3600)
    for name in names:
        stripe.put(name)
    tables.sync(*names)
    assert not tables.living("balance_transactions")
    something_happens(stripe)
    tables.sync(*names)
    assert tables.equal("balance_transactions", "payment_methods")
    # A charge without its event cannot be: this is what `creates` is for.
    assert not tables.living("charges")
    assert asked(stripe, names) == {"balance_transactions": 1, "payment_methods": 1}
    stripe.pass_time(600)
    tables.sync(*names)
    assert dict(stripe.asked) == {"/v1/events": 1}


def test_an_object_made_shortly_before_the_last_look_and_shown_late_is_found(
    stripe: StubStripe, tables: Tables
) -> None:
    tables.sync("balance_transactions")
    stripe.pass_time(3600)
    something_happens(stripe)
    tables.sync("balance_transactions")
    stripe.put("balance_transactions", created=stripe.now - 300)
    stripe.pass_time(60)
    something_happens(stripe)
    tables.sync("balance_transactions")
    assert tables.equal("balance_transactions")


def test_new_objects_come_once_a_day_even_if_nothing_is_heard(
    stripe: StubStripe, tables: Tables
) -> None:
    names = ("shipping_rates", "terminal_readers", "file_links")
    tables.sync(*names)
    for name in names:
        stripe.put(name)
    stripe.pass_time(DAY)
    tables.sync(*names)
    assert tables.equal(*names)
    # Whether the permission is still there is seen by these very lists.
    assert not any(purpose.startswith("probe") for purpose in tables.requests)


def test_a_list_that_must_be_read_whole_waits_for_the_day(
    stripe: StubStripe, tables: Tables
) -> None:
    for _ in range(250):
        stripe.put("terminal_readers")
    tables.sync("terminal_readers")
    stripe.pass_time(3600)
    something_happens(stripe)
    tables.sync("terminal_readers")
    assert asked(stripe, ["terminal_readers"]) == {}
    stripe.pass_time(DAY)
    tables.sync("terminal_readers")
    assert asked(stripe, ["terminal_readers"]) == {"terminal_readers": 3}


def test_the_newest_objects_are_found_without_reading_the_whole_list(
    stripe: StubStripe, tables: Tables
) -> None:
    for age in range(450):
        stripe.put("payment_methods", created=START - 10_000 * age)
    tables.sync("payment_methods")
    assert tables.equal("payment_methods")
    assert asked(stripe, ["payment_methods"]) == {"payment_methods": 5}
    stripe.pass_time(3600)
    stripe.put("payment_methods")
    something_happens(stripe)
    tables.sync("payment_methods")
    assert tables.equal("payment_methods")
    assert asked(stripe, ["payment_methods"]) == {"payment_methods": 1}


def test_open_objects_are_read_again_every_day_and_no_others(
    stripe: StubStripe, tables: Tables
) -> None:
    opened = stripe.put("payment_intents", status="processing", amount=1)
    closed = stripe.put("payment_intents", status="succeeded", amount=1)
    item = stripe.put("invoice_items", invoice=None, amount=1)
    billed = stripe.put("invoice_items", invoice="in_1", amount=1)
    tables.sync("payment_intents", "invoice_items")
    for one in (opened, closed, item, billed):
        one["amount"] = 2
    stripe.pass_time(DAY // 2)
    tables.sync("payment_intents", "invoice_items")
    assert tables.living("payment_intents")[opened["id"]]["amount"] == 1
    stripe.pass_time(DAY // 2)
    tables.sync("payment_intents", "invoice_items")
    now = {**tables.living("payment_intents"), **tables.living("invoice_items")}
    assert {id_: one["amount"] for id_, one in now.items()} == {
        opened["id"]: 2,
        closed["id"]: 1,
        item["id"]: 2,
        billed["id"]: 1,
    }


def test_a_pending_balance_transaction_is_owed_until_it_is_available_and_not_read_before(
    stripe: StubStripe, tables: Tables
) -> None:
    one = stripe.put("balance_transactions", status="pending", available_on=START + 3 * DAY)
    tables.sync("balance_transactions")
    for _ in range(2):
        stripe.pass_time(DAY)
        tables.sync("balance_transactions")
        assert f"/v1/balance_transactions/{one['id']}" not in stripe.asked
    stripe.pass_time(DAY)
    one["status"] = "available"
    tables.sync("balance_transactions")
    assert tables.equal("balance_transactions")
    stripe.pass_time(DAY)
    tables.sync("balance_transactions")
    assert f"/v1/balance_transactions/{one['id']}" not in stripe.asked


def test_what_only_a_full_list_shows_is_there_after_a_week(
    stripe: StubStripe, tables: Tables
) -> None:
    names = ("payment_intents", "files", "charges")
    done = stripe.put("payment_intents", status="succeeded", description="a")
    kept, gone = stripe.put("files"), stripe.put("files")
    stripe.put("charges")
    tables.sync(*names)
    done["description"] = "b"
    del stripe.objects["/v1/files"][gone["id"]]
    for _ in range(7):
        stripe.pass_time(DAY)
        tables.sync(*names, relist_days=None)
    assert tables.living("payment_intents")[done["id"]]["description"] == "a"
    assert set(tables.living("files")) == {kept["id"], gone["id"]}
    tables.sync(*names)
    assert tables.equal(*names)
    assert asked(stripe, ["charges"]) == {}  # events tell everything of them
    stripe.pass_time(3600)
    tables.sync(*names)
    assert dict(stripe.asked) == {"/v1/events": 1}


def test_incremental_never_lists_everything(stripe: StubStripe, tables: Tables) -> None:
    stripe.put("payment_intents", status="succeeded")
    tables.sync("payment_intents")
    stripe.pass_time(8 * DAY)
    tables.sync("payment_intents", mode="incremental")
    assert stripe.asked["/v1/payment_intents"] <= 1  # the probe of the deep sweep


def test_many_open_objects_of_a_list_without_ranges_are_read_by_the_list(
    stripe: StubStripe, tables: Tables
) -> None:
    for _ in range(150):
        stripe.put("quotes", status="open", description="a")
    tables.sync("quotes")
    for one in stripe.objects["/v1/quotes"].values():
        one["description"] = "b"
    stripe.pass_time(DAY)
    tables.sync("quotes")
    assert tables.equal("quotes")
    assert sum(asked(stripe, ["quotes"]).values()) <= 3  # two pages and the deep sweep's probe


def test_a_list_without_ranges_begins_again_when_its_cursor_is_deleted(
    stripe: StubStripe, tables: Tables
) -> None:
    for _ in range(250):
        stripe.put("terminal_locations")
    answer = stripe.answer

    def deleting(path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        after = query.get("starting_after")
        if after and stripe.asked[path] == 1:
            stripe.objects[path].pop(after, None)
        return answer(path, query)

    stripe.answer = deleting  # type: ignore[method-assign]
    tables.sync("terminal_locations")
    there = stripe.objects["/v1/terminal/locations"]
    assert len(there) == 249
    # What was deleted after it was listed stays until everything is listed again.
    assert there.items() <= tables.living("terminal_locations").items()


def test_a_start_date_holds_for_lists_without_ranges_too(
    stripe: StubStripe, tables: Tables
) -> None:
    names = ("payment_methods", "invoice_items", "charges")
    for name in names:
        for age in range(120):
            field = STREAMS[name].created_field or "created"
            stripe.put(name, **{field: START - age * DAY})
    tables.sync(*names, start_date=START - 10 * DAY)
    for name in names:
        assert len(tables.living(name)) == 11, name
    assert asked(stripe, ["payment_methods"]) == {"payment_methods": 1}


def test_a_coupon_that_came_back_under_its_name_lives(stripe: StubStripe, tables: Tables) -> None:
    old = stripe.put("coupons", id="SUMMER", name="old")
    item = stripe.put("invoice_items", id="ii_1")
    tables.sync("coupons", "invoice_items")
    stripe.pass_time(60)
    del stripe.objects["/v1/coupons"]["SUMMER"], stripe.objects["/v1/invoiceitems"]["ii_1"]
    stripe.tell("coupon.deleted", old)
    stripe.tell("invoiceitem.deleted", item)
    stripe.put("coupons", id="SUMMER", name="new")
    tables.sync("coupons", "invoice_items")
    assert tables.living("coupons")["SUMMER"]["name"] == "new"
    assert tables.living("invoice_items") == {}
    assert f"/v1/invoiceitems/{item['id']}" not in stripe.asked


class Cut(Exception):
    """The process ends here."""


def test_a_look_that_is_cut_off_anywhere_is_finished_by_the_next_run(
    stripe: StubStripe, tables: Tables
) -> None:
    for _ in range(120):
        stripe.put("balance_transactions", status="pending", available_on=START)
    tables.sync("balance_transactions")
    for cut in range(0, 60, 7):
        stripe.pass_time(DAY)
        for _ in range(3):
            stripe.put("balance_transactions", status="available")
        first = next(iter(stripe.objects["/v1/balance_transactions"].values()))
        first["fee"] = cut
        warehouse = tables.warehouse()
        left = [cut]

        def fault(label: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut(label)

        warehouse.fault = fault
        with pytest.raises(Cut):
            tables.sync("balance_transactions", warehouse=warehouse)
        tables.sync("balance_transactions")
        assert tables.equal("balance_transactions"), cut


def test_a_permission_that_is_missing_for_a_list_of_newest_objects_leaves_no_gap(
    stripe: StubStripe, tables: Tables
) -> None:
    tables.sync("balance_transactions")
    stripe.put("balance_transactions")
    stripe.pass_time(DAY)
    stripe.refused.add("/v1/balance_transactions")
    with pytest.raises(SyncFailed, match="balance_read"):
        tables.sync("balance_transactions")
    stripe.refused.clear()
    tables.sync("balance_transactions")
    assert tables.equal("balance_transactions")


def test_a_connected_account_that_left_is_gone_but_not_if_all_are_refused(
    stripe: StubStripe, tables: Tables
) -> None:
    kept, left = stripe.put("accounts"), stripe.put("accounts")
    tables.sync("accounts")
    del stripe.objects["/v1/accounts"][left["id"]]
    stripe.pass_time(8 * DAY)
    answer, listed = stripe.answer, [0]

    def refusing(path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        status, body = answer(path, query)
        listed[0] += path == "/v1/accounts"
        if status == 404 or (path == "/v1/accounts" and listed[0] > 1):
            return 403, {"error": {"code": "account_invalid", "message": "no access"}}
        return status, body

    stripe.answer = refusing  # type: ignore[method-assign]
    with pytest.raises(SyncFailed, match="account_invalid"):
        tables.sync("accounts")
    assert set(tables.living("accounts")) == {kept["id"], left["id"]}
    listed[0] = -100
    tables.sync("accounts")
    assert set(tables.living("accounts")) == {kept["id"]}


def test_an_audit_tells_what_no_event_tells_from_what_is_wrong(
    stripe: StubStripe, tables: Tables
) -> None:
    old = [stripe.put("balance_transactions", created=START - 9 * DAY) for _ in range(2)]
    pending = stripe.put("balance_transactions", status="pending", created=START - DAY)
    intents = [stripe.put("payment_intents", status="succeeded") for _ in range(2)]
    charges = [stripe.put("charges") for _ in range(2)]
    files = [stripe.put("files") for _ in range(2)]
    tables.sync("balance_transactions", "payment_intents", "charges", "files", "quotes")
    stripe.pass_time(3600)
    # Will be found by a later run: a new one, an open one, an edited one, a deleted one.
    stripe.put("balance_transactions")
    pending["status"] = "available"
    intents[0]["description"] = "edited"
    del stripe.objects["/v1/files"][files[0]["id"]]
    # Never will: an old one that is missing, a closed one that differs, and what events would tell.
    connection = tables.connect()
    connection.execute("DELETE FROM balance_transactions WHERE id = ?", [old[0]["id"]])
    connection.execute("DELETE FROM payment_intents WHERE id = ?", [intents[1]["id"]])
    connection.commit()
    connection.close()
    old[1]["fee"] = 7
    del stripe.objects["/v1/charges"][charges[0]["id"]]
    found = tables.audit()
    kinds = ("missing", "extra", "different", "not_yet_due")
    assert {name: tuple(one[kind] for kind in kinds) for name, one in found.items()} == {
        "balance_transactions": (1, 0, 1, 2),
        "charges": (0, 1, 0, 0),
        "files": (0, 0, 0, 1),
        "payment_intents": (1, 0, 0, 1),
        "quotes": (0, 0, 0, 0),
    }
    tables.audit(repair=True)
    assert tables.equal("balance_transactions", "charges", "files", "payment_intents")
