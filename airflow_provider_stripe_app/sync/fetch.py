"""Fetching one object together with all its children, so that both belong to one moment
(EQUALITY §6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from airflow_provider_stripe_app.api.client import ParentPage, StripeClient
from airflow_provider_stripe_app.api.errors import (
    CursorDeleted,
    InvalidRequest,
    ObjectMissing,
    StripeApiError,
)
from airflow_provider_stripe_app.api.ranges import Range, query
from airflow_provider_stripe_app.api.split import MalformedBody, ParentItem, split_parent
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.streams.rows import content_hash
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.versions import event_version, read_version
from airflow_provider_stripe_app.warehouse.base import Obligation, StagedChild, StagedRow

MOST_DELETED = 50
"""How often a child after which a page was to begin may be gone: more is no accident any more."""

ATTEMPTS = 3
"""How often a parent that changes while its children are paged is read again before it stays
owed."""


@dataclass(slots=True)
class Whole:
    """One object as read in one moment, with all its children.

    :param row: the object, or its tombstone.
    :param children: child stream → its rows; complete, and empty for a tombstone.
    """

    row: StagedRow
    children: Mapping[str, Sequence[StagedChild]] = field(default_factory=dict)


@dataclass(slots=True)
class Fetched:
    """Objects that can be merged, and what stays owed all the same.

    :param objects: in the order of reading; an id may be there twice.
    :param owed: objects whose children could not be read in one quiet moment.
    """

    objects: list[Whole] = field(default_factory=list)
    owed: list[Obligation] = field(default_factory=list)

    def extend(self, other: Fetched) -> None:
        """Add another one's objects."""
        self.objects += other.objects
        self.owed += other.owed

    def newest(self) -> list[Whole]:
        """Return one object per id: the highest version, the last read among equals.

        Pages shift while they are read, so a batch can hold an id twice, and the children of both
        must not be mixed (EQUALITY §5).
        """
        best: dict[str, Whole] = {}
        for one in self.objects:
            known = best.get(one.row.id)
            if known is None or one.row.version >= known.row.version:
                best[one.row.id] = one
        return list(best.values())


def list_range(client: StripeClient, unit: Unit, rng: Range, purpose: str) -> ParentPage | None:
    """List the next page of a range; ``None`` if the object that its cursor names is deleted.

    A list that takes no ``created`` is read from its newest object to the range's lower end.

    :param purpose: what the request is counted as.
    """
    stream = unit.stream
    ranged = stream.created_field is not None
    asked = rng if ranged else Range(None, None, rng.starting_after)
    try:
        page = client.list_parents(
            stream.path,
            {**stream.params, **query(asked)},
            inlined=unit.stream_inlined,
            purpose=f"{purpose}:{stream.name}",
            permission=stream.permission,
        )
    except CursorDeleted:
        return None
    return page if ranged else _down_to(page, rng.gte)


def _down_to(page: ParentPage, gte: int | None) -> ParentPage:
    """Return a page without what is older than a range, which such an object is the end of."""
    if gte is None:
        return page
    kept = [item for item in page.items if item.created is None or item.created >= gte]
    return replace(page, items=kept, has_more=page.has_more and len(kept) == len(page.items))


def staged(unit: Unit, item: ParentItem, version: int, event_id: str | None = None) -> Whole:
    """Return an object whose inlined children are complete, ready to be merged."""
    children = {
        child.name: [StagedChild(item.id, c.id, c.raw, c.typed_from) for c in item.children]
        for child in unit.children
    }
    row = StagedRow(item.id, item.raw, version, item.typed_from, None, event_id)
    return Whole(row, children)


def sliced(unit: Unit, item: ParentItem, version: int) -> Whole:
    """Return the same as :func:`staged`, as slices of the page that stays in memory for them.

    For whole pages on their way to the warehouse: copying them would cost more than splitting them.
    """
    children = {
        child.name: [StagedChild(item.id, c.id, c.sent, c.typed_from) for c in item.children]
        for child in unit.children
    }
    return Whole(StagedRow(item.id, item.sent, version, item.typed_from), children)


def is_whole(unit: Unit, item: ParentItem) -> bool:
    """Tell whether the object carries all its children that the unit wants."""
    return not unit.children or item.children_complete


