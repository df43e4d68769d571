"""What an audit asks of a table: which rows are not what they should be. Set-based, like a merge.

What is right never leaves the warehouse: Stripe's objects are staged as a merge stages them, and
only rows that differ come back. The typed columns are held against ``_raw`` typed anew by the very
statement that a merge uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from airflow_provider_stripe_app.api.split import text_of
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.warehouse import sql, tables
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    Marks,
    Obligation,
    StagedChild,
    StagedRow,
    StoredRow,
)
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.session import Columns, Row, Session
from airflow_provider_stripe_app.warehouse.sql import identifier, literal
from airflow_provider_stripe_app.warehouse.staging import stage_children, stage_rows
from airflow_provider_stripe_app.warehouse.state import OBLIGATIONS
from airflow_provider_stripe_app.warehouse.tables import Table

IDS = "_stripe_sync_ids"

_JOIN = "t.account_id = s.account_id AND t.id = s.id"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are looked at, in which transaction."""

    session: Session
    account_id: str
    livemode: bool


def compare(
    scope: Scope,
    stream: Stream,
    table: Table | None,
    rows: Sequence[StagedRow | StagedChild],
    newest: int,
) -> dict[str, StoredRow | None]:
    """See :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.compare`.

    :param table: ``None`` if there is none.
    """
    if not rows or table is None:
        return {row.id: None for row in rows}
    session = scope.session
    session.load(sql.STAGE, sql.STAGE_COLUMNS, _staged(scope, stream, rows, table))
    try:
        found = _rows_that_differ(session, stream, table, newest)
        raws = {row.id: text_of(row.raw) for row in rows}
        for id_, names in _columns_that_differ(session, stream, table).items():
            known = found.get(id_) or StoredRow(id_, raws[id_], is_deleted=False)
            found[id_] = replace(known, wrong=(*known.wrong, *names))
    finally:
        if session.failed is None:
            for name in (sql.TYPED, sql.PARSED, sql.STAGE):
                tables.drop_temp(session, name)
    return found


def _staged(
    scope: Scope, stream: Stream, rows: Sequence[StagedRow | StagedChild], table: Table
) -> Columns:
    own = [row for row in rows if isinstance(row, StagedRow)]
    children = [row for row in rows if isinstance(row, StagedChild)]
    batch = Batch(stream, scope.account_id, scope.livemode, own, {stream.name: children})
    if children:
        return stage_children(batch, stream, table.slots).columns
    return stage_rows(batch, table.slots, ()).columns


def _rows_that_differ(
    session: Session, stream: Stream, table: Table, newest: int
) -> dict[str, StoredRow | None]:
    differs, stage = session.dialect.differs, session.dialect.temp(sql.STAGE)
    rows = session.dialect.keyed(table.target, stage)
    marks = {
        "livemode": differs("t.livemode", "s.livemode"),
        "deleted_at": "(NOT coalesce(t.is_deleted, FALSE) AND t.deleted_at IS NOT NULL)",
        "_version": f"(t._version IS NULL OR t._version > {int(newest)})",
    }
    if stream.parent_column is not None:
        column = tables.column_of(table.slots, stream.parent_column)
        marks[column] = differs(f"t.{identifier(column)}", "s.parent_id")
    wrong = [differs("t._raw", "s.raw"), differs("t.is_deleted", "FALSE"), *marks.values()]
    found = session.rows(
        f"{stream.name}: compare",
        f"""SELECT s.id, t.id, t._raw, t.is_deleted, {", ".join(marks.values())}
            FROM {stage} AS s LEFT JOIN {rows} AS t ON {_JOIN}
            WHERE t.id IS NULL OR {" OR ".join(wrong)}""",
    )
    return {
        id_: None
        if there is None
        else StoredRow(
            id_,
            raw or "",
            dead is None or bool(dead),
            tuple(name for name, is_wrong in zip(marks, flags, strict=True) if is_wrong),
        )
        for id_, there, raw, dead, *flags in found
    }


def _columns_that_differ(session: Session, stream: Stream, table: Table) -> dict[str, list[str]]:
    slots = [slot for slot in table.slots if _is_typed(slot, stream)]
    if not slots:
        return {}
    stage, typed = session.dialect.temp(sql.STAGE), session.dialect.temp(sql.TYPED)
    rows = session.dialect.keyed(table.target, stage)
    source = f"""
        SELECT s.seq AS seq, coalesce(s.typed_from, s.raw) AS doc
        FROM {stage} AS s JOIN {rows} AS t ON {_JOIN} WHERE t._raw = s.raw"""
    tables.type_documents(session, stream.name, source, slots)
    flags = [
        session.dialect.differs(f"t.{identifier(slot.name)}", f"y.{identifier(slot.name)}")
        for slot in slots
    ]
    found = session.rows(
        f"{stream.name}: compare columns",
        f"""SELECT s.id, {", ".join(flags)}
            FROM {typed} AS y JOIN {stage} AS s ON s.seq = y.seq
            JOIN {rows} AS t ON {_JOIN}
            WHERE {" OR ".join(flags)}""",
    )
    return {
        id_: [slot.name for slot, is_wrong in zip(slots, marks, strict=True) if is_wrong]
        for id_, *marks in found
    }


