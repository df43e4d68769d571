"""Every change of an object goes through here: a new record and its event."""

from __future__ import annotations

import string
from collections.abc import Mapping
from random import Random
from threading import RLock
from typing import Any

from airflow_provider_stripe_app.testing.births import birth, birth_account, completed
from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.errors import invalid, missing
from airflow_provider_stripe_app.testing.events import Cause, EventLog
from airflow_provider_stripe_app.testing.forms import differences, merged
from airflow_provider_stripe_app.testing.objects import plan_of
from airflow_provider_stripe_app.testing.resources import BY_KIND, COLLECTIONS
from airflow_provider_stripe_app.testing.store import Collection, Record
from airflow_provider_stripe_app.testing.switches import Switches
from airflow_provider_stripe_app.testing.wire import JsonObject, encode

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = {"cus_": 14, "prod_": 14}


class Space:
    """The data of one account in one mode: live and test data never meet.

    :param account: the account object.
    """

    def __init__(self, account: JsonObject, livemode: bool, events: EventLog) -> None:
        self.account = account
        self.account_id: str = account["id"]
        self.livemode = livemode
        self.events = events
        self.collections = {row.kind: Collection(row.kind, row.children_key) for row in COLLECTIONS}
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

    def raw_objects(self, kind: str) -> list[bytes]:
        """Return the living objects of a type as Stripe would return them now, oldest first.

        :param kind: a type with a list of its own, ``account``, ``event``, ``line_item`` or
            ``subscription_item``.
        :raises ValueError: for an unknown type.
        """
        if kind == "event":
            return [event.render() for event in self.events.all()]
        if kind == "account":
            return [encode(self.account)]
        parent = {"line_item": "invoice", "subscription_item": "subscription"}.get(kind, kind)
        if parent not in self.collections:
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

        :param kind: ``customer``, ``invoice``, ``subscription``, ``product`` or ``price``.
        :param fields: values that replace those of a plain new object.
        :param silent: without an event.
        :return: the object with all its children.
        :raises ApiError: for an id that exists, or a reference to what does not.
        """
        with self.lock:
            collection = space.collections[kind]
            id_ = fields.get("id") or self._reused(collection) or self.new_id(BY_KIND[kind].prefix)
            if id_ in collection.by_id:
                raise invalid(
                    f"{BY_KIND[kind].label.capitalize()} already exists.",
                    "id",
                    "resource_already_exists",
                )
            created = int(self.clock.now() - self.rng.uniform(*self.switches.created_early))
            obj = birth(self, space, kind, {"created": created, **fields, "id": id_})
            record = self.store(space, kind, obj)
            self.emit(space, f"{BY_KIND[kind].event}.created", record.raw, None, cause, silent)
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
            if kind == "account":
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
        events: tuple[str, ...] = ("updated",),
        cause: Cause | None = None,
        silent: bool = False,
    ) -> JsonObject:
        """Replace an object by its next state and emit its events.

        :param events: ends of the event types; ``updated`` is left out if nothing differs.
        """
        previous = differences(old, new)
        if not previous:
            return new
        record = self.store(space, kind, new)
        for end in events:
            before = previous if end == "updated" else None
            type_ = f"{BY_KIND[kind].event}.{end}"
            self.emit(space, type_, record.raw, before, cause, silent)
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
            self.emit(space, f"{BY_KIND[kind].event}.deleted", record.raw, None, cause, silent)

    def store(self, space: Space, kind: str, obj: JsonObject) -> Record:
        """Put an object into its collection and return its record."""
        collection = space.collections[kind]
        old = collection.by_id.get(obj["id"])
        record = collection.build(obj, None if old is None else old.order)
        stale = self.switches.stale_lists[1]
        now = self.clock.now()
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
    ) -> None:
        """Record an event, unless it is silent or chance (``silent_changes``) swallows it."""
        chance = self.switches.silent_changes
        if silent or (chance > 0 and self.rng.random() < chance):
            return
        now = self.clock.now()
        space.events.emit(self.new_id("evt_"), type_, raw, now, previous=previous, cause=cause)

    def page_served(self, space: Space, kind: str, page: list[Record]) -> None:
        """Delete the last object of every n-th page, which is the next cursor.

        The switch is ``delete_cursor_every``; only customers and draft invoices are deleted.
        """
        every = self.switches.delete_cursor_every
        if every <= 0 or not page:
            return
        self._pages += 1
        last = page[-1]
        deletable = kind == "customer" or (kind == "invoice" and last.status == "draft")
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
