"""Every change of an object goes through here: a new record and its event."""

from __future__ import annotations

import string
from collections.abc import Mapping
from heapq import heappush
from random import Random
from threading import RLock
from typing import Any

from airflow_provider_stripe_app.testing.births import birth, birth_account, completed
from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.errors import invalid, missing
from airflow_provider_stripe_app.testing.events import Cause, EventLog
from airflow_provider_stripe_app.testing.forms import differences, merged
from airflow_provider_stripe_app.testing.links import follow, precede
from airflow_provider_stripe_app.testing.objects import plan_of
from airflow_provider_stripe_app.testing.objects.sampled import look
from airflow_provider_stripe_app.testing.resources import BY_KIND, CORE, PARENTS, Resource
from airflow_provider_stripe_app.testing.store import Collection, Record
from airflow_provider_stripe_app.testing.switches import Switches
from airflow_provider_stripe_app.testing.wire import JsonObject, encode

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = {"cus_": 14, "prod_": 14, "acct_": 16}
_CHOSEN = ("SPRING", "gold-monthly-", "友達-", "50%off/", "a?b&c=")
"""How ids begin that people choose: nothing in them can be relied upon."""


class Collections(dict[str, Collection]):
    """The collections of an account by ``object`` value, made when they are first asked for."""

    def __missing__(self, kind: str) -> Collection:
        """Make a collection.

        :raises KeyError: if there is no such type of object.
        """
        row = BY_KIND[kind]
        made = self[kind] = Collection(kind, row.children_key, row.created_field)
        return made


class Space:
    """The data of one account in one mode: live and test data never meet.

    :param account: the account object.
    """

    def __init__(self, account: JsonObject, livemode: bool, events: EventLog) -> None:
        self.account = account
        self.account_id: str = account["id"]
        self.livemode = livemode
        self.events = events
        self.collections = Collections()
        for row in CORE:
            self.collections[row.kind]
        self.timers: list[tuple[int, str, str, str]] = []
        self.item_parent: dict[str, str] = {}
        self.gone_items: set[str] = set()

    def kind_of(self, id_: str) -> str:
        """Return the type of a living object.

        :raises ApiError: 404 if there is none of this id.
        """
        if id_ == self.account_id:
            return "account"
        if id_ in self.item_parent:
            return "subscription_item"
        for kind, collection in self.collections.items():
            if id_ in collection.by_id:
                return kind
        raise missing("object", id_)

    def record(self, kind: str, id_: str, param: str = "id", status: int = 404) -> Record:
        """Return a living object's record.

        :raises ApiError: ``resource_missing`` with the given status.
        """
        record = self.collections[kind].by_id.get(id_)
        if record is None:
            raise missing(BY_KIND[kind].label, id_, param, status)
        return record

    def whole(self, kind: str, id_: str) -> JsonObject:
        """Return a living object with all its children."""
        return self.collections[kind].whole(self.record(kind, id_))

    def counts(self) -> dict[str, int]:
        """Return how many living objects there are, by type; of the rarer types if there are."""
        core = {row.kind for row in CORE}
        kinds = list(self.collections.items())
        return {kind: len(found) for kind, found in kinds if found.ordered or kind in core}

    def raw_objects(self, kind: str) -> list[bytes]:
        """Return the living objects of a type as Stripe would return them now, oldest first.

        :param kind: a type with a list of its own, ``event``, or the children of one, such as
            ``line_item``; ``account`` are the connected ones.
        :raises ValueError: for an unknown type.
        """
        if kind == "event":
            return [event.render() for event in self.events.all()]
        parent = PARENTS.get(kind, kind)
        if parent not in BY_KIND:
            raise ValueError(f"There are no objects of type {kind!r}")
        collection = self.collections[parent]
        if parent == kind:
            return [record.raw for record in collection.ordered]
        return [raw for record in collection.ordered for raw in collection.children_of(record)]


