"""MariaDB's SQL as text; no connection here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.base import WarehouseError
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.dialect import Dialect
from airflow_provider_stripe_app.warehouse.sql import (
    PARENTS,
    SAME,
    VANISHED,
    WON,
    identifier,
    names,
)

_BINARY = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_TEXT = f"LONGTEXT {_BINARY}"

_INDEXED: Mapping[str, str] = {WON: "seq", SAME: "seq", PARENTS: "id", VANISHED: "id"}
"""Temporary table → column that it is looked into by."""

_SHORT = frozenset({"account_id", "id", "parent_id", "event_id", "stream"})
"""Staged texts that are joined by: on longer types MariaDB uses no index."""

_LENGTHS: Mapping[str, int] = {"id": 255, "parent_id": 255, "event_id": 255, "path": 512}
_LENGTH = 64
"""Characters of a text in a primary key, whose columns may have 3,072 bytes together."""


class MySQLDialect(Dialect):
    """SQL of MariaDB 10.5 and newer."""

    name = "mysql"
    types: Mapping[ColumnType, str] = {
        "text": _TEXT,
        "bigint": "BIGINT",
        "boolean": "BOOLEAN",
        "timestamp": "DATETIME",
        "decimal": _TEXT,
        # MySQL's own type would round numbers and sort keys.
        "json": _TEXT,
    }

    def column(self, name: str, type_: str, *, key: bool) -> str:
        """See the base class; a text in a key needs a length."""
        return super().column(name, _varchar(name) if key and type_ == _TEXT else type_, key=key)

    def sized(self, name: str, type_: ColumnType) -> str:
        """Return the type of a staged column."""
        return _varchar(name) if name in _SHORT else self.types[type_]

    def indexed(self, column: str) -> str:
        """See the base class; ids are shorter than this."""
        return f"{identifier(column)}(191)"

    def temp(self, name: str) -> str:
        """See the base class: a temporary table hides any other of its name."""
        return identifier(name)

    def create_temp(self, name: str, select: str) -> str:
        """See the base class; without an index, joins and subqueries read all for each row."""
        index = f"(INDEX ({_INDEXED[name]})) " if name in _INDEXED else ""
        return f"CREATE TEMPORARY TABLE {identifier(name)} {index}AS {select}"

    def drop_temp(self, name: str) -> str:
        """See the base class; without TEMPORARY it would commit."""
        return f"DROP TEMPORARY TABLE IF EXISTS {identifier(name)}"

    def stored(self, column: str) -> str:
        """See the base class."""
        return identifier(column)

    def incoming(self, column: str) -> str:
        """See the base class."""
        return f"VALUES({identifier(column)})"

    def upsert(
        self,
        target: str,
        columns: Sequence[str],
        select: str,
        key: Sequence[str],
        updates: Sequence[tuple[str, str]],
    ) -> str:
        """See the base class."""
        # Nothing but the target's columns can be meant by a name after this.
        rows = f"WITH n ({names(_places(columns))}) AS ({select}) SELECT * FROM n"
        own = updates or [(key[0], identifier(key[0]))]
        sets = ", ".join(f"{identifier(name)} = {expression}" for name, expression in own)
        return f"INSERT INTO {target} ({names(columns)}) {rows} ON DUPLICATE KEY UPDATE {sets}"

    def update(
        self, target: str, source: str, where: str, assignments: Sequence[tuple[str, str]]
    ) -> str:
        """See the base class."""
        sets = ", ".join(f"t.{identifier(name)} = {value}" for name, value in assignments)
        return f"UPDATE {target} AS t JOIN {source} AS w ON {where} SET {sets}"

    def differs(self, one: str, other: str) -> str:
        """See the base class."""
        return f"(NOT {one} <=> {other})"

    def bigint(self, expression: str) -> str:
        """See the base class."""
        return f"CAST({expression} AS SIGNED)"

    def clock(self) -> str:
        """See the base class: the server's clock, which goes on during a transaction."""
        return "unix_timestamp(sysdate(6))"

    def timestamp(self, seconds: str) -> str:
        """See the base class; ``from_unixtime`` ends in 2038."""
        return f"date_add(TIMESTAMP '1970-01-01 00:00:00', INTERVAL {seconds} SECOND)"

    def seconds(self, moment: str) -> str:
        """See the base class."""
        return f"timestampdiff(SECOND, TIMESTAMP '1970-01-01 00:00:00', {moment})"

    def typed(self, source: str, slots: Sequence[Slot]) -> str:
        """See the base class; :meth:`.mysql.MySQLSession.type_documents` is what is used."""
        raise WarehouseError("MariaDB does not type documents by SQL")

    def misfits(self, typed: str, source: str, slots: Sequence[Slot]) -> str:
        """See the base class; :meth:`.mysql.MySQLSession.type_documents` is what is used."""
        raise WarehouseError("MariaDB does not type documents by SQL")


def _varchar(name: str) -> str:
    return f"VARCHAR({_LENGTHS.get(name, _LENGTH)}) {_BINARY}"


def _places(columns: Sequence[str]) -> list[str]:
    return [f"c{place}" for place in range(len(columns))]
