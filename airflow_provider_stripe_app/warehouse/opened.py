"""Which objects of a table can still change without an event: one set-based statement over its
typed columns, so that nothing of them leaves the warehouse.
"""

from __future__ import annotations

from airflow_provider_stripe_app.streams.model import OpenWhile, Stream
from airflow_provider_stripe_app.warehouse.session import Session
from airflow_provider_stripe_app.warehouse.sql import identifier, literal
from airflow_provider_stripe_app.warehouse.state import OBLIGATIONS, owe_statement
from airflow_provider_stripe_app.warehouse.tables import Table

EVENT = "open"
"""Stands in an obligation where the id of an event does."""


def tells(stream: Stream, table: Table) -> bool:
    """Tell whether a table has the columns that say what is open.

    One that an older version of this provider made gets them with the next rows that are merged.
    """
    rule = stream.open_while
    there = {tuple(slot.path) for slot in table.slots}
    return rule is not None and rule.path in there and (not rule.until or rule.until in there)


def count(
    session: Session, stream: Stream, table: Table, account_id: str, livemode: bool
) -> tuple[int, int]:
    """See :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.count_open`."""
    rows = session.rows(
        f"{stream.name}: count open",
        f"SELECT coalesce(sum(CASE WHEN {_open(table, stream.open_while)} THEN 1 ELSE 0 END), 0), "
        f"count(*) FROM {table.target} AS t "
        "WHERE t.account_id = ? AND t.livemode = ? AND NOT t.is_deleted",
        (account_id, livemode),
    )
    opened, objects = rows[0]
    return int(opened), int(objects)


def owe(
    session: Session, stream: Stream, table: Table, account_id: str, livemode: bool, now: int
) -> None:
    """See :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.owe_open`."""
    opened = _open(table, stream.open_while)
    if stream.open_while is not None and stream.open_while.until:
        until = f"t.{identifier(_column(table, stream.open_while.until))}"
        opened += f" AND ({until} IS NULL OR {until} <= {session.dialect.timestamp(str(int(now)))})"
    select = (
        f"(SELECT {literal(stream.name)} AS stream, t.id AS id, {int(now)} AS closes_at, "
        f"{literal(EVENT)} AS event_id, 'upsert' AS effect, FALSE AS ambiguous, "
        "CAST(NULL AS CHAR(1)) AS payload, CAST(NULL AS DECIMAL(20, 0)) AS created "
        f"FROM {table.target} AS t WHERE t.account_id = {literal(account_id)} "
        f"AND t.livemode = {literal(livemode)} AND NOT t.is_deleted "
        f"AND t._version < {int(now) * 10} AND {opened}) AS opened"
    )
    session.lock_obligations(account_id)
    session.run(
        f"{stream.name}: owe open",
        owe_statement(session.dialect, session.table(OBLIGATIONS), select, account_id, livemode),
    )


def _open(table: Table, rule: OpenWhile | None) -> str:
    if rule is None:
        return "FALSE"
    column = f"t.{identifier(_column(table, rule.path))}"
    values = ", ".join(literal(value) for value in rule.values if value is not None)
    told = [f"{column} IN ({values})"] if values else []
    if None in rule.values:
        told.append(f"{column} IS NULL")
    return f"({' OR '.join(told)})"


def _column(table: Table, path: tuple[str, ...]) -> str:
    return next(slot.name for slot in table.slots if tuple(slot.path) == path)
