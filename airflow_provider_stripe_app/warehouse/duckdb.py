"""DuckDB: one file that one process at a time may have open for writing."""

from __future__ import annotations

import logging
import re
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from airflow_provider_stripe_app.api.split import Json
from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.base import Capabilities, WarehouseError
from airflow_provider_stripe_app.warehouse.duckdb_sql import DuckDBDialect
from airflow_provider_stripe_app.warehouse.session import Columns, Fault, Row, Session
from airflow_provider_stripe_app.warehouse.sql import identifier
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse

log = logging.getLogger(__name__)

_MESSAGE_EVERY = 5.0
_RETRY_EVERY = 0.25
_OUT_OF_MEMORY = re.compile("Out of Memory|failed to (?:allocate|pin) ")
_HOLDER = re.compile(r"lock is held in .*?\(PID \d+\)")

LINGER = 0.5
"""Seconds for which the file stays open after a transaction, waiting for the next one."""

HOLD = 10.0
"""Seconds after which the file is closed for a moment even in the middle of a load."""

MEMORY = 128 * 2**20
"""Bytes that DuckDB may use where the user has set no ``memory_limit``."""

INDEX_BYTES = 100
"""Bytes more for each row of a table with a primary key: its index must be in memory whole."""

THREADS = 2
"""Threads of DuckDB's within that memory, at most: each needs its share."""

CHECKPOINT = "256MB"
"""Size of the write-ahead log at which DuckDB empties it into the tables, unless one is set."""


class DuckDBSession(Session):
    """A transaction on a DuckDB connection.

    :param limited: its memory was limited by us, and will not be after it was short.
    """

    dialect = DuckDBDialect()

    def __init__(
        self, connection: Any, schema: str | None, fault: Fault | None, *, limited: bool = False
    ) -> None:
        super().__init__("DuckDB", fault)
        self.limited = limited
        self.connection = connection
        self.schema = schema
        self._views: set[str] = set()
        self.short_of_memory = False

    def ensure_schema(self) -> None:
        """See the base class."""
        if self.schema is not None:
            self.run("create schema", f"CREATE SCHEMA IF NOT EXISTS {identifier(self.schema)}")

    def table(self, name: str) -> str:
        """See the base class."""
        prefix = "" if self.schema is None else f"{identifier(self.schema)}."
        return f"{prefix}{identifier(name)}"

    def _run(self, statement: str, parameters: Sequence[Any]) -> int:
        found = self.connection.execute(statement, list(parameters)).fetchone()
        return found[0] if found and isinstance(found[0], int) else 0

    def _rows(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        return list(self.connection.execute(statement, list(parameters)).fetchall())

    def _load(self, table: str, columns: Sequence[tuple[str, ColumnType]], values: Columns) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]

        kinds = {"bigint": pa.int64(), "boolean": pa.bool_()}
        arrays = [
            _texts(column)
            if name == "raw"
            else pa.array(column, kinds.get(type_, pa.large_string()))
            for (name, type_), column in zip(columns, values, strict=True)
        ]
        # Arrow's memory is read where it is: what is staged is not copied once more.
        self.connection.register(table, pa.table(arrays, names=[name for name, _ in columns]))
        self._views.add(table)

    def drop(self, table: str) -> None:
        """See the base class."""
        if table in self._views:
            self._views.discard(table)
            self._guarded(f"drop {table}", lambda: self.connection.unregister(table))
        else:
            super().drop(table)

    def _columns(self, table: str) -> list[str]:
        rows = self.connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
            "AND schema_name = coalesce(?, current_schema()) AND table_name = ? "
            "ORDER BY column_index",
            [self.schema, table],
        ).fetchall()
        return [row[0] for row in rows]

    def _made_room(self, error: Exception) -> bool:
        if _OUT_OF_MEMORY.search(str(error)):
            self.short_of_memory = True
        return self.short_of_memory and self.limited

    def _begin(self) -> None:
        self.connection.execute("BEGIN TRANSACTION")

    def _commit(self) -> None:
        self.connection.execute("COMMIT")

    def _rollback(self) -> None:
        import duckdb

        try:
            self.connection.execute("ROLLBACK")
        except duckdb.TransactionException:
            log.debug("DuckDB had rolled back already")