def from_payload(unit: Unit, owed: Obligation, lag: int) -> Whole | None:
    """Return what an event's payload gives, or ``None`` when the object has to be fetched.

    :param owed: an obligation; a deletion needs no payload.
    :param lag: seconds between the event's ``created`` and ``closes_at``.
    """
    version = event_version(owed.closes_at)
    if owed.effect == "gone" and not owed.ambiguous:
        created = owed.closes_at - lag
        return tombstone(unit.stream, owed.id, version, created, owed.event_id)
    if owed.payload is None or owed.ambiguous:
        return None
    item = split_parent(owed.payload, inlined=unit.stream_inlined)
    return staged(unit, item, version, owed.event_id) if is_whole(unit, item) else None


def tombstone(
    stream: Stream, object_id: str, version: int, deleted_at: int, event_id: str | None = None
) -> Whole:
    """Return what says that an object is gone.

    :param deleted_at: unix second at which it was deleted, or was missed.
    """
    about = {"id": object_id, "object": stream.object, "deleted": True}
    raw = json.dumps(about, separators=(",", ":"), ensure_ascii=False)
    return Whole(StagedRow(object_id, raw, version, None, deleted_at, event_id))


def path_of(stream: Stream, object_id: str) -> str:
    """Return where an object is read: ids that people choose can hold anything (coupons)."""
    return stream.retrieve_path.format(id=quote(object_id, safe=""))


def refetch(client: StripeClient, unit: Unit, object_id: str, purpose: str) -> Fetched:
    """Read an object as it is now, with all its children; a missing one becomes a tombstone.

    :param purpose: what the request is counted as.
    """
    stream = unit.stream
    try:
        answer = client.request(
            "GET",
            path_of(stream, object_id),
            purpose=f"{purpose}:{stream.name}",
            permission=stream.permission,
        )
    except ObjectMissing as missing:
        at = missing.sent_at
        return Fetched([tombstone(stream, object_id, read_version(at), at)])
    except InvalidRequest as refused:
        if refused.sent_at is None or not _says_gone(client, stream, refused, purpose):
            raise
        at = refused.sent_at
        return Fetched([tombstone(stream, object_id, read_version(at), at)])
    if answer.deleted:
        return Fetched([tombstone(stream, object_id, read_version(answer.sent_at), answer.sent_at)])
    return complete(client, unit, _parent(unit, object_id, answer.text), answer.sent_at)


def _parent(unit: Unit, object_id: str, text: str) -> ParentItem:
    """Cut the children out of an object.

    :raises StripeApiError: if it is none; so it fails this object and no other one.
    """
    try:
        return split_parent(text, inlined=unit.stream_inlined)
    except MalformedBody as error:
        raise StripeApiError(
            f"Stripe's answer for {object_id} of {unit.name} is no object ({error}). If this "
            "lasts, check whether something between this machine and Stripe changes answers."
        ) from None


def _says_gone(client: StripeClient, stream: Stream, refused: InvalidRequest, purpose: str) -> bool:
    """Tell whether a refusal means that the object is gone, and not that everything is refused.

    The same code can mean that the app was uninstalled; then the list is refused as well.
    """
    if not stream.gone_code or refused.code != stream.gone_code:
        return False
    client.list_page(
        stream.path,
        {**stream.params, "limit": 1},
        purpose=f"{purpose}:{stream.name}",
        permission=stream.permission,
    )
    return True


