"""Everything that Stripe lists lives in the simulated Stripe as Stripe describes it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.testing import SimulatedStripe, Switches
from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.errors import ApiError
from airflow_provider_stripe_app.testing.list_filters import accepted, record_tests
from airflow_provider_stripe_app.testing.objects.sampled import look
from airflow_provider_stripe_app.testing.objects.shapes import fields_of
from airflow_provider_stripe_app.testing.objects.shapes_generated import EVENT_TYPES
from airflow_provider_stripe_app.testing.populate import in_order
from airflow_provider_stripe_app.testing.resources import (
    BY_KIND,
    CHILD,
    COLLECTIONS,
    event_permission,
)
from airflow_provider_stripe_app.testing.resources.model import Move, Resource
from tests.unit.test_sim_objects import check

NOW = 1_790_000_000
MADE = [row for row in COLLECTIONS if not row.writable]
KINDS = [row.kind for row in MADE]
EVERYTHING: dict[str, Any] = {row.plural: 12 for row in MADE}


@pytest.fixture(scope="module")
def annotations() -> Any:
    scripts = str(Path(__file__).parents[2] / "scripts")
    sys.path.insert(0, scripts)
    try:
        import stripe_annotations
    finally:
        sys.path.remove(scripts)
    return stripe_annotations


@pytest.fixture(scope="module")
def classes(annotations: Any) -> dict[str, str]:
    """``object`` value → class, of everything that the generator knows."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    import generate_shapes

    sys.path.pop(0)
    return {str(annotations.resource(name).object_name): name for name in generate_shapes.CLASSES}


def simulated(**switches: Any) -> SimulatedStripe:
    sim = SimulatedStripe(seed=3, switches=Switches(**switches), clock=SimClock(NOW))
    sim.clock.freeze(NOW)
    return sim


@pytest.fixture(scope="module")
def full() -> SimulatedStripe:
    sim = simulated()
    sim.populate(customers=5, invoices=5, subscriptions=5, **EVERYTHING)
    return sim


def types(sim: SimulatedStripe) -> list[str]:
    return sorted(event["type"] for event in sim.objects(None, "event"))


@pytest.mark.parametrize(
    "stream", [name for name, stream in STREAMS.items() if stream.parent is None]
)
def test_whatever_can_be_synced_is_simulated_under_stripes_own_names(stream: str) -> None:
    wanted, row = STREAMS[stream], BY_KIND[STREAMS[stream].object]
    assert f"/v1/{row.path}" == wanted.path
    assert f"{row.permission}_read" == wanted.permission
    assert row.plural == stream
    if wanted.created_field is not None:
        assert "created" in row.params
        assert row.created_field == wanted.created_field


@pytest.mark.parametrize("kind", [*KINDS, *CHILD])
def test_objects_have_exactly_the_fields_of_the_pinned_version(
    full: SimulatedStripe, annotations: Any, classes: dict[str, str], kind: str
) -> None:
    shape = annotations.resource(classes[kind])
    made = [] if kind in CHILD else [full.create(None, kind)]
    objects = [*full.objects(None, kind), *made]
    assert len(objects) > 12 or kind in CHILD
    for obj in objects:
        assert obj["object"] == kind
        check(annotations, shape, obj, kind)


def test_every_event_that_is_simulated_is_one_of_stripes() -> None:
    told = Counter(type_ for row in COLLECTIONS for type_ in row.event_types())
    assert set(told) <= EVENT_TYPES
    assert max(told.values()) == 1
    assert len(told) > 130


MOVES = [(row, move) for row in MADE for move in row.moves]


@pytest.mark.parametrize(
    ("row", "move"),
    MOVES,
    ids=[f"{row.kind}-{move.name}-{n}" for n, (row, move) in enumerate(MOVES)],
)
def test_a_step_of_a_life_leads_where_it_says_and_tells_of_it(row: Resource, move: Move) -> None:
    sim = simulated()
    id_ = sim.create(None, row.kind)["id"]
    path = tuple(move.field.split("."))
    before = "x_1" if move.before == ("*",) else move.before[0]
    changes: Any = before
    for name in reversed(path):
        changes = {name: changes}
    sim.update(None, id_, changes, silent=True)
    known = Counter(types(sim))
    after = sim.advance_status(None, id_, move.name)
    if move.after != "*":
        assert look(after, path) == move.after
    told = Counter(types(sim)) - known
    assert {type_ for type_ in told if type_ in row.event_types()} == set(move.events)
    assert sim.get(None, id_) == after


