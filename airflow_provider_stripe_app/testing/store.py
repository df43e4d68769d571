"""What exists in the simulated Stripe: pre-rendered objects in sorted collections per account.

An object is kept as the bytes that go over the wire, so that a page is a join and memory is the
size of the JSON. ``order`` (created second, then sequence) sorts a collection; cursors, filters by
``created`` and pages are binary searches in it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator

from airflow_provider_stripe_app.testing.wire import INLINED, JsonObject, decode, encode

SEQUENCE_BITS = 40


class Record:
    """One version of one object. Never changed: a change makes another record of the same order.

    :param raw: the object as Stripe returns it, with the first ten children inlined.
    :param order: ``created << 40 | sequence``.
    :param children: the raw children when there are more than are inlined.
    :param status: the object's status, ``None`` if it has none.
    :param test_clock: id of the test clock it lives on.
    """

    __slots__ = ("children", "id", "order", "raw", "status", "test_clock")

    def __init__(
        self,
        id: str,
        order: int,
        raw: bytes,
        children: tuple[bytes, ...] | None = None,
        status: str | None = None,
        test_clock: str | None = None,
    ) -> None:
        self.id = id
        self.order = order
        self.raw = raw
        self.children = children
        self.status = status
        self.test_clock = test_clock

    @property
    def created(self) -> int:
        """Unix second at which the object was created."""
        return self.order >> SEQUENCE_BITS


class Collection:
    """All living objects of one type in one account.

    :param kind: Stripe's ``object`` value.
    :param children_key: key of the list object that holds children, if the type has any.
    :param created_field: what holds the second that it is sorted by, if anything does.
    """

    def __init__(
        self, kind: str, children_key: str | None = None, created_field: str | None = "created"
    ) -> None:
        self.kind = kind
        self.children_key = children_key
        self.created_field = created_field
        self.by_id: dict[str, Record] = {}
        self.ordered: list[Record] = []
        self.gone: dict[str, float] = {}
        self._sequence = 0
        self._history: deque[tuple[float, Record | None, Record | None]] = deque()
        self._indexes: dict[str, dict[str, list[Record]]] = {}

    def __len__(self) -> int:
        return len(self.ordered)

    def build(self, obj: JsonObject, order: int | None = None, created: int = 0) -> Record:
        """Render an object into a record.

        :param obj: the whole object, with *all* children in its list object.
        :param order: of the record it replaces; ``None`` for a new object.
        :param created: when a new object was made, if it does not say so itself.
        """
        if order is None:
            self._sequence += 1
            said = obj.get(self.created_field) if self.created_field else None
            order = (int(said or created) << SEQUENCE_BITS) | self._sequence
        children: tuple[bytes, ...] | None = None
        shown = obj
        holder = obj.get(self.children_key) if self.children_key else None
        if self.children_key and holder:
            data = holder["data"]
            many = len(data) > INLINED
            if many:
                children = tuple(encode(child) for child in data)
            inlined = {**holder, "data": data[:INLINED], "has_more": many, "total_count": len(data)}
            shown = {**obj, self.children_key: inlined}
        status, clock = obj.get("status"), obj.get("test_clock")
        return Record(
            obj["id"],
            order,
            encode(shown),
            children,
            status if isinstance(status, str) else None,
            clock if isinstance(clock, str) else None,
        )

    def whole(self, record: Record) -> JsonObject:
        """Return a record's object with all its children."""
        obj: JsonObject = decode(record.raw)
        if record.children is not None and self.children_key:
            obj[self.children_key]["data"] = [decode(child) for child in record.children]
            obj[self.children_key]["has_more"] = False
        return obj

    def children_of(self, record: Record) -> list[bytes]:
        """Return the raw children of a record, in their order."""
        if record.children is not None:
            return list(record.children)
        holder = decode(record.raw).get(self.children_key) if self.children_key else None
        return [encode(child) for child in holder["data"]] if holder else []

    def put(self, record: Record, at: float | None = None) -> Record | None:
        """Add a record or replace the one of the same id.

        :param at: the time, when stale lists need to know what was before.
        :return: the record it replaced.
        """
        old = self.by_id.get(record.id)
        self.by_id[record.id] = record
        self.gone.pop(record.id, None)
        _replace(self.ordered, old, record)
        self._reindex(old, record)
        if at is not None:
            self._history.append((at, old, record))
        return old

    def put_many(self, records: Iterable[Record]) -> None:
        """Add many new records at once: one sort instead of an insertion each."""
        new = list(records)
        self.by_id.update((record.id, record) for record in new)
        self.ordered.extend(new)
        self.ordered.sort(key=_order)
        self._indexes.clear()

    def remove(self, id_: str, now: float, *, remember: bool = False) -> Record:
        """Take an object out of the living ones.

        :param remember: whether stale lists need to know.
        """
        old = self.by_id.pop(id_)
        _replace(self.ordered, old, None)
        self._reindex(old, None)
        self.gone[id_] = now
        if remember:
            self._history.append((now, old, None))
        return old

    def as_of(self, at: float) -> list[Record]:
        """Return the ordered records as they were at a time."""
        if not self._history or self._history[-1][0] <= at:
            return self.ordered
        then = list(self.ordered)
        for when, old, new in reversed(self._history):
            if when <= at:
                break
            _replace(then, new, old)
        return then

    def forget_history(self, before: float) -> None:
        """Drop what no stale list can show any more."""
        while self._history and self._history[0][0] < before:
            self._history.popleft()

    def where(self, field: str, value: str) -> list[Record]:
        """Return the ordered records whose top-level ``field`` is ``value``, by a lazy index."""
        index = self._indexes.get(field)
        if index is None:
            index = self._indexes[field] = {}
            for record in self.ordered:
                index.setdefault(_field(record, field), []).append(record)
        return index.get(value, [])

    def _reindex(self, old: Record | None, new: Record | None) -> None:
        for field, index in self._indexes.items():
            before = _field(old, field) if old else None
            after = _field(new, field) if new else None
            if before is not None and before != after:
                _replace(index.get(before, []), old, None)
                old_here = None
            else:
                old_here = old
            if after is not None:
                _replace(index.setdefault(after, []), old_here, new)


