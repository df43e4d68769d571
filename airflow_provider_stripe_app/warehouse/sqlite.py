"""SQLite: one file, one writing transaction at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_stripe_app.api.split import text_of
from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.base import Capabilities, WarehouseError
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.dialect import LATEST_SECOND, Dialect, Fitting, lost
from airflow_provider_stripe_app.warehouse.session import Columns, Fault, Row, Session
from airflow_provider_stripe_app.warehouse.sql import PARSED, identifier, literal
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse

log = logging.getLogger(__name__)

OLDEST = (3, 38)
"""First SQLite with ``->``, which gives a JSON value as it is written."""

BUSY_SECONDS = 5.0
"""How long SQLite itself waits for a lock before a message is logged and it is tried again."""


class SQLiteDialect(Dialect):
    """Typing from leaves: ``->`` gives a field's JSON as it is written, in one look-up."""

    name = "sqlite"
    types: Mapping[ColumnType, str] = {
        "text": "TEXT",
        "bigint": "INTEGER",
        "boolean": "BOOLEAN",
        "timestamp": "TEXT",
        "decimal": "TEXT",
        "json": "TEXT",
    }

    def differs(self, one: str, other: str) -> str:
        """See the base class; ``IS DISTINCT FROM`` came with 3.39."""
        return f"({one} IS NOT {other})"

    def clock(self) -> str:
        """See the base class: this machine's clock is the file's."""
        return repr(time.time())

    def timestamp(self, seconds: str) -> str:
        """See the base class."""
        return f"strftime('%Y-%m-%d %H:%M:%S+00:00', {seconds}, 'unixepoch')"

    def seconds(self, moment: str) -> str:
        """See the base class."""
        return f"CAST(strftime('%s', {moment}) AS INTEGER)"

    def fitting(self, source: str, slots: Sequence[Slot]) -> Fitting | None:
        """See the base class."""
        return Fitting(f"({source}) AS d", [_fitting(slot) for slot in slots])

    def parsed(self, source: str, slots: Sequence[Slot]) -> str | None:
        """See the base class."""
        leaves = ", ".join(
            f"doc -> {json_path(slot.path)} AS f{place}" for place, slot in enumerate(slots)
        )
        return f"SELECT seq, {leaves} FROM ({source})"

    def typed(self, source: str, slots: Sequence[Slot]) -> str:
        """See the base class."""
        cells = ", ".join(
            f"{_expression(slot, f'f{place}')} AS {identifier(slot.name)}"
            for place, slot in enumerate(slots)
        )
        return f"SELECT seq, {cells} FROM {self.temp(PARSED)}"

    def misfits(self, typed: str, source: str, slots: Sequence[Slot]) -> str:
        """See the base class."""
        leaves = [f"nullif(f{place}, 'null')" for place in range(len(slots))]
        return lost(self.temp(PARSED), leaves, typed, slots)


def json_path(path: Sequence[str]) -> str:
    """Return a JSON path as a SQL literal; keys never hold a double quote (columns.py)."""
    return literal("$" + "".join(f'."{key}"' for key in path))


def _fitting(slot: Slot) -> str:
    """Read a value that is known to be of the column's type."""
    path = json_path(slot.path)
    if slot.type == "json":
        return f"nullif(d.doc -> {path}, 'null')"
    value = f"d.doc ->> {path}"
    if slot.type == "timestamp":
        return f"strftime('%Y-%m-%d %H:%M:%S+00:00', {value}, 'unixepoch')"
    return value


def _expression(slot: Slot, leaf: str) -> str:
    """Type one leaf (JSON text). An integer is told by its round trip: CAST takes anything."""
    integer = f"CAST({leaf} AS INTEGER)"
    exact = f"CAST({integer} AS TEXT) = {leaf} OR {leaf} = '-0'"
    if slot.type == "json":
        return f"nullif({leaf}, 'null')"
    if slot.type == "bigint":
        return f"CASE WHEN {exact} THEN {integer} END"
    if slot.type == "boolean":
        return f"CASE {leaf} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"
    if slot.type == "timestamp":
        moment = f"strftime('%Y-%m-%d %H:%M:%S+00:00', {integer}, 'unixepoch')"
        in_range = f"{integer} BETWEEN 0 AND {LATEST_SECOND}"
        return f"CASE WHEN ({exact}) AND {in_range} THEN {moment} END"
    # Most strings hold no escape, and need no parser.
    plain = f"substr({leaf}, 2, length({leaf}) - 2)"
    string = (
        f"WHEN substr({leaf}, 1, 1) = '\"' THEN "
        f"CASE WHEN instr({leaf}, '\\') = 0 THEN {plain} ELSE json_extract({leaf}, '$') END"
    )
    if slot.expandable:
        inner = f"CASE json_type({leaf}, '$.id') WHEN 'text' THEN json_extract({leaf}, '$.id') END"
        string += f" WHEN substr({leaf}, 1, 1) = '{{' THEN {inner}"
    return f"CASE {string} END"


