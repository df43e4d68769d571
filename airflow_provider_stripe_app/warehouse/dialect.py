"""What differs between warehouses in SQL text. No connection here.

To write a warehouse: subclass :class:`Dialect` (SQL text), :class:`~.session.Session` (a
connection: the bulk path, the layout of tables, begin/commit/rollback) and
:class:`~.transaction.SqlWarehouse` (opening one). Everything else is shared and set-based.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.sql import assign, identifier, names

LATEST_SECOND = 253402300799
"""9999-12-31T23:59:59Z: later unix seconds are no time."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Fitting:
    """How to read documents that are known to fit their columns.

    :param source: what to select from; the columns of the source given are there under alias ``d``.
    :param cells: one expression per slot, of the column's own type.
    """

    source: str
    cells: Sequence[str]


class Dialect(ABC):
    """One warehouse's SQL. What is written here is what SQLite, DuckDB and PostgreSQL share.

    :cvar types: column type per :data:`~airflow_provider_stripe_app.streams.model.ColumnType`.
    :cvar child_index: whether an index on the parent's id of child tables pays.
    :cvar displaces: whether changed rows are deleted and inserted anew, instead of updated.
    :cvar row_key: whether the tables of streams have a primary key. Nothing relies on it for being
        right: a merge decides under the fence which rows are new (EQUALITY §7).
    """

    name: str
    types: Mapping[ColumnType, str]
    child_index: bool = True
    displaces: bool = False
    row_key: bool = True

    # -- tables

    def column(self, name: str, type_: str, *, key: bool) -> str:
        """Return a column's definition.

        :param type_: a value of :attr:`types`, or ``DOUBLE PRECISION``.
        :param key: it is part of the primary key.
        """
        return f"{identifier(name)} {type_}{' NOT NULL' if key else ''}"

    def indexed(self, column: str) -> str:
        """Return a text column as it is written in an index."""
        return identifier(column)

    def temp(self, name: str) -> str:
        """Return the reference to a temporary table."""
        return f"temp.{identifier(name)}"

    def create_temp(self, name: str, select: str) -> str:
        """Return the statement that makes a temporary table from a select."""
        return f"CREATE TEMPORARY TABLE {identifier(name)} AS {select}"

    def drop_temp(self, name: str) -> str:
        """Return the statement that drops a temporary table if it is there."""
        return f"DROP TABLE IF EXISTS {self.temp(name)}"

    # -- writing

    def stored(self, column: str) -> str:
        """Return the value that a row has already, in an ``updates`` of :meth:`upsert`."""
        return f"t.{identifier(column)}"

    def incoming(self, column: str) -> str:
        """Return the value that a row brings, in an ``updates`` of :meth:`upsert`."""
        return f"excluded.{identifier(column)}"

    def upsert(
        self,
        target: str,
        columns: Sequence[str],
        select: str,
        key: Sequence[str],
        updates: Sequence[tuple[str, str]],
    ) -> str:
        """Return the statement that inserts the rows of a select, or updates those that are there.

        :param columns: names, in the order of the select's columns.
        :param select: no key twice; ends in a WHERE clause (SQLite's grammar needs one).
        :param key: columns of the primary key.
        :param updates: (column, expression of :meth:`stored` and :meth:`incoming`), evaluated in
            this order where an engine has one; empty to leave rows that are there alone.
        """
        action = f"UPDATE SET {assign(updates)}" if updates else "NOTHING"
        return (
            f"INSERT INTO {target} AS t ({names(columns)}) {select} "
            f"ON CONFLICT ({names(key)}) DO {action}"
        )

    def update(
        self, target: str, source: str, where: str, assignments: Sequence[tuple[str, str]]
    ) -> str:
        """Return the statement that updates rows of a table from another one's.

        :param source: a table, at most one row of it per row of the target; alias ``w``.
        :param where: over ``t`` (target) and ``w``: the keys' equality and more.
        :param assignments: (column, expression over ``t`` and ``w``).
        """
        return f"UPDATE {target} AS t SET {assign(assignments)} FROM {source} AS w WHERE {where}"

    # -- expressions

    def differs(self, one: str, other: str) -> str:
        """Return the condition that two expressions differ; NULL equals NULL."""
        return f"({one} IS DISTINCT FROM {other})"

    def bigint(self, expression: str) -> str:
        """Return an expression as a 64-bit integer."""
        return f"CAST({expression} AS BIGINT)"

    def keyed(self, target: str, stage: str) -> str:
        """Return a table expression for those rows of a table whose key is staged.

        For where a join would read whole documents of rows that it then throws away.

        :param stage: a table with ``account_id`` and ``id``.
        """
        return target

    @abstractmethod
    def clock(self) -> str:
        """Return an expression for now in unix seconds, by the warehouse's clock."""

    @abstractmethod
    def timestamp(self, seconds: str) -> str:
        """Return the expression that makes a timestamp column's value from unix seconds.

        :param seconds: a SQL expression; NULL gives NULL.
        """

    @abstractmethod
    def seconds(self, moment: str) -> str:
        """Return the expression that makes unix seconds from a timestamp column's value.

        :param moment: a SQL expression; NULL gives NULL.
        """

    # -- typing

    def fitting(self, source: str, slots: Sequence[Slot]) -> Fitting | None:
        """Return how to type documents that are known to fit, in one pass and without accounting.

        They were decoded strictly (:mod:`~.documents`): each slot's value is missing, null or of
        the column's own JSON type (integers within 64 bits, seconds within
        :data:`LATEST_SECOND`, of an expandable field only the id), and whatever a slot's path goes
        through is missing, null or an object. Nearly all documents are like that.

        :param source: a select with a column ``doc`` (JSON text that is safe to type) and others.
        :return: ``None`` to type every document with :meth:`typed`.
        """
        return None

    def parsed(self, source: str, slots: Sequence[Slot]) -> str | None:
        """Return a select to keep as the temporary table ``PARSED`` before typing, if that pays.

        Where an engine would parse the document again for each mention of a field, the fields'
        JSON is taken out once.

        :param source: a select of ``seq`` and ``doc`` (JSON text that is safe to type).
        """
        return None

    @abstractmethod
    def typed(self, source: str, slots: Sequence[Slot]) -> str:
        """Return the select that types any JSON: ``seq``, one column per slot, what misfits need.

        :param source: as in :meth:`parsed`.
        :param slots: at least one.
        """

    @abstractmethod
    def misfits(self, typed: str, source: str, slots: Sequence[Slot]) -> str:
        """Return the select of one row: per slot how many values are present but did not fit.

        :param typed: the table made from :meth:`typed`.
        :param source: as in :meth:`parsed`.
        """


def lost(parsed: str, leaves: Sequence[str], typed: str, slots: Sequence[Slot]) -> str:
    """Return the select of one row: per slot the leaves that are there less the typed values.

    :param leaves: per slot an expression over ``parsed``, NULL for missing and null.
    """
    there = ", ".join(f"count({leaf}) AS n{place}" for place, leaf in enumerate(leaves))
    kept = ", ".join(
        f"count({identifier(slot.name)}) AS n{place}" for place, slot in enumerate(slots)
    )
    less = ", ".join(f"p.n{place} - t.n{place}" for place in range(len(slots)))
    return (
        f"SELECT {less} FROM (SELECT {there} FROM {parsed}) AS p, (SELECT {kept} FROM {typed}) AS t"
    )
