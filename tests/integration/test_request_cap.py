"""Requests are kept, and a cap on them spreads a load over days without a loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.sync.audit.options import AuditOptions
from airflow_provider_stripe_app.sync.audit.run import run_audit
from airflow_provider_stripe_app.sync.budget import RequestCapReached, always
from airflow_provider_stripe_app.sync.summary import SyncFailed
from airflow_provider_stripe_app.sync.versions import DAY
from tests.integration.sync_lab import Lab, lab

CUSTOMERS = ("customers",)
PAGES = 30
OTHER_VERSION = "2024-06-20"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Lab]:
    """Three thousand customers, never synced."""
    with lab(tmp_path, "sqlite") as one:
        one.sim.clock.freeze(1_795_521_600)
        one.sim.populate(one.account, customers=PAGES * 100, small=True)
        one.settle()
        yield one


def kept(one: Lab) -> Counter[str]:
    found: Counter[str] = Counter()
    for purpose, stream, number in one.query(
        "SELECT purpose, stream, sum(requests) FROM _stripe_sync_requests GROUP BY 1, 2"
    ):
        found[f"{purpose}:{stream}" if stream else purpose] += number
    return found


def days(one: Lab) -> list[int]:
    """Return the requests of each day."""
    rows = one.query("SELECT sum(requests) FROM _stripe_sync_requests GROUP BY day ORDER BY day")
    return [number for (number,) in rows]


def sync_for_days(one: Lab, streams: tuple[str, ...], **options: Any) -> int:
    """Sync once a day until nothing is unfinished; return how many days it took."""
    for day in range(1, 30):
        summary = one.sync(streams, **options)
        if not summary.unfinished:
            return day
        assert summary.complete_to is None
        one.sim.clock.advance(DAY)
    raise AssertionError("it never ends")


def test_every_request_is_kept(account: Lab) -> None:
    first = account.sync(CUSTOMERS)
    second = account.sync(CUSTOMERS)
    made = Counter(first.requests) + Counter(second.requests)
    assert kept(account) == made
    assert len(account.sim.requests("/v1/")) == sum(made.values())
    assert second.reads == {
        "days": 30,
        "spent": sum(made.values()),
        "budget": 10_000,
        "share": round(sum(made.values()) / 10_000, 4),
    }


def test_a_killed_run_has_its_requests_kept_up_to_its_last_batch(account: Lab) -> None:
    seen: list[Counter[str]] = []
    account.sim.before(r"/v1/customers", lambda _: seen.append(kept(account)), nth=None)
    account.sync(CUSTOMERS, batch_rows=100, workers=1)
    assert seen[-1]["events"] >= 1
    assert seen[-1]["list:customers"] >= 5


def test_requests_of_a_run_that_fails_are_kept(account: Lab) -> None:
    account.sync(CUSTOMERS)
    before = kept(account)
    account.sim.fail("status", "/v1/events", status=400)
    with pytest.raises(Exception, match="/v1/events"):
        account.sync(CUSTOMERS)
    assert kept(account) - before == {"events": 1}


def test_a_load_goes_on_the_next_day_where_the_cap_stopped_it(account: Lab) -> None:
    summary = account.sync(CUSTOMERS, max_requests=20)
    assert list(summary.unfinished) == ["customers"]
    assert "20 requests of today" in summary.unfinished["customers"]
    loaded = account.query("SELECT count(*) FROM customers")[0][0]
    assert 0 < loaded < PAGES * 100
    again = account.sync(CUSTOMERS, max_requests=20)
    assert set(again.requests) == {"events"}  # the feed goes on whatever the cap
    account.sim.clock.advance(DAY)
    assert sync_for_days(account, CUSTOMERS, max_requests=20) <= 2
    account.assert_equal(CUSTOMERS)
    assert kept(account)["list:customers"] <= PAGES * 2  # what cutting costs at most


def test_what_changes_during_a_load_of_days_arrives(account: Lab) -> None:
    ids = [str(o["id"]) for o in account.sim.objects(account.account, "customer")]
    taken = 0
    for day in range(1, 30):
        if not account.sync(CUSTOMERS, max_requests=15).unfinished:
            taken = day
            break
        account.sim.update(account.account, ids[day], {"name": f"day {day}"})
        account.sim.delete(account.account, ids[-day])
        account.sim.clock.advance(DAY)
    assert taken >= 2
    account.settle()
    account.sync(CUSTOMERS)
    account.assert_equal(CUSTOMERS)


def test_no_day_has_more_requests_than_the_cap(account: Lab) -> None:
    """Not even with the feed's, which is kept something for."""
    account.sim.populate(account.account, customers=9_000, small=True)
    sync_for_days(account, CUSTOMERS, max_requests=100)
    assert max(days(account)) <= 100
    assert len(days(account)) == 2


