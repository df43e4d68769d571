"""The tables equal Stripe, whatever Stripe does in between. One promise a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.sync.summary import SyncFailed
from airflow_provider_stripe_app.sync.versions import DAY, OVERLAP
from tests.integration.sync_lab import ALL, Lab, lab

PAYLOADS = ["2026-10-28.endive", "2024-06-20"]
"""Events rendered in our version, and in one whose payloads cannot be used."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Lab]:
    """A small account, synced once."""
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=30, invoices=25, subscriptions=20)
        one.settle()
        one.sync()
        one.assert_equal()
        yield one


def any_id(one: Lab, kind: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> str:
    return next(str(o["id"]) for o in one.sim.objects(one.account, kind) if wanted(o))


def draft_with_lines(one: Lab, lines: int) -> str:
    """Make a draft invoice with that many lines."""
    customer = any_id(one, "customer")
    invoice = str(one.sim.create(one.account, "invoice", {"customer": customer})["id"])
    for start in range(0, lines, 50):
        entries = [{"amount": 100 + n} for n in range(start, min(start + 50, lines))]
        one.sim.add_lines(one.account, invoice, entries)
    return invoice


def change_everything(one: Lab) -> None:
    """Update, delete, cancel, and change children."""
    sim, account = one.sim, one.account
    sim.update(account, any_id(one, "customer"), {"name": "Zoë 🦊", "metadata": {"k": "v" * 500}})
    gone = sim.create(account, "customer", {"name": "short-lived"})
    sim.clock.advance(2)
    sim.delete(account, str(gone["id"]))
    sim.delete(account, any_id(one, "customer", lambda c: c["name"] != "Zoë 🦊"))
    for sub in [s for s in sim.objects(account, "subscription") if s["status"] == "active"][:1]:
        sim.delete(account, str(sub["id"]))
    draft = draft_with_lines(one, 3)
    one.settle()
    line = next(o for o in sim.objects(account, "line_item") if o["invoice"] == draft)
    sim.remove_lines(account, draft, [line["id"]])


@pytest.mark.parametrize("event_version", PAYLOADS)
def test_changes_arrive(small: Lab, event_version: str) -> None:
    small.sim.switches.set(event_api_version=event_version)
    change_everything(small)
    small.settle()
    summary = small.sync()
    small.assert_equal()
    assert summary.streams["customers"].deleted >= 1
    assert summary.streams["customers"].updated == 1
    assert summary.requests.get("list:customers", 0) == 0
    refetched = summary.requests.get("refetch:customers", 0)
    assert (refetched > 0) == (event_version != PAYLOADS[0])


def test_an_idle_run_costs_one_request(small: Lab) -> None:
    small.settle()
    assert small.sync().requests == {"events": 1}


def test_a_deleted_customer_stays_as_a_tombstone_with_its_data(small: Lab) -> None:
    victim = small.sim.create(small.account, "customer", {"name": "Remember me"})
    small.settle()
    small.sync()
    small.sim.delete(small.account, str(victim["id"]))
    small.settle()
    small.sync()
    rows = small.query(
        f"SELECT name, is_deleted, deleted_at FROM customers WHERE id = '{victim['id']}'"
    )
    assert rows[0][0] == "Remember me"
    assert rows[0][1]
    assert rows[0][2] is not None


def test_a_canceled_subscription_is_not_a_deleted_one(small: Lab) -> None:
    sub = any_id(small, "subscription", lambda s: s["status"] != "canceled")
    small.sim.delete(small.account, sub)
    small.settle()
    small.sync()
    small.assert_equal()
    rows = small.query(f"SELECT status, is_deleted FROM subscriptions WHERE id = '{sub}'")
    assert rows == [("canceled", 0)]


def test_a_deleted_draft_takes_its_lines_along(small: Lab) -> None:
    draft = draft_with_lines(small, 4)
    small.settle()
    small.sync()
    living = f"SELECT count(*) FROM invoice_line_items WHERE invoice = '{draft}' AND NOT is_deleted"
    assert small.query(living) == [(4,)]
    small.sim.delete(small.account, draft)
    small.settle()
    small.sync()
    assert small.query(living) == [(0,)]
    small.assert_equal()


def test_an_event_that_becomes_visible_late_is_not_lost(small: Lab) -> None:
    small.sim.switches.set(event_delay=(40.0, 40.0))
    small.sim.update(small.account, any_id(small, "customer"), {"name": "late"})
    small.sim.clock.advance(15)
    assert small.sync().streams["customers"].updated == 0
    small.sim.clock.advance(OVERLAP - 25)
    assert small.sync().streams["customers"].updated == 1
    small.assert_equal()


def test_an_event_later_than_any_overlap_is_found_by_the_daily_sweep(small: Lab) -> None:
    small.sim.switches.set(event_delay=(2 * 3600.0, 2 * 3600.0))
    small.sim.update(small.account, any_id(small, "customer"), {"name": "very late"})
    small.sim.clock.advance(3600)
    small.sync()
    small.sim.clock.advance(3 * 3600)
    assert small.sync().streams["customers"].updated == 0
    small.sim.clock.advance(DAY)
    assert small.sync().streams["customers"].updated == 1
    small.assert_equal()


@pytest.mark.parametrize("event_version", PAYLOADS)
def test_two_events_of_one_second_end_in_the_last_state(small: Lab, event_version: str) -> None:
    small.sim.switches.set(event_api_version=event_version)
    small.sim.clock.freeze()
    for customer in small.sim.objects(small.account, "customer")[:12]:
        small.sim.update(small.account, customer["id"], {"name": "first"})
        small.sim.update(small.account, customer["id"], {"name": "second"})
    small.sim.clock.unfreeze()
    small.settle()
    small.sync()
    small.assert_equal()


def test_a_late_event_of_an_applied_second_reopens_its_object(small: Lab) -> None:
    customer = any_id(small, "customer")
    small.sim.clock.freeze()
    small.sim.update(small.account, customer, {"name": "visible at once"})
    small.sim.switches.set(event_delay=(30.0, 30.0))
    small.sim.update(small.account, customer, {"name": "visible late"})
    small.sim.clock.unfreeze()
    small.sim.clock.advance(15)
    assert small.sync().streams["customers"].updated == 1
    small.sim.clock.advance(30)
    small.sync()
    small.assert_equal()


def test_a_deletion_and_an_update_of_one_second_end_deleted(small: Lab) -> None:
    customer = any_id(small, "customer")
    small.sim.clock.freeze()
    small.sim.update(small.account, customer, {"name": "last words"})
    small.sim.delete(small.account, customer)
    small.sim.clock.unfreeze()
    small.settle()
    small.sync()
    small.assert_equal()


def test_a_sync_after_a_long_silence_lists_everything_again(
    small: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    change_everything(small)
    small.sim.clock.advance(31 * DAY)
    small.sim.update(small.account, any_id(small, "customer"), {"name": "after the silence"})
    small.settle()
    summary = small.sync()
    small.assert_equal()
    assert summary.requests["list:customers"] >= 1
    assert any("31" in r.message and r.levelname == "WARNING" for r in caplog.records)


def test_a_full_sync_sees_what_no_event_told(small: Lab) -> None:
    small.sim.update(small.account, any_id(small, "customer"), {"name": "silently"}, silent=True)
    victim = any_id(small, "customer", lambda c: c["name"] != "silently")
    small.sim.delete(small.account, victim, silent=True)
    small.settle()
    small.sync()
    assert not all(c.equal for c in small.compare())
    summary = small.sync(mode="full")
    small.assert_equal()
    assert summary.requests["confirm:customers"] == 1


def test_a_field_that_stripe_adds_becomes_a_column(small: Lab) -> None:
    customer = any_id(small, "customer")
    small.sim.update(small.account, customer, {"loyalty_points": 2**40, "loyalty_tier": "gold"})
    small.settle()
    summary = small.sync()
    assert set(summary.streams["customers"].new_columns) == {"loyalty_points", "loyalty_tier"}
    row = small.query(f"SELECT loyalty_points, loyalty_tier FROM customers WHERE id = '{customer}'")
    assert row == [(2**40, "gold")]
    small.assert_equal()


@pytest.mark.parametrize("stream", [["invoices"], ["invoice_line_items"]])
def test_a_stream_added_later_is_complete(tmp_path: Path, stream: list[str]) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=10, invoices=12)
        one.settle()
        one.sync(["customers"])
        one.settle()
        one.sync(["customers", "invoices"])
        change_invoice = any_id(one, "invoice")
        one.sim.update(one.account, change_invoice, {"description": "changed"})
        one.settle()
        one.sync(stream)
        one.sync()
        one.assert_equal()


def test_children_that_are_added_in_the_second_of_a_run_without_them_are_complete(
    tmp_path: Path,
) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=5, invoices=10)
        one.settle()
        one.sim.clock.freeze()
        one.sync(["invoices"])
        one.sync(["invoices", "invoice_line_items"])
        one.sim.clock.unfreeze()
        one.assert_equal(["invoices", "invoice_line_items"])


