"""An audit finds every row that is not Stripe's, calls nothing else a difference, and mends it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.sync.audit.run import NotComparable, run_audit
from airflow_provider_stripe_app.sync.context import LeaseTimeout
from airflow_provider_stripe_app.warehouse.base import StaleWriter, StateKey
from tests.integration.audit_lab import audit, found, ids_of, spoil, synced
from tests.integration.sync_lab import Lab, lab


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Lab]:
    with synced(tmp_path) as made:
        yield made


@pytest.fixture(params=["sqlite", "duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A synced account in each of the warehouses."""
    where = ""
    if request.param == "postgres":
        where = request.getfixturevalue("postgres_warehouse")
    with synced(tmp_path, request.param, where) as made:
        yield made


def assert_mended(one: Lab) -> None:
    """Audit again: nothing is found, by ours or by the demo's comparison."""
    again = audit(one)
    assert found(again) == {}
    assert all(t.equal == t.checked and not t.not_yet_due for t in again.tables.values())
    one.assert_equal()


def test_whatever_hands_did_to_rows_is_found_and_mended(each: Lab) -> None:
    customers, lines = ids_of(each, "customer"), ids_of(each, "line_item")
    [invoice, *_], [item, *_] = ids_of(each, "invoice"), ids_of(each, "subscription_item")
    spoil(
        each,
        f"UPDATE customers SET name = 'by hand' WHERE id = '{customers[0]}'",
        f"UPDATE customers SET metadata = '{{\"k\":0}}' WHERE id = '{customers[1]}'",
        f"UPDATE customers SET created = NULL WHERE id = '{customers[2]}'",
        f"UPDATE customers SET _raw = replace(_raw, '\"id\"', '\"i\"') WHERE id = '{customers[3]}'",
        f"UPDATE customers SET _raw = 'no JSON' WHERE id = '{customers[4]}'",
        f"DELETE FROM customers WHERE id = '{customers[5]}'",
        f"UPDATE customers SET is_deleted = TRUE WHERE id = '{customers[6]}'",
        f"UPDATE customers SET id = 'bad/id?''\"x' WHERE id = '{customers[7]}'",
        f"UPDATE customers SET _version = 9000000000000000 WHERE id = '{customers[8]}'",
        f"UPDATE customers SET _version = NULL WHERE id = '{customers[9]}'",
        f"UPDATE customers SET livemode = TRUE WHERE id = '{customers[10]}'",
        f"UPDATE customers SET deleted_at = created WHERE id = '{customers[11]}'",
        f"UPDATE customers SET account_id = 'acct_other' WHERE id = '{customers[12]}'",
        f"UPDATE customers SET _raw = NULL, is_deleted = NULL WHERE id = '{customers[13]}'",
        f"UPDATE invoices SET amount_due = amount_due + 1 WHERE id = '{invoice}'",
        f"UPDATE invoice_line_items SET amount = amount + 1 WHERE id = '{lines[0]}'",
        f"UPDATE invoice_line_items SET invoice = NULL WHERE id = '{lines[1]}'",
        f"UPDATE invoice_line_items SET invoice = 'in_none' WHERE id = '{lines[2]}'",
        f"DELETE FROM invoice_line_items WHERE id = '{lines[3]}'",
        f"UPDATE invoice_line_items SET id = 'il_extra' WHERE id = '{lines[4]}'",
        f"UPDATE invoice_line_items SET id = 'il_stray', invoice = NULL WHERE id = '{lines[5]}'",
        f"UPDATE invoice_line_items SET id = 'il_lost', invoice = 'in_x' WHERE id = '{lines[6]}'",
        f"UPDATE subscription_items SET is_deleted = TRUE WHERE id = '{item}'",
    )
    wrong = audit(each)
    assert found(wrong) == {
        "customers": {
            "missing": {
                customers[5]: (),
                customers[6]: ("is_deleted",),
                customers[7]: (),
                customers[12]: (),
                customers[13]: ("is_deleted", "_raw"),
            },
            "extra": {"bad/id?'\"x": ()},
            "different": {
                customers[0]: ("column name",),
                customers[1]: ("column metadata",),
                customers[2]: ("column created",),
                customers[3]: ("i", "id"),
                customers[4]: ("_raw",),
                customers[8]: ("column _version",),
                customers[9]: ("column _version",),
                customers[10]: ("column livemode",),
                customers[11]: ("column deleted_at",),
            },
        },
        "invoices": {"different": {invoice: ("column amount_due",)}},
        "invoice_line_items": {
            "missing": dict.fromkeys(lines[3:7], ()),
            "extra": {"il_extra": (), "il_stray": (), "il_lost": ()},
            "different": {
                lines[0]: ("column amount",),
                lines[1]: ("column invoice",),
                lines[2]: ("column invoice",),
            },
        },
        "subscription_items": {"missing": {item: ("is_deleted",)}},
    }
    assert wrong.unrepaired == 15 + 1 + 10 + 1
    mended = audit(each, repair=True)
    assert found(mended) == found(wrong)
    assert mended.unrepaired == 0
    assert sum(t.repaired for t in mended.tables.values()) == wrong.unrepaired
    assert_mended(each)
    [(kept,)] = each.query("SELECT count(*) FROM customers WHERE account_id = 'acct_other'")
    assert kept == 1  # another account's rows are nobody's business here
    each.settle()
    each.sync()
    each.assert_equal()


