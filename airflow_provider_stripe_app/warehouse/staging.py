"""What is staged for one table, ready for bulk loading: columns of :data:`~.sql.STAGE_COLUMNS`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_stripe_app.api.split import Json
from airflow_provider_stripe_app.streams.model import ColumnType, Stream
from airflow_provider_stripe_app.warehouse.base import Batch, StagedChild, StagedRow
from airflow_provider_stripe_app.warehouse.columns import Slot, infer_type, known_fields
from airflow_provider_stripe_app.warehouse.documents import look, safe_keys
from airflow_provider_stripe_app.warehouse.session import Columns


@dataclass(frozen=True, slots=True)
class Staging:
    """What is to be staged for one table.

    :param columns: in the order of :data:`~.sql.STAGE_COLUMNS`.
    :param fields: unknown top-level fields of living objects, with their type.
    """

    columns: Columns
    fields: dict[str, ColumnType]


def stage_rows(batch: Batch, slots: Sequence[Slot], inlined: Iterable[str | None]) -> Staging:
    """Prepare a batch's own rows.

    :param slots: the table's columns.
    :param inlined: keys that hold child lists and so never become columns.
    """
    rows = batch.rows
    deleted = [row.deleted_at for row in rows]
    seen = _examine(rows, deleted, slots, known_fields(batch.stream, inlined), batch.livemode)
    own = (
        [row.version for row in rows],
        deleted,
        [row.event_id for row in rows],
        seen.livemodes,
        [None] * len(rows),
    )
    return _staging(batch, rows, own, seen)


def stage_children(batch: Batch, child: Stream, slots: Sequence[Slot]) -> Staging:
    """Prepare the children of one stream; their version comes from the winning parents."""
    rows = batch.children[child.name]
    nothing = [None] * len(rows)
    seen = _examine(rows, nothing, slots, known_fields(child, ()), batch.livemode)
    own = (nothing, nothing, nothing, seen.livemodes, [row.parent_id for row in rows])
    return _staging(batch, rows, own, seen)


@dataclass(slots=True)
class _Seen:
    fits: list[bool]
    livemodes: list[bool]
    texts: list[Json | None]
    fields: dict[str, ColumnType]


def _examine(
    rows: Sequence[StagedRow | StagedChild],
    deleted: Sequence[int | None],
    slots: Sequence[Slot],
    known: frozenset[str],
    livemode: bool,
) -> _Seen:
    """Look at each document; what a tombstone says is no news."""
    wanted = look(tuple(slots), known)
    seen = _Seen([], [], [], {})
    types: dict[str, ColumnType | None] = {}
    for row, deleted_at in zip(rows, deleted, strict=True):
        document = row.raw if row.typed_from is None else row.typed_from
        text = safe_keys(document)
        fits, live = wanted.fits(text)
        if not fits:
            unknown, live = wanted.unknown(row.id, text)
            if deleted_at is None:
                for key, value in unknown.items():
                    types[key] = infer_type(value, types.get(key))
        seen.fits.append(fits)
        seen.livemodes.append(live if isinstance(live, bool) else livemode)
        seen.texts.append(None if text is row.raw else text)
    # Sorted: the order of columns must not depend on Python's hashing of a set.
    seen.fields = {key: type_ for key, type_ in sorted(types.items()) if type_ is not None}
    return seen


def _staging(
    batch: Batch, rows: Sequence[StagedRow | StagedChild], own: Columns, seen: _Seen
) -> Staging:
    """Put the columns in order.

    :param own: version, deleted_at, event_id, livemode, parent_id.
    """
    return Staging(
        (
            range(len(rows)),
            [batch.account_id] * len(rows),
            [row.id for row in rows],
            *own,
            seen.fits,
            [row.raw for row in rows],
            seen.texts,
        ),
        seen.fields,
    )
