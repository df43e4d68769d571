"""Each warehouse, really there, read back in one spelling so that the three can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_provider_stripe_app.streams.model import Column, Stream
from airflow_provider_stripe_app.streams.rows import canonical
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    Claim,
    StagedChild,
    StagedRow,
    StateKey,
    TableChange,
)
from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse
from airflow_provider_stripe_app.warehouse.postgres import PostgresWarehouse
from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse

ACCOUNT = "acct_1"
COLUMNS = (
    Column("id", ("id",), "text"),
    Column("amount", ("amount",), "bigint"),
    Column("paid", ("paid",), "boolean"),
    Column("name", ("name",), "text"),
    Column("created", ("created",), "timestamp"),
    Column("rate", ("rate",), "decimal"),
    Column("metadata", ("metadata",), "json"),
    Column("customer", ("customer",), "text", expandable=True),
    Column("address_city", ("address", "city"), "text"),
    Column("address_geo_lat", ("address", "geo", "lat"), "bigint"),
    Column("order", ("order",), "text"),
    Column("select", ("select", "from"), "text"),
)
THINGS = Stream("things", "thing", "thing_read", "/v1/things", "/v1/things/{id}", columns=COLUMNS)
PARTS = Stream(
    "parts",
    "part",
    "thing_read",
    "/v1/things/{parent}/parts",
    columns=(Column("id", ("id",), "text"), Column("n", ("n",), "bigint")),
    parent="things",
    inlined="parts",
    parent_column="thing",
)
KEY = StateKey(ACCOUNT, livemode=False, stream="things")


_BOOLEANS = {"paid", "livemode", "is_deleted", "fresh"}
_TIMES = {"created", "deleted_at", "_synced_at"}
_JSON = {"metadata", "extra", "mixed"}


@dataclass
class Place:
    """A warehouse in a place of its own.

    :param connect: opens a plain connection, as the provider's hook would.
    """

    kind: str
    connect: Callable[[], Any]
    schema: str | None = None

    def warehouse(self, **options: Any) -> SqlWarehouse:
        if self.kind == "sqlite":
            return SQLiteWarehouse(self.connect, **options)
        if self.kind == "duckdb":
            return DuckDBWarehouse(self.connect, self.schema, **options)
        assert self.schema is not None
        return PostgresWarehouse(self.connect, self.schema)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement of a user's own; ``{table}`` must be written with :meth:`named`."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
            if self.kind != "duckdb":
                connection.commit()
            return list(rows)
        finally:
            connection.close()

    def named(self, table: str) -> str:
        return self.warehouse().table(table)

    def rows(self, table: str, order: str = "id") -> list[dict[str, Any]]:
        """Return all rows, normalised: bool, datetime, canonical JSON whatever the warehouse."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(f"SELECT * FROM {self.named(table)} ORDER BY {order}")
            names = [column[0] for column in cursor.description]
            return [
                {n: self._normal(n, v) for n, v in zip(names, row, strict=True)}
                for row in cursor.fetchall()
            ]
        finally:
            connection.close()

    def row(self, id_: str, table: str = "things") -> dict[str, Any]:
        return next(row for row in self.rows(table) if row["id"] == id_)

    def _normal(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in _BOOLEANS:
            return bool(value)
        if name in _TIMES:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            return moment.astimezone(timezone.utc)
        if name in _JSON:  # psycopg decodes jsonb by itself
            return canonical(json.dumps(value) if self.schema is not None else value)
        return value


def place_for(kind: str, tmp_path: Any, postgres_socket: str, schema: str) -> Place:
    """Return a fresh place of a kind: sqlite, duckdb, psycopg (3) or psycopg2."""
    if kind == "sqlite":
        import sqlite3

        return Place(kind, lambda: sqlite3.connect(tmp_path / "w.db"))
    if kind == "duckdb":
        import duckdb

        return Place(kind, lambda: duckdb.connect(str(tmp_path / "w.duckdb")))
    driver = __import__(kind)
    return Place(
        kind,
        lambda: driver.connect(host=postgres_socket, user="postgres", dbname="postgres"),
        schema,
    )


def claim(warehouse: SqlWarehouse, owner: str = "me", ttl: float = 60.0) -> Claim:
    with warehouse.transaction() as tx:
        return tx.claim(KEY, owner, ttl, "test")


def merge(
    warehouse: SqlWarehouse,
    rows: Sequence[StagedRow],
    parts: Sequence[StagedChild] | None = None,
    *,
    stream: Stream = THINGS,
    load_id: int | None = None,
) -> dict[str, TableChange]:
    """Merge one batch in a transaction of its own."""
    children = {} if parts is None else {"parts": list(parts)}
    batch = Batch(stream, ACCOUNT, False, list(rows), children, load_id)
    with warehouse.transaction() as tx:
        return tx.merge(batch, {"parts": PARTS} if children else {})


def thing(id_: str, version: int, **fields: Any) -> StagedRow:
    return StagedRow(id_, json.dumps({"id": id_, **fields}), version)


def gone(id_: str, version: int, at: int) -> StagedRow:
    raw = json.dumps({"id": id_, "object": "thing", "deleted": True})
    return StagedRow(id_, raw, version, deleted_at=at, event_id="evt_gone")


def part(parent: str, id_: str, n: int = 1) -> StagedChild:
    return StagedChild(parent, id_, json.dumps({"id": id_, "n": n}))