def test_an_audit_of_equal_tables_costs_a_listing_and_waits_for_nothing(one: Lab) -> None:
    def never(_: float) -> None:
        raise AssertionError("it waited")

    result = audit(one, sleep=never)
    assert {n: (t.checked, t.equal) for n, t in result.tables.items()} == {
        name: (rows, rows)
        for name in result.tables
        for [(rows,)] in [one.query(f"SELECT count(*) FROM {name} WHERE NOT is_deleted")]
    }
    purposes = {purpose.partition(":")[0] for purpose in result.requests}
    assert purposes == {"audit", "children"}
    assert result.requests["audit:customers"] == 1
    for kind, parent in (("line_item", "invoice"), ("subscription_item", "subscription")):
        counts = Counter(o[parent] for o in one.sim.objects(one.account, kind))
        beyond_inlined = sum(ceil(n / 100) for n in counts.values() if n > 10)
        assert result.requests[f"children:{parent}s"] == beyond_inlined > 0
    assert result.tables["customers"].requests == 1
    assert found(result) == {}


def test_what_the_next_sync_does_is_not_yet_due(one: Lab) -> None:
    sim, account = one.sim, one.account
    customers = ids_of(one, "customer")
    draft = str(sim.create(account, "invoice", {"customer": customers[0]})["id"])
    sim.add_lines(account, draft, [{"amount": 1}, {"amount": 2}])
    one.settle()
    one.sync()
    one.settle()
    sim.update(account, customers[1], {"name": "changed"})
    sim.delete(account, customers[2])
    sim.create(account, "customer", {"name": "new"})
    sim.add_lines(account, draft, [{"amount": 3}])
    result = audit(one)
    assert found(result) == {}
    due = {name: table.not_yet_due for name, table in result.tables.items()}
    assert (due["customers"], due["invoices"], due["invoice_line_items"]) == (3, 1, 1)
    one.settle()
    one.sync()
    assert_mended(one)


def test_a_change_whose_event_is_not_visible_yet_is_not_yet_due(one: Lab) -> None:
    one.sim.switches.set(event_delay=(8.0, 8.0))
    one.sim.update(one.account, ids_of(one, "customer")[0], {"name": "changed"})
    result = audit(one)
    assert result.tables["customers"].not_yet_due == 1
    assert result.unrepaired == 0


def test_a_change_during_the_audit_is_no_difference(one: Lab) -> None:
    customers = ids_of(one, "customer")

    def meddle(_: Any) -> None:
        one.sim.update(one.account, customers.pop(), {"name": "meanwhile"})
        one.sim.delete(one.account, customers.pop())
        one.sim.create(one.account, "customer", {"name": "meanwhile"})

    one.sim.after("/v1/customers", meddle, nth=1)
    one.sim.before("/v1/customers/", meddle, nth=1)
    result = audit(one)
    assert result.unrepaired == 0
    assert found(result) == {}
    one.sim.faults.remove()
    one.settle()
    one.sync()
    assert_mended(one)


def test_a_sync_that_writes_during_the_audit_is_no_difference(one: Lab) -> None:
    customer = ids_of(one, "customer")[0]
    one.sim.update(one.account, customer, {"name": "before the audit"})
    one.settle()
    one.sim.after(f"/v1/customers/{customer}", lambda _: one.sync(owner="beside"), nth=1)
    result = audit(one)
    assert result.unrepaired == 0
    assert result.tables["customers"].not_yet_due == 0
    assert_mended(one)