def _is_typed(slot: Slot, stream: Stream) -> bool:
    """Tell whether a column's value comes from the JSON: the keys do not."""
    return slot.path not in (("id",), (stream.parent_column,))


def living(
    scope: Scope, stream: Stream, table: Table | None, after: str, limit: int
) -> list[tuple[str, str | None]]:
    """See :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.living`."""
    if table is None:
        return []
    rows = scope.session.rows(
        f"{stream.name}: living",
        f"""SELECT id, {_parent(stream, table)} FROM {table.target}
            WHERE account_id = ? AND (livemode = ? OR livemode IS NULL)
              AND NOT coalesce(is_deleted, FALSE) AND id > ?
            ORDER BY id LIMIT {int(limit)}""",
        (scope.account_id, scope.livemode, after),
    )
    return [(id_, parent) for id_, parent in rows]


def children_of(
    session: Session, account_id: str, child: Stream, table: Table | None, parents: Sequence[str]
) -> list[tuple[str, str]]:
    """See :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.children_of`."""
    if table is None or not parents:
        return []
    parent = _parent(child, table)
    with _ids(session, parents) as ids:
        rows = session.rows(
            f"{child.name}: of parents",
            f"""SELECT id, {parent} FROM {table.target}
                WHERE account_id = ? AND {parent} IN (SELECT id FROM {ids})
                  AND NOT coalesce(is_deleted, FALSE)""",
            (account_id,),
        )
    return [(id_, parent_id) for id_, parent_id in rows]


def marks(scope: Scope, stream: Stream, ids: Sequence[str], *, has_table: bool) -> dict[str, Marks]:
    """See :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.marks`."""
    if not ids:
        return {}
    session = scope.session
    found = dict.fromkeys(ids, Marks())
    with _ids(session, ids) as wanted:
        owed = session.rows(
            "owed",
            f"""SELECT id, closes_at, event_id, effect, ambiguous
                FROM {session.table(OBLIGATIONS)}
                WHERE account_id = ? AND livemode = ? AND stream = ?
                  AND id IN (SELECT id FROM {wanted})""",
            (scope.account_id, scope.livemode, stream.name),
        )
        rows: list[Row] = []
        if has_table:
            rows = session.rows(
                f"{stream.name}: marks",
                f"""SELECT id, _version, _event_id, is_deleted
                    FROM {session.table(stream.name)}
                    WHERE account_id = ? AND id IN (SELECT id FROM {wanted})""",
                (scope.account_id,),
            )
    for id_, version, event_id, dead in rows:
        found[id_] = Marks(not dead, None if version is None else int(version), event_id)
    for id_, closes_at, event_id, effect, ambiguous in owed:
        obligation = Obligation(
            stream.name, id_, int(closes_at), event_id, effect, ambiguous=bool(ambiguous)
        )
        found[id_] = replace(found[id_], owed=obligation)
    return found


def reopen(
    session: Session, stream: Stream, account_id: str, ids: Sequence[str], *, rewrite: bool
) -> None:
    """See :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.reopen`."""
    if not ids:
        return
    # A merge writes columns only where the JSON is another one.
    sets = "_version = 0, _raw = ''" if rewrite else "_version = 0"
    with _ids(session, ids) as wanted:
        session.run(
            f"{stream.name}: reopen",
            f"UPDATE {session.table(stream.name)} SET {sets} "
            f"WHERE account_id = {literal(account_id)} AND id IN (SELECT id FROM {wanted})",
        )


def _parent(stream: Stream, table: Table) -> str:
    if stream.parent_column is None:
        return "NULL"
    return identifier(tables.column_of(table.slots, stream.parent_column))


@contextmanager
def _ids(session: Session, ids: Sequence[str]) -> Iterator[str]:
    """Stage ids for the length of a statement, and return the temporary table."""
    session.load(IDS, (("id", "text"),), [list(dict.fromkeys(ids))])
    yield session.dialect.temp(IDS)
    if session.failed is None:
        tables.drop_temp(session, IDS)