class SQLiteSession(Session):
    """A transaction on a ``sqlite3`` connection in autocommit mode (we send BEGIN ourselves).

    :param wait: seconds to wait for another writer.
    """

    dialect = SQLiteDialect()

    def __init__(self, connection: Any, where: str, wait: float, fault: Fault | None) -> None:
        super().__init__(where, fault)
        self.connection = connection
        self.wait = wait

    def ensure_schema(self) -> None:
        """See the base class: SQLite has none."""

    def table(self, name: str) -> str:
        """See the base class."""
        return identifier(name)

    def _run(self, statement: str, parameters: Sequence[Any]) -> int:
        return max(int(self.connection.execute(statement, tuple(parameters)).rowcount), 0)

    def _rows(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        return list(self.connection.execute(statement, tuple(parameters)).fetchall())

    def _load(self, table: str, columns: Sequence[tuple[str, ColumnType]], values: Columns) -> None:
        rows = zip(
            *(
                map(text_of, v) if n == "raw" else v
                for (n, _), v in zip(columns, values, strict=True)
            ),
            strict=True,
        )
        cells = ", ".join(
            f"{identifier(name)} {self.dialect.types[type_]}"
            + (" PRIMARY KEY" if name == "seq" else "")
            for name, type_ in columns
        )
        self.connection.execute(f"CREATE TEMPORARY TABLE {identifier(table)} ({cells})")
        marks = ", ".join("?" * len(columns))
        self.connection.executemany(f"INSERT INTO temp.{identifier(table)} VALUES ({marks})", rows)

    def _columns(self, table: str) -> list[str]:
        rows = self.connection.execute("SELECT name FROM pragma_table_info(?, 'main')", (table,))
        return [row[0] for row in rows]

    def _begin(self) -> None:
        self._patiently("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        # Readers can hold a COMMIT up; the transaction stays open, so it can be tried again.
        self._patiently("COMMIT")

    def _rollback(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _patiently(self, statement: str) -> None:
        import sqlite3

        started = time.monotonic()
        while True:
            try:
                self.connection.execute(statement)
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - started
                if "locked" not in str(error) and "busy" not in str(error):
                    raise
                if waited >= self.wait:
                    raise WarehouseError(
                        f"{self.where} is still locked by another process after {waited:.0f} s: "
                        "let it finish, or close the program that has the file open."
                    ) from error
                log.info("%s is locked by another process; waiting (%.0f s)", self.where, waited)
            else:
                return


class SQLiteWarehouse(SqlWarehouse):
    """Tables in a SQLite file.

    :param connect: returns a ``sqlite3`` connection, e.g. ``SqliteHook.get_conn``.
    :param lock_timeout: seconds to wait for other writers.
    """

    capabilities = Capabilities("sqlite", identifier_length=255, single_writer_process=False)

    def __init__(self, connect: Callable[[], Any], lock_timeout: float = 600.0) -> None:
        super().__init__(connect, None)
        self.lock_timeout = lock_timeout
        self._connection: Any = None

    def close(self) -> None:
        """See the protocol."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Session:
        if self._connection is None:
            self._connection = _prepared(self._connect, min(BUSY_SECONDS, self.lock_timeout))
        return SQLiteSession(self._connection, "SQLite", self.lock_timeout, self.fault)

    def _done(self, session: Session) -> None:
        if session.failed is not None:
            self.close()


def _prepared(connect: Callable[[], Any], busy: float) -> Any:
    import sqlite3

    if sqlite3.sqlite_version_info < OLDEST:
        raise WarehouseError(
            f"SQLite {sqlite3.sqlite_version} is too old: "
            "Python's sqlite3 must bring 3.38 or newer."
        )
    try:
        connection = connect()
        connection.isolation_level = None
        connection.row_factory = None
        connection.execute(f"PRAGMA busy_timeout = {int(busy * 1000)}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error as error:
        raise WarehouseError(f"The SQLite file cannot be opened: {error}") from error
    return connection