def test_a_full_load_of_days_is_not_begun_anew_by_the_run_of_each_day(account: Lab) -> None:
    account.sync(CUSTOMERS)
    account.sim.clock.advance(DAY)
    for day in range(1, 30):
        if not account.sync(CUSTOMERS, mode="full", run=f"run {day}", max_requests=20).unfinished:
            break
        account.sim.clock.advance(DAY)
    assert 2 <= day <= 3
    account.assert_equal(CUSTOMERS)


def test_a_load_does_not_starve_what_is_followed(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        one.sim.clock.freeze(1_795_521_600)
        one.sim.populate(one.account, customers=3000, invoices=5, small=True)
        one.settle()
        one.sync(["invoices"])
        invoice = str(one.sim.objects(one.account, "invoice")[0]["id"])
        one.sim.clock.advance(DAY)
        one.sim.update(one.account, invoice, {"description": "changed"})
        one.settle()
        summary = one.sync(["customers", "invoices"], max_requests=20)
        assert list(summary.unfinished) == ["customers"]
        one.assert_equal(["invoices"])


INVOICES = ("invoices", "invoice_line_items")


def long_invoices(one: Lab, number: int) -> None:
    """Make invoices whose lines have to be read apart, and go to the next day."""
    customer = str(one.sim.create(one.account, "customer", {})["id"])
    for _ in range(number):
        invoice = one.sim.create(one.account, "invoice", {"customer": customer})["id"]
        one.sim.add_lines(one.account, invoice, [{"amount": n + 1} for n in range(11)])
        one.sim.clock.advance(60)
    one.settle()


def test_a_load_with_many_children_gets_on_every_day(tmp_path: Path) -> None:
    """Two hundred requests for lines, and a page is finished when all of its lines are read."""
    with lab(tmp_path, "sqlite") as one:
        one.sim.clock.freeze(1_795_521_600)
        long_invoices(one, 200)
        assert sync_for_days(one, INVOICES, max_requests=130) == 2
        one.assert_equal(INVOICES)


def test_a_cap_that_no_page_fits_into_is_an_error(tmp_path: Path) -> None:
    """Skipped every day for ever would look like a load that takes its time."""
    with lab(tmp_path, "sqlite") as one:
        one.sim.clock.freeze(1_795_521_600)
        long_invoices(one, 60)
        with pytest.raises(
            SyncFailed, match="40 requests a day are less than one page of invoices"
        ):
            one.sync(INVOICES, max_requests=40)
        assert one.sync(INVOICES, max_requests=45).unfinished  # late in the day: not its fault


def test_what_is_owed_beyond_the_cap_stays_owed(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        one.sim.clock.freeze(1_795_521_600)
        one.sim.populate(one.account, customers=3000, small=True)
        one.settle()
        one.sync(CUSTOMERS)
        one.sim.clock.advance(DAY)
        ids = sorted(one.sim.objects(one.account, "customer"), key=lambda o: o["created"])
        for changed in ids[::110]:
            one.sim.update(one.account, str(changed["id"]), {"name": "changed"})
        one.settle()
        summary = one.sync(CUSTOMERS, max_requests=20)
        assert list(summary.unfinished) == ["customers"]
        assert 0 < summary.requests["refetch:customers"] < 20
        owed = one.query("SELECT count(*) FROM _stripe_sync_obligations")[0][0]
        assert owed == 28 - summary.requests["refetch:customers"]
        one.sim.clock.advance(DAY)
        sync_for_days(one, CUSTOMERS, max_requests=20)
        one.assert_equal(CUSTOMERS)


def test_an_audit_counts_and_stops_at_the_cap(account: Lab) -> None:
    account.sync(CUSTOMERS)
    before = kept(account)
    spent = sum(before.values())

    def audit(cap: int | None) -> None:
        run_audit(
            account.client(),
            account.warehouse(),
            account_id=account.account.id,
            livemode=account.account.livemode,
            options=AuditOptions(max_requests=cap, sleep=account.sim.clock.advance),
        )

    with pytest.raises(RequestCapReached):
        audit(spent + 5)
    assert 0 < sum((kept(account) - before).values()) <= 5
    audit(None)
    assert sum(n for p, n in kept(account).items() if not always(p)) > spent + 5


def test_past_days_are_summed_up_and_old_ones_forgotten(account: Lab) -> None:
    for _ in range(4):
        account.sync(CUSTOMERS)
        account.sync(CUSTOMERS)
        account.sim.clock.advance(DAY)
    rows = account.query(
        "SELECT day, count(*), count(DISTINCT purpose) FROM _stripe_sync_requests "
        "GROUP BY day ORDER BY day"
    )
    assert [number == purposes for _, number, purposes in rows[:2]] == [True, True]
    first = rows[0][0]
    account.sim.clock.advance(28 * DAY)
    account.sync(CUSTOMERS)
    account.sim.clock.advance(28 * DAY)
    account.sync(CUSTOMERS)
    assert account.query("SELECT min(day) FROM _stripe_sync_requests")[0][0] > first
