"""MariaDB, by mysqlclient or mysql-connector-python, whichever the hook brings.

Two things differ from the other warehouses. Changing a table commits the transaction it is done
in, so that is done on a connection of its own (:meth:`MySQLSession.layout`). And JSON is typed by
the reference in Python: MariaDB's own functions look through the document from its beginning for
each column (3 ms for an invoice of 4 KB with 147 columns, Python 0.1 ms).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.streams.rows import typed_values
from airflow_provider_stripe_app.warehouse.base import Capabilities, WarehouseError
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.mysql_sql import MySQLDialect
from airflow_provider_stripe_app.warehouse.session import Columns, Fault, Row, Session
from airflow_provider_stripe_app.warehouse.sql import TYPED, identifier, names
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse

_STATEMENT_BYTES = 1_000_000
"""About how long one INSERT of staged rows is; the server takes 16 MB unless told otherwise."""

_LOCK_SECONDS = 600

_SETTINGS = (
    # Ours are written with double quotes around names and no meaning in backslashes.
    "SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,"
    "NO_ENGINE_SUBSTITUTION'",
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET SESSION time_zone = '+00:00'",
    # Rows that another run commits while we wait for its lock must be seen.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    # A row is refused when it really is too long, not when its columns might be.
    "SET SESSION innodb_strict_mode = OFF",
)

_SCHEMA_EXISTS = "SELECT 1 FROM information_schema.schemata WHERE schema_name = ?"

_OLDEST = (10, 5)
"""First MariaDB that renames columns without being told their type."""


class MySQLSession(Session):
    """A transaction on a DB-API connection.

    :param another: opens a second connection.
    """

    dialect = MySQLDialect()

    def __init__(
        self,
        connection: Any,
        schema: str | None,
        fault: Fault | None,
        another: Callable[[], Any],
    ) -> None:
        super().__init__("MariaDB", fault)
        self.connection = connection
        self.schema = schema
        self._another = another
        self._locked = False

    def ensure_schema(self) -> None:
        """See the base class."""
        if self.schema is None:
            return
        there = self.rows("look at schema", _SCHEMA_EXISTS, (self.schema,))
        if not there:  # asked first: CREATE needs a right that many users lack
            self.run("create schema", f"CREATE DATABASE {identifier(self.schema)}")
        self.run("use schema", f"USE {identifier(self.schema)}")

    def table(self, name: str) -> str:
        """See the base class."""
        prefix = "" if self.schema is None else f"{identifier(self.schema)}."
        return f"{prefix}{identifier(name)}"

    @contextmanager
    def layout(self) -> Iterator[Session]:
        """See the base class: a connection of its own, where each statement is committed."""
        connection = self._another()
        try:
            session = MySQLSession(connection, self.schema, self.fault, self._another)
            session.run("bound the wait", "SET SESSION lock_wait_timeout = 60")
            session.lock("layout")
            yield session
        finally:
            connection.close()

    def lock_ddl(self) -> bool:
        """See the base class: :meth:`layout` holds the lock."""
        return True

    def lock_obligations(self, account_id: str) -> None:
        """See the base class."""
        self.lock(account_id)

    def lock(self, what: str) -> None:
        """Take a lock of the server's by name; given back when the transaction is over.

        :raises WarehouseError: if it is held by another for ten minutes.
        """
        self._locked = True
        name = f"stripe_sync.{what}"[:64]
        if self.rows("lock", f"SELECT get_lock(?, {_LOCK_SECONDS})", (name,)) != [(1,)]:
            self.spoil("lock")
            raise WarehouseError(
                f"{self.where}: another run has held the lock {name} for {_LOCK_SECONDS} s: "
                "let it finish, or end its connection."
            )

    def rollback(self) -> None:
        """See the base class; temporary tables outlive it, so the connection is dropped."""
        super().rollback()
        self.spoil("rollback")

    def after_commit(self) -> None:
        """See the base class."""
        self._rollback()

    def type_documents(self, source: str, slots: Sequence[Slot]) -> Mapping[str, int] | None:
        """See the base class: in Python, see the module."""
        misfits: dict[str, int] = {}
        columns: list[list[Any]] = [[] for _ in range(len(slots) + 1)]
        for seq, document in self.rows("read documents", f"SELECT seq, doc FROM ({source}) AS d"):
            values, wrong = typed_values(slots, document)
            columns[0].append(seq)
            for place, slot in enumerate(slots, start=1):
                columns[place].append(values[slot.name])
            for name in wrong:
                misfits[name] = misfits.get(name, 0) + 1
        layout: list[tuple[str, ColumnType]] = [("seq", "bigint")]
        self.load(TYPED, [*layout, *((slot.name, slot.type) for slot in slots)], columns)
        return misfits

    def _run(self, statement: str, parameters: Sequence[Any]) -> int:
        cursor = self._execute(statement, parameters)
        if cursor.description is not None:
            cursor.fetchall()
        written = max(int(cursor.rowcount), 0)
        cursor.close()
        return written

    def _rows(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        cursor = self._execute(statement, parameters)
        rows = [tuple(row) for row in cursor.fetchall()]
        cursor.close()
        return rows

    def _execute(self, statement: str, parameters: Sequence[Any]) -> Any:
        cursor = self.connection.cursor()
        if parameters:
            statement = statement.replace("%", "%%").replace("?", "%s")
            cursor.execute(statement, tuple(parameters))
        else:
            cursor.execute(statement)
        return cursor

    def _load(self, table: str, columns: Sequence[tuple[str, ColumnType]], values: Columns) -> None:
        name = self.dialect.temp(table)
        cells = [
            f"{identifier(column)} {self.dialect.sized(column, type_)}" for column, type_ in columns
        ]
        if columns[0][0] == "seq":
            cells.append("PRIMARY KEY (seq)")
        self._run(f"CREATE TEMPORARY TABLE {name} ({', '.join(cells)})", ())
        # The driver takes its time over each value, also for the many that are never there.
        used = [place for place, column in enumerate(values) if any(v is not None for v in column)]
        into = f"INSERT INTO {name} ({names(columns[place][0] for place in used)}) VALUES "
        marks = f"({', '.join(['%s'] * len(used))})"
        for rows in _chunks(zip(*(values[place] for place in used), strict=True)):
            flat = [value for row in rows for value in row]
            cursor = self.connection.cursor()
            cursor.execute(into + ", ".join([marks] * len(rows)), flat)
            cursor.close()

    def _columns(self, table: str) -> list[str]:
        rows = self._rows(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = coalesce(?, database()) AND table_name = ? "
            "ORDER BY ordinal_position",
            (self.schema, table),
        )
        return [row[0] for row in rows]

    def _begin(self) -> None:
        self._run("START TRANSACTION", ())

    def _commit(self) -> None:
        self._run("COMMIT", ())
        self._unlock()

    def _rollback(self) -> None:
        self._run("ROLLBACK", ())
        self._unlock()

    def _unlock(self) -> None:
        if self._locked:
            self._run("SELECT release_all_locks()", ())
            self._locked = False


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Cut rows into statements that a server takes."""
    some: list[Row] = []
    size = 0
    for row in rows:
        plain = tuple(map(_plain, row))
        some.append(plain)
        size += sum(len(value) if isinstance(value, str) else 8 for value in plain)
        if size >= _STATEMENT_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return str(value, "utf-8")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return value


