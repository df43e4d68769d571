"""A warehouse under test, read back in one spelling so that all of them can be compared."""

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
from airflow_provider_stripe_app.warehouse.sql import identifier
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
    """An empty place in a warehouse: a file, a schema, a database of its own.

    :param warehouse: opens it as a new object on a connection of its own; called often.
    :param decodes_json: the driver returns JSON columns as Python values, not as text.
    """

    warehouse: Callable[[], SqlWarehouse]
    decodes_json: bool = False

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement of a user's own (``?`` for parameters) and return its rows."""
        warehouse = self.warehouse()
        try:
            with warehouse.transaction() as tx:
                if statement.lstrip().upper().startswith("SELECT"):
                    return tx._session.rows("by hand", statement, parameters)
                tx._session.run("by hand", statement, parameters)
                return []
        finally:
            warehouse.close()

    def named(self, table: str) -> str:
        """Return a table's qualified, quoted name."""
        return self.warehouse().table(table)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows by id, as bool, datetime and canonical JSON whatever the warehouse."""
        warehouse = self.warehouse()
        try:
            with warehouse.transaction() as tx:
                names = tx._session.columns(table)
                listed = ", ".join(identifier(name) for name in names)
                found = tx._session.rows(
                    "by hand", f"SELECT {listed} FROM {warehouse.table(table)} ORDER BY id"
                )
        finally:
            warehouse.close()
        return [{n: self._normal(n, v) for n, v in zip(names, row, strict=True)} for row in found]

    def row(self, id_: str, table: str = "things") -> dict[str, Any]:
        """Return one row."""
        return next(row for row in self.rows(table) if row["id"] == id_)

    def _normal(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in _BOOLEANS:
            return bool(value)
        if name in _TIMES:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            return moment.astimezone(timezone.utc)
        if name in _JSON:
            return canonical(json.dumps(value) if self.decodes_json else value)
        return value


def claim(warehouse: SqlWarehouse, owner: str = "me", ttl: float = 60.0) -> Claim:
    """Take the lease of :data:`KEY`.

    :param ttl: seconds.
    """
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
    """Return a living row."""
    return StagedRow(id_, json.dumps({"id": id_, **fields}), version)


def gone(id_: str, version: int, at: int) -> StagedRow:
    """Return a tombstone.

    :param at: unix second of the deletion.
    """
    raw = json.dumps({"id": id_, "object": "thing", "deleted": True})
    return StagedRow(id_, raw, version, deleted_at=at, event_id="evt_gone")


def part(parent: str, id_: str, n: int = 1) -> StagedChild:
    """Return a child."""
    return StagedChild(parent, id_, json.dumps({"id": id_, "n": n}))
