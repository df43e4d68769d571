"""The peers' benchmark's round of changes does what its report says, against a real simulation."""

from __future__ import annotations

from benchmarks.peers import changes
from benchmarks.peers.changes import Round
from benchmarks.peers.server import Stripe

KINDS = {
    *("customer updated", "customer updated twice", "customer updated twice within a second"),
    *("customer deleted", "customer updated, later deleted", "customer created"),
    *("customer updated and deleted within a second", "customer created, then deleted"),
    *("draft deleted", "draft finalized", "invoice paid"),
    *("line added", "line removed", "line updated"),
    *("subscription canceled", "subscription updated", "subscription created"),
    *("item updated", "item added", "item removed"),
}


def test_the_round_makes_every_kind_of_change_and_explains_each_object(monkeypatch) -> None:
    from airflow_provider_stripe_app.testing import SimulatedStripe

    monkeypatch.setattr(changes, "SECOND", 0.0)
    with SimulatedStripe() as sim:
        stripe = Stripe(sim.url)
        stripe.prepare(ordered_events=False, customers=100, invoices=120, subscriptions=60)
        stripe.limit(False)
        before = stripe.truth()
        stripe.forget_requests()
        done = Round(stripe, 0.2)
        done.make()
        after = stripe.truth()
        refused = stripe.requests().as_dict()["refused"]
    changed = {
        id_
        for stream, rows in before.items()
        for id_ in {*rows, *after[stream]}
        if rows.get(id_) != after[stream].get(id_)
    }
    assert set(done.done) == KINDS
    assert changed
    assert changed <= set(done.touched)
    assert not refused
