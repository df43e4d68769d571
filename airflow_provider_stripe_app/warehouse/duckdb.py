"""DuckDB: one file that one process at a time may have open for writing."""

from __future__ import annotations

import json
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
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.dialect import LATEST_SECOND, Dialect, Fitting, lost
from airflow_provider_stripe_app.warehouse.session import Columns, Fault, Row, Session
from airflow_provider_stripe_app.warehouse.sql import PARSED, assign, identifier, literal, names
from airflow_provider_stripe_app.warehouse.sqlite import json_path
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse

log = logging.getLogger(__name__)

LINGER = 0.5
"""Seconds for which the file stays open after a transaction, waiting for the next one."""

HOLD = 10.0
"""Seconds after which the file is closed for a moment even in the middle of a load."""

MEMORY = 192 * 2**20
"""Bytes that DuckDB may use where the user has set no ``memory_limit``."""

INDEX_BYTES = 100
"""Bytes more for each row of a table with a primary key: its index must be in memory whole."""

CHECKPOINT, DEFAULT_CHECKPOINT = "256MB", "16.0 MiB"
"""Size of the write-ahead log at which DuckDB writes it into the tables, where nobody has set it."""

_FITTING: Mapping[str, str] = {
    "text": "VARCHAR",
    "decimal": "VARCHAR",
    "bigint": "BIGINT",
    "timestamp": "BIGINT",
    "boolean": "BOOLEAN",
}

_MESSAGE_EVERY = 5.0
_RETRY_EVERY = 0.25
_HOLDER = re.compile(r"lock is held in .*?\(PID \d+\)")


class DuckDBDialect(Dialect):
    """Typing from a struct of JSON leaves; ``->>`` per column would parse each time (DESIGN §5)."""

    name = "duckdb"
    child_index = False  # scans are fast, and DuckDB's indexes make updates dearer
    row_key = False  # its index must be in memory whole: 64 bytes a row, and a sixth of the CPU
    types: Mapping[ColumnType, str] = {
        "text": "VARCHAR",
        "bigint": "BIGINT",
        "boolean": "BOOLEAN",
        "timestamp": "TIMESTAMPTZ",
        "decimal": "VARCHAR",
        "json": "JSON",
    }

    def incoming(self, column: str) -> str:
        """See the base class."""
        return f"s.{identifier(column)}"

    def upsert(
        self,
        target: str,
        columns: Sequence[str],
        select: str,
        key: Sequence[str],
        updates: Sequence[tuple[str, str]],
    ) -> str:
        """See the base class; MERGE needs no index, unlike ON CONFLICT."""
        match = " AND ".join(f"t.{name} = s.{name}" for name in map(identifier, key))
        action = f"WHEN MATCHED THEN UPDATE SET {assign(updates)} " if updates else ""
        return (
            f"MERGE INTO {target} AS t USING ({select}) AS s({names(columns)}) ON {match} {action}"
            f"WHEN NOT MATCHED THEN INSERT ({names(columns)}) "
            f"VALUES ({', '.join(self.incoming(name) for name in columns)})"
        )

    def keyed(self, target: str, stage: str) -> str:
        """See the base class; joined by row number, DuckDB does not read whole documents of others.

        Measured with 300,000 rows of 1 KB and 5,000 staged: 0.04 s instead of 0.3 s.
        """
        return (
            f"(SELECT * FROM {target} WHERE rowid IN (SELECT k.rowid FROM {stage} AS s "
            f"JOIN {target} AS k ON k.account_id = s.account_id AND k.id = s.id))"
        )

    def clock(self) -> str:
        """See the base class: this machine's clock is the file's."""
        return f"{time.time()!r}::DOUBLE"

    def timestamp(self, seconds: str) -> str:
        """See the base class."""
        return f"to_timestamp({seconds})"

    def seconds(self, moment: str) -> str:
        """See the base class."""
        return f"epoch({moment})::BIGINT"

    def parsed(self, source: str, slots: Sequence[Slot]) -> str | None:
        """See the base class."""
        shape = Shape(slots)
        cells = [f"from_json(doc, {literal(json.dumps(shape.struct))}) AS s"]
        cells += [
            f"nullif(json_extract(doc, {json_path(path)})::VARCHAR, 'null')::JSON AS {name}"
            for name, path in shape.apart.items()
        ]
        return f"SELECT seq, {', '.join(cells)} FROM ({source})"

    def fitting(self, source: str, slots: Sequence[Slot]) -> Fitting | None:
        """See the base class: one ``from_json`` into a struct of the columns' own types."""
        shape = Shape(slots, _FITTING)
        if shape.apart:
            return None
        struct = f"SELECT d.*, from_json(d.doc, {literal(json.dumps(shape.struct))}) AS s"
        cells = [
            f"to_timestamp(d.{leaf})" if slot.type == "timestamp" else f"d.{leaf}"
            for slot, leaf in zip(slots, shape.leaves, strict=True)
        ]
        return Fitting(f"({struct} FROM ({source}) AS d) AS d", cells)

    def typed(self, source: str, slots: Sequence[Slot]) -> str:
        """See the base class."""
        cells = ", ".join(
            f"{_expression(slot, leaf)} AS {identifier(slot.name)}"
            for slot, leaf in zip(slots, Shape(slots).leaves, strict=True)
        )
        return f"SELECT seq, {cells} FROM {self.temp(PARSED)}"

    def misfits(self, typed: str, source: str, slots: Sequence[Slot]) -> str:
        """See the base class."""
        return lost(self.temp(PARSED), Shape(slots).leaves, typed, slots)


