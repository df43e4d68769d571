from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from airflow_provider_stripe_app.testing import SimulatedStripe, Switches
from airflow_provider_stripe_app.testing.errors import ApiError
from airflow_provider_stripe_app.testing.resources import event_permission

KINDS = ("customer", "invoice", "subscription", "product", "price")


def change_something(sim: SimulatedStripe, rng: Random) -> None:
    """One random change, as a merchant's day is made of."""
    choice = rng.randrange(9)
    kind = rng.choice(KINDS)
    living = sim.objects(None, kind)
    if choice < 2 or not living:
        sim.create(None, kind, {"metadata": {"n": str(rng.random())}})
        return
    one = rng.choice(living)
    if choice < 5:
        sim.update(None, one["id"], {"metadata": {"n": str(rng.random())}, "brand_new": choice})
    elif choice == 5:
        sim.delete(None, one["id"])
    elif choice == 6 and kind == "invoice":
        lines = [{"amount": rng.randrange(99)} for _ in range(rng.randrange(1, 14))]
        sim.add_lines(None, one["id"], lines)
    elif choice == 7 and kind == "invoice":
        action = rng.choice(("finalize", "pay", "void", "mark_uncollectible"))
        sim.move_invoice(None, one["id"], action)
    elif choice == 8 and kind == "subscription":
        item = rng.choice(sim.get(None, one["id"])["items"]["data"])
        sim.update(None, item["id"], {"quantity": rng.randrange(1, 99)})


def test_whoever_follows_the_events_ends_with_what_stripe_has() -> None:
    sim = SimulatedStripe(seed=11, switches=Switches(embedded_prices=False))
    rng = Random(12)
    refused = 0
    for _ in range(600):
        try:
            change_something(sim, rng)
        except ApiError:
            refused += 1
    assert 0 < refused < 300
    space = sim.service.ledger.space(sim.account().id)
    followed: dict[str, Any] = {}
    for event in space.events._by_id.values():  # in the order of what happened
        obj = json.loads(event.raw)
        gone = event.type.endswith(".deleted") and obj["object"] != "subscription"
        followed[obj["id"]] = None if gone else obj
    assert None in followed.values()
    living = {obj["id"]: obj for kind in KINDS for obj in sim.objects(None, kind)}
    assert {id_: obj for id_, obj in followed.items() if obj is not None} == living
    items = {item["id"] for item in sim.objects(None, "subscription_item")}
    assert set(space.item_parent) == items


def test_previous_attributes_lead_back_to_the_state_before() -> None:
    sim = SimulatedStripe()
    before = sim.create(None, "customer", {"metadata": {"a": "1"}, "address": {"city": "K"}})
    changes = {"metadata": {"a": "2", "b": "3"}, "name": "new", "address": {"city": "L"}}
    sim.update(None, before["id"], changes)
    event = next(e for e in sim.objects(None, "event") if e["type"] == "customer.updated")
    previous = event["data"]["previous_attributes"]
    assert previous == {
        "metadata": {"a": "1", "b": None},
        "name": None,
        "address": {"city": "K"},
    }


def test_an_update_that_changes_nothing_is_no_event() -> None:
    sim = SimulatedStripe()
    made = sim.create(None, "customer", {"name": "same"})
    sim.update(None, made["id"], {"name": "same", "metadata": {}})
    assert [e["type"] for e in sim.objects(None, "event")] == ["customer.created"]


def test_a_snapshot_does_not_change_with_its_object() -> None:
    sim = SimulatedStripe()
    made = sim.create(None, "customer", {"name": "first"})
    sim.update(None, made["id"], {"name": "second"})
    names = {e["type"]: e["data"]["object"]["name"] for e in sim.objects(None, "event")}
    assert names == {"customer.created": "first", "customer.updated": "second"}


def test_references_must_exist() -> None:
    sim = SimulatedStripe()
    for kind, fields in (
        ("invoice", {"customer": "cus_none"}),
        ("invoice", {"subscription": "sub_none"}),
        ("subscription", {"items": [{"price": "price_none"}]}),
        ("price", {"product": "prod_none", "currency": "usd"}),
    ):
        with pytest.raises(ApiError) as caught:
            sim.create(None, kind, fields)
        assert caught.value.error["code"] == "resource_missing"
    made = sim.create(None, "customer")["id"]
    with pytest.raises(ApiError, match="already exists"):
        sim.create(None, "customer", {"id": made})


def test_the_last_item_of_a_subscription_stays() -> None:
    sim = SimulatedStripe()
    subscription = sim.create(None, "subscription")
    with pytest.raises(ApiError, match="at least one"):
        sim.delete(None, subscription["items"]["data"][0]["id"])
    sim.delete(None, subscription["id"])
    with pytest.raises(ApiError):
        sim.delete(None, subscription["id"])


@pytest.mark.parametrize(
    ("event", "permission"),
    [
        ("customer.updated", "customer"),
        ("customer.subscription.deleted", "subscription"),
        ("customer.discount.created", "customer"),
        ("invoice.payment_succeeded", "invoice"),
        ("price.updated", "plan"),
        ("account.updated", "connected_account"),
    ],
)
def test_an_event_needs_the_permission_of_its_object(event: str, permission: str) -> None:
    assert event_permission(event) == permission