def test_a_step_that_cannot_be_made_is_refused_and_says_what_can() -> None:
    sim = simulated()
    intent = sim.create(None, "payment_intent")["id"]
    with pytest.raises(ApiError, match="it can become: requires_action, processing, canceled"):
        sim.advance_status(None, intent, "succeeded")


PARAMETERS = [(row, name) for row in COLLECTIONS for name in sorted(accepted(row))]
ODD: dict[tuple[str, str], tuple[dict[str, Any], str]] = {
    ("entitlements.feature", "archived"): ({"active": False}, "true"),
    ("financial_connections.account", "session"): ({}, ""),
    ("invoiceitem", "pending"): ({"invoice": "in_1"}, "false"),
    ("payment_record", "created_after"): ({}, str(NOW - 1)),
    ("payment_record", "created_before"): ({}, str(NOW + 1)),
    ("radar.value_list", "contains"): ({}, ""),
    ("subscription", "price"): ({}, ""),
    ("subscription", "status"): ({"status": "paused"}, "paused"),
    ("subscription_schedule", "scheduled"): ({"status": "canceled"}, "false"),
    ("tax.registration", "status"): ({"status": "expired"}, "expired"),
    ("invoice", "status"): ({"status": "void"}, "void"),
}
"""Parameters that are no field: what an object must hold, and the value that finds it."""


def asked(row: Resource, name: str, plain: Any) -> tuple[dict[str, Any], Any]:
    """Return what an object must hold, and the value of the parameter that then finds it.

    :param plain: an object that must not be found.
    """
    if (row.kind, name) in ODD:
        return ODD[row.kind, name]
    kind = row.params[name]
    field = row.filters.get(name, name[:-1] if kind == "list" else name).split(".")
    value: Any = {"bool": not plain.get(name), "int": 7, "range": 7}.get(kind, "sought")
    if kind == "object":
        keys = sorted(fields_of(f"{row.kind}.{name}"))[:2]
        value = dict.fromkeys(keys, "sought")
    changes = value
    for part in reversed(field):
        changes = {part: changes}
    if kind == "range":
        return changes, {"gt": "6", "lte": "7"}
    if kind == "list":
        return changes, ["other", "sought"]
    return changes, value if kind == "object" else json.dumps(value).strip('"')


@pytest.mark.parametrize(
    ("row", "name"), PARAMETERS, ids=[f"{row.kind}-{name}" for row, name in PARAMETERS]
)
def test_every_parameter_of_a_list_finds_what_it_names(row: Resource, name: str) -> None:
    sim = simulated()
    held = sim.create(None, row.kind, {"id": "sought"})["id"]
    plain = sim.create(None, row.kind)
    changes, value = asked(row, name, plain)
    if row.params.get(name) == "range":
        sim.update(None, plain["id"], {name: 8}, silent=True)
    space = sim.service.ledger.space(sim.account().id)
    if name == "ids":
        changes = {}
    if name == "price" and row.kind == "subscription":
        value = sim.get(None, held)["items"]["data"][0]["price"]["id"]
    sim.update(None, held, changes, silent=True)
    tests = record_tests(row, {name: value})
    found = [r.id for r in space.collections[row.kind].ordered if all(t(r) for t in tests)]
    finds_none = (row.kind, name) in (
        ("financial_connections.account", "session"),
        ("radar.value_list", "contains"),
    )
    if finds_none or name in ("created_after", "created_before", "price"):
        assert (held in found) != finds_none
    else:
        assert found == [held]


