"""From events to what is owed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_stripe_app.api.events import EventItem, split_events
from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.sync.reduce import Reducer, is_left_out
from airflow_provider_stripe_app.sync.state import Coverage
from airflow_provider_stripe_app.warehouse.base import Obligation

LAG = 10


def event(
    number: int, type_: str, created: int, obj: dict[str, Any], api_version: str = API_VERSION
) -> EventItem:
    body = {
        "object": "list",
        "has_more": False,
        "data": [
            {
                "id": f"evt_{number}",
                "object": "event",
                "type": type_,
                "created": created,
                "api_version": api_version,
                "data": {"object": obj},
            }
        ],
    }
    return split_events(json.dumps(body).encode())[0][0]


def customer(**fields: Any) -> dict[str, Any]:
    return {"id": "cus_1", "object": "customer", "created": 100, **fields}


def owed(*events: EventItem, **coverage: Coverage) -> dict[tuple[str, str], Obligation]:
    reducer = Reducer(STREAMS, coverage or {"customers": Coverage(since=0)}, lag=LAG)
    reducer.add(events)
    return reducer.owed


def test_only_the_newest_event_of_an_object_counts() -> None:
    new = event(2, "customer.updated", 205, customer(name="new"))
    old = event(1, "customer.updated", 200, customer(name="old"))
    for order in ([new, old], [old, new]):
        got = owed(*order)[("customers", "cus_1")]
        assert (got.event_id, got.closes_at) == ("evt_2", 215)
        assert '"new"' in (got.payload or "")


def test_two_events_of_one_second_leave_no_payload_to_trust() -> None:
    got = owed(
        event(1, "customer.updated", 200, customer(name="a")),
        event(2, "customer.updated", 200, customer(name="b")),
    )[("customers", "cus_1")]
    assert got.ambiguous
    assert got.payload is None
    assert got.effect == "upsert"


def test_a_deletion_and_an_update_of_one_second_are_refetched() -> None:
    got = owed(
        event(1, "customer.deleted", 200, customer()),
        event(2, "customer.updated", 200, customer()),
    )[("customers", "cus_1")]
    assert (got.effect, got.ambiguous) == ("upsert", True)


def test_a_payload_of_another_version_is_only_a_signal() -> None:
    got = owed(event(1, "customer.updated", 200, customer(), api_version="2020-08-27"))
    assert got[("customers", "cus_1")].payload is None


def test_a_canceled_subscription_lives_on() -> None:
    sub = {"id": "sub_1", "object": "subscription", "created": 1, "status": "canceled"}
    got = owed(event(1, "customer.subscription.deleted", 200, sub), subscriptions=Coverage(since=0))
    assert got[("subscriptions", "sub_1")].effect == "upsert"


def test_a_discount_touches_what_it_hangs_on() -> None:
    discount = {"id": "di_1", "object": "discount", "customer": "cus_9", "subscription": None}
    got = owed(event(1, "customer.discount.deleted", 200, discount))
    assert list(got) == [("customers", "cus_9")]
    assert got[("customers", "cus_9")].payload is None


def test_streams_that_are_not_covered_owe_nothing() -> None:
    assert owed(event(1, "customer.updated", 200, customer()), invoices=Coverage(since=0)) == {}


@pytest.mark.parametrize("left_out", [{"created": 49}, {"test_clock": "clock_1"}])
def test_objects_that_lists_leave_out_are_dropped(left_out: dict[str, Any]) -> None:
    coverage = Coverage(since=0, start_date=50)
    assert owed(event(1, "customer.updated", 200, customer(**left_out)), customers=coverage) == {}
    assert owed(event(1, "customer.updated", 200, customer()), customers=coverage) != {}


def test_unknown_types_are_counted_not_guessed() -> None:
    reducer = Reducer(STREAMS, {"customers": Coverage(since=0)}, lag=LAG)
    reducer.add([event(1, "customer.teleported", 200, customer())])
    assert reducer.owed == {}
    assert reducer.unknown == {"customer.teleported": 1}


def test_objects_before_the_start_date_are_left_out_whatever_their_date_is_called() -> None:
    assert is_left_out({"created": 5}, 6)
    assert is_left_out({"date": 5}, 6)
    assert not is_left_out({"date": 6}, 6)
    assert not is_left_out({}, 6)


def test_whatever_is_heard_is_remembered_by_its_time() -> None:
    reducer = Reducer(STREAMS, {}, lag=LAG)
    reducer.add([event(2, "balance.available", 40, {}), event(1, "customer.teleported", 30, {})])
    assert reducer.heard_at == 40
