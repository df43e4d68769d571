"""How one type of object of the simulated Stripe is described: as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_stripe_app.testing.objects.shapes import fields_of
from airflow_provider_stripe_app.testing.objects.shapes_generated import EVENT_TYPES, LIST_PARAMS

Deletion = Literal["never", "tombstone", "draft_only", "cancel", "gone"]
"""``tombstone``: retrieve says ``deleted: true``; ``cancel``: it lives on; ``gone``: 404."""


@dataclass(frozen=True, slots=True)
class Move:
    """A step in an object's life.

    :param name: what it is called: the value that it leads to, unless that is no word.
    :param field: dotted path of the field that tells where in its life an object is.
    :param before: its values from which the step can be made.
    :param after: the value that it leads to.
    :param events: types of the events that tell of it; none if it is silent.
    :param sets: further fields: dotted path → value, see :mod:`..objects.sampled`.
    """

    name: str
    field: str
    before: tuple[Any, ...]
    after: Any
    events: tuple[str, ...] = ()
    sets: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One type of object and how the API treats it.

    :param kind: Stripe's ``object`` value.
    :param path: what follows ``/v1/``.
    :param permission: stem of the permission, without ``_read`` and ``_write``.
    :param prefix: of ids.
    :param event: stem of the event types.
    :param label: what error messages call it.
    :param children_key: key of the inlined list object.
    :param child: Stripe's ``object`` value of those children.
    :param filters: list parameter → field that it must equal; the other parameters that the
        ``stripe`` package knows are worked out from their names, see :mod:`..list_filters`.
    :param create: parameters that creation takes; none: the API cannot make it here.
    :param required: those of them that must be there.
    :param update: parameters that an update takes.
    :param deletion: what ``DELETE`` does.
    :param created_field: what its list is sorted by; ``None`` if objects do not say when they were
        made.
    :param plural: what :func:`.populate` calls it.
    :param born: types of the events that tell of a new one, by a condition ``field=value``; ``""``
        is any. ``None``: ``<event>.created``, if there is such a type.
    :param changed: types of the events that tell of an edit; ``None``: ``<event>.updated``, if
        there is such a type.
    :param moves: the steps of its life.
    :param timers: field with a time → name of the move that is made then.
    :param values: what its fields hold, see :mod:`..objects.sampled`.
    :param edits: the field that :meth:`.Ledger.edit` changes; empty if it never changes.
    :param drifts: fields that Stripe changes without an event.
    :param chosen_ids: people choose its ids, and may use one again.
    :param hidden: (field, value) of the objects that its list leaves out.
    """

    kind: str
    path: str
    permission: str
    prefix: str
    event: str
    label: str
    children_key: str | None = None
    child: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    create: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    update: frozenset[str] = frozenset()
    deletion: Deletion = "never"
    created_field: str | None = "created"
    plural: str = ""
    born: Mapping[str, tuple[str, ...]] | None = None
    changed: tuple[str, ...] | None = None
    moves: tuple[Move, ...] = ()
    timers: Mapping[str, str] = field(default_factory=dict)
    values: str = ""
    edits: str = "metadata"
    drifts: tuple[str, ...] = ()
    chosen_ids: bool = False
    hidden: tuple[str, Any] | None = None

    @property
    def params(self) -> Mapping[str, str]:
        """Parameters of its list beside those of every list: name → kind."""
        return dict(part.split("=") for part in LIST_PARAMS.get(self.kind, "").split())

    @property
    def writable(self) -> bool:
        """Whether the API makes and changes it, or only scripting does."""
        return bool(self.create)

    def told(self, end: str) -> tuple[str, ...]:
        """Return the event type with an end such as ``updated``, if Stripe has it."""
        name = f"{self.event}.{end}"
        return (name,) if name in EVENT_TYPES else ()

    def event_types(self) -> frozenset[str]:
        """Return all types of events whose object is of this kind, as far as they are simulated."""
        found = {*self.told("deleted")}
        for types in ({"": self.told("created")} if self.born is None else self.born).values():
            found.update(types)
        found.update(self.told("updated") if self.changed is None else self.changed)
        for move in self.moves:
            found.update(move.events)
        return frozenset(found)


def names(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


def row(kind: str, path: str, permission: str, prefix: str, **more: Any) -> Resource:
    """Return the row of a resource that is read by the API and written by scripting.

    Its event stem, its name in errors and in :func:`.populate`, and the field by which it is
    sorted follow from the rest where they are regular.

    :param more: see :class:`Resource`; ``born`` and ``changed`` may be a text of types.
    """
    fields = fields_of(kind)
    regular = {
        "event": kind,
        "label": kind.replace(".", " ").replace("_", " "),
        "plural": path.replace("/", "_"),
        "created_field": "created" if "created" in fields else None,
        "edits": "metadata" if "metadata" in fields else "",
    }
    if isinstance(more.get("born"), str):
        more["born"] = {"": tuple(more["born"].split())}
    if isinstance(more.get("changed"), str):
        more["changed"] = tuple(more["changed"].split())
    return Resource(
        kind=kind, path=path, permission=permission, prefix=prefix, **{**regular, **more}
    )


def move(text: str, events: str = "", sets: str = "", name: str = "") -> Move:
    """Read a step of a life.

    :param text: ``field: before before > after``; the field is ``status`` if none is named, and
        ``*`` before is anything else.
    """
    way, _, after = (part.strip() for part in text.partition(" > "))
    path, colon, before = way.partition(": ")
    if not colon:
        path, before = "status", way
    values = tuple(literal(value) for value in before.split())
    return Move(name or after, path, values, literal(after), tuple(events.split()), sets)


def literal(text: str) -> Any:
    """Read a value: JSON where it is, text otherwise."""
    try:
        return json.loads(text)
    except ValueError:
        return text