def test_an_invoice_that_is_deleted_while_its_lines_are_read_is_no_difference(one: Lab) -> None:
    customer = ids_of(one, "customer")[0]
    draft = str(one.sim.create(one.account, "invoice", {"customer": customer})["id"])
    one.sim.add_lines(one.account, draft, [{"amount": n} for n in range(1, 31)])
    one.settle()
    one.sync()
    one.sim.before(
        f"/v1/invoices/{draft}/lines", lambda _: one.sim.delete(one.account, draft), nth=1
    )
    result = audit(one)
    assert result.unrepaired == 0
    assert result.tables["invoices"].not_yet_due == 1
    assert result.tables["invoice_line_items"].not_yet_due == 30
    one.settle()
    one.sync()
    assert_mended(one)


def test_what_no_event_told_is_a_difference(one: Lab) -> None:
    changed, deleted, *_ = ids_of(one, "customer")
    one.sim.update(one.account, changed, {"name": "silently"}, silent=True)
    one.sim.delete(one.account, deleted, silent=True)
    made = one.sim.create(one.account, "customer", {"name": "silently"}, silent=True)
    one.settle()
    one.sync()
    assert found(audit(one)) == {
        "customers": {
            "missing": {made["id"]: ()},
            "extra": {deleted: ()},
            "different": {changed: ("name",)},
        }
    }
    assert audit(one, repair=True).unrepaired == 0
    assert_mended(one)
    assert one.query(f"SELECT is_deleted FROM customers WHERE id = '{deleted}'") == [(1,)]


def test_an_event_that_the_row_has_closed_explains_nothing(one: Lab) -> None:
    """A sync would read that event again, see that it is closed, and change nothing."""
    customer = ids_of(one, "customer")[0]
    one.sim.update(one.account, customer, {"name": "true"})
    one.settle()
    one.sync()
    spoil(one, f"UPDATE customers SET _raw = replace(_raw, 'true', 'false') WHERE id='{customer}'")
    assert audit(one).tables["customers"].different == 1


def test_silent_changes_are_told_apart_and_mended_if_wanted(one: Lab) -> None:
    customer = ids_of(one, "customer")[0]
    one.sim.update(one.account, customer, {"next_invoice_sequence": 99}, silent=True)
    told = audit(one)
    assert told.unrepaired == 0
    assert found(told) == {"customers": {"silent": {customer: ("next_invoice_sequence",)}}}
    assert "recheck:customers" not in told.requests
    mended = audit(one, repair=True)
    assert (mended.tables["customers"].silent, mended.tables["customers"].repaired) == (1, 1)
    assert_mended(one)


def test_links_that_differ_at_every_read_hide_no_wrong_column(tmp_path: Path) -> None:
    with synced(tmp_path, volatile_urls=True) as one:
        assert found(audit(one)) == {}
        invoice = ids_of(one, "invoice")[0]
        spoil(one, f"UPDATE invoices SET status = 'void?' WHERE id = '{invoice}'")
        wrong = audit(one, repair=True)
        assert found(wrong) == {"invoices": {"different": {invoice: ("column status",)}}}
        assert wrong.unrepaired == 0
        assert_mended(one)


@pytest.mark.parametrize("switches", [{"stale_lists": (0.0, 4.0)}, {"created_early": (0.0, 3.0)}])
def test_quirks_of_lists_are_no_difference(tmp_path: Path, switches: dict[str, Any]) -> None:
    with synced(tmp_path, **switches) as one:
        for customer in ids_of(one, "customer")[:5]:
            one.sim.update(one.account, customer, {"name": "fresh"})
            one.sim.create(one.account, "customer", {"name": "new"})
        result = audit(one)
        assert result.unrepaired == 0
        one.settle()
        one.sync()
        one.settle()
        assert_mended(one)


def test_an_emptied_table_is_listed_again_instead_of_fetched_row_by_row(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=1_000, small=True)
        one.settle()
        one.sync(["customers"])
        spoil(one, "DELETE FROM customers")
        one.settle()
        result = audit(one, repair=True, examples=5)
        table = result.tables["customers"]
        assert (table.missing, table.repaired, result.unrepaired) == (1_000, 1_000, 0)
        assert len(table.examples["missing"]) == 5
        assert len(json.dumps(result.as_dict())) < 1_000
        assert sum(result.requests.values()) < 60
        assert audit(one).tables["customers"].equal == 1_000