class MySQLWarehouse(SqlWarehouse):
    """Tables in a database of a MariaDB server.

    :param connect: returns a mysqlclient or mysql-connector-python connection, e.g.
        ``MySqlHook.get_conn``.
    :param schema: the database, created if missing; the connection's own if ``None``.
    """

    capabilities = Capabilities(
        "mysql",
        identifier_length=64,
        single_writer_process=False,
        transactional_ddl=False,
    )

    def __init__(self, connect: Callable[[], Any], schema: str | None = None) -> None:
        super().__init__(connect, schema)
        self._connection: Any = None

    def close(self) -> None:
        """See the protocol."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Session:
        if self._connection is None:
            self._connection = self._prepared()
        return MySQLSession(self._connection, self.schema, self.fault, self._prepared)

    def _done(self, session: Session) -> None:
        if session.failed is not None:
            self.close()

    def _prepared(self) -> Any:
        try:
            connection = self._connect()
            cursor = connection.cursor()
            cursor.execute("SELECT version()")
            _refuse_others(str(cursor.fetchall()[0][0]))
            for setting in _SETTINGS:
                cursor.execute(setting)
            if self.schema is not None:
                cursor.execute(_SCHEMA_EXISTS.replace("?", "%s"), (self.schema,))
                if cursor.fetchall():
                    cursor.execute(f"USE {identifier(self.schema)}")  # temporary tables need one
            cursor.close()
        except WarehouseError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines()
            raise WarehouseError(
                f"MariaDB cannot be reached: {lines[0] if lines else type(error).__name__}"
            ) from error
        return connection


def _refuse_others(version: str) -> None:
    """Refuse a server that this was never tried on.

    :raises WarehouseError: naming the version.
    """
    found = re.search(r"(\d+)\.(\d+)\.\d+-MariaDB", version)
    if found is None:
        raise WarehouseError(
            f"The server is MySQL {version}, and only MariaDB is supported: its SQL differs from "
            "MySQL's. Use a MariaDB server, or another type of warehouse."
        )
    if (int(found[1]), int(found[2])) < _OLDEST:
        raise WarehouseError(f"MariaDB {version} is too old: 10.5 or newer is needed.")
