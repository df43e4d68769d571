"""What can be synced, as data: one row a stream, and how to choose among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.streams.event_rules import EVENT_RULES, rules_for
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.streams.schema_generated import COLUMNS, FIELDS

__all__ = [
    "EVENT_RULES",
    "SCHEMA_VERSION",
    "STREAMS",
    "children_of",
    "known_fields",
    "permissions_for",
    "resolve_streams",
    "rules_for",
]

SCHEMA_VERSION = 1
"""Goes up with every change of the generated columns; rows carry it (EQUALITY §8)."""

_EMBEDDED_IN_ITEM = ("plan", "price", "tax_rates")
"""Whole objects in a subscription item. [infer] When one is edited (a price's metadata), its own
event (``price.updated``) is the only one: the subscription is not said to have changed."""

STREAMS: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream(
            name="customers",
            object="customer",
            permission="customer_read",
            path="/v1/customers",
            retrieve_path="/v1/customers/{id}",
            columns=COLUMNS["customers"],
            # [infer] Counts up when an invoice is finalized; no event type is described for that.
            silent=frozenset({("next_invoice_sequence",)}),
        ),
        Stream(
            name="invoices",
            object="invoice",
            permission="invoice_read",
            path="/v1/invoices",
            retrieve_path="/v1/invoices/{id}",
            columns=COLUMNS["invoices"],
            # Signed links, made anew at every read (EQUALITY §9).
            volatile=frozenset({("hosted_invoice_url",), ("invoice_pdf",)}),
            # [doc] Until an invoice is finalized these mirror the customer, whose change is the
            # only event. [infer] `webhooks_delivered_at` is set after invoice.created went out.
            silent=frozenset(
                {
                    ("customer_address",),
                    ("customer_email",),
                    ("customer_name",),
                    ("customer_phone",),
                    ("customer_shipping",),
                    ("customer_tax_exempt",),
                    ("customer_tax_ids",),
                    ("webhooks_delivered_at",),
                    # Whole tax rates: an edit of one is an event of the rate, not of the invoice.
                    ("default_tax_rates",),
                    ("shipping_cost", "taxes", "[]", "rate"),
                }
            ),
        ),
        Stream(
            name="invoice_line_items",
            object="line_item",
            permission="invoice_read",
            path="/v1/invoices/{parent}/lines",
            columns=COLUMNS["invoice_line_items"],
            parent="invoices",
            inlined="lines",
            parent_column="invoice",
        ),
        Stream(
            name="subscriptions",
            object="subscription",
            permission="subscription_read",
            path="/v1/subscriptions",
            retrieve_path="/v1/subscriptions/{id}",
            params={"status": "all"},  # without it the list hides canceled ones
            columns=COLUMNS["subscriptions"],
            silent=frozenset(
                {("default_tax_rates",)}
                | {("items", "data", "[]", field) for field in _EMBEDDED_IN_ITEM}
            ),
        ),
        Stream(
            name="subscription_items",
            object="subscription_item",
            permission="subscription_read",
            path="/v1/subscription_items?subscription={parent}",
            columns=COLUMNS["subscription_items"],
            silent=frozenset({(field,) for field in _EMBEDDED_IN_ITEM}),
            parent="subscriptions",
            inlined="items",
            parent_column="subscription",
        ),
    )
}
"""Stream name → stream, parents before their children."""

_PURPOSES: Mapping[str, str] = {
    "customer_read": "Copies customers into your data warehouse.",
    "invoice_read": "Copies invoices and their line items into your data warehouse.",
    "subscription_read": "Copies subscriptions and their items into your data warehouse.",
}
_EVENT_PERMISSION = ("event_read", "Sees what changed since the last run, to copy only that.")


def resolve_streams(names: Iterable[str]) -> list[Stream]:
    """Return the named streams in catalogue order, with the parent of each child.

    :param names: stream names; repetitions are fine.
    :raises ConfigurationError: if a name is not in the catalogue, naming the nearest one, or if
        there are no names, or if a single string was given instead of a list.
    """
    if isinstance(names, str):
        raise ConfigurationError(f"streams must be a list of names; write [{names!r}]")
    wanted = set()
    for name in names:
        if name not in STREAMS:
            raise ConfigurationError(_unknown(name))
        wanted |= {name, STREAMS[name].parent or name}
    if not wanted:
        raise ConfigurationError(f"no streams are named; choose from {_all_names()}")
    return [stream for name, stream in STREAMS.items() if name in wanted]


def _unknown(name: object) -> str:
    near = difflib.get_close_matches(str(name).strip().lower(), STREAMS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no stream {name!r}: {hint}choose from {_all_names()}"


def _all_names() -> str:
    return ", ".join(STREAMS)


def children_of(stream: Stream) -> list[Stream]:
    """Return the streams whose rows are inlined in this stream's objects."""
    return [child for child in STREAMS.values() if child.parent == stream.name]


def known_fields(stream: Stream) -> frozenset[str]:
    """Return the top-level fields that the catalogue knows; any other is new and becomes a column.

    Known but no column: constants (``object``, ``deleted``), ``livemode``, inlined children, and
    what Stripe sends only when expanded.
    """
    return FIELDS.get(stream.name, frozenset()) | {column.path[0] for column in stream.columns}


def permissions_for(streams: Iterable[Stream]) -> list[tuple[str, str]]:
    """Return the Stripe App permissions that streams need, each with its purpose for the manifest.

    The purpose is shown to whoever installs the app. ``event_read`` is always among them: without
    it changes cannot be seen.
    """
    needed = dict.fromkeys(stream.permission for stream in streams)
    return [*((name, _PURPOSES[name]) for name in needed), _EVENT_PERMISSION]