class Ledger:
    """Accounts, their objects and their events. Thread-safe.

    :param rng: source of ids and chance.
    """

    def __init__(self, clock: SimClock, switches: Switches, rng: Random) -> None:
        self.clock = clock
        self.switches = switches
        self.rng = rng
        self.lock = RLock()
        self.spaces: dict[tuple[str, bool], Space] = {}
        self._pages = 0

    def space(self, account_id: str, livemode: bool = False) -> Space:
        """Return the data of an account in a mode; the account is made if it does not exist."""
        with self.lock:
            key = (account_id, livemode)
            if key not in self.spaces:
                account = birth_account(self.rng, account_id, int(self.clock.now()))
                self.spaces[key] = Space(
                    account, livemode, EventLog(self.switches, self.rng, livemode)
                )
            return self.spaces[key]

    def new_id(self, prefix: str) -> str:
        """Return an unused id."""
        length = _ID_LENGTH.get(prefix, 24)
        return prefix + "".join(self.rng.choices(_ALPHABET, k=length))

    def id_for(self, row: Resource) -> str:
        """Return an unused id for an object of a type."""
        if not row.chosen_ids:
            return self.new_id(row.prefix)
        return self.rng.choice(_CHOSEN) + self.new_id("")[:8]

    def create(
        self,
        space: Space,
        kind: str,
        fields: Mapping[str, Any],
        *,
        cause: Cause | None = None,
        silent: bool = False,
    ) -> JsonObject:
        """Make an object and say so in an event.

        :param kind: Stripe's ``object`` value.
        :param fields: values that replace those of a plain new object.
        :param silent: without an event.
        :return: the object with all its children, as it is made.
        :raises ApiError: for an id that exists, or a reference to what does not.
        """
        with self.lock:
            collection, row = space.collections[kind], BY_KIND[kind]
            id_ = fields.get("id") or self._reused(collection) or self.id_for(row)
            if id_ in collection.by_id:
                raise invalid(
                    f"{BY_KIND[kind].label.capitalize()} already exists.",
                    "id",
                    "resource_already_exists",
                )
            created = int(self.clock.now() - self.rng.uniform(*self.switches.created_early))
            obj = birth(self, space, kind, {"created": created, **fields, "id": id_})
            precede(self, space, kind, obj)
            record = self.store(space, kind, obj, created)
            for type_ in born_types(row, obj):
                self.emit(space, type_, record.raw, None, cause, silent)
            follow(self, space, kind, obj)
            return obj

    def update(
        self,
        space: Space,
        kind: str,
        id_: str,
        changes: Mapping[str, Any],
        *,
        cause: Cause | None = None,
        silent: bool = False,
    ) -> JsonObject:
        """Change fields of an object; hashes are merged, everything else is replaced.

        :return: the object after the change; nothing happens if nothing differs.
        :raises ApiError: 404 if it does not exist.
        """
        with self.lock:
            if kind == "account" and id_ == space.account_id:
                return self._update_account(space, changes, cause, silent)
            old = space.whole(kind, id_)
            new = completed(kind, merged(old, changes))
            made = self.commit(space, kind, old, new, cause=cause, silent=silent)
            if kind == "price" and self.switches.embedded_prices:
                self._show_price(space, made)
            return made

    def commit(
        self,
        space: Space,
        kind: str,
        old: JsonObject,
        new: JsonObject,
        *,
        events: tuple[str, ...] | None = None,
        cause: Cause | None = None,
        silent: bool = False,
        at: int | None = None,
    ) -> JsonObject:
        """Replace an object by its next state and emit its events; none if nothing differs.

        :param events: types of the events; ``None`` for those of an edit.
        :param at: when it happened, if not now.
        """
        previous = differences(old, new)
        if not previous:
            return new
        row = BY_KIND[kind]
        if events is None:
            events = row.told("updated") if row.changed is None else row.changed
        record = self.store(space, kind, new, at=at)
        for type_ in events:
            before = previous if type_.endswith(".updated") else None
            self.emit(space, type_, record.raw, before, cause, silent, at)
        return new

    def delete(
        self,
        space: Space,
        kind: str,
        id_: str,
        *,
        cause: Cause | None = None,
        silent: bool = False,
    ) -> None:
        """Take an object out of existence; to cancel a subscription is :func:`.actions.cancel`.

        :raises ApiError: 404 if it does not exist.
        """
        with self.lock:
            record = space.record(kind, id_)
            space.collections[kind].remove(
                id_, self.clock.now(), remember=self.switches.stale_lists[1] > 0
            )
            if kind == "subscription":
                for item in space.collections[kind].whole(record)["items"]["data"]:
                    space.item_parent.pop(item["id"], None)
            for type_ in BY_KIND[kind].told("deleted"):
                self.emit(space, type_, record.raw, None, cause, silent)

    def store(
        self, space: Space, kind: str, obj: JsonObject, created: int = 0, at: int | None = None
    ) -> Record:
        """Put an object into its collection and return its record.

        :param created: when a new one was made, if it does not say so itself.
        :param at: when it came to be as it is, if not now.
        """
        collection = space.collections[kind]
        old = collection.by_id.get(obj["id"])
        record = collection.build(obj, None if old is None else old.order, created)
        watch(space, BY_KIND[kind], obj)
        stale = self.switches.stale_lists[1]
        now = self.clock.now() if at is None else float(at)
        collection.put(record, now if stale > 0 else None)
        if stale > 0:
            collection.forget_history(now - stale - 3600)
        if kind == "subscription":
            for item in obj["items"]["data"]:
                space.item_parent[item["id"]] = obj["id"]
        return record

    def emit(
        self,
        space: Space,
        type_: str,
        raw: bytes,
        previous: JsonObject | None,
        cause: Cause | None = None,
        silent: bool = False,
        at: int | None = None,
    ) -> None:
        """Record an event, unless it is silent or chance (``silent_changes``) swallows it.

        :param at: when it happened, if not now.
        """
        chance = self.switches.silent_changes
        if silent or (chance > 0 and self.rng.random() < chance):
            return
        now = self.clock.now() if at is None else float(at)
        space.events.emit(self.new_id("evt_"), type_, raw, now, previous=previous, cause=cause)

    def page_served(self, space: Space, kind: str, page: list[Record]) -> None:
        """Delete the last object of every n-th page, which is the next cursor.

        The switch is ``delete_cursor_every``; what Stripe never deletes stays, and products.
        """
        every = self.switches.delete_cursor_every
        if every <= 0 or not page:
            return
        self._pages += 1
        last = page[-1]
        deletion = BY_KIND[kind].deletion
        deletable = (deletion in ("tombstone", "gone") and kind != "product") or (
            deletion == "draft_only" and last.status == "draft"
        )
        if self._pages % every == 0 and deletable and last.id in space.collections[kind].by_id:
            self.delete(space, kind, last.id)

    def _show_price(self, space: Space, price: JsonObject) -> None:
        """Show a changed price in the subscription items that carry it; no event says so."""
        wanted = price["id"].encode()
        for record in list(space.collections["subscription"].ordered):
            parts = record.children or (record.raw,)
            if not any(wanted in part for part in parts):
                continue
            whole = space.collections["subscription"].whole(record)
            for item in whole["items"]["data"]:
                if item["price"]["id"] == price["id"]:
                    item.update(price=price, plan=plan_of(price))
            self.store(space, "subscription", whole)

    def _reused(self, collection: Collection) -> str | None:
        chance = self.switches.reuse_ids
        if chance > 0 and collection.gone and self.rng.random() < chance:
            return next(iter(collection.gone))
        return None

    def _update_account(
        self, space: Space, changes: Mapping[str, Any], cause: Cause | None, silent: bool
    ) -> JsonObject:
        new = merged(space.account, changes)
        previous = differences(space.account, new)
        space.account = new
        if previous:
            self.emit(space, "account.updated", encode(new), previous, cause, silent)
        return new


def born_types(row: Resource, obj: JsonObject) -> tuple[str, ...]:
    """Return the types of the events that tell of a new object."""
    if row.born is None:
        return row.told("created")
    for condition, types in row.born.items():
        field, _, value = condition.partition("=")
        if not field or str(obj.get(field)) == value:
            return types
    return ()


def watch(space: Space, row: Resource, obj: JsonObject, after: int = 0) -> None:
    """Remember when an object's times come, see :attr:`.Resource.timers`.

    :param after: leave out those that have come by then.
    """
    for field in row.timers:
        due = look(obj, tuple(field.split(".")))
        if isinstance(due, int) and due > after:
            heappush(space.timers, (due, row.kind, obj["id"], field))