class DuckDBWarehouse(SqlWarehouse):
    """Tables in a DuckDB file.

    The file is open during a transaction, and :data:`LINGER` seconds longer: with each closing
    DuckDB writes its newest row group (122,880 rows) anew, so a load that closed after every batch
    would write everything several times. Other processes get their turn every :data:`HOLD` seconds.

    :param connect: returns a DuckDB connection, e.g. ``DuckDBHook.get_conn``.
    :param schema: created if missing; the file's default schema if ``None``.
    :param lock_timeout: seconds to wait while another process has the file open.
    """

    capabilities = Capabilities("duckdb", identifier_length=255, single_writer_process=True)

    def __init__(
        self, connect: Callable[[], Any], schema: str | None = None, lock_timeout: float = 600.0
    ) -> None:
        super().__init__(connect, schema)
        self.lock_timeout = lock_timeout
        self._lock = threading.RLock()
        self._connection: Any = None
        self._opened_at = 0.0
        self._closing: threading.Timer | None = None
        self._limited = True
        self._was_short = False

    def close(self) -> None:
        """See the protocol."""
        with self._lock:
            self._stop_closing()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> Session:
        with self._lock:
            self._stop_closing()
            if self._connection is None:
                self._connection = open_patiently(self._connect, self.lock_timeout)
                self._opened_at = time.monotonic()
                if self._limited:
                    self._limited = bound(self._connection)
                elif self._was_short:  # other connections of this process can keep the limit alive
                    self._connection.execute("RESET memory_limit")
            return DuckDBSession(self._connection, self.schema, self.fault, limited=self._limited)

    def _done(self, session: Session) -> None:
        assert isinstance(session, DuckDBSession)  # noqa: S101
        if session.failed is not None:
            self.close()
            if self._limited and session.short_of_memory:
                self._limited, self._was_short = False, True
        elif time.monotonic() - self._opened_at >= HOLD:
            self.close()
            time.sleep(_RETRY_EVERY)  # whoever waits looks again within this time
        else:
            with self._lock:
                self._closing = threading.Timer(LINGER, self._close_if_idle)
                self._closing.daemon = True
                self._closing.start()

    def _stop_closing(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _close_if_idle(self) -> None:
        with self._lock:
            # A transaction that has begun meanwhile has taken the timer away.
            if self._closing is threading.current_thread():
                self.close()


def bound(connection: Any) -> bool:
    """Keep DuckDB's memory within bounds, unless the user has set some.

    What has not reached the file's tables yet is kept in memory and in the write-ahead log: fewer,
    larger checkpoints cost a third of the CPU, and what is beyond the limit goes to a temporary
    file.

    :return: whether the memory is limited by this.
    """
    found = connection.execute("SELECT name, value FROM duckdb_settings()").fetchall()
    settings, defaults = dict(found), _defaults()
    if settings["checkpoint_threshold"] == defaults["checkpoint_threshold"]:
        connection.execute(f"SET checkpoint_threshold = '{CHECKPOINT}'")
    if settings["memory_limit"] != defaults["memory_limit"]:
        return False
    if settings["threads"] == defaults["threads"]:
        connection.execute(f"SET threads = {min(int(settings['threads']), THREADS)}")
    indexed = connection.execute(
        "SELECT coalesce(sum(estimated_size), 0) FROM duckdb_tables() WHERE has_primary_key"
    ).fetchone()[0]
    connection.execute(f"SET memory_limit = '{MEMORY + INDEX_BYTES * int(indexed)}B'")
    return True


@lru_cache(maxsize=1)
def _defaults() -> Mapping[str, str]:
    """Return DuckDB's settings where nobody has set any."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        return dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())


def open_patiently(connect: Callable[[], Any], timeout: float) -> Any:
    """Open the file, waiting while another process has it.

    :param timeout: seconds.
    :raises WarehouseError: naming file and holder as DuckDB reports them, after the timeout, and at
        once for any other trouble.
    """
    import duckdb

    started = told = time.monotonic()
    while True:
        try:
            return connect()
        except duckdb.Error as error:
            now, why = time.monotonic(), _first_line(error)
            if "lock" not in why.lower():
                raise WarehouseError(f"The DuckDB file cannot be opened: {why}") from error
            if now - started >= timeout:
                raise WarehouseError(
                    f"The DuckDB file is still open in another process after {timeout:.0f} s: "
                    f"{why} Close that program; only one process at a time may write."
                ) from error
            if told == started or now - told >= _MESSAGE_EVERY:
                holder = _HOLDER.search(why)
                log.info(
                    "DuckDB file in use (%s); waiting", holder.group() if holder else "lock held"
                )
                told = now
            time.sleep(_RETRY_EVERY)


def _texts(texts: Sequence[Json]) -> Any:
    """Return an Arrow array of texts, none of them null, in one copy."""
    import pyarrow as pa

    pieces = [text.encode() if isinstance(text, str) else text for text in texts]
    ends = array("q", accumulate((len(piece) for piece in pieces), initial=0))
    return pa.LargeStringArray.from_buffers(
        len(pieces), pa.py_buffer(ends), pa.py_buffer(b"".join(pieces))
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
