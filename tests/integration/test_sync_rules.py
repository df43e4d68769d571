"""Rules of equality that no other test would miss; scripts/take_rules_away.py takes each away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.sync import workoff
from airflow_provider_stripe_app.sync.summary import SyncFailed
from airflow_provider_stripe_app.sync.versions import DAY, LAG, OVERLAP
from airflow_provider_stripe_app.warehouse.base import StateKey, WarehouseError
from tests.integration.sync_lab import Lab, lab
from tests.integration.test_sync_equality import draft_with_lines

OTHER_VERSION = "2024-06-20"


FENCED = ("advance", "customers: winners", "customers: write", "settle")
"""Statements of which the first one in a transaction has to be the first of these."""


class Died(BaseException):
    """Stands for SIGKILL."""


def customers(one: Lab, count: int) -> list[str]:
    """Have synced customers."""
    one.sim.populate(one.account, customers=count)
    one.settle()
    one.sync(["customers"])
    return [str(o["id"]) for o in one.sim.objects(one.account, "customer")]


# ---- §1 which version wins


def test_what_is_read_in_the_second_that_closes_an_event_closes_it(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        [customer] = customers(one, 1)
        one.sim.clock.freeze()
        one.sim.update(one.account, customer, {"name": "changed"})
        one.sim.clock.advance(LAG + 1)  # a request is dated a second before its answer at most
        summary = one.sync(["customers"])
        assert summary.requests["refetch:customers"] == 1
        one.assert_equal(["customers"])


def test_a_list_that_is_stale_does_not_close_the_event_that_it_missed(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        [customer] = customers(one, 1)
        one.sim.clock.freeze()
        one.sim.switches.set(stale_lists=(5.0, 5.0))
        one.sim.update(one.account, customer, {"name": "not in the list yet"})
        one.sim.clock.advance(4)
        one.sync(["customers"], mode="full")
        one.sim.switches.set(stale_lists=(0.0, 0.0))
        one.settle()
        one.sync(["customers"])
        one.assert_equal(["customers"])


def test_an_event_may_be_late_by_the_lag_and_the_overlap_together(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        [customer] = customers(one, 1)
        one.sim.clock.freeze()
        one.sim.switches.set(event_delay=(OVERLAP + LAG / 2, OVERLAP + LAG / 2))
        one.sim.update(one.account, customer, {"name": "late"})
        one.sim.clock.advance(OVERLAP + LAG / 2 - 1)
        one.sync(["customers"])
        one.sim.clock.advance(2)
        one.sync(["customers"])
        one.assert_equal(["customers"])


# ---- §2 what is owed is stored


def test_more_events_than_fit_a_page_are_all_read(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        for customer in customers(one, 150):
            one.sim.update(one.account, customer, {"name": "changed"})
        one.settle()
        assert one.sync(["customers"]).streams["customers"].updated == 150
        one.assert_equal(["customers"])


@pytest.mark.parametrize("loaded", [True, False], ids=["feed", "load"])
def test_between_two_transactions_nothing_is_half_done(tmp_path: Path, loaded: bool) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        base = tmp_path / "base"
        if loaded:
            for customer in customers(one, 3):
                one.sim.update(one.account, customer, {"name": "changed"})
            shutil.copy(one.where, base)
            # So long ago that the next pass does not read them once more behind its cursor.
            one.sim.clock.advance(10 * OVERLAP)
        else:
            one.sim.populate(one.account, customers=250)
            one.settle()

        def begin_again() -> None:
            for leftover in tmp_path.glob("warehouse*"):
                leftover.unlink()
            if loaded:
                shutil.copy(base, one.where)

        for point in range(1, transactions(one, begin_again) + 1):
            begin_again()
            with suppress(Died):
                one.sync(["customers"], warehouse=dying(one, point), workers=1, batch_rows=100)
            one.sync(["customers"])
            wrong = [str(c) for c in one.compare(["customers"]) if not c.equal]
            assert not wrong, point


def dying(one: Lab, point: int) -> Any:
    """Return a warehouse that dies before its n-th transaction begins (0: never)."""
    warehouse: Any = one.warehouse()
    warehouse.begun = 0

    def fault(label: str) -> None:
        warehouse.begun += label == "begin"
        if point and warehouse.begun >= point:
            raise Died

    warehouse.fault = fault
    return warehouse


def transactions(one: Lab, begin_again: Callable[[], None]) -> int:
    """Return how many transactions a sync takes."""
    begin_again()
    warehouse = dying(one, 0)
    one.sync(["customers"], warehouse=warehouse, workers=1, batch_rows=100)
    return int(warehouse.begun)


def test_a_stream_that_was_refused_meanwhile_is_listed_again(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        one.sim.populate(one.account, customers=2, invoices=5)
        one.settle()
        one.sync(["invoices"])
        seen, hidden, *_ = [str(o["id"]) for o in one.sim.objects(one.account, "invoice")]
        blind = StaticToken(one.sim.restricted_key(["event_read"], one.account))
        one.sim.switches.set(event_permissions=False)
        one.sim.update(one.account, seen, {"description": "its event is seen"})
        for turn in range(3):  # the second one reads over what is hidden from it
            one.settle()
            with pytest.raises(SyncFailed, match="invoice_read"):
                one.sync(["invoices"], client=one.client(blind))
            one.sim.switches.set(event_permissions=True)
            if turn == 0:
                one.sim.update(one.account, hidden, {"description": "its event is hidden"})
            else:
                one.sim.clock.advance(OVERLAP)
        one.sync(["invoices"])
        one.assert_equal(["invoices"])


# ---- §3 deletes


def test_a_row_that_a_full_list_did_not_show_is_asked_for_before_it_is_buried(
    tmp_path: Path,
) -> None:
    with lab(tmp_path, "sqlite") as one:
        customers(one, 3)
        one.sim.switches.set(stale_lists=(60.0, 60.0))
        one.sim.create(one.account, "customer", {"name": "not in the list yet"})
        one.sim.switches.set(stale_lists=(0.0, 0.0))
        one.settle()
        one.sync(["customers"])
        one.sim.switches.set(stale_lists=(60.0, 60.0))
        summary = one.sync(["customers"], mode="full")
        assert summary.requests["confirm:customers"] == 1
        one.sim.switches.set(stale_lists=(0.0, 0.0))
        one.assert_equal(["customers"])


# ---- §4 long loads and silence


def test_the_change_feed_runs_beside_a_long_load(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", latency=(0.02, 0.02)) as one:
        one.sim.populate(one.account, customers=1500)
        summary = one.sync(["customers"], workers=1, feed_interval=0.0)
        assert summary.requests["events"] > 2, "one at the beginning and one at the end"


def test_a_pass_that_outlasts_the_events_is_a_gap(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        ids = customers(one, 110)
        one.sim.clock.advance(60)
        for customer in ids[:10]:
            one.sim.update(one.account, customer, {"name": "cut off while events are read"})
        one.sim.clock.advance(20 * DAY)
        for customer in ids[10:]:
            one.sim.update(one.account, customer, {"name": "fills a page"})
        one.sim.clock.advance(8.9 * DAY)
        one.sim.before("/v1/events.*starting_after", lambda _: one.sim.clock.advance(2 * DAY))
        assert one.sync(["customers"]).requests["list:customers"] >= 1
        one.assert_equal(["customers"])


# ---- §6 children


def test_children_are_as_old_as_their_first_page(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=1)
        draft = draft_with_lines(one, 150)
        line = str(one.sim.get(one.account, draft)["lines"]["data"][50]["id"])

        def meddle(_: Any) -> None:
            # Neither inlined nor counted in a total: the invoice looks as before.
            one.sim.update_line(one.account, draft, line, {"description": "read too early"})
            one.sim.clock.advance(3)

        one.sim.before(f"/v1/invoices/{draft}/lines.*starting_after", meddle)
        one.settle()
        one.sync(["invoices", "invoice_line_items"])
        one.settle()
        one.sync(["invoices", "invoice_line_items"])
        one.assert_equal(["invoices", "invoice_line_items"])


def test_a_parent_that_never_stands_still_stays_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workoff, "STUCK_ROUNDS", 1)
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=1)
        draft = draft_with_lines(one, 150)

        def meddle(_: Any) -> None:
            one.sim.add_lines(one.account, draft, [{"amount": 7}], silent=True)

        one.sim.after(f"/v1/invoices/{draft}/lines", meddle, nth=None)
        one.settle()
        one.sync(["invoices", "invoice_line_items"])
        one.sim.faults.remove()
        one.settle()
        one.sync(["invoices", "invoice_line_items"])
        one.assert_equal(["invoices", "invoice_line_items"])


def test_children_that_are_deleted_while_they_are_paged_fail_nothing(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=1)
        draft = draft_with_lines(one, 350)

        def meddle(request: Any) -> None:
            cursor = re.search("starting_after=(il_[A-Za-z0-9]+)", request.target)
            lines = [str(x["id"]) for x in one.sim.get(one.account, draft)["lines"]["data"]]
            if cursor and len(lines) > 250 and cursor[1] in lines:
                end = lines.index(cursor[1]) + 1
                one.sim.remove_lines(one.account, draft, lines[max(0, end - 7) : end])

        one.sim.before(f"/v1/invoices/{draft}/lines", meddle, nth=None)
        one.settle()
        one.sync(["invoices", "invoice_line_items"])
        one.settle()
        one.sync(["invoices", "invoice_line_items"])
        one.assert_equal(["invoices", "invoice_line_items"])


def test_one_answer_that_is_no_object_fails_no_other_one(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        ids = customers(one, 8)
        for customer in ids:
            one.sim.update(one.account, customer, {"name": "changed"})
        one.settle()
        client = one.client()
        request = client.request

        def garbled(method: str, path: str, *rest: Any, **more: Any) -> Any:
            answer = request(method, path, *rest, **more)
            return replace(answer, body=b'{"id": 5}') if path.endswith(ids[2]) else answer

        client.request = garbled  # type: ignore[method-assign]
        with pytest.raises(SyncFailed, match=ids[2]):
            one.sync(["customers"], client=client)
        assert one.query("SELECT count(*) FROM customers WHERE name = 'changed'") == [(7,)]
        one.sync(["customers"])
        one.assert_equal(["customers"])


# ---- §7 fences and commits


def test_whoever_was_overtaken_within_a_transaction_cannot_commit(tmp_path: Path) -> None:
    """DuckDB gives each transaction a snapshot: the old fence is what it sees."""
    with lab(tmp_path, "duckdb") as one:
        key = StateKey(one.account.id, False, "customers")
        slow, other = one.warehouse(), one.warehouse()
        with slow.transaction() as tx:
            claim = tx.claim(key, "slow", 0.0, "")

        def overtaken() -> None:
            with slow.transaction() as tx:
                tx.states(one.account.id, False)  # the snapshot is taken
                with other.transaction() as theirs:
                    theirs.claim(key, "other", 60.0, "")
                tx.advance(claim, "of the slow one")

        with pytest.raises(WarehouseError):
            overtaken()
        with other.transaction() as tx:
            assert tx.states(one.account.id, False) == {}


def test_every_merge_begins_with_the_fence(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        seen: list[list[str]] = []

        def traced() -> Any:
            warehouse: Any = one.warehouse()

            def fault(label: str) -> None:
                if label == "begin":
                    seen.append([])
                seen[-1].append(label)

            warehouse.fault = fault
            return warehouse

        one.sim.populate(one.account, customers=30)
        one.settle()
        one.sync(["customers"], warehouse=traced())
        ids = [str(o["id"]) for o in one.sim.objects(one.account, "customer")]
        for customer in ids[:3]:
            one.sim.update(one.account, customer, {"name": "changed"})
        one.sim.delete(one.account, ids[4])
        one.sim.delete(one.account, ids[5], silent=True)
        one.settle()
        one.sync(["customers"], warehouse=traced())
        one.sync(["customers"], warehouse=traced(), mode="full")
        writing = [t for t in seen if any(x.startswith(("customers: w", "settle")) for x in t)]
        assert len(writing) > 4
        for labels in writing:
            merging = next(
                n for n, x in enumerate(labels) if x.startswith(("customers: w", "sett"))
            )
            assert "advance" in labels[:merging], labels


def test_a_transaction_of_sqlite_is_a_writer_from_its_beginning(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sync(["customers"])
        import sqlite3

        with one.warehouse().transaction():
            other = sqlite3.connect(one.where, timeout=0, isolation_level=None)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            other.close()
