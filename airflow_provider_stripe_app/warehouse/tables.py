"""Making and widening tables, with the stored field → column map."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from airflow_provider_stripe_app.streams.model import ColumnType, Stream
from airflow_provider_stripe_app.warehouse import sql
from airflow_provider_stripe_app.warehouse.base import Capabilities, ForeignTable, WarehouseError
from airflow_provider_stripe_app.warehouse.columns import (
    OUR_MARKS,
    Path,
    Plan,
    Slot,
    plan_columns,
    safe_copy,
)
from airflow_provider_stripe_app.warehouse.session import Row, Session
from airflow_provider_stripe_app.warehouse.sql import BY_KEY, KEY, identifier, names
from airflow_provider_stripe_app.warehouse.state import COLUMN_MAP, TABLES

BACKFILL_PAGE = 2000
"""Rows per step when a new column is filled from ``_raw``: bounds memory to a few MB."""


_REMEMBER_AT_ONCE = 100
_REFILL = "_stripe_sync_refill"
_PENDING = "_stripe_new_"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is ready to be written.

    :param target: qualified, quoted name.
    :param new_columns: added just now for fields that the catalogue does not know.
    """

    name: str
    target: str
    slots: tuple[Slot, ...]
    new_columns: tuple[str, ...] = ()


def exists(session: Session, name: str) -> bool:
    """Tell whether a table is there and ours.

    :raises ForeignTable: if it is there and not ours.
    """
    columns = session.columns(name)
    _refuse_foreign(session, name, columns)
    return bool(columns)


def ensure(
    session: Session,
    capabilities: Capabilities,
    stream: Stream,
    schema_version: int,
    staging: Callable[[Sequence[Slot]], Mapping[str, ColumnType]],
) -> Table:
    """Make the table of a stream as it must be: created, widened, back-filled.

    :param staging: given the columns known so far, returns the unknown top-level fields that are
        to become columns too, with the type to give them.
    :raises ForeignTable: if a table of that name is not ours.
    :raises WarehouseError: if a newer version of this provider has written it.
    """
    target = session.table(stream.name)
    looked = plan, existing, version = _look(session, capabilities, stream, {}, schema_version)
    fields = staging(plan.slots)
    if fields:
        looked = plan, existing, version = _look(
            session, capabilities, stream, fields, schema_version
        )
    if plan.add or plan.remember or version != schema_version:
        with session.layout() as changing:
            # Somebody else may be doing the same: look again when nobody can.
            if changing.lock_ddl():
                looked = _look(changing, capabilities, stream, fields, schema_version)
            plan, existing, version = looked
            change = _change if capabilities.transactional_ddl else _change_in_steps
            remember = partial(
                _remember, changing, stream.name, plan.remember, version, schema_version
            )
            change(changing, stream, plan, bool(existing), remember)
    return Table(stream.name, target, plan.slots, plan.found)


def existing(
    session: Session, capabilities: Capabilities, stream: Stream, schema_version: int
) -> Table | None:
    """Return the table of a stream as it is, with those slots that it has a column for.

    :return: ``None`` if there is no table.
    :raises ForeignTable: if a table of that name is not ours.
    """
    plan, columns, _ = _look(session, capabilities, stream, {}, schema_version)
    if not columns:
        return None
    there = {name.lower() for name in columns}
    slots = tuple(slot for slot in plan.slots if slot.name.lower() in there)
    return Table(stream.name, session.table(stream.name), slots)


def _look(
    session: Session,
    capabilities: Capabilities,
    stream: Stream,
    fields: Mapping[str, ColumnType],
    schema_version: int,
) -> tuple[Plan, list[str], int | None]:
    existing = session.columns(stream.name)
    _refuse_foreign(session, stream.name, existing)
    version = _schema_version(session, stream.name)
    if version is not None and version > schema_version:
        raise WarehouseError(
            f"Table {session.table(stream.name)} was written by a newer version of "
            f"airflow-provider-stripe-app (schema {version}, this one knows {schema_version}): "
            "upgrade the provider on this worker."
        )
    plan = plan_columns(
        stream,
        stored=_stored_map(session, stream.name),
        existing=existing,
        fields=fields,
        limit=capabilities.identifier_length,
    )
    return plan, existing, version


