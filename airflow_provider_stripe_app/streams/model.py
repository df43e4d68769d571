"""The words in which a stream is described. The rows themselves are in :mod:`.catalog`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ColumnType = Literal["text", "bigint", "boolean", "timestamp", "decimal", "json"]
"""``decimal`` is Stripe's decimal string, stored as text; ``timestamp`` comes from unix seconds."""

Effect = Literal["upsert", "gone", "refetch", "touch_parent", "ignore"]
"""What an event means for a table (EQUALITY §3).

``upsert``: the payload is the object; ``gone``: it is deleted for good; ``refetch``: only reading
it tells (it is deleted, but its id can come back); ``touch_parent``: it is about another object,
of which this one is a part; ``ignore``: nothing in the table changes by it.
"""


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
class OpenWhile:
    """Which objects of a stream can still change without an event.

    :param path: where the value is that says so.
    :param values: the values that do; ``None`` for null or missing.
    :param until: where the unix second is before which such an object does not change; empty if it
        can at any time.
    """

    path: tuple[str, ...]
    values: tuple[str | bool | None, ...]
    until: tuple[str, ...] = ()


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
    :param group: heading under which people find it.
    :param creates: events tell of every new object; else the newest ones are listed now and then.
    :param updates: events tell of every change of an object that is not open, or there is none;
        else everything is listed again now and then.
    :param deletes: events tell of every deletion, or there is none; else as with ``updates``.
    :param created_field: the object's field that its list is sorted by and that the list's
        ``created`` parameter is about; ``None`` if the list has no such parameter.
    :param open_while: which objects change without an event; they are read again once a day.
    :param look_back: seconds by which a list of the newest objects begins before the last one.
    :param gone_code: error code by which Stripe says that an object is gone, where that is no 404.
    :param guessed_permission: the permission's name is in no list of Stripe's that we know, so it
        is asked for only if the stream is named.

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
    group: str = ""
    creates: bool = True
    updates: bool = True
    deletes: bool = True
    created_field: str | None = "created"
    open_while: OpenWhile | None = None
    look_back: int = 600
    gone_code: str = ""
    guessed_permission: bool = False

    @property
    def dated(self) -> bool:
        """Whether its objects say when they were created."""
        field = self.created_field or "created"
        return any(column.path == (field,) for column in self.columns)

    @property
    def relisted(self) -> bool:
        """Whether there are changes that only listing everything again finds.

        A list of new objects that do not say how old they are is a list of everything anyway, every
        day; but nothing that is missing in it is looked for.
        """
        whole_every_day = not self.creates and not self.dated
        return not self.deletes or not (self.updates or whole_every_day)
