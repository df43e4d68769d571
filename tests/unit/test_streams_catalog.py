"""The catalogue: streams, events, permissions."""

from __future__ import annotations

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.streams.catalog import (
    EVENT_RULES,
    STREAMS,
    children_of,
    known_fields,
    permissions_for,
    resolve_streams,
    rules_for,
)
from airflow_provider_stripe_app.streams.event_rules import IGNORED, UPSERTS
from airflow_provider_stripe_app.streams.model import EventRule
from airflow_provider_stripe_app.streams.schema_generated import COLUMNS, EVENT_TYPES


def test_every_event_type_of_stripes_is_decided() -> None:
    assert len(EVENT_TYPES) == 275
    assert EVENT_TYPES - set(EVENT_RULES) == set()


def test_an_event_type_is_ignored_for_a_reason_or_concerns_a_stream() -> None:
    ignored = [t for types in IGNORED.values() for t in types.split()]
    assert len(ignored) == len(set(ignored))
    for event_type, rules in EVENT_RULES.items():
        assert bool(rules) != (event_type in ignored), event_type
        for rule in rules:
            assert STREAMS[rule.stream].parent is None, event_type


def test_no_rule_is_given_twice() -> None:
    upserts = [t for types in UPSERTS.values() for t in types.split()]
    assert len(upserts) == len(set(upserts))
    for rules in EVENT_RULES.values():
        assert len(rules) == len(set(rules))


def test_a_canceled_subscription_lives_on() -> None:
    assert rules_for("customer.subscription.deleted") == (EventRule("subscriptions", "upsert"),)


def types_that(effect: str) -> set[str]:
    return {t for t, rules in EVENT_RULES.items() if any(r.effect == effect for r in rules)}


def test_only_what_has_an_id_of_stripes_can_be_gone() -> None:
    assert types_that("gone") == {"customer.deleted", "invoice.deleted", "invoiceitem.deleted"}


def test_what_has_an_id_that_people_choose_is_read_again() -> None:
    assert types_that("refetch") == {
        "coupon.deleted",
        "plan.deleted",
        "price.deleted",
        "product.deleted",
    }


def test_a_discounts_end_is_no_end_of_its_customer() -> None:
    rules = rules_for("customer.discount.deleted") or ()
    assert {(r.stream, r.effect, r.id_path) for r in rules} >= {
        ("customers", "touch_parent", ("customer",)),
        ("subscriptions", "touch_parent", ("subscription",)),
    }


def test_a_previewed_invoice_is_ignored() -> None:
    assert rules_for("invoice.upcoming") == ()


UNLIKE = {
    "customer.subscription": "subscription",
    "charge.dispute": "dispute",
    "charge.refund": "refund",
    "sigma.scheduled_query_run": "scheduled_query_run",
}
"""Event families that are not called as their object is."""


def test_only_an_object_of_the_stream_is_upserted_and_by_its_own_id() -> None:
    for event_type, rules in EVENT_RULES.items():
        family = event_type.rpartition(".")[0]
        for rule in rules:
            if rule.effect in {"upsert", "gone", "refetch"}:
                named = UNLIKE.get(family, family).replace("_", ".")
                assert named == STREAMS[rule.stream].object.replace("_", ".")
                assert rule.id_path == ("id",)
            if rule.effect == "touch_parent":
                assert rule.id_path != ("id",)


def test_types_of_other_objects_are_known_and_types_from_the_future_are_not() -> None:
    assert rules_for("treasury.received_debit.created") == ()
    assert rules_for("customer.teleported") is None


def test_a_child_is_synced_with_its_parent_and_parents_come_first() -> None:
    names = [stream.name for stream in resolve_streams(["subscription_items", "customers"])]
    assert names == ["customers", "subscriptions", "subscription_items"]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("invoice", "invoices"),
        ("Customers", "customers"),
        ("line_items", "invoice_items' or 'invoice_line_items"),
        ("subscription_item", "subscription_items"),
        ("payment_intent", "payment_intents"),
    ],
)
def test_a_typo_names_the_nearest_stream(typo: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no stream {typo!r}: did you mean '{meant}'"):
        resolve_streams([typo])


def test_a_name_like_no_other_lists_the_streams() -> None:
    with pytest.raises(
        ConfigurationError, match="no stream 'xyz': choose from customers, invoices"
    ):
        resolve_streams(["xyz"])


def test_a_single_string_is_not_taken_for_its_letters() -> None:
    with pytest.raises(ConfigurationError, match=r"write \['customers'\]"):
        resolve_streams("customers")


def test_no_streams_at_all_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="no streams are named"):
        resolve_streams([])


