"""One batch into its table and its children's tables, by set-based statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.model import ColumnType, Stream
from airflow_provider_stripe_app.warehouse import sql, tables
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    Capabilities,
    StagedChild,
    StagedRow,
    TableChange,
    WarehouseError,
)
from airflow_provider_stripe_app.warehouse.columns import Slot, infer_type, known_fields, plain_keys
from airflow_provider_stripe_app.warehouse.session import Row, Session
from airflow_provider_stripe_app.warehouse.sql import identifier, literal
from airflow_provider_stripe_app.warehouse.tables import Table

_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_LIVEMODE = {b"true": True, b"false": False}


@dataclass(frozen=True, slots=True)
class Staging:
    """What is to be staged for one table.

    :param rows: in the order of :data:`~airflow_provider_stripe_app.warehouse.sql.STAGE_COLUMNS`.
    :param fields: unknown top-level fields of living objects, with their type.
    """

    rows: list[Row]
    fields: dict[str, ColumnType]


@dataclass(frozen=True, slots=True)
class Tally:
    """What :func:`~airflow_provider_stripe_app.warehouse.sql.counts` counts, in its order."""

    staged: int
    inserted: int
    updated: int
    deleted: int
    to_type: int
    to_confirm: int
    to_bury: int


def stage_rows(batch: Batch, inlined: Iterable[str | None]) -> Staging:
    """Prepare a batch's own rows.

    :param inlined: keys that hold child lists and so never become columns.
    """
    return _prepare(
        batch,
        [(row, row.version, row.deleted_at, row.event_id, None) for row in batch.rows],
        known_fields(batch.stream, inlined),
    )


def stage_children(batch: Batch, child: Stream) -> Staging:
    """Prepare the children of one stream; their version comes from the winning parents."""
    return _prepare(
        batch,
        [(row, None, None, None, row.parent_id) for row in batch.children[child.name]],
        known_fields(child, ()),
    )


_Entry = tuple["StagedRow | StagedChild", "int | None", "int | None", "str | None", "str | None"]


def _prepare(batch: Batch, entries: Sequence[_Entry], known: frozenset[str]) -> Staging:
    rows: list[Row] = []
    types: dict[str, ColumnType | None] = {}
    for seq, (row, version, deleted_at, event_id, parent_id) in enumerate(entries):
        text = plain_keys(row.raw if row.typed_from is None else row.typed_from)
        fields = _decode(row.id, text)
        livemode = _LIVEMODE.get(bytes(fields.get("livemode", b"")), batch.livemode)
        if deleted_at is None:
            for key in fields.keys() - known:
                value = bytes(fields[key])
                if not _is_list_object(value):
                    types[key] = infer_type(value, types.get(key))
        rows.append(
            (
                seq,
                batch.account_id,
                row.id,
                version,
                deleted_at,
                event_id,
                livemode,
                parent_id,
                row.raw,
                None if text is row.raw else text,
            )
        )
    # Sorted: the order of columns must not depend on Python's hashing of a set.
    return Staging(rows, {key: t for key, t in sorted(types.items()) if t is not None})


def _decode(id_: str, text: str) -> dict[str, msgspec.Raw]:
    try:
        return _fields_of(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise WarehouseError(f"The JSON of {id_} cannot be typed ({error}).") from error


def _is_list_object(value: bytes) -> bool:
    """Tell whether a value is a list of other objects, which is a table of its own or none."""
    if value[:1] != b"{" or b'"list"' not in value[:200]:
        return False
    return bytes(_fields_of(value).get("object", b"")) == b'"list"'


class Merge:
    """Merges one batch in an open transaction.

    :param schema_version: of this writer.
    """

    def __init__(self, session: Session, capabilities: Capabilities, schema_version: int) -> None:
        self.session = session
        self.capabilities = capabilities
        self.schema_version = schema_version
        dialect = session.dialect
        self.stage, self.won = dialect.temp(sql.STAGE), dialect.temp(sql.WON)
        self.typed, self.parents = dialect.temp(sql.TYPED), dialect.temp(sql.PARENTS)
        self.now = dialect.timestamp(dialect.clock())

    def run(self, batch: Batch, children: Mapping[str, Stream]) -> dict[str, TableChange]:
        """Merge; see :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.merge`."""
        missing = batch.children.keys() - children.keys()
        if missing:
            raise ValueError(f"no stream given for the children {sorted(missing)}")
        streams = [children[name] for name in batch.children]
        changes = {batch.stream.name: self._merge_parents(batch, streams)}
        for child in streams:
            changes[child.name] = self._merge_children(batch, child)
        tables.drop_temp(self.session, sql.PARENTS)
        return changes

    def _merge_parents(self, batch: Batch, streams: Sequence[Stream]) -> TableChange:
        name = batch.stream.name
        staging = stage_rows(batch, [child.inlined for child in streams])
        table = self._ensure(batch.stream, staging)
        self.session.load(sql.STAGE, sql.STAGE_COLUMNS, staging.rows)
        won = sql.winners(table.target, self.stage, with_children=bool(streams))
        self._create(f"{name}: winners", sql.WON, won)
        self._create(f"{name}: parents", sql.PARENTS, sql.parents(self.won))
        tally = self._tally(name)
        loads, owned = literal(batch.load_id), "w.version" if streams else "NULL"
        seen = (("_load_id", loads),) if batch.load_id is not None else ()
        children_version = (("_children_version", owned),) if streams else ()
        cells = self._cells(table, batch.stream, dead="w.deleted_at IS NOT NULL")
        cells += [("_load_id", loads), ("_children_version", f"CAST({owned} AS BIGINT)")]
        misfits = self._write(table, tally, cells, (*seen, *children_version))
        if tally.to_bury:
            self.session.run(
                f"{name}: bury",
                sql.bury(table.target, self.won, (*self._dead("w.deleted_at"), *seen)),
            )
        if batch.load_id is not None:
            self.session.run(
                f"{name}: mark seen",
                sql.mark_seen(table.target, self.stage, batch.account_id, batch.load_id),
            )
        return self._finish(table, tally, misfits)

    def _merge_children(self, batch: Batch, child: Stream) -> TableChange:
        if child.parent_column is None:
            raise ValueError(f"stream {child.name} has no parent column, so it cannot be a child")
        staging = stage_children(batch, child)
        table = self._ensure(child, staging)
        self.session.load(sql.STAGE, sql.STAGE_COLUMNS, staging.rows)
        self._create(
            f"{child.name}: winners",
            sql.WON,
            sql.winning_children(table.target, self.stage, self.parents),
        )
        tally = self._tally(child.name)
        cells = self._cells(table, child, dead="FALSE")
        parent_column = tables.column_of(table.slots, child.parent_column)
        misfits = self._write(table, tally, cells, ((parent_column, self._parent_of_won()),))
        buried = self.session.run(
            f"{child.name}: bury",
            sql.bury_children(
                table.target,
                self.parents,
                parent_column,
                batch.account_id,
                # Nobody says when a line vanished; the second its parent was read bounds it.
                self._dead(
                    "coalesce(w.deleted_at, CAST((w.version - w.version % 10) / 10 AS BIGINT))"
                ),
            ),
        )
        return self._finish(table, tally, misfits, buried)

    def _parent_of_won(self) -> str:
        return f"(SELECT s.parent_id FROM {self.stage} AS s WHERE s.seq = w.seq)"

    def _ensure(self, stream: Stream, staging: Staging) -> Table:
        return tables.ensure(
            self.session, self.capabilities, stream, staging.fields, self.schema_version
        )

    def _tally(self, name: str) -> Tally:
        found = self.session.rows(f"{name}: count", sql.counts(self.won, self.stage))[0]
        return Tally(*map(int, found))

    def _type(self, table: Table) -> dict[str, int]:
        """Type the winners' JSON into the temporary table and count what did not fit."""
        dialect, slots = self.session.dialect, _typed_slots(table.slots)
        source = sql.to_type(self.won, self.stage)
        tables.type_documents(self.session, table.name, source, slots)
        if not slots:
            return {}
        found = self.session.rows(
            f"{table.name}: count misfits", dialect.misfits(self.typed, source, slots)
        )
        return {slot.name: int(n) for slot, n in zip(slots, found[0], strict=True) if n}

    def _cells(self, table: Table, stream: Stream, dead: str) -> list[tuple[str, str]]:
        """Return (column, expression) for everything an upsert writes, but loads and children."""
        own = {"id": "w.id"}
        if stream.parent_column is not None:
            own[tables.column_of(table.slots, stream.parent_column)] = "s.parent_id"
        cells = [(s.name, own.get(s.name, f"y.{identifier(s.name)}")) for s in table.slots]
        return [
            *cells,
            ("_raw", "s.raw"),
            ("account_id", "w.account_id"),
            ("livemode", "s.livemode"),
            ("is_deleted", dead),
            ("deleted_at", self.session.dialect.timestamp("w.deleted_at")),
            ("_synced_at", self.now),
            ("_event_id", "w.event_id"),
            ("_version", "w.version"),
            *self._pinned(),
        ]

    def _pinned(self) -> list[tuple[str, str]]:
        return [
            ("_api_version", literal(API_VERSION)),
            ("_schema_version", str(self.schema_version)),
        ]

    def _write(
        self,
        table: Table,
        tally: Tally,
        cells: list[tuple[str, str]],
        extra: Iterable[tuple[str, str]],
    ) -> dict[str, int]:
        """Write new and changed rows, then confirm those whose JSON is what we have.

        :return: misfits per column.
        """
        misfits: dict[str, int] = {}
        if tally.to_type:
            misfits = self._type(table)
            self.session.run(
                f"{table.name}: upsert",
                sql.upsert(table.target, cells, typed=self.typed, won=self.won, stage=self.stage),
            )
        if tally.to_confirm:
            self._confirm(table, extra)
        return misfits

    def _confirm(self, table: Table, extra: Iterable[tuple[str, str]]) -> None:
        assignments = [
            ("is_deleted", "FALSE"),
            ("deleted_at", "NULL"),
            ("_synced_at", self.now),
            ("_event_id", "w.event_id"),
            ("_version", "w.version"),
            *self._pinned(),
            *extra,
        ]
        self.session.run(f"{table.name}: confirm", sql.confirm(table.target, self.won, assignments))

    def _dead(self, when: str) -> tuple[tuple[str, str], ...]:
        return (
            ("is_deleted", "TRUE"),
            ("deleted_at", self.session.dialect.timestamp(when)),
            ("_synced_at", self.now),
            ("_event_id", "w.event_id"),
            ("_version", "w.version"),
        )

    def _finish(
        self, table: Table, tally: Tally, misfits: dict[str, int], buried: int = 0
    ) -> TableChange:
        for temporary in (sql.TYPED, sql.PARSED, sql.WON, sql.STAGE):
            tables.drop_temp(self.session, temporary)
        return TableChange(
            inserted=tally.inserted,
            updated=tally.updated,
            deleted=tally.deleted + buried,
            unchanged=tally.staged - tally.inserted - tally.updated - tally.deleted,
            misfits=misfits,
            new_columns=table.new_columns,
        )

    def _create(self, label: str, name: str, select: str) -> None:
        self.session.run(label, self.session.dialect.create_temp(name, select))


def _typed_slots(slots: Sequence[Slot]) -> list[Slot]:
    """Return what is typed from JSON: all but the key, which is known already."""
    return [slot for slot in slots if slot.path != ("id",)]
