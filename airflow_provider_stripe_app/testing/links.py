"""What Stripe makes or marks with an object, when the switch ``linked_objects`` asks for it.

A payment of an invoice leaves a payment intent, a charge, an invoice payment and a balance
transaction; a refund, a dispute or a review marks its charge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.testing.wire import JsonObject

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.ledger import Ledger, Space

Follow = Callable[["Ledger", "Space", JsonObject], None]


_MOVERS: Mapping[str, tuple[str, int]] = {
    "charge": ("charge", 1),
    "payout": ("payout", -1),
    "refund": ("refund", -1),
}
"""What moves money → type and sign of its balance transaction."""


def precede(ledger: Ledger, space: Space, kind: str, obj: JsonObject) -> None:
    """Do what Stripe does before an object is there: the money moves, and the object says so."""
    failed = obj.get("status") in ("failed", "canceled")
    if not ledger.switches.linked_objects or kind not in _MOVERS or failed:
        return
    type_, sign = _MOVERS[kind]
    fields = {
        "amount": sign * obj["amount"],
        "net": sign * obj["amount"],
        "fee": 0,
        "currency": obj["currency"],
        "source": obj["id"],
        "type": type_,
        "reporting_category": type_,
    }
    obj["balance_transaction"] = ledger.create(space, "balance_transaction", fields)["id"]


def follow(ledger: Ledger, space: Space, kind: str, obj: JsonObject) -> None:
    """Do what Stripe does when an object is new."""
    if ledger.switches.linked_objects and kind in _FOLLOW:
        _FOLLOW[kind](ledger, space, obj)


def paid(ledger: Ledger, space: Space, invoice: JsonObject) -> None:
    """Do what Stripe does when an invoice is paid."""
    if not ledger.switches.linked_objects:
        return
    amount = {"amount": invoice["amount_due"], "currency": invoice["currency"]}
    customer = {"customer": invoice["customer"]}
    intent = ledger.create(space, "payment_intent", {**amount, **customer, "status": "processing"})
    charge = ledger.create(space, "charge", {**amount, **customer, "payment_intent": intent["id"]})
    _advance(ledger, space, intent["id"], "succeeded")
    _refer(ledger, space, intent["id"], {"latest_charge": charge["id"]})
    payment = ledger.create(
        space,
        "invoice_payment",
        {
            "amount_requested": invoice["amount_due"],
            "amount_paid": None,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        },
    )
    _advance(ledger, space, payment["id"], "paid")


def _refunded(ledger: Ledger, space: Space, refund: JsonObject) -> None:
    charge = _living(space, "charge", refund["charge"])
    if charge is None:
        return
    total = min(charge["amount"], charge["amount_refunded"] + refund["amount"])
    new = {**charge, "amount_refunded": total, "refunded": total == charge["amount"]}
    ledger.commit(space, "charge", charge, new, events=("charge.refunded",))


def _disputed(ledger: Ledger, space: Space, dispute: JsonObject) -> None:
    if _living(space, "charge", dispute["charge"]) is not None:
        _refer(ledger, space, dispute["charge"], {"disputed": True})


def _reviewed(ledger: Ledger, space: Space, review: JsonObject) -> None:
    for kind in ("charge", "payment_intent"):
        if _living(space, kind, review[kind]) is not None:
            _refer(ledger, space, review[kind], {"review": review["id"]})


def _scheduled(ledger: Ledger, space: Space, schedule: JsonObject) -> None:
    if _living(space, "subscription", schedule["subscription"]) is not None:
        _refer(ledger, space, schedule["subscription"], {"schedule": schedule["id"]})


_FOLLOW: Mapping[str, Follow] = {
    "dispute": _disputed,
    "refund": _refunded,
    "review": _reviewed,
    "subscription_schedule": _scheduled,
}


def _refer(ledger: Ledger, space: Space, id_: str, changes: Mapping[str, Any]) -> None:
    """Mark an object; the event of what marks it is the only one."""
    ledger.update(space, space.kind_of(id_), id_, changes, silent=True)


def _living(space: Space, kind: str, id_: str | None) -> JsonObject | None:
    found = space.collections[kind].by_id.get(id_) if id_ else None
    return space.collections[kind].whole(found) if found else None


def _advance(ledger: Ledger, space: Space, id_: str, to: str) -> None:
    from airflow_provider_stripe_app.testing.lives import advance

    advance(ledger, space, id_, to)
