"""PostgreSQL, by psycopg 3 or psycopg2, whichever the hook brings."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.base import Capabilities, WarehouseError
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.dialect import (
    INT64_MAX,
    INT64_MIN,
    LATEST_SECOND,
    Dialect,
    Fitting,
)
from airflow_provider_stripe_app.warehouse.postgres_copy import Chunks, copy_binary
from airflow_provider_stripe_app.warehouse.session import Columns, Fault, Row, Session
from airflow_provider_stripe_app.warehouse.sql import identifier, literal
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse

PRESENT = "_stripe_sync_present"
"""Column of the typed table: how many slots are present and not null in the document."""

_DDL_LOCK = 0x5354_5249_5045  # "STRIPE": one advisory lock for all changes of tables
_OWED_LOCK = 0x4F57_4544  # "OWED": one advisory lock per account for its obligations
_ARGUMENTS = 90  # a function takes at most 100
_DOCUMENTS = frozenset({"raw", "typed_from", "payload"})
_NAME_LENGTH = 63
_PAGE = 8160  # the most that PostgreSQL allows

_FITTING: Mapping[ColumnType, str] = {
    "text": "text",
    "decimal": "text",
    "bigint": "bigint",
    "timestamp": "bigint",
    "boolean": "boolean",
    "json": "jsonb",
}
"""Types that a record takes from a document that is known to fit."""


class PostgresDialect(Dialect):
    """Typing from ``json_to_record``: one parse, and leaves keep their spelling (jsonb: 1000)."""

    name = "postgres"
    types: Mapping[ColumnType, str] = {
        "text": "TEXT",
        "bigint": "BIGINT",
        "boolean": "BOOLEAN",
        "timestamp": "TIMESTAMPTZ",
        "decimal": "TEXT",
        "json": "JSONB",
    }

    def temp(self, name: str) -> str:
        """See the base class."""
        return f"pg_temp.{identifier(name)}"

    def clock(self) -> str:
        """See the base class: the server's clock, which goes on during a transaction."""
        return "extract(epoch FROM clock_timestamp())::double precision"

    def timestamp(self, seconds: str) -> str:
        """See the base class."""
        return f"to_timestamp({seconds})"

    def seconds(self, moment: str) -> str:
        """See the base class."""
        return f"extract(epoch FROM {moment})::bigint"

    def fitting(self, source: str, slots: Sequence[Slot]) -> Fitting | None:
        """See the base class: the record's fields have the columns' own types."""
        try:
            tree = _Tree(slots, _FITTING)
        except _NoTree:
            return None
        cells = [
            f"to_timestamp({leaf})" if slot.type == "timestamp" else leaf
            for slot, leaf in zip(slots, tree.leaves, strict=True)
        ]
        return Fitting(f"({source}) AS d {tree.joins}", cells)

    def typed(self, source: str, slots: Sequence[Slot]) -> str:
        """See the base class."""
        tree = _Tree(slots)
        cells = ", ".join(
            f"{_expression(slot, leaf)} AS {identifier(slot.name)}"
            for slot, leaf in zip(slots, tree.leaves, strict=True)
        )
        return (
            f"SELECT seq, {_nonnulls(tree.leaves)} AS {PRESENT}, {cells} "
            f"FROM ({source}) AS d {tree.joins}"
        )

    def misfits(self, typed: str, source: str, slots: Sequence[Slot]) -> str:
        """See the base class; only documents that have a misfit are parsed again."""
        tree = _Tree(slots)
        columns = [f"y.{identifier(slot.name)}" for slot in slots]
        counts = ", ".join(
            f"count({leaf}) - count({column})"
            for leaf, column in zip(tree.leaves, columns, strict=True)
        )
        return (
            f"SELECT {counts} FROM (SELECT * FROM {typed} AS y WHERE {PRESENT} <> "
            f"{_nonnulls(columns)} OFFSET 0) AS y "
            f"JOIN ({source}) AS d ON d.seq = y.seq {tree.joins}"
        )