class Shape:
    """The struct into which one call parses a document.

    Keys of a struct are case-insensitive and a key has one meaning, so a field that clashes
    (``Foo`` beside ``foo``, or a path through another slot's value) is taken out apart.

    :param types: type of a leaf by the slot's; ``JSON`` for all by default.
    :ivar struct: nested keys, leaves are types.
    :ivar apart: column name → path of the fields that are not in the struct.
    :ivar leaves: expression per slot; NULL for missing and null.
    """

    def __init__(self, slots: Sequence[Slot], types: Mapping[str, str] | None = None) -> None:
        self._types = types or {}
        self.struct: dict[str, Any] = {}
        self.apart: dict[str, Sequence[str]] = {}
        self.leaves = [self._place(slot) for slot in slots]
        if not self.struct:
            self.struct["id"] = "JSON"  # a struct cannot be empty

    def _place(self, slot: Slot) -> str:
        path = slot.path
        level, outer = self.struct, path[:-1]
        fits = not _clashes(level, path)
        if fits:
            for key in outer:
                level = level.setdefault(key, {})
            level[path[-1]] = self._types.get(slot.type, "JSON")
            return "s." + ".".join(identifier(key) for key in path)
        name = f"x{len(self.apart)}"
        self.apart[name] = path
        return name


def _clashes(level: dict[str, Any], path: Sequence[str]) -> bool:
    """Tell whether a path cannot be added to a nested struct."""
    for depth, key in enumerate(path):
        last = depth == len(path) - 1
        if key not in level:
            return key.lower() in {other.lower() for other in level}
        if last or not isinstance(level[key], dict):
            return True
        level = level[key]
    return True


def _expression(slot: Slot, leaf: str) -> str:
    """Type one leaf (JSON). A JSON integer is told by its text: a cast would round 1.5 to 2."""
    text = f"{leaf}::VARCHAR"
    if slot.type == "json":
        return leaf
    integer = f"CASE WHEN regexp_full_match({text}, '-?[0-9]+') THEN TRY_CAST({text} AS BIGINT) END"
    if slot.type == "bigint":
        return integer
    if slot.type == "boolean":
        return f"CASE {text} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
    if slot.type == "timestamp":
        moment = f"to_timestamp({integer})"
        return f"CASE WHEN ({integer}) BETWEEN 0 AND {LATEST_SECOND} THEN {moment} END"
    # Few functions on purpose: binding them costs more than running them on a small batch.
    string = f"WHEN 'VARCHAR' THEN {leaf} ->> '$'"
    if slot.expandable:
        inner = f"CASE json_type({leaf}, '$.id') WHEN 'VARCHAR' THEN {leaf} ->> '$.id' END"
        string += f" WHEN 'OBJECT' THEN {inner}"
    return f"CASE json_type({leaf}) {string} END"


class DuckDBSession(Session):
    """A transaction on a DuckDB connection."""

    dialect = DuckDBDialect()

    def __init__(self, connection: Any, schema: str | None, fault: Fault | None) -> None:
        super().__init__("DuckDB", fault)
        self.connection = connection
        self.schema = schema

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
        view = f"{table}_arrow"
        self.connection.register(view, pa.table(arrays, names=[name for name, _ in columns]))
        try:
            self.connection.execute(
                self.dialect.create_temp(table, f"SELECT * FROM {identifier(view)}")
            )
        finally:
            self.connection.unregister(view)

    def _columns(self, table: str) -> list[str]:
        rows = self.connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
            "AND schema_name = coalesce(?, current_schema()) AND table_name = ? "
            "ORDER BY column_index",
            [self.schema, table],
        ).fetchall()
        return [row[0] for row in rows]

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
                self._connection = _prepared(open_patiently(self._connect, self.lock_timeout))
                self._opened_at = time.monotonic()
            return DuckDBSession(self._connection, self.schema, self.fault)

    def _done(self, session: Session) -> None:
        if session.failed is not None:
            self.close()
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


def _prepared(connection: Any) -> Any:
    """Keep DuckDB's memory within bounds, unless the user has set some.

    What has not reached the file's tables yet is kept in memory and in the write-ahead log: fewer,
    larger checkpoints cost a third of the CPU, and what is beyond the limit goes to a temporary
    file.
    """
    rows = connection.execute(
        "SELECT name, value FROM duckdb_settings() "
        "WHERE name IN ('memory_limit', 'checkpoint_threshold')"
    ).fetchall()
    settings = dict(rows)
    if settings["checkpoint_threshold"] == DEFAULT_CHECKPOINT:
        connection.execute(f"SET checkpoint_threshold = '{CHECKPOINT}'")
    if settings["memory_limit"] == _default_memory_limit():
        indexed = connection.execute(
            "SELECT coalesce(sum(estimated_size), 0) FROM duckdb_tables() WHERE has_primary_key"
        ).fetchone()[0]
        limit = MEMORY + INDEX_BYTES * int(indexed)
        connection.execute(f"SET memory_limit = '{limit}B'")
    return connection


@lru_cache(maxsize=1)
def _default_memory_limit() -> str:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        found = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    return str(found[0]) if found else ""


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