def window(
    records: list[Record], low: int | None = None, high: int | None = None
) -> tuple[int, int]:
    """Return the slice of ordered records with ``low <= created < high``.

    :param records: in ascending order.
    """
    first = 0 if low is None else bisect_left(records, low << SEQUENCE_BITS, key=_order)
    last = len(records)
    if high is not None:
        last = bisect_left(records, high << SEQUENCE_BITS, key=_order)
    return first, max(first, last)


def position(records: list[Record], order: int) -> int:
    """Return the index of the first record whose order is greater than ``order``."""
    return bisect_right(records, order, key=_order)


def position_at(records: list[Record], order: int) -> int:
    """Return the index of the first record whose order is not less than ``order``."""
    return bisect_left(records, order, key=_order)


def newest_first(records: list[Record], first: int, last: int) -> Iterator[Record]:
    """Walk a slice backwards without copying it."""
    for index in range(last - 1, first - 1, -1):
        yield records[index]


def _order(record: Record) -> int:
    return record.order


def _field(record: Record, field: str) -> str:
    value = decode(record.raw).get(field)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("id")) if isinstance(value, dict) else str(value)


def _replace(records: list[Record], old: Record | None, new: Record | None) -> None:
    """Take ``old`` out of and put ``new`` into ascending records, whichever are given."""
    if old is not None:
        index = bisect_left(records, old.order, key=_order)
        found = index < len(records) and records[index].id == old.id
        if found and new is not None and new.order == old.order:
            records[index] = new
            return
        if found:
            del records[index]
    if new is not None:
        insort(records, new, key=_order)
