"""Fetching one object together with all its children, so that both belong to one moment
(EQUALITY §6).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import CursorDeleted, ObjectMissing
from airflow_provider_stripe_app.api.split import ParentItem, split_parent
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.streams.rows import content_hash
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.versions import event_version, read_version
from airflow_provider_stripe_app.warehouse.base import Obligation, StagedChild, StagedRow

ATTEMPTS = 3
"""How often a parent that changes while its children are paged is read again before it stays
owed."""


@dataclass(slots=True)
class Fetched:
    """Rows that can be merged, and what stays owed all the same.

    :param rows: rows of the top-level stream.
    :param children: child stream → rows; complete for each living row.
    :param owed: objects whose children could not be read in one quiet moment.
    """

    rows: list[StagedRow] = field(default_factory=list)
    children: dict[str, list[StagedChild]] = field(default_factory=dict)
    owed: list[Obligation] = field(default_factory=list)

    def extend(self, other: Fetched) -> None:
        """Add another one's rows."""
        self.rows += other.rows
        self.owed += other.owed
        for name, rows in other.children.items():
            self.children.setdefault(name, []).extend(rows)


def staged(unit: Unit, item: ParentItem, version: int, event_id: str | None = None) -> Fetched:
    """Return an object whose inlined children are complete, ready to be merged."""
    out = Fetched([StagedRow(item.id, item.raw, version, item.typed_from, None, event_id)])
    for child in unit.children:
        out.children[child.name] = [
            StagedChild(item.id, c.id, c.raw, c.typed_from) for c in item.children
        ]
    return out


def is_whole(unit: Unit, item: ParentItem) -> bool:
    """Tell whether the object carries all its children that the unit wants."""
    return not unit.children or item.children_complete


def from_payload(unit: Unit, owed: Obligation) -> Fetched | None:
    """Return what an event's payload gives, or ``None`` when the object has to be fetched.

    :param owed: an obligation; a deletion needs no payload.
    """
    version = event_version(owed.closes_at)
    if owed.effect == "gone" and not owed.ambiguous:
        return Fetched([tombstone(unit.stream, owed.id, version, owed.closes_at, owed.event_id)])
    if owed.payload is None or owed.ambiguous:
        return None
    item = split_parent(owed.payload, inlined=unit.stream_inlined)
    return staged(unit, item, version, owed.event_id) if is_whole(unit, item) else None


def tombstone(
    stream: Stream, object_id: str, version: int, deleted_at: int, event_id: str | None = None
) -> StagedRow:
    """Return a row that says that the object is gone."""
    raw = f'{{"id":"{object_id}","object":"{stream.object}","deleted":true}}'
    return StagedRow(object_id, raw, version, None, deleted_at, event_id)


def refetch(client: StripeClient, unit: Unit, object_id: str, purpose: str) -> Fetched:
    """Read an object as it is now, with all its children; a missing one becomes a tombstone.

    :param purpose: what the request is counted as.
    """
    stream = unit.stream
    try:
        answer = client.request(
            "GET",
            stream.retrieve_path.format(id=object_id),
            purpose=f"{purpose}:{stream.name}",
            permission=stream.permission,
        )
    except ObjectMissing as missing:
        at = missing.sent_at
        return Fetched([tombstone(stream, object_id, read_version(at), at)])
    if answer.deleted:
        return Fetched([tombstone(stream, object_id, read_version(answer.sent_at), answer.sent_at)])
    item = split_parent(answer.text, inlined=unit.stream_inlined)
    return complete(client, unit, item, answer.sent_at)


def complete(client: StripeClient, unit: Unit, item: ParentItem, sent_at: int) -> Fetched:
    """Page the children beyond what is inlined, and make sure that the parent stood still
    meanwhile.

    The set's version is the send time of its first page. If the parent keeps changing, what was
    read is
    used and the parent stays owed.

    :param item: the parent as read at ``sent_at``.
    """
    if is_whole(unit, item):
        return staged(unit, item, read_version(sent_at))
    stream, child = unit.stream, unit.children[0]
    for _ in range(ATTEMPTS):
        first_sent, rows = _child_set(client, child, item.id, stream.permission)
        again = client.request(
            "GET",
            stream.retrieve_path.format(id=item.id),
            purpose=f"children:{stream.name}",
            permission=stream.permission,
            missing_ok=True,
        )
        if again.missing or again.deleted:
            version = read_version(again.sent_at)
            return Fetched([tombstone(stream, item.id, version, again.sent_at)])
        now = split_parent(again.text, inlined=unit.stream_inlined)
        stood_still = content_hash(stream, now.raw) == content_hash(stream, item.raw)
        item = now
        if stood_still or is_whole(unit, item):
            break
    if is_whole(unit, item):
        return staged(unit, item, read_version(again.sent_at))
    row = StagedRow(item.id, item.raw, read_version(first_sent), item.typed_from)
    out = Fetched([row], {child.name: rows})
    if not stood_still:
        closes_at = again.sent_at + 1
        out.owed.append(Obligation(stream.name, item.id, closes_at, "children", "upsert"))
    return out


def _child_set(
    client: StripeClient, child: Stream, parent_id: str, permission: str
) -> tuple[int, list[StagedChild]]:
    """Return the send time of the first page and every child; begin again if a cursor is
    deleted.
    """
    path, _, query = child.path.format(parent=parent_id).partition("?")
    fixed = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    for attempt in range(ATTEMPTS):
        rows: dict[str, StagedChild] = {}
        first_sent: int | None = None
        params: dict[str, str | int] = {**fixed, "limit": 100}
        try:
            while True:
                page = client.list_page(
                    path, params, purpose=f"children:{child.parent}", permission=permission
                )
                first_sent = page.sent_at if first_sent is None else first_sent
                for c in page.items:
                    rows[c.id] = StagedChild(parent_id, c.id, c.raw, c.typed_from)
                if not page.has_more or not page.items:
                    return first_sent, list(rows.values())
                params["starting_after"] = page.items[-1].id
        except CursorDeleted:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")