def complete(client: StripeClient, unit: Unit, item: ParentItem, sent_at: int) -> Fetched:
    """Page the children beyond what is inlined, and make sure that the parent stood still
    meanwhile.

    The set's version is the send time of its first page. If the parent keeps changing, what was
    read is used and the parent stays owed.

    :param item: the parent as read at ``sent_at``.
    """
    if is_whole(unit, item):
        return Fetched([staged(unit, item, read_version(sent_at))])
    stream = unit.stream
    for left in reversed(range(ATTEMPTS)):
        read: ChildSet | None = None
        try:
            read = child_set(client, unit, item.id)
        except ObjectMissing:  # the parent was deleted meanwhile: reading it again says so
            if not left:
                raise
        again = client.request(
            "GET",
            path_of(stream, item.id),
            purpose=f"children:{stream.name}",
            permission=stream.permission,
            missing_ok=True,
        )
        if again.missing or again.deleted:
            version = read_version(again.sent_at)
            return Fetched([tombstone(stream, item.id, version, again.sent_at)])
        before, item = item, _parent(unit, item.id, again.text)
        if is_whole(unit, item):
            return Fetched([staged(unit, item, read_version(again.sent_at))])
        stood_still = _same(stream, item, before)
        if read is not None and (stood_still or not left):
            break
    assert read is not None  # noqa: S101 - the last attempt raises when there is none
    out = Fetched([_with_children(unit, item, read)])
    if not stood_still:
        closes_at = again.sent_at + 1
        out.owed.append(Obligation(stream.name, item.id, closes_at, "children", "upsert"))
    return out


def complete_by_page(
    client: StripeClient,
    unit: Unit,
    items: Mapping[str, ParentItem],
    sets: Mapping[str, ChildSet | None],
    again: ParentPage | None,
    sent_at: int,
) -> Fetched:
    """Make sure by one more look at their page that parents stood still, instead of one look each.

    What the page no longer shows, or shows changed, is read by itself.

    :param items: parents with more children than are inlined, as read at ``sent_at``.
    :param sets: their children, read since; ``None`` where the parent was missing then.
    :param again: the same page, listed after the last of those reads; ``None`` if it cannot be.
    """
    now = {} if again is None else {item.id: item for item in again.items}
    out = Fetched()
    for object_id, before in items.items():
        item, read = now.get(object_id), sets.get(object_id)
        if item is None or again is None:
            out.extend(complete(client, unit, before, sent_at))
        elif is_whole(unit, item):
            out.objects.append(staged(unit, item, read_version(again.sent_at)))
        elif read is not None and _same(unit.stream, item, before):
            out.objects.append(_with_children(unit, item, read))
        else:
            out.extend(complete(client, unit, item, again.sent_at))
    return out


def _same(stream: Stream, one: ParentItem, other: ParentItem) -> bool:
    return content_hash(stream, one.raw) == content_hash(stream, other.raw)


def _with_children(unit: Unit, item: ParentItem, read: ChildSet) -> Whole:
    row = StagedRow(item.id, item.raw, read_version(read.first_sent), item.typed_from)
    return Whole(row, {unit.children[0].name: read.rows})


@dataclass(frozen=True, slots=True)
class ChildSet:
    """All children of a parent.

    :param first_sent: Stripe's time when the first page was sent, unix seconds: the set's version.
    :param rows: the children.
    """

    first_sent: int
    rows: Sequence[StagedChild]


def child_set(client: StripeClient, unit: Unit, parent_id: str) -> ChildSet:
    """Page all children of a parent, whichever of them are deleted meanwhile.

    Those are in the set all the same; the parent, read again, says that something has changed.

    :raises ObjectMissing: if the parent is gone.
    """
    child, permission = unit.children[0], unit.stream.permission
    path, _, query = child.path.partition("?")
    path = path.format(parent=quote(parent_id, safe=""))
    fixed = {
        name: value.format(parent=parent_id)
        for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)
    }
    rows: dict[str, StagedChild] = {}
    first_sent: int | None = None
    params: dict[str, str | int] = {**fixed, "limit": 100}
    back, deleted = 1, 0
    while True:
        try:
            page = client.list_page(
                path, params, purpose=f"children:{child.parent}", permission=permission
            )
        except CursorDeleted:
            deleted += 1
            if deleted > MOST_DELETED:
                raise
            rows.pop(str(params.pop("starting_after")), None)
            # Any child that is still there will do: what is read twice is one row all the same.
            back *= 2
            if back <= len(rows):
                params["starting_after"] = list(rows)[-back]
            continue
        back = 1
        first_sent = page.sent_at if first_sent is None else first_sent
        for c in page.items:
            rows[c.id] = StagedChild(parent_id, c.id, c.raw, c.typed_from)
        if not page.has_more or not page.items:
            return ChildSet(first_sent, list(rows.values()))
        params["starting_after"] = page.items[-1].id
