"""The words in which a stream is described. The rows themselves are in :mod:`.catalog`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ColumnType = Literal["text", "bigint", "boolean", "timestamp", "decimal", "json"]
"""``decimal`` is Stripe's decimal string, stored as text; ``timestamp`` comes from unix seconds."""

Effect = Literal["upsert", "gone", "touch_parent", "ignore"]
"""What an event means for a table (EQUALITY §3)."""


@dataclass(frozen=True, slots=True)
class Column:
    """One typed column.

    :param name: column name, lower case.
    :param path: where the value is in the object's JSON, outermost key first.
    :param type: how it is typed.
    :param expandable: the value is an id or an object with an ``id``; the column holds the id.
    """

    name: str
    path: tuple[str, ...]
    type: ColumnType
    expandable: bool = False


@dataclass(frozen=True, slots=True)
class EventRule:
    """What one event type does to one stream.

    :param stream: name of the (top-level) stream.
    :param effect: what to do.
    :param id_path: where the stream's object id is inside ``data.object``.
    """

    stream: str
    effect: Effect
    id_path: tuple[str, ...] = ("id",)


@dataclass(frozen=True, slots=True)
class Stream:
    """One table that is kept equal to Stripe.

    :param name: stream and table name, as in Stripe Sigma.
    :param object: Stripe's ``object`` value.
    :param permission: Stripe App permission that listing needs.
    :param path: list endpoint; for a child a template with ``{parent}`` (used beyond what is
        inlined).
    :param retrieve_path: template with ``{id}``; empty for children.
    :param params: query parameters that every list request sends (silent default filters undone).
    :param columns: the typed columns, in table order; ``id`` first.
    :param parent: name of the parent stream, for a child stream.
    :param inlined: key of the parent's JSON that holds this child's list object.
    :param parent_column: column of the child that holds the parent's id.
    :param volatile: field paths that differ at every read; left out of comparisons.
    :param silent: field paths that Stripe changes without an event; compared, but reported apart.

    In a path, ``[]`` stands for each element of a list.
    """

    name: str
    object: str
    permission: str
    path: str
    retrieve_path: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    parent: str | None = None
    inlined: str | None = None
    parent_column: str | None = None
    volatile: frozenset[tuple[str, ...]] = frozenset()
    silent: frozenset[tuple[str, ...]] = frozenset()