def test_a_stale_list_does_not_outlast_the_event_that_it_missed(small: Lab) -> None:
    small.sim.switches.set(stale_lists=(4.0, 4.0))
    small.sim.update(small.account, any_id(small, "customer"), {"name": "fresh"})
    small.sync(mode="full")
    small.sim.switches.set(stale_lists=(0.0, 0.0))
    small.settle()
    small.sync()
    small.assert_equal()


def test_children_go_on_when_a_run_names_only_the_parent(small: Lab) -> None:
    draft = draft_with_lines(small, 2)
    small.settle()
    small.sync(["invoices"])
    lines = small.query(f"SELECT count(*) FROM invoice_line_items WHERE invoice = '{draft}'")
    assert lines == [(2,)]
    small.assert_equal()


def test_an_invoice_with_250_lines_is_complete(small: Lab) -> None:
    draft = draft_with_lines(small, 250)
    small.settle()
    small.sync()
    lines = small.query(f"SELECT count(*) FROM invoice_line_items WHERE invoice = '{draft}'")
    assert lines == [(250,)]
    small.assert_equal()


def test_lines_that_change_while_they_are_paged_end_right(small: Lab) -> None:
    draft = draft_with_lines(small, 250)
    lines = [
        o["id"] for o in small.sim.objects(small.account, "line_item") if o["invoice"] == draft
    ]

    def meddle(_: Any) -> None:
        small.sim.remove_lines(small.account, draft, [lines.pop()])
        small.sim.add_lines(small.account, draft, [{"amount": 1}, {"amount": 2}])

    for nth in (1, 2, 3, 4, 5):
        small.sim.before(f"/v1/invoices/{draft}/lines", meddle, nth=nth)
    small.settle()
    small.sync()
    small.settle()
    small.sync()
    small.assert_equal()