class _Tree:
    """The lateral joins that take a document apart, one ``json_to_record`` per nested object.

    :param types: type of a leaf by the slot's; ``json`` for all by default.
    :ivar leaves: expression per slot; NULL for missing and null.
    """

    def __init__(
        self, slots: Sequence[Slot], types: Mapping[ColumnType, str] | None = None
    ) -> None:
        self._records: dict[tuple[str, ...], dict[str, str]] = {(): {}}
        self._types = {} if types is None else {s.path: types[s.type] for s in slots}
        if types is not None and not _is_tree([slot.path for slot in slots]):
            raise _NoTree
        self.leaves = [self._leaf(slot.path) for slot in slots]
        self.joins = " ".join(self._join(path) for path in sorted(self._records, key=len))

    def _leaf(self, path: tuple[str, ...]) -> str:
        outer = path[:-1]
        for depth in range(len(outer)):
            self._field(outer[: depth + 1])
            self._records.setdefault(outer[: depth + 1], {})
        return self._field(path)

    def _field(self, path: tuple[str, ...]) -> str:
        if len(path[-1].encode()) > _NAME_LENGTH:
            return self._by_operator(path)
        record = self._records[path[:-1]]
        record.setdefault(path[-1], identifier(path[-1]))
        return f"{self._alias(path[:-1])}.{record[path[-1]]}"

    def _by_operator(self, path: tuple[str, ...]) -> str:
        """Return a field whose key is too long to be the name of a record's column."""
        value = f"{self._document(path[:-1])} -> {literal(path[-1])}"
        return f"(SELECT v FROM (SELECT {value}) AS q(v) WHERE json_typeof(v) <> 'null')"

    def _document(self, path: tuple[str, ...]) -> str:
        if not path:
            return "d.doc::json"
        holder = self._field(path)
        if self._types:  # known to be an object or nothing
            return holder
        return f"CASE WHEN json_typeof({holder}) = 'object' THEN {holder} END"

    def _alias(self, path: tuple[str, ...]) -> str:
        return f"r{list(self._records).index(path)}"

    def _join(self, path: tuple[str, ...]) -> str:
        fields = ", ".join(
            f"{column} {self._types.get((*path, key), 'json')}"
            for key, column in self._records[path].items()
        )
        if not fields:
            return ""
        record = f"json_to_record({self._document(path)}) AS {self._alias(path)}({fields})"
        return f"LEFT JOIN LATERAL {record} ON TRUE"


class _NoTree(Exception):
    """The paths cannot be taken out as records of typed columns."""


def _is_tree(paths: Sequence[tuple[str, ...]]) -> bool:
    """Tell whether no path goes through another's value, and all keys can be columns' names."""
    through = {path[:depth] for path in paths for depth in range(1, len(path))}
    short = all(len(key.encode()) <= _NAME_LENGTH for path in paths for key in path)
    return short and through.isdisjoint(paths)


def _nonnulls(expressions: Sequence[str]) -> str:
    chunks = (
        ", ".join(expressions[start : start + _ARGUMENTS])
        for start in range(0, len(expressions), _ARGUMENTS)
    )
    return "(" + " + ".join(f"num_nonnulls({chunk})" for chunk in chunks) + ")"


def _expression(slot: Slot, leaf: str) -> str:
    """Type one leaf (json). CASE keeps a cast from running on what it cannot take."""
    text = f"{leaf}::text"
    if slot.type == "json":
        return f"{leaf}::jsonb"
    if slot.type == "bigint":
        return (
            f"CASE WHEN {text} ~ '^-?[0-9]{{1,18}}$' THEN {text}::bigint "
            f"WHEN {text} ~ '^-?[0-9]{{19}}$' THEN CASE WHEN {text}::numeric "
            f"BETWEEN {INT64_MIN} AND {INT64_MAX} THEN {text}::bigint END END"
        )
    if slot.type == "boolean":
        return f"CASE {text} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
    if slot.type == "timestamp":
        return (
            f"CASE WHEN {text} ~ '^-?[0-9]{{1,12}}$' THEN CASE WHEN {text}::bigint "
            f"BETWEEN 0 AND {LATEST_SECOND} THEN to_timestamp({text}::bigint) END END"
        )
    arms = f"WHEN 'string' THEN {leaf} #>> '{{}}'"
    if slot.expandable:
        inner = f"({leaf} -> 'id')"
        arms += (
            f" WHEN 'object' THEN CASE json_typeof({inner}) WHEN 'string' THEN {leaf} ->> 'id' END"
        )
    return f"CASE json_typeof({leaf}) {arms} END"


