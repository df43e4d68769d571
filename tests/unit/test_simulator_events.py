from __future__ import annotations

import json
from random import Random

import pytest

from airflow_provider_stripe_app.testing.errors import ApiError
from airflow_provider_stripe_app.testing.events import EventLog
from airflow_provider_stripe_app.testing.forms import parse
from airflow_provider_stripe_app.testing.switches import Switches

DAY = 86400.0
NOW = 1_700_000_000.0


def log(**switches: object) -> EventLog:
    wanted = Switches()
    wanted.set(**switches)
    return EventLog(wanted, Random(3), livemode=False)


def emit(events: EventLog, number: int, at: float = NOW, type_: str = "customer.updated") -> None:
    raw = json.dumps({"id": f"cus_{number}", "object": "customer"}).encode()
    events.emit(f"evt_{number}", type_, raw, at, previous={"name": None})


def seen(events: EventLog, now: float, query: str = "limit=100") -> list[str]:
    return [event.id for event in events.page(parse(query), now)[0]]


def test_an_event_shows_only_after_its_delay() -> None:
    events = log(event_delay=4)
    emit(events, 1)
    assert seen(events, NOW + 3.9) == []
    assert events.get("evt_1", NOW + 3.9) is None
    assert seen(events, NOW + 4) == ["evt_1"]
    assert json.loads(events.page({}, NOW + 4)[0][0].render())["created"] == int(NOW)


def test_a_late_event_appears_behind_a_cursor_already_passed() -> None:
    events = log()
    emit(events, 1, NOW - 10)
    events._switches.set(event_delay=8)
    emit(events, 2, NOW - 5)
    events._switches.set(event_delay=0)
    emit(events, 3, NOW)
    assert seen(events, NOW) == ["evt_3", "evt_1"]
    assert seen(events, NOW + 3) == ["evt_3", "evt_2", "evt_1"]


def test_a_few_events_can_come_later_than_any_overlap() -> None:
    events = log(event_delay=1, late_events=0.2, late_event_delay=[100, 200])
    for number in range(200):
        emit(events, number)
    hidden = [event for event in events.all() if event.visible_at >= NOW + 100]
    assert 20 <= len(hidden) <= 60
    assert all(event.visible_at <= NOW + 200 for event in hidden)
    assert {event.visible_at for event in events.all() if event not in hidden} == {NOW + 1}


def test_events_of_one_second_have_no_order_but_the_same_one_for_a_seed() -> None:
    def order(**switches: object) -> list[str]:
        events = log(**switches)
        for number in range(20):
            emit(events, number, NOW + number / 100)
        return seen(events, NOW + 1)

    in_order = [f"evt_{number}" for number in reversed(range(20))]
    assert sorted(order()) == sorted(in_order)
    assert order() != in_order
    assert order() == order()
    assert order(event_shuffle=False) == in_order


def test_seconds_keep_their_order_and_pages_their_cursors() -> None:
    events = log()
    for number in range(30):
        emit(events, number, NOW + number // 3)
    now, found = NOW + 100, []
    query = "limit=4"
    while True:
        page, more = events.page(parse(query), now)
        found += page
        if not more:
            break
        query = f"limit=4&starting_after={page[-1].id}"
    assert len({event.id for event in found}) == 30
    seconds = [event.created for event in found]
    assert seconds == sorted(seconds, reverse=True)


def test_events_are_gone_after_thirty_days() -> None:
    events = log()
    emit(events, 1, NOW - 30 * DAY + 5)
    emit(events, 2, NOW - 30 * DAY - 5)
    assert seen(events, NOW) == ["evt_1"]
    assert seen(events, NOW, f"created[gte]={int(NOW - 60 * DAY)}") == ["evt_1"]
    assert events.get("evt_2", NOW) is None
    with pytest.raises(ApiError) as caught:
        seen(events, NOW, "starting_after=evt_2")
    assert caught.value.error["code"] == "resource_missing"


def test_memory_of_old_events_is_given_back() -> None:
    events = log()
    for number in range(1500):
        emit(events, number, NOW - 40 * DAY)
    emit(events, 2000, NOW)
    assert len(events) == 501


def test_types_are_exact_names_and_type_may_be_a_wildcard() -> None:
    events = log()
    for number, type_ in enumerate(("customer.updated", "invoice.paid", "invoice.updated")):
        emit(events, number, NOW + number, type_)
    now = NOW + 10
    assert seen(events, now, "type=invoice.*") == ["evt_2", "evt_1"]
    assert seen(events, now, "types[]=invoice.paid&types[]=customer.updated") == ["evt_1", "evt_0"]
    assert seen(events, now, "delivery_success=true") == ["evt_2", "evt_1", "evt_0"]
    assert len(seen(events, now)) == 3


@pytest.mark.parametrize(
    "query",
    [
        "type=invoice.paid&types[]=invoice.paid",
        "&".join(f"types[]=a.b{n}" for n in range(21)),
        "types[]=invoice.*",
        "delivery_success=maybe",
        "customer=cus_1",
    ],
)
def test_what_the_events_list_refuses(query: str) -> None:
    with pytest.raises(ApiError) as caught:
        seen(log(), NOW, query)
    assert caught.value.status == 400


def test_payloads_of_an_older_version_have_its_name_and_its_shape() -> None:
    events = log(event_api_version="2024-06-20")
    parent = {"subscription_details": {"subscription": "sub_1", "metadata": {}}}
    raw = json.dumps(
        {"id": "in_1", "object": "invoice", "status": "paid", "created": 1, "parent": parent}
    ).encode()
    event = json.loads(events.emit("evt_1", "invoice.updated", raw, NOW).render())
    assert event["api_version"] == "2024-06-20"
    assert event["data"]["object"]["subscription"] == "sub_1"
    assert "parent" not in event["data"]["object"]