def test_a_balance_transaction_becomes_available_in_silence() -> None:
    sim = simulated()
    made = sim.create(None, "balance_transaction")
    assert made["status"] == "pending"
    sim.clock.freeze(made["available_on"] - 1)
    assert sim.get(None, made["id"])["status"] == "pending"
    sim.clock.freeze(made["available_on"])
    assert sim.get(None, made["id"])["status"] == "available"
    assert types(sim) == []


def test_what_time_does_is_told_as_of_then_however_late_somebody_looks() -> None:
    sim = simulated(event_delay=(0, 0))
    payout, session = sim.create(None, "payout"), sim.create(None, "checkout.session")
    sim.clock.freeze(NOW + 20 * 86400)
    told = {e["type"]: e["created"] for e in sim.objects(None, "event")}
    assert told["payout.paid"] == payout["arrival_date"]
    assert told["checkout.session.expired"] == session["expires_at"]
    assert sim.get(None, payout["id"])["status"] == "paid"


def test_what_happened_before_its_time_does_not_happen_again() -> None:
    sim = simulated()
    payout = sim.create(None, "payout")["id"]
    sim.advance_status(None, payout, "canceled")
    sim.clock.freeze(NOW + 20 * 86400)
    assert sim.get(None, payout)["status"] == "canceled"


def test_what_was_postponed_happens_at_its_new_time() -> None:
    sim = simulated()
    payout = sim.create(None, "payout")
    later = payout["arrival_date"] + 86400
    sim.update(None, payout["id"], {"arrival_date": later})
    sim.clock.freeze(later - 1)
    assert sim.get(None, payout["id"])["status"] == "pending"
    sim.clock.freeze(later)
    assert sim.get(None, payout["id"])["status"] == "paid"


def test_invoice_items_are_sorted_by_their_date() -> None:
    sim = simulated()
    dates = {sim.create(None, "invoiceitem", {"date": at})["id"]: at for at in (300, 100, 200)}
    shown = [item["id"] for item in sim.objects(None, "invoiceitem")]
    assert [dates[id_] for id_ in shown] == [100, 200, 300]


def test_objects_of_the_past_have_grown_up() -> None:
    sim = simulated()
    sim.populate(balance_transactions=300, payouts=300, checkout_sessions=300)
    for kind, due, young in (
        ("balance_transaction", "available_on", "pending"),
        ("payout", "arrival_date", "pending"),
        ("checkout.session", "expires_at", "open"),
    ):
        assert {obj["status"] == young for obj in sim.objects(None, kind)} == {True, False}
        for obj in sim.objects(None, kind):
            assert (obj["status"] == young) == (obj[due] > NOW)
    assert types(sim) == []


def test_whoever_follows_the_events_ends_with_what_stripe_has_where_it_tells_all() -> None:
    """Of the types whose every change has an event."""
    told = [
        row.kind
        for row in MADE
        if STREAMS[row.plural].creates
        and STREAMS[row.plural].updates
        and STREAMS[row.plural].deletes
        and not row.drifts
        and row.edits == "metadata"
        and (row.told("updated") or row.changed)
        and all(move.events for move in row.moves)
        and not row.timers
    ]
    assert {"charge", "refund", "credit_note", "tax_rate", "transfer", "plan"} <= set(told)
    sim = simulated()
    for _ in range(900):
        sim.random_change(None, told)
    space = sim.service.ledger.space(sim.account().id)
    followed: dict[tuple[str, str], Any] = {}
    for event in space.events._by_id.values():  # in the order of what happened
        obj = json.loads(event.raw)
        gone = event.type.endswith(".deleted")
        followed[obj["object"], obj["id"]] = None if gone else obj
    followed = {key: obj for key, obj in followed.items() if key[0] in told}
    assert None in followed.values()
    living = {(kind, obj["id"]): obj for kind in told for obj in sim.objects(None, kind)}
    assert {key: obj for key, obj in followed.items() if obj is not None} == living


@pytest.mark.parametrize("kind", KINDS)
def test_random_changes_never_do_what_stripe_does_not(kind: str) -> None:
    sim = simulated()
    row = BY_KIND[kind]
    did = {sim.random_change(None, [kind]).split()[0] for _ in range(60)}
    assert "create" in did
    assert ("delete" in did) == (row.deletion in ("gone", "tombstone"))
    assert ("drift" in did) == bool(row.drifts)
    assert ("edit" in did) == bool(row.edits)