def test_a_thousand_rows_too_many_cost_no_request_each(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=50)
        one.settle()
        one.sync(["customers"])
        [(columns,)] = [one.query("SELECT * FROM customers LIMIT 1")[:1]]
        names = [c[1] for c in one.query("PRAGMA table_info(customers)")]
        place = names.index("id")
        rest = ", ".join(f'"{n}"' for n in names if n != "id")
        copies = f"""
            INSERT INTO customers (id, {rest})
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
            SELECT 'cus_copy' || i, {rest} FROM n, customers WHERE id = '{columns[place]}'"""
        spoil(one, copies)
        one.settle()
        result = audit(one, repair=True)
        table = result.tables["customers"]
        assert (table.extra, table.repaired, table.equal) == (1_000, 1_000, 50)
        assert sum(result.requests.values()) < 10
        assert one.query("SELECT count(*) FROM customers WHERE is_deleted") == [(1_000,)]
        assert found(audit(one)) == {}


def test_a_start_date_bounds_the_audit_too(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=60)
        created = sorted(o["created"] for o in one.sim.objects(one.account, "customer"))
        one.settle()
        one.sync(["customers"], start_date=created[30])
        one.settle()
        result = audit(one)
        assert found(result) == {}
        assert result.tables["customers"].checked == sum(c >= created[30] for c in created)


def test_a_row_that_the_start_date_leaves_out_is_one_too_many(tmp_path: Path) -> None:
    """Stripe still has the object, but the table promises none of its age."""
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=20)
        aged = sorted(one.sim.objects(one.account, "customer"), key=lambda o: o["created"])
        old, young = str(aged[0]["id"]), str(aged[-1]["id"])
        one.settle()
        one.sync(["customers"], start_date=aged[10]["created"])
        one.settle()
        spoil(one, f"UPDATE customers SET id = '{old}' WHERE id = '{young}'")
        wrong = audit(one, repair=True)
        assert found(wrong) == {"customers": {"missing": {young: ()}, "extra": {old: ()}}}
        assert wrong.unrepaired == 0
        assert found(audit(one)) == {}


def test_lines_that_were_swapped_between_invoices_are_none_too_many(one: Lab) -> None:
    of: dict[str, str] = {}
    for line in one.sim.objects(one.account, "line_item"):
        of.setdefault(line["invoice"], line["id"])
    [(here, a), (there, b), *_] = sorted(of.items())
    spoil(
        one,
        f"UPDATE invoice_line_items SET invoice = '{there}' WHERE id = '{a}'",
        f"UPDATE invoice_line_items SET invoice = '{here}' WHERE id = '{b}'",
    )
    wrong = audit(one, repair=True)
    column = ("column invoice",)
    assert found(wrong) == {"invoice_line_items": {"different": {a: column, b: column}}}
    assert wrong.unrepaired == 0
    assert_mended(one)


def test_odd_text_and_new_fields_are_compared_and_mended(one: Lab) -> None:
    customer = ids_of(one, "customer")[0]
    nasty = {"nul": "a\u0000b", "half": "\ud800", "quote": '\\"', "slash": "\\u0000"}
    changes = {"metadata": nasty, "name": "n\u0000ul", "loyalty_points": 2**40}
    one.sim.update(one.account, customer, changes)
    one.settle()
    one.sync()
    one.settle()
    assert found(audit(one)) == {}
    spoil(
        one,
        f"UPDATE customers SET loyalty_points = 1, name = 'nul' WHERE id = '{customer}'",
    )
    wrong = audit(one, repair=True)
    fields = wrong.tables["customers"].examples["different"][customer]
    assert fields == ("column name", "column loyalty_points")
    assert_mended(one)


def test_children_are_compared_even_if_only_the_parent_is_named(one: Lab) -> None:
    spoil(one, "DELETE FROM invoice_line_items")
    result = audit(one, ["invoices"])
    table = result.tables["invoice_line_items"]
    assert table.missing == table.checked > 0
    assert set(result.tables) == {"invoices", "invoice_line_items"}


def test_a_table_that_promises_nothing_yet_is_not_compared(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=3)
        with pytest.raises(NotComparable, match="sync first"):
            audit(one)
        one.settle()
        one.sync(["customers"])
        with pytest.raises(NotComparable, match=r"invoices .*first sync"):
            audit(one, ["customers", "invoices"])
        assert set(audit(one).tables) == {"customers"}


def test_a_sync_of_a_month_ago_is_not_compared(one: Lab) -> None:
    one.sim.update(one.account, ids_of(one, "customer")[0], {"name": "changed"})
    one.sim.clock.advance(31 * 86_400)
    with pytest.raises(NotComparable, match=r"31\.\d days"):
        audit(one)


def test_a_missing_permission_is_said(one: Lab) -> None:
    may = ["customer_read", "subscription_read", "event_read"]
    key = one.sim.restricted_key(may, one.account)
    with pytest.raises(PermissionMissing, match="invoice_read"):
        run_audit(
            one.client(StaticToken(key)),
            one.warehouse(),
            account_id=one.account.id,
            livemode=one.account.livemode,
        )


