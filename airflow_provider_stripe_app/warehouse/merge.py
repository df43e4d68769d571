"""One batch into its table and its children's tables, by set-based statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.model import ColumnType, Stream
from airflow_provider_stripe_app.warehouse import sql, tables
from airflow_provider_stripe_app.warehouse.base import Batch, Capabilities, TableChange
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.session import Session
from airflow_provider_stripe_app.warehouse.sql import identifier, literal
from airflow_provider_stripe_app.warehouse.staging import Staging, stage_children, stage_rows
from airflow_provider_stripe_app.warehouse.tables import Table

Cells = list[tuple[str, str]]
"""(column, expression) of everything that is written."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What :func:`~.sql.counts` and :func:`~.sql.kinds` count, in their order."""

    staged: int
    won: int
    new: int
    inserted: int
    deleted: int
    updated: int
    fitting: int
    odd: int
    to_confirm: int
    to_bury: int


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
        inlined = [child.inlined for child in streams]
        table = self._stage(batch.stream, lambda slots: stage_rows(batch, slots, inlined))
        won = sql.winners(table.target, self.stage, API_VERSION, with_children=bool(streams))
        tally = self._decide(table, won)
        self._create(f"{name}: parents", sql.PARENTS, sql.parents(self.won))
        loads = literal(batch.load_id)
        cells = self._cells(table, batch.stream, dead="d.deleted_at IS NOT NULL")
        cells += [
            ("_load_id", "d.load_id" if batch.load_id is None else loads),
            ("_children_version", "d.version" if streams else "d.children_version"),
        ]
        misfits = self._write(table, tally, cells)
        seen = (("_load_id", loads),) if batch.load_id is not None else ()
        if tally.to_confirm:
            children_version = (("_children_version", "w.version"),) if streams else ()
            self._confirm(table, (*seen, *children_version))
        if tally.to_bury:
            dead = (*self._dead("w.deleted_at"), *seen)
            self._update(f"{name}: bury", table, self.won, sql.TO_BURY, dead)
        if batch.load_id is not None and tally.staged > tally.won:
            self.session.run(
                f"{name}: mark seen",
                sql.mark_seen(table.target, self.stage, batch.account_id, batch.load_id),
            )
        return self._finish(table, tally, misfits)

    def _merge_children(self, batch: Batch, child: Stream) -> TableChange:
        if child.parent_column is None:
            raise ValueError(f"stream {child.name} has no parent column, so it cannot be a child")
        table = self._stage(child, lambda slots: stage_children(batch, child, slots))
        tally = self._decide(
            table, sql.winning_children(table.target, self.stage, self.parents, API_VERSION)
        )
        misfits = self._write(table, tally, self._cells(table, child, dead="FALSE"))
        parent_column = tables.column_of(table.slots, child.parent_column)
        if tally.to_confirm:
            parent = f"(SELECT s.parent_id FROM {self.stage} AS s WHERE s.seq = w.seq)"
            self._confirm(table, ((parent_column, parent),))
        buried = self._bury_children(table, parent_column, batch.account_id)
        return self._finish(table, tally, misfits, buried)

    def _bury_children(self, table: Table, parent_column: str, account_id: str) -> int:
        vanished = self.session.dialect.temp(sql.VANISHED)
        gone = sql.vanished(table.target, self.parents, parent_column, account_id, API_VERSION)
        self._create(f"{table.name}: vanished", sql.VANISHED, gone)
        buried = self._number(f"{table.name}: count vanished", sql.count(vanished))
        if buried:
            # Nobody says when a line vanished; the second its parent was read bounds it.
            second = self.session.dialect.bigint("(w.version - w.version % 10) / 10")
            dead = self._dead(f"coalesce(w.deleted_at, {second})")
            self._update(f"{table.name}: bury", table, vanished, "TRUE", dead)
        tables.drop_temp(self.session, sql.VANISHED)
        return buried

    def _stage(self, stream: Stream, prepare: Callable[[Sequence[Slot]], Staging]) -> Table:
        """Make the table what it must be, and stage."""
        staged: list[Staging] = []

        def look(slots: Sequence[Slot]) -> Mapping[str, ColumnType]:
            staged.append(prepare(slots))
            return staged[0].fields

        table = tables.ensure(self.session, self.capabilities, stream, self.schema_version, look)
        self.session.load(sql.STAGE, sql.STAGE_COLUMNS, staged[0].columns)
        return table

    def _decide(self, table: Table, winners: str) -> Tally:
        """Find out once who wins; documents are compared only if a winner has a row already."""
        session, name = self.session, table.name
        self._create(f"{name}: winners", sql.WON, winners)
        found = session.rows(f"{name}: count", sql.counts(self.won, self.stage))[0]
        if found[1] > found[2]:
            same = session.dialect.temp(sql.SAME)
            rows = session.dialect.keyed(table.target, self.won)
            self._create(f"{name}: same", sql.SAME, sql.same(rows, self.won, self.stage))
            session.run(f"{name}: note same", sql.note_same(self.won, same))
            tables.drop_temp(session, sql.SAME)
        kinds = session.rows(f"{name}: count kinds", sql.kinds(self.won))[0]
        return Tally(*map(int, found), *map(int, kinds))

    def _write(self, table: Table, tally: Tally, cells: Cells) -> dict[str, int]:
        """Write new and changed rows.

        :param cells: expressions over ``d`` (:func:`~.sql.to_write`), or ``y`` for typed columns.
        :return: misfits per column.
        """
        session, slots = self.session, _typed_slots(table.slots)
        if session.dialect.displaces and tally.new < tally.won:
            session.run(f"{table.name}: displace", sql.displaced(table.target, self.won))
        fitting = None
        if tally.fitting:
            fitting = session.dialect.fitting(sql.to_write(self.won, self.stage, True), slots)
        if fitting is not None:
            own = {f"y.{identifier(s.name)}": c for s, c in zip(slots, fitting.cells, strict=True)}
            expressions = ", ".join(own.get(cell, cell) for _, cell in cells)
            select = f"SELECT {expressions} FROM {fitting.source} WHERE TRUE"
            session.run(f"{table.name}: write", self._put(table, tally, cells, select))
        if not tally.odd and (fitting is not None or not tally.fitting):
            return {}
        source = sql.to_write(self.won, self.stage, None if fitting is None else False)
        misfits = self._type(table, source, slots)
        expressions = ", ".join(cell for _, cell in cells)
        select = (
            f"SELECT {expressions} FROM {self.typed} AS y JOIN ({source}) AS d ON d.seq = y.seq "
            "WHERE TRUE"
        )
        session.run(f"{table.name}: write odd", self._put(table, tally, cells, select))
        return misfits

    def _put(self, table: Table, tally: Tally, cells: Cells, select: str) -> str:
        columns = [name for name, _ in cells]
        dialect = self.session.dialect
        if tally.new == tally.won or dialect.displaces:
            return sql.insert(table.target, columns, select)
        updates = [(name, dialect.incoming(name)) for name in columns if name not in sql.KEY]
        return dialect.upsert(table.target, columns, select, sql.KEY, updates)

    def _type(self, table: Table, source: str, slots: Sequence[Slot]) -> dict[str, int]:
        """Type JSON into the temporary table and count what did not fit."""
        known = tables.type_documents(self.session, table.name, source, slots)
        if known is not None:
            return dict(known)
        counting = self.session.dialect.misfits(self.typed, source, slots)
        found = self.session.rows(f"{table.name}: count misfits", counting)
        return {slot.name: int(n) for slot, n in zip(slots, found[0], strict=True) if n}

    def _cells(self, table: Table, stream: Stream, dead: str) -> Cells:
        """Return what is written for a row, but loads and children."""
        own = {"id": "d.id"}
        if stream.parent_column is not None:
            own[tables.column_of(table.slots, stream.parent_column)] = "d.parent_id"
        cells = [(s.name, own.get(s.name, f"y.{identifier(s.name)}")) for s in table.slots]
        return [
            *cells,
            ("_raw", "d.raw"),
            ("account_id", "d.account_id"),
            ("livemode", "d.livemode"),
            ("is_deleted", dead),
            ("deleted_at", self.session.dialect.timestamp("d.deleted_at")),
            ("_synced_at", self.now),
            ("_event_id", "d.event_id"),
            ("_version", "d.version"),
            *self._pinned(),
        ]

    def _pinned(self) -> Cells:
        return [
            ("_api_version", literal(API_VERSION)),
            ("_schema_version", str(self.schema_version)),
        ]

    def _confirm(self, table: Table, extra: Iterable[tuple[str, str]]) -> None:
        """Note on living winners whose JSON is what we have that they were read again."""
        assignments = [
            ("is_deleted", "FALSE"),
            ("deleted_at", "NULL"),
            ("_synced_at", self.now),
            ("_event_id", "w.event_id"),
            ("_version", "w.version"),
            *self._pinned(),
            *extra,
        ]
        self._update(f"{table.name}: confirm", table, self.won, sql.TO_CONFIRM, assignments)

    def _dead(self, when: str) -> Cells:
        return [
            ("is_deleted", "TRUE"),
            ("deleted_at", self.session.dialect.timestamp(when)),
            ("_synced_at", self.now),
            ("_event_id", "w.event_id"),
            ("_version", "w.version"),
        ]

    def _update(
        self,
        label: str,
        table: Table,
        source: str,
        condition: str,
        assignments: Sequence[tuple[str, str]],
    ) -> None:
        where = f"{sql.BY_KEY} AND {condition}"
        self.session.run(
            label, self.session.dialect.update(table.target, source, where, assignments)
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

    def _number(self, label: str, statement: str) -> int:
        return int(self.session.rows(label, statement)[0][0])

    def _create(self, label: str, name: str, select: str) -> None:
        self.session.run(label, self.session.dialect.create_temp(name, select))


def _typed_slots(slots: Sequence[Slot]) -> list[Slot]:
    """Return what is typed from JSON: all but the key, which is known already."""
    return [slot for slot in slots if slot.path != ("id",)]