def test_random_changes_delete_what_the_api_writes_as_stripe_would() -> None:
    sim = simulated()
    sim.populate(customers=10, invoices=10, subscriptions=10, products=3, prices=6)
    kinds = ["customer", "invoice", "subscription", "product"]
    did = Counter(sim.random_change(None, kinds).split()[0] for _ in range(400))
    assert set(did) == {"create", "edit", "delete", "nothing"}
    ended = [s for s in sim.objects(None, "subscription") if s["status"] == "canceled"]
    assert len(ended) > 1
    assert {price["product"] for price in sim.objects(None, "price")} <= {
        product["id"] for product in sim.objects(None, "product")
    }


def test_what_stripe_changes_in_silence_changes_in_silence() -> None:
    sim = simulated()
    coupon = sim.create(None, "coupon")["id"]
    before = types(sim)
    assert sim.drift(None, coupon)["times_redeemed"] == 1
    assert types(sim) == before
    with pytest.raises(ApiError, match="changes without an event"):
        sim.drift(None, sim.create(None, "refund")["id"])


def test_files_are_told_of_only_if_stripe_made_them() -> None:
    sim = simulated()
    sim.create(None, "file")
    assert types(sim) == []
    sim.create(None, "file", {"purpose": "finance_report_run"})
    assert types(sim) == ["file.created"]


def test_a_new_charge_is_told_of_by_its_status() -> None:
    sim = simulated()
    for status in ("succeeded", "pending", "failed"):
        sim.create(None, "charge", {"status": status})
    assert [t for t in types(sim) if t.startswith("charge")] == [
        "charge.failed",
        "charge.pending",
        "charge.succeeded",
    ]


def test_ids_that_people_chose_can_come_back() -> None:
    sim = simulated()
    id_ = sim.create(None, "coupon")["id"]
    assert not id_.startswith("coupon")
    sim.delete(None, id_)
    with pytest.raises(ApiError):
        sim.get(None, id_)
    assert sim.create(None, "coupon", {"id": id_, "name": "again"})["id"] == id_
    assert sim.get(None, id_)["name"] == "again"


def test_references_are_made_for_real_when_they_are_needed() -> None:
    sim = simulated()
    warning = sim.create(None, "radar.early_fraud_warning")
    assert sim.get(None, warning["charge"])["object"] == "charge"
    card = sim.create(None, "issuing.authorization")["card"]
    assert sim.get(None, card["id"])["cardholder"]["object"] == "issuing.cardholder"


def test_a_paid_invoice_leaves_its_payment_only_if_asked_to() -> None:
    for linked in (False, True):
        sim = simulated(linked_objects=linked)
        invoice = sim.create(None, "invoice", {"lines": [{"amount": 500}]})["id"]
        sim.move_invoice(None, invoice, "finalize")
        sim.move_invoice(None, invoice, "pay")
        made = {kind: sim.objects(None, kind) for kind in ("charge", "payment_intent")}
        assert [len(found) for found in made.values()] == [linked, linked]
        if not linked:
            assert not [t for t in types(sim) if not t.startswith(("invoice.", "customer."))]
            continue
        (charge,), (intent,) = made["charge"], made["payment_intent"]
        (payment,) = sim.objects(None, "invoice_payment")
        (moved,) = sim.objects(None, "balance_transaction")
        assert (intent["status"], intent["latest_charge"]) == ("succeeded", charge["id"])
        assert (charge["payment_intent"], charge["balance_transaction"]) == (
            intent["id"],
            moved["id"],
        )
        assert (payment["invoice"], payment["status"]) == (invoice, "paid")
        assert (moved["source"], moved["amount"]) == (charge["id"], 500)
        assert {"charge.succeeded", "invoice_payment.paid", "payment_intent.succeeded"} <= set(
            types(sim)
        )