def test_the_manifest_asks_for_what_the_streams_need_and_events() -> None:
    asked = permissions_for(resolve_streams(["invoice_line_items"]))
    assert [name for name, _ in asked] == ["invoice_read", "event_read"]
    everything = permissions_for(STREAMS.values())
    names = [name for name, _ in everything]
    assert set(names) == {*(stream.permission for stream in STREAMS.values()), "event_read"}
    assert len(names) == len(set(names))
    assert all(purpose.endswith(".") for _, purpose in everything)


def test_children_hang_on_their_parents() -> None:
    for name, child, column in (
        ("invoices", "invoice_line_items", "invoice"),
        ("subscriptions", "subscription_items", "subscription"),
        ("credit_notes", "credit_note_line_items", "credit_note"),
    ):
        (found,) = children_of(STREAMS[name])
        assert found.name == child
        assert found.parent_column == column
        assert found.path.format(parent="x_1").count("x_1") == 1
        assert not found.retrieve_path
        assert found.inlined not in {c.path[0] for c in STREAMS[name].columns}
    assert children_of(STREAMS["customers"]) == []


def test_silent_and_volatile_paths_are_fields_of_their_streams() -> None:
    for stream in STREAMS.values():
        assert {path[0] for path in stream.silent | stream.volatile} <= known_fields(stream)
        assert not stream.silent & stream.volatile


def test_each_stream_has_its_generated_columns() -> None:
    assert {name: stream.columns for name, stream in STREAMS.items()} == dict(COLUMNS)


def test_a_flag_is_what_the_event_types_say() -> None:
    """Whether a stream's creations are told: by a type that says so, or by one of its own first."""
    begun = ("created", "opened", "attached", "succeeded", "pending", "failed")
    for stream in STREAMS.values():
        if stream.parent:
            continue
        told = {t.rpartition(".")[2] for t in UPSERTS.get(stream.name, "").split()}
        if stream.creates:
            assert told & set(begun), stream.name
        if not told & {"updated", "closed", "reversed", "deactivated", "refunded"}:
            known = not stream.updates or stream.open_while or stream.name in NEVER_CHANGE
            assert known, stream.name


NEVER_CHANGE = {
    "billing_credit_balance_transactions",
    "files",
    "forwarding_requests",
    "identity_verification_reports",
    "reporting_report_runs",
    "sigma_scheduled_query_runs",
    "three_d_secure_authentications",
}
"""Nothing but what their own events tell."""


def test_every_object_can_be_read_by_its_id() -> None:
    for stream in STREAMS.values():
        assert bool(stream.retrieve_path) == (stream.parent is None)
        if stream.retrieve_path:
            assert stream.retrieve_path == f"{stream.path}/{{id}}"


def test_what_tells_an_open_object_is_a_column() -> None:
    opened = [stream for stream in STREAMS.values() if stream.open_while]
    assert len(opened) > 10
    for stream in opened:
        assert stream.open_while is not None
        types = {column.path: column.type for column in stream.columns}
        kinds = {type(value) for value in stream.open_while.values} - {type(None)}
        assert types[stream.open_while.path] in {"boolean" if bool in kinds else "text"}
        if stream.open_while.until:
            assert types[stream.open_while.until] == "timestamp"


def test_a_list_that_takes_created_has_objects_that_say_it() -> None:
    for stream in STREAMS.values():
        if stream.created_field is not None and stream.parent is None:
            assert stream.dated, stream.name


def test_every_stream_has_a_heading_and_all_of_one_stand_together() -> None:
    groups = [stream.group for stream in STREAMS.values()]
    assert all(groups)
    assert len(set(groups)) < 15
