"""What a run asks of Stripe is the least that its plan allows. One promise a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.sync.summary import RunSummary, SyncFailed
from tests.integration.sync_lab import Lab, lab

OTHER_VERSION = "2024-06-20"
"""Payloads in it cannot be used, so every changed object has to be read."""

INVOICES = ("invoices", "invoice_line_items")


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Lab]:
    """A thousand customers of ten years, synced; events in another API version."""
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        one.sim.populate(one.account, customers=1000, small=True, spread="years")
        one.settle()
        one.sync(["customers"])
        yield one


def by_age(one: Lab, kind: str = "customer") -> list[str]:
    """Return ids, the newest first, as lists do."""
    found = sorted(one.sim.objects(one.account, kind), key=lambda o: -o["created"])
    return [str(o["id"]) for o in found]


def change(one: Lab, ids: list[str]) -> None:
    for id_ in ids:
        one.sim.update(one.account, id_, {"name": "changed"})
    one.settle()


def test_objects_created_together_are_listed_not_read_one_by_one(crowd: Lab) -> None:
    change(crowd, by_age(crowd)[200:500])
    summary = crowd.sync(["customers"])
    crowd.assert_equal(["customers"])
    assert summary.streams["customers"].updated == 300
    asked = dict(summary.requests)
    assert asked.pop("events") == 3
    # Objects of the boundary's second may make a page more.
    assert asked.pop("relist:customers") in (3, 4)
    assert asked.pop("refetch:customers", 0) <= 1
    assert not asked


def test_scattered_objects_are_read_one_by_one(crowd: Lab) -> None:
    change(crowd, by_age(crowd)[::100])
    summary = crowd.sync(["customers"])
    crowd.assert_equal(["customers"])
    assert dict(summary.requests) == {"events": 1, "refetch:customers": 10}


def test_a_payload_costs_nothing_and_is_not_planned_for(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=300, small=True)
        one.settle()
        one.sync(["customers"])
        change(one, by_age(one))
        assert one.sync(["customers"]).requests == {"events": 3}
        one.assert_equal(["customers"])


def test_only_what_is_owed_is_written(crowd: Lab) -> None:
    """A page that is read for half of its objects does not make the warehouse write them all."""
    change(crowd, by_age(crowd)[100:300:2])
    summary = crowd.sync(["customers"])
    assert summary.requests["relist:customers"] <= 3
    assert summary.streams["customers"].rows == 100


def test_an_object_that_the_list_no_longer_shows_is_read(crowd: Lab) -> None:
    ids = by_age(crowd)[:200]
    change(crowd, ids)
    victim = ids[30]
    crowd.sim.before(
        r"/v1/customers(\?|$)", lambda _: crowd.sim.delete(crowd.account, victim), method="GET"
    )
    summary = crowd.sync(["customers"])
    assert summary.streams["customers"].deleted == 1
    assert summary.streams["customers"].owed == 0
    crowd.assert_equal(["customers"])


def test_a_cursor_that_is_deleted_while_a_range_is_listed_loses_nothing(crowd: Lab) -> None:
    ids = by_age(crowd)[:250]
    change(crowd, ids)
    crowd.sim.before(
        r"/v1/customers\?.*starting_after",
        lambda _: crowd.sim.delete(crowd.account, ids[99]),
        method="GET",
    )
    assert crowd.sync(["customers"]).requests.get("refetch:customers", 0) <= 2
    crowd.settle()
    crowd.sync(["customers"])
    crowd.assert_equal(["customers"])


def test_what_was_listed_before_an_error_is_kept_and_not_read_again(crowd: Lab) -> None:
    change(crowd, by_age(crowd)[:300])
    crowd.sim.fail("status", r"/v1/customers\?.*starting_after", status=503)
    client = StripeClient(
        StaticToken(crowd.key), api_base=crowd.sim.url, retry=RetryPolicy(attempts=1)
    )
    with pytest.raises(SyncFailed):
        crowd.sync(["customers"], client=client)
    assert crowd.query("SELECT count(*) FROM _stripe_sync_obligations") == [(200,)]
    crowd.sim.faults.remove()
    summary = crowd.sync(["customers"])
    assert summary.streams["customers"].updated == 200
    crowd.assert_equal(["customers"])


def test_children_are_read_only_of_what_changed_and_only_beyond_what_is_inlined(
    tmp_path: Path,
) -> None:
    """Of sixty invoices on one page thirty have changed, ten of them with many lines."""
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        customer = str(one.sim.create(one.account, "customer", {})["id"])
        ids = []
        for number in range(60):
            invoice = one.sim.create(one.account, "invoice", {"customer": customer})["id"]
            lines = 15 if number % 6 == 0 else 3
            one.sim.add_lines(one.account, invoice, [{"amount": n + 1} for n in range(lines)])
            ids.append(str(invoice))
        one.settle()
        one.sync(INVOICES)
        for changed in ids[::2]:
            one.sim.update(one.account, changed, {"description": "changed"})
        long_ones = {i for number, i in enumerate(ids) if number % 6 == 0}
        one.settle()
        one.sim.service.log.clear()
        summary = one.sync(INVOICES)
        read = one.sim.requests(r"/v1/invoices/[^/]+/lines")
        one.assert_equal(INVOICES)
        assert {r.target.split("/")[3] for r in read} == long_ones
        # One page, looked at again once all lines were read.
        assert dict(summary.requests) == {
            "events": 2,  # it looks back at what made the invoices
            "relist:invoices": 1,
            "children:invoices": len(long_ones) + 1,
        }


def test_children_of_an_unchanged_neighbour_stay_unread(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite", event_api_version=OTHER_VERSION) as one:
        customer = str(one.sim.create(one.account, "customer", {})["id"])
        ids = [
            str(one.sim.create(one.account, "invoice", {"customer": customer})["id"])
            for _ in range(40)
        ]
        one.sim.add_lines(one.account, ids[7], [{"amount": n + 1} for n in range(25)])
        one.settle()
        one.sync(INVOICES)
        for changed in ids[:7] + ids[8:]:
            one.sim.update(one.account, changed, {"description": "changed"})
        one.settle()
        assert dict(one.sync(INVOICES).requests) == {"events": 1, "relist:invoices": 1}
        one.assert_equal(INVOICES)


def test_payloads_with_all_lines_inlined_cost_nothing(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=3)
        customer = by_age(one)[0]
        one.settle()
        one.sync(INVOICES)
        for lines in (3, 15):
            invoice = str(one.sim.create(one.account, "invoice", {"customer": customer})["id"])
            one.sim.add_lines(one.account, invoice, [{"amount": n + 1} for n in range(lines)])
            one.sim.clock.advance(2)
            one.sim.update(one.account, invoice, {"description": "final"})
        one.settle()
        assert dict(one.sync(INVOICES).requests) == {
            "events": 1,
            "refetch:invoices": 1,  # the one whose lines are not all in the payload,
            "children:invoices": 2,  # its lines, and a look whether it stood still
        }
        one.assert_equal(INVOICES)


@pytest.fixture
def two_tasks(tmp_path: Path) -> Iterator[Lab]:
    """Customers and invoices, synced by tasks of their own."""
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=20, invoices=20)
        one.settle()
        one.sync(["customers"])
        one.sync(["invoices"])
        one.settle()
        for kind in ("customer", "invoice"):
            changed = str(one.sim.objects(one.account, kind)[0]["id"])
            one.sim.update(one.account, changed, {"description": "changed"})
        one.settle()
        one.sim.service.log.clear()
        yield one


def test_one_pass_serves_two_tasks_that_run_at_the_same_time(two_tasks: Lab) -> None:
    """The second one has begun when the first one reads the events, and waits for it."""
    found: list[RunSummary] = []

    def second() -> None:
        found.append(two_tasks.sync(["invoices"], owner="second"))

    thread = threading.Thread(target=second)

    def begin(_: object) -> None:
        thread.start()
        held = "SELECT owner FROM _stripe_sync_state WHERE stream = 'invoices'"
        for _ in range(500):
            if two_tasks.query(held) == [("second",)]:
                break
            time.sleep(0.01)
        time.sleep(0.2)  # it looks at the feed's state next

    two_tasks.sim.before("/v1/events", begin)
    first = two_tasks.sync(["customers"])
    thread.join()
    assert len(two_tasks.sim.requests("/v1/events")) == 1
    assert first.complete_to == found[0].complete_to
    assert found[0].requests == {}
    two_tasks.assert_equal(["customers", "invoices"])


def test_one_pass_serves_the_tasks_of_a_dag_run(two_tasks: Lab) -> None:
    first = two_tasks.sync(["customers"], group="dag run 1")
    assert first.requests == {"events": 1}
    second = two_tasks.sync(["invoices"], group="dag run 1", owner="second")
    assert second.requests == {}
    assert second.complete_to == first.complete_to
    assert second.streams["invoices"].updated == 1
    two_tasks.assert_equal(["customers", "invoices"])


def test_a_task_that_runs_again_reads_the_events_again(two_tasks: Lab) -> None:
    """Nobody who runs a task by hand after a change shall wonder where the change is."""
    two_tasks.sync(["customers"], group="dag run 1")
    assert two_tasks.sync(["customers"], group="dag run 1").requests == {"events": 1}


def test_other_dag_runs_read_the_events_themselves(two_tasks: Lab) -> None:
    two_tasks.sync(["customers"], group="dag run 1")
    assert two_tasks.sync(["invoices"], group="dag run 2").requests == {"events": 1}
    two_tasks.sync(["customers"])
    assert two_tasks.sync(["invoices"]).requests == {"events": 1}


def test_a_pass_serves_others_for_a_minute_only(
    two_tasks: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_tasks.sync(["customers"], group="dag run 1")
    monkeypatch.setattr("airflow_provider_stripe_app.sync.feed.SHARED_FOR", 0.0)
    assert two_tasks.sync(["invoices"], group="dag run 1").requests == {"events": 1}


def test_an_idle_run_of_all_streams_costs_one_request(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=20, invoices=20, subscriptions=20)
        one.settle()
        one.sync(tuple(STREAMS))
        one.settle()
        assert dict(one.sync(tuple(STREAMS)).requests) == {"events": 1}
        assert dict(one.sync(tuple(STREAMS)).requests) == {"events": 1}