def test_lines_that_change_without_an_event_while_they_are_paged_are_read_again(
    small: Lab,
) -> None:
    draft = draft_with_lines(small, 150)

    def meddle(_: Any) -> None:
        small.sim.add_lines(small.account, draft, [{"amount": 7}], silent=True)

    small.sim.after(f"/v1/invoices/{draft}/lines", meddle, nth=2)
    small.settle()
    small.sync()
    small.assert_equal()


@pytest.mark.parametrize("nth", [1, 2])
def test_an_invoice_deleted_while_its_lines_are_paged_is_gone(small: Lab, nth: int) -> None:
    draft = draft_with_lines(small, 150)
    lines = f"/v1/invoices/{draft}/lines"
    small.sim.before(lines, lambda _: small.sim.delete(small.account, draft), nth=nth)
    small.settle()
    small.sync()
    small.settle()
    small.sync()
    small.assert_equal()


def test_objects_deleted_while_they_are_paged_lose_nothing(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", delete_cursor_every=2) as one:
        one.sim.populate(one.account, customers=900)
        one.settle()
        one.sync(["customers"], workers=2)
        one.settle()
        one.sync(["customers"])
        assert any(r.status == 400 for r in one.sim.requests("/v1/customers"))
        one.sim.switches.set(delete_cursor_every=0)
        one.settle()
        one.sync(["customers"])
        one.assert_equal(["customers"])


def test_what_a_full_load_has_listed_is_not_fetched_again(small: Lab) -> None:
    small.sim.switches.set(event_api_version=PAYLOADS[1])
    for customer in small.sim.objects(small.account, "customer")[:10]:
        small.sim.update(small.account, customer["id"], {"name": "seen by the list"})
    small.sim.clock.advance(10 * OVERLAP)
    summary = small.sync(mode="full")
    assert summary.requests.get("refetch:customers", 0) == 0
    small.assert_equal()


def test_what_changes_during_the_load_is_in_the_tables(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=700)
        customers = [o["id"] for o in one.sim.objects(one.account, "customer")]

        def meddle(_: Any) -> None:
            for _ in range(5):
                one.sim.update(one.account, customers.pop(), {"name": "during"})
                one.sim.delete(one.account, customers.pop(0))
                one.sim.create(one.account, "customer", {"name": "new"})

        one.sim.before("/v1/customers", meddle, nth=None)
        one.sync(["customers"])
        one.sim.faults.remove()
        one.settle()
        one.sync(["customers"])
        one.assert_equal(["customers"])


@pytest.mark.parametrize(
    "switches",
    [
        {"stale_lists": (0.0, 4.0)},
        {"created_early": (0.0, 3.0)},
        {"volatile_urls": True},
        {"pretty_json": True},
        {"event_delay": (0.0, 5.0)},
    ],
    ids=lambda s: next(iter(s)),
)
def test_the_quirks_of_lists_and_events_change_nothing(
    tmp_path: Path, switches: dict[str, Any]
) -> None:
    with lab(tmp_path, "sqlite", **switches) as one:
        one.sim.populate(one.account, customers=250, invoices=30, subscriptions=20)
        customers = [o["id"] for o in one.sim.objects(one.account, "customer")]
        one.settle()
        for name in ("one", "two", "three"):
            for _ in range(5):
                one.sim.update(one.account, customers.pop(), {"name": name})
                one.sim.create(one.account, "customer", {"name": name})
                one.sim.delete(one.account, customers.pop(0))
            one.sync()
            one.sim.clock.advance(7)
        one.sim.switches.set(stale_lists=(0.0, 0.0))
        one.settle()
        one.sync()
        one.assert_equal()


def test_objects_of_test_clocks_are_left_out_of_lists_and_feed_alike(small: Lab) -> None:
    small.sim.create(small.account, "customer", {"name": "timeless", "test_clock": "clock_1"})
    small.settle()
    small.sync()
    assert small.query("SELECT count(*) FROM customers WHERE name = 'timeless'") == [(0,)]
    small.assert_equal()


def test_a_start_date_bounds_lists_and_feed_alike(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=120)
        created = sorted(o["created"] for o in one.sim.objects(one.account, "customer"))
        start = created[60]
        one.settle()
        one.sync(["customers"], start_date=start)
        for old in [o for o in one.sim.objects(one.account, "customer") if o["created"] < start][
            :3
        ]:
            one.sim.update(one.account, old["id"], {"name": "old but changed"})
        one.settle()
        one.sync(["customers"], start_date=start)
        expected = sum(c >= start for c in created)
        assert one.query("SELECT count(*) FROM customers") == [(expected,)]
        one.sync(["customers"])
        one.assert_equal(["customers"])


def test_a_missing_permission_fails_loudly_and_the_rest_is_synced(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=20, invoices=10, subscriptions=5)
        one.settle()
        key = one.sim.restricted_key(
            ["customer_read", "subscription_read", "event_read"], one.account
        )
        with pytest.raises(SyncFailed, match="invoice_read") as failed:
            one.sync(client=one.client(StaticToken(key)))
        assert isinstance(failed.value.errors["invoices"], PermissionMissing)
        one.assert_equal(["customers", "subscriptions", "subscription_items"])
        one.sync()
        one.assert_equal()


@pytest.mark.parametrize("hidden", [True, False])
def test_a_permission_that_was_missing_for_a_while_leaves_no_gap(small: Lab, hidden: bool) -> None:
    """Whether or not Stripe hides events from those who may not read their object."""
    blind = small.sim.restricted_key(["customer_read", "event_read"], small.account)
    small.sim.switches.set(event_api_version=PAYLOADS[1], event_permissions=hidden)
    small.sim.update(small.account, any_id(small, "invoice"), {"description": "unseen"})
    small.sim.clock.advance(DAY)
    with pytest.raises(SyncFailed, match="invoice_read"):
        small.sync(client=small.client(StaticToken(blind)))
    small.sync()
    small.assert_equal()


def test_events_hidden_between_two_sweeps_are_read_by_the_second(small: Lab) -> None:
    blind = small.sim.restricted_key(["customer_read", "event_read"], small.account)
    small.sim.update(small.account, any_id(small, "invoice"), {"description": "unseen"})
    small.settle()
    small.sync(client=small.client(StaticToken(blind)))
    small.sim.clock.advance(DAY)
    small.sync()
    small.assert_equal()


def test_without_the_right_to_see_events_nothing_is_green(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        key = one.sim.restricted_key(["customer_read"], one.account)
        with pytest.raises(PermissionMissing, match="event_read"):
            one.sync(["customers"], client=one.client(StaticToken(key)))


def test_incremental_refuses_to_list_by_surprise(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        with pytest.raises(ConfigurationError, match="customers"):
            one.sync(["customers"], mode="incremental")
        one.sync(["customers"])
        one.settle()
        assert one.sync(["customers"], mode="incremental").requests == {"events": 1}


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "rate_limit", "probability": 0.3},
        {"action": "status", "status": 500, "probability": 0.2},
        {"action": "status", "status": 502, "body": "html", "probability": 0.15},
        {"action": "reset", "probability": 0.2},
        {"action": "truncate", "probability": 0.2},
    ],
    ids=lambda f: f["action"] + str(f.get("status", "")),
)
def test_trouble_on_the_way_changes_nothing(tmp_path: Path, fault: dict[str, Any]) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=400, invoices=15, subscriptions=10)
        one.settle()
        one.sim.fail(**{"path": "/v1/", **fault})
        one.sync(client=one.patient_client())
        change_everything(one)
        one.settle()
        one.sync(client=one.patient_client())
        one.sim.faults.remove()
        one.assert_equal()