# ---- mending beside others


def hold(one: Lab, stream: str, owner: str = "a running sync") -> None:
    """Take a stream's lease, as a sync does."""
    key = StateKey(one.account.id, one.account.livemode, stream)
    with one.warehouse().transaction() as tx:
        tx.claim(key, owner, 3600.0, "test")


def test_mending_waits_for_a_running_sync_and_then_says_whose(one: Lab) -> None:
    spoil(one, "DELETE FROM customers")
    before = one.query("SELECT count(*) FROM customers")
    hold(one, "customers")
    with pytest.raises(LeaseTimeout, match="a running sync"):
        audit(one, repair=True, lease_wait=0.3)
    assert one.query("SELECT count(*) FROM customers") == before
    assert audit(one).tables["customers"].missing == 40  # looking needs no lease
    assert audit(one, repair=True, owner="a running sync").unrepaired == 0
    one.sync(lease_wait=1.0)  # the lease was given back
    assert_mended(one)


def test_an_audit_that_lost_its_lease_writes_nothing(one: Lab) -> None:
    customer = ids_of(one, "customer")[0]
    spoil(one, f"UPDATE customers SET name = 'by hand' WHERE id = '{customer}'")
    statement = f"SELECT name FROM customers WHERE id = '{customer}'"

    def steal(_: Any) -> None:
        spoil(one, "UPDATE _stripe_sync_state SET owner = NULL WHERE stream = 'customers'")
        hold(one, "customers", "a thief")

    one.sim.after(f"/v1/customers/{customer}", steal, nth=1)
    with pytest.raises(StaleWriter, match="another run has taken over"):
        audit(one, repair=True)
    assert one.query(statement) == [("by hand",)]


def test_mending_never_undoes_what_changes_meanwhile(one: Lab) -> None:
    customer = ids_of(one, "customer")[0]
    spoil(one, f"UPDATE customers SET _raw = '{{}}' WHERE id = '{customer}'")
    one.sim.after(
        "/v1/events",
        lambda _: one.sim.update(one.account, customer, {"name": "after the look"}),
        nth=1,
    )
    audit(one, repair=True)
    one.settle()
    one.sync()
    assert one.query(f"SELECT name FROM customers WHERE id = '{customer}'") == [("after the look",)]
    one.settle()
    assert_mended(one)


class Killed(Exception):
    """Stands for a SIGKILL at a statement."""


def test_mending_can_be_stopped_at_every_statement(one: Lab) -> None:
    """What is written is a whole transaction, so a row is wrong or right, and never a third way."""
    customers, line = ids_of(one, "customer"), ids_of(one, "line_item")[0]
    spoil(
        one,
        f"UPDATE customers SET name = 'by hand' WHERE id = '{customers[0]}'",
        f"UPDATE customers SET id = 'cus_extra' WHERE id = '{customers[1]}'",
        f"UPDATE invoice_line_items SET amount = 1 WHERE id = '{line}'",
    )
    raws = "SELECT id, _raw FROM customers UNION ALL SELECT id, _raw FROM invoice_line_items"
    known = {row for row in one.query(raws)} | {  # noqa: C416
        (customers[1], one.query("SELECT _raw FROM customers WHERE id = 'cus_extra'")[0][0])
    }
    stops = 0
    for nth in range(1, 400, 7):
        warehouse: Any = one.warehouse()
        left = [nth]

        def fault(_: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        reopened: list[str] = []

        def late(label: str, reopened: list[str] = reopened, left: list[int] = left) -> None:
            # Counted from the first statement that mends: looking was tried by everything else.
            if reopened or label.endswith(": reopen"):
                reopened.append(label)
                fault(label, left)

        warehouse.fault = late
        try:
            result = audit(one, repair=True, warehouse=warehouse)
        except Killed:
            stops += 1
            assert set(one.query(raws)) <= known
        else:
            assert result.unrepaired == 0
            break
    assert stops > 5
    assert_mended(one)


@pytest.mark.parametrize("chosen", ["SUMMER 20%", "a?b&c=d", "half/price", "été"])
def test_a_missing_object_whose_id_a_person_chose_is_mended(tmp_path: Path, chosen: str) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sync(["coupons"])
        one.sim.create(one.account, "coupon", {"id": chosen}, silent=True)
        one.settle()
        assert audit(one, repair=True).tables["coupons"].repaired == 1
        one.assert_equal(["coupons"])
