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
from airflow_provider_stripe_app.streams.model import EventRule
from airflow_provider_stripe_app.streams.schema_generated import COLUMNS, EVENT_TYPES

FAMILIES = ("customer.", "invoice.", "invoiceitem.", "invoice_payment.", "subscription_schedule.",
            "credit_note.", "customer_cash_balance_transaction.")  # fmt: skip


def test_every_event_type_of_our_families_is_decided() -> None:
    types = {t for t in EVENT_TYPES if t.startswith(FAMILIES)}
    assert len(types) > 45
    assert types - set(EVENT_RULES) == set()


def test_a_rule_names_a_top_level_stream_of_the_catalogue() -> None:
    for event_type, rules in EVENT_RULES.items():
        assert rules, event_type
        for rule in rules:
            assert STREAMS[rule.stream].parent is None, event_type


def test_a_canceled_subscription_lives_on() -> None:
    assert rules_for("customer.subscription.deleted") == (EventRule("subscriptions", "upsert"),)


def test_only_customers_and_draft_invoices_can_be_gone() -> None:
    gone = {t for t, rules in EVENT_RULES.items() if any(r.effect == "gone" for r in rules)}
    assert gone == {"customer.deleted", "invoice.deleted"}


def test_a_discounts_end_is_no_end_of_its_customer() -> None:
    rules = rules_for("customer.discount.deleted") or ()
    assert {(r.stream, r.effect, r.id_path) for r in rules} >= {
        ("customers", "touch_parent", ("customer",)),
        ("subscriptions", "touch_parent", ("subscription",)),
    }


def test_a_previewed_invoice_is_ignored() -> None:
    assert [rule.effect for rule in rules_for("invoice.upcoming") or ()] == ["ignore"]


def test_only_an_object_of_the_stream_is_upserted_and_by_its_own_id() -> None:
    prefixes = {
        "customers": "customer.",
        "invoices": "invoice.",
        "subscriptions": "customer.subscription.",
    }
    for event_type, rules in EVENT_RULES.items():
        for rule in rules:
            if rule.effect in {"upsert", "gone"}:
                assert event_type.startswith(prefixes[rule.stream])
                assert rule.id_path == ("id",)
            if rule.effect == "touch_parent":
                assert rule.id_path != ("id",)


def test_types_of_other_objects_are_known_and_types_from_the_future_are_not() -> None:
    assert rules_for("charge.refunded") == ()
    assert rules_for("customer.teleported") is None


def test_a_child_is_synced_with_its_parent_and_parents_come_first() -> None:
    names = [stream.name for stream in resolve_streams(["subscription_items", "customers"])]
    assert names == ["customers", "subscriptions", "subscription_items"]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("invoice", "invoices"),
        ("Customers", "customers"),
        ("line_items", "invoice_line_items"),
        ("subscription_item", "subscription_items"),
    ],
)
def test_a_typo_names_the_nearest_stream(typo: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no stream {typo!r}: did you mean {meant!r}"):
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
    assert {name for name, _ in everything} == {
        *(stream.permission for stream in STREAMS.values()),
        "event_read",
    }
    assert all(purpose.endswith(".") for _, purpose in everything)


def test_children_hang_on_their_parents() -> None:
    for name, child, column in (
        ("invoices", "invoice_line_items", "invoice"),
        ("subscriptions", "subscription_items", "subscription"),
    ):
        (found,) = children_of(STREAMS[name])
        assert found.name == child
        assert found.parent_column == column
        assert column in {c.name for c in found.columns}
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