class PostgresSession(Session):
    """A transaction on a psycopg 3 or psycopg2 connection."""

    dialect = PostgresDialect()

    def __init__(self, connection: Any, schema: str, fault: Fault | None) -> None:
        super().__init__("PostgreSQL", fault)
        self.connection = connection
        self.schema = schema

    def ensure_schema(self) -> None:
        """See the base class."""
        there = self.rows(
            "look at schema", "SELECT 1 FROM pg_namespace WHERE nspname = ?", (self.schema,)
        )
        if not there:  # asked first: CREATE needs a right that many users lack
            self.run("create schema", f"CREATE SCHEMA {identifier(self.schema)}")

    def table(self, name: str) -> str:
        """See the base class."""
        return f"{identifier(self.schema)}.{identifier(name)}"

    def lock_ddl(self) -> bool:
        """See the base class; held until the end of the transaction."""
        self.rows("lock for DDL", f"SELECT pg_advisory_xact_lock({_DDL_LOCK})")
        return True

    def lock_obligations(self, account_id: str) -> None:
        """See the base class; held until the end of the transaction."""
        lock = f"SELECT pg_advisory_xact_lock({_OWED_LOCK}, hashtext(?))"
        self.rows("lock obligations", lock, (account_id,))

    def after_commit(self) -> None:
        """See the base class."""
        self._rollback()

    def _cursor(self) -> Any:
        """Return a cursor that gives tuples, whatever row type the user's connection asks for."""
        if hasattr(self.connection, "row_factory"):
            from psycopg.rows import tuple_row

            return self.connection.cursor(row_factory=tuple_row)
        from psycopg2.extensions import cursor  # type: ignore[import-untyped]

        return self.connection.cursor(cursor_factory=cursor)

    def _run(self, statement: str, parameters: Sequence[Any]) -> int:
        with self._cursor() as cursor:
            _execute(cursor, statement, parameters)
            return max(int(cursor.rowcount), 0)

    def _rows(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        with self._cursor() as cursor:
            _execute(cursor, statement, parameters)
            return list(cursor.fetchall())

    def _load(self, table: str, columns: Sequence[tuple[str, ColumnType]], values: Columns) -> None:
        cells = ", ".join(
            f"{identifier(name)} {self.dialect.types[type_]}" for name, type_ in columns
        )
        name = self.dialect.temp(table)
        copy = f"COPY {name} FROM STDIN (FORMAT BINARY)"
        with self._cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE {identifier(table)} ({cells})")
            documents = sorted(_DOCUMENTS & {name for name, _ in columns})
            for column in documents:
                # What lives for one transaction is not worth compressing.
                cursor.execute(f"ALTER TABLE {name} ALTER {column} SET STORAGE EXTERNAL")
            if documents:  # nor worth a table of its own, as long as it fits a page
                cursor.execute(f"ALTER TABLE {name} SET (toast_tuple_target = {_PAGE})")
            if hasattr(cursor, "copy"):  # psycopg 3
                with cursor.copy(copy) as sink:
                    for chunk in copy_binary(columns, values, self.connection.info.encoding):
                        sink.write(chunk)
            else:
                from psycopg2.extensions import encodings

                encoding = codecs.lookup(encodings[self.connection.encoding]).name
                cursor.copy_expert(copy, Chunks(copy_binary(columns, values, encoding)))
            # Nothing analyses temporary tables by itself, and a wrong guess scans the target.
            cursor.execute(f"ANALYZE {name} (id)")

    def _columns(self, table: str) -> list[str]:
        return [
            row[0]
            for row in self._rows(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(?) "
                "AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                (self.table(table),),
            )
        ]

    def _begin(self) -> None:
        # Rows that another run commits while we wait for its lock must be seen.
        self._run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", ())
        # Compiling a hundred columns' expressions takes longer than a batch.
        self._run("SET LOCAL jit = off", ())
        # pglz takes as long for a document as parsing it; not every server has been built with lz4.
        self._rows(
            "SELECT set_config(name, 'lz4', true) FROM pg_settings "
            "WHERE name = 'default_toast_compression' AND setting = 'pglz' "
            "AND 'lz4' = ANY(enumvals)",
            (),
        )

    def _commit(self) -> None:
        self.connection.commit()

    def _rollback(self) -> None:
        self.connection.rollback()


def _execute(cursor: Any, statement: str, parameters: Sequence[Any]) -> None:
    """Execute; statements are written with ``?``, psycopg wants ``%s``."""
    if parameters:
        cursor.execute(statement.replace("%", "%%").replace("?", "%s"), tuple(parameters))
    else:
        cursor.execute(statement)


class PostgresWarehouse(SqlWarehouse):
    """Tables in a PostgreSQL schema.

    :param connect: returns a psycopg 3 or psycopg2 connection, e.g. ``PostgresHook.get_conn``.
    :param schema: created if missing.
    """

    capabilities = Capabilities(
        "postgres", identifier_length=_NAME_LENGTH, single_writer_process=False
    )

    def __init__(self, connect: Callable[[], Any], schema: str = "public") -> None:
        super().__init__(connect, schema)
        self._connection: Any = None

    def close(self) -> None:
        """See the protocol."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Session:
        assert self.schema is not None  # noqa: S101
        if self._connection is None:
            try:
                self._connection = self._connect()
                self._connection.autocommit = False
                if hasattr(self._connection, "prepare_threshold"):
                    # psycopg 3: no statement is sent often, and poolers dislike prepared ones.
                    self._connection.prepare_threshold = None
            except Exception as error:
                lines = str(error).strip().splitlines()
                raise WarehouseError(
                    f"PostgreSQL cannot be reached: {lines[0] if lines else type(error).__name__}"
                ) from error
        return PostgresSession(self._connection, self.schema, self.fault)

    def _done(self, session: Session) -> None:
        if session.failed is not None:
            self.close()