def test_raw_is_what_stripe_sent_byte_for_byte(small: Lab) -> None:
    nasty = {"nul": "a\u0000b", "half": "\ud800", "quote": '\\"', "slash": "\\u0000"}
    customer = any_id(small, "customer")
    small.sim.update(small.account, customer, {"metadata": nasty, "name": "n\u0000ul"})
    small.settle()
    small.sync()
    sent = next(
        raw.decode()
        for raw in small.sim.raw_objects(small.account, "customer")
        if json.loads(raw)["id"] == customer
    )
    assert small.query(f"SELECT _raw, name FROM customers WHERE id = '{customer}'") == [
        (sent, "n\ufffdul")
    ]


@pytest.mark.postgres
def test_three_warehouses_hold_the_same_rows(tmp_path: Path, postgres_warehouse: str) -> None:
    tables: dict[str, list[Any]] = {}
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=150, invoices=60, subscriptions=40)
        labs = [
            one,
            one.beside("duckdb", str(tmp_path / "w.duckdb")),
            one.beside("postgres", postgres_warehouse),
        ]
        for round_ in range(2):
            one.settle()
            for each in labs:
                each.sync()
                each.assert_equal()
            if round_ == 0:
                change_everything(one)
        for each in labs:
            for name in ALL:
                rows = each.query(f"SELECT id, _raw, is_deleted FROM {name} ORDER BY id")
                plain = sorted((i, raw, bool(gone)) for i, raw, gone in rows)
                assert tables.setdefault(name, plain) == plain, (each.kind, name)
        assert all(tables.values())