def _refuse_foreign(session: Session, name: str, columns: Sequence[str]) -> None:
    if columns and not OUR_MARKS.issubset(columns):
        raise ForeignTable(
            f"Table {session.table(name)} in {session.where} exists but was not made by this "
            "provider, so it was left alone: choose another schema for the sync, or rename it."
        )


def _stored_map(session: Session, name: str) -> dict[Path, tuple[str, ColumnType]]:
    rows = session.rows(
        "read column map",
        f"SELECT path, column_name, type FROM {session.table(COLUMN_MAP)} WHERE table_name = ? "
        "ORDER BY position",
        (name,),
    )
    return {tuple(json.loads(path)): (column, type_) for path, column, type_ in rows}


def _schema_version(session: Session, name: str) -> int | None:
    rows = session.rows(
        "read schema version",
        f"SELECT schema_version FROM {session.table(TABLES)} WHERE table_name = ?",
        (name,),
    )
    return int(rows[0][0]) if rows else None


def _change(
    session: Session, stream: Stream, plan: Plan, existed: bool, remember: Callable[[], None]
) -> None:
    """Change a table in the transaction that writes its rows."""
    if existed:
        _add(session, stream, plan.add)
    else:
        _create(session, stream, plan)
    remember()
    if existed:
        _backfill(session, session.table(stream.name), _added(plan))


def _change_in_steps(
    session: Session, stream: Stream, plan: Plan, existed: bool, remember: Callable[[], None]
) -> None:
    """Change a table where each step is final, so that a crash between two only repeats work.

    What a column is for is remembered before it is there: an unknown column would be taken for a
    user's own. It gets its name when it is filled, because nobody fills a column that is there.
    """
    remember()
    if not existed:
        _create(session, stream, plan)
        return
    target = session.table(stream.name)
    there = set(session.columns(stream.name))
    pending = {name: _PENDING + sha256(name.encode()).hexdigest()[:16] for name, _ in plan.add}
    _add(session, stream, [(pending[n], t) for n, t in plan.add if pending[n] not in there])
    _backfill(session, target, [replace(s, name=pending[s.name]) for s in _added(plan)])
    for name, unnamed in pending.items():
        session.run(
            f"name {stream.name}.{name}",
            f"ALTER TABLE {target} RENAME COLUMN {identifier(unnamed)} TO {identifier(name)}",
        )


def _added(plan: Plan) -> list[Slot]:
    """Return the slots whose column is new, but for the key's."""
    added = {name for name, _ in plan.add}
    return [slot for slot in plan.slots if slot.name in added and slot.path != ("id",)]


def _add(session: Session, stream: Stream, columns: Iterable[tuple[str, ColumnType]]) -> None:
    dialect = session.dialect
    for name, type_ in columns:
        session.run(
            f"add {stream.name}.{name}",
            f"ALTER TABLE {session.table(stream.name)} ADD COLUMN "
            f"{dialect.column(name, dialect.types[type_], key=False)}",
        )


def _create(session: Session, stream: Stream, plan: Plan) -> None:
    dialect, target = session.dialect, session.table(stream.name)
    columns = ", ".join(
        dialect.column(name, dialect.types[type_], key=name in KEY) for name, type_ in plan.add
    )
    if session.dialect.row_key:
        columns += f", PRIMARY KEY ({names(KEY)})"
    session.run(f"create {stream.name}", f"CREATE TABLE {target} ({columns})")
    if stream.parent_column is not None and dialect.child_index:
        name = identifier(f"{stream.name[:40]}_by_parent")
        parent = dialect.indexed(column_of(plan.slots, stream.parent_column))
        session.run(
            f"index {stream.name}",
            f"CREATE INDEX IF NOT EXISTS {name} ON {target} (account_id, {parent})",
        )


def column_of(slots: Sequence[Slot], catalogue_name: str) -> str:
    """Return the column that holds the catalogue's column of that name."""
    for slot in slots:
        if slot.name == catalogue_name or slot.path == (catalogue_name,):
            return slot.name
    return catalogue_name


