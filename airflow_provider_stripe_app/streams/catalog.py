"""What can be synced, as data: one row a stream, and how to choose among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.streams import billing, money, payments
from airflow_provider_stripe_app.streams.event_rules import EVENT_RULES, rules_for
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.streams.schema_generated import FIELDS

__all__ = [
    "DEFAULT_STREAMS",
    "EVENT_RULES",
    "SCHEMA_VERSION",
    "STREAMS",
    "children_of",
    "known_fields",
    "permissions_for",
    "resolve_streams",
    "rules_for",
    "usual_streams",
]

SCHEMA_VERSION = 1
"""Goes up with every change of the generated columns; rows carry it (EQUALITY §8)."""

STREAMS: Mapping[str, Stream] = {
    stream.name: stream for stream in (*billing.STREAMS, *payments.STREAMS, *money.STREAMS)
}
"""Stream name → stream, parents before their children."""

DEFAULT_STREAMS = (
    "customers",
    "invoices",
    "invoice_line_items",
    "subscriptions",
    "subscription_items",
)
"""What a manifest asks for, the demo syncs and examples name, where nobody has chosen: an app
should ask for little."""

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
    near = difflib.get_close_matches(str(name).strip().lower(), STREAMS, n=3, cutoff=0.6)
    if near:
        return f"there is no stream {name!r}: did you mean {' or '.join(map(repr, near))}?"
    return f"there is no stream {name!r}: choose from {_all_names()}"


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
    tables: dict[str, list[str]] = {}
    for stream in streams:
        tables.setdefault(stream.permission, []).append(stream.name.replace("_", " "))
    return [*((name, _purpose(copied)) for name, copied in tables.items()), _EVENT_PERMISSION]


def _purpose(tables: Sequence[str]) -> str:
    *most, last = tables
    copied = f"{', '.join(most)} and {last}" if most else last
    return f"Copies {copied} into your data warehouse."


def usual_streams() -> list[Stream]:
    """Return the streams that an app can surely ask for: those whose permission is known by name.

    A manifest with a permission that Stripe does not know could not be uploaded at all.
    """
    return [stream for stream in STREAMS.values() if not stream.guessed_permission]