def test_a_refund_marks_its_charge_when_asked_to() -> None:
    sim = simulated(linked_objects=True)
    charge = sim.create(None, "charge", {"amount": 500})["id"]
    for amount, rest in ((200, False), (300, True)):
        sim.create(None, "refund", {"charge": charge, "amount": amount})
        assert sim.get(None, charge)["refunded"] is rest
    assert types(sim).count("charge.refunded") == 2
    dispute = sim.create(None, "dispute", {"charge": charge})
    assert sim.get(None, charge)["disputed"] is True
    assert dispute["charge"] == charge


def test_the_same_seed_makes_the_same_objects() -> None:
    one, other = simulated(), simulated()
    for sim in (one, other):
        sim.populate(customers=3, **EVERYTHING, events=True)
        for _ in range(100):
            sim.random_change()
    for kind in (*KINDS, "event", *CHILD):
        assert one.raw_objects(None, kind) == other.raw_objects(None, kind)


def test_filling_other_types_leaves_the_old_ones_as_they_were() -> None:
    alone, beside = simulated(), simulated()
    alone.populate(customers=20, invoices=20, subscriptions=10, events=True)
    known = len(beside.objects(None, "event"))
    beside.populate(customers=20, invoices=20, subscriptions=10, events=True, charges=30)
    for kind in ("customer", "invoice", "subscription", "product", "price"):
        assert alone.raw_objects(None, kind) == beside.raw_objects(None, kind)
    assert known == 0
    assert set(types(beside)) - set(types(alone)) <= {
        "charge.failed",
        "charge.pending",
        "charge.succeeded",
    }


def test_what_is_referred_to_is_made_first() -> None:
    order = in_order(["dispute", "refund", "charge", "payment_intent", "payment_method"])
    assert order == ["payment_method", "payment_intent", "charge", "dispute", "refund"]
    assert sorted(in_order(KINDS)) == sorted(KINDS)


def test_populating_knows_types_by_both_names_and_refuses_others() -> None:
    sim = simulated()
    wanted: dict[str, Any] = {"checkout.session": 2, "early_fraud_warnings": 3}
    made = sim.populate(**wanted)
    assert (made["checkout.session"], made["radar.early_fraud_warning"]) == (2, 3)
    with pytest.raises(ValueError, match="no objects of type 'chargers'"):
        sim.populate(chargers=1)


@pytest.mark.parametrize("kind", KINDS)
def test_small_objects_have_what_lists_and_lives_need(kind: str) -> None:
    sim, row = simulated(), BY_KIND[kind]
    wanted: dict[str, Any] = {row.plural: 20}
    sim.populate(small=True, **wanted)
    sizes = [len(raw) for raw in sim.raw_objects(None, kind)]
    assert len(sizes) == 20
    for obj in sim.objects(None, kind):
        assert obj["object"] == kind
        assert obj["id"].startswith(row.prefix)
        if row.created_field:
            assert obj[row.created_field] < NOW
        assert ("status" in obj) == ("status" in sim.create(None, kind))
    assert sorted(sizes)[10] < 450


def test_a_long_credit_note_inlines_ten_lines() -> None:
    sim = simulated()
    note = sim.create(None, "credit_note", {"lines": 12})["id"]
    (raw,) = sim.raw_objects(None, "credit_note")
    lines = json.loads(raw)["lines"]
    assert (len(lines["data"]), lines["has_more"]) == (10, True)
    assert lines["url"] == f"/v1/credit_notes/{note}/lines"
    assert len({line["id"] for line in sim.objects(None, "credit_note_line_item")}) == 12


@pytest.mark.parametrize(
    ("event", "permission"),
    [
        ("charge.dispute.created", "dispute"),
        ("charge.refund.updated", "charge"),
        ("charge.succeeded", "charge"),
        ("issuing_card.created", "issuing_card"),
        ("promotion_code.updated", "promotion_code"),
        ("payout.reconciliation_completed", "payout"),
        ("sigma.scheduled_query_run.created", "sigma_scheduled_query_run"),
    ],
)
def test_an_event_needs_the_permission_of_its_object(event: str, permission: str) -> None:
    assert event_permission(event) == permission