def _remember(
    session: Session, name: str, slots: Sequence[Slot], version: int | None, schema_version: int
) -> None:
    known = len(_stored_map(session, name)) if slots else 0
    for start in range(0, len(slots), _REMEMBER_AT_ONCE):
        some = slots[start : start + _REMEMBER_AT_ONCE]
        values = [
            (name, json.dumps(slot.path), slot.name, slot.type, position)
            for position, slot in enumerate(some, start=known + start)
        ]
        session.run(
            f"remember columns of {name}",
            f"INSERT INTO {session.table(COLUMN_MAP)} "
            "(table_name, path, column_name, type, position) "
            f"VALUES {', '.join(['(?, ?, ?, ?, ?)'] * len(some))}",
            [value for row in values for value in row],
        )
    tables = session.table(TABLES)
    if version is None:
        statement = f"INSERT INTO {tables} (schema_version, table_name) VALUES (?, ?)"
    else:
        statement = f"UPDATE {tables} SET schema_version = ? WHERE table_name = ?"
    session.run(f"remember {name}", statement, (schema_version, name))


def _backfill(session: Session, target: str, slots: Sequence[Slot]) -> None:
    """Fill columns from ``_raw`` where it may hold the field, page by page."""
    if not slots:
        return
    query = sql.raws_holding(target, sorted({slot.path[-1] for slot in slots}), "?", BACKFILL_PAGE)
    last: Row = ("", "")
    while True:
        page = session.rows("back-fill: read", query, (last[0], last[0], last[1]))
        if not page:
            return
        _refill_page(session, target, slots, page)
        last = page[-1]


def _refill_page(session: Session, target: str, slots: Sequence[Slot], page: list[Row]) -> None:
    dialect = session.dialect
    nothing = [None] * len(page)
    accounts, ids, raws = zip(*page, strict=True)
    session.load(
        sql.STAGE,
        sql.STAGE_COLUMNS,
        (range(len(page)), accounts, ids, *[nothing] * 6, raws, list(map(safe_copy, raws))),
    )
    stage, typed = dialect.temp(sql.STAGE), dialect.temp(sql.TYPED)
    source = f"SELECT seq, coalesce(typed_from, raw) AS doc FROM {stage}"
    type_documents(session, "back-fill", source, slots)
    # One table to update from: two would be a join in the statement.
    refill = f"SELECT s.account_id, s.id, y.* FROM {typed} AS y JOIN {stage} AS s ON s.seq = y.seq"
    session.run("back-fill: join", dialect.create_temp(_REFILL, refill))
    sets = [(slot.name, f"w.{identifier(slot.name)}") for slot in slots]
    session.run("back-fill: write", dialect.update(target, dialect.temp(_REFILL), BY_KEY, sets))
    for table in (_REFILL, sql.TYPED, sql.PARSED, sql.STAGE):
        drop_temp(session, table)


def type_documents(
    session: Session, name: str, source: str, slots: Sequence[Slot]
) -> Mapping[str, int] | None:
    """Type JSON into the temporary table ``TYPED``.

    :param name: of the table, for labels.
    :param source: see :meth:`~airflow_provider_stripe_app.warehouse.dialect.Dialect.parsed`.
    :return: column → values that did not fit, if that is known already.
    """
    dialect = session.dialect
    if not slots:
        session.run(
            f"{name}: type",
            dialect.create_temp(sql.TYPED, f"SELECT d.seq FROM ({source}) AS d"),
        )
        return {}
    misfits = session.type_documents(source, slots)
    if misfits is not None:
        return misfits
    parsed = dialect.parsed(source, slots)
    if parsed is not None:
        session.run(f"{name}: parse", dialect.create_temp(sql.PARSED, parsed))
    session.run(f"{name}: type", dialect.create_temp(sql.TYPED, dialect.typed(source, slots)))
    return None


def drop_temp(session: Session, table: str) -> None:
    """Drop a temporary table if it is there."""
    session.drop(table)
