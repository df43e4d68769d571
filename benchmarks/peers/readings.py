"""How each loader's output is read: from its records to the rows that a user finds.

What a loader leaves to its destination is done as its own documentation recommends; where a
deletion is only told by a mark, the mark is believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.judge import COMPARED, Record, Row, Table, compared, deduplicated, upserted

AIRBYTE_CURSORS = {
    "customers": "updated",
    "invoices": "updated",
    "subscriptions": "updated",
    "invoice_line_items": "invoice_updated",
    "subscription_items": "subscription_updated",
}


def lines_of(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of some files, one file after the other."""
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("{"):
                    yield json.loads(line)


# -- Airbyte: "Incremental | Append + Deduped": per primary key the greatest cursor, then the newest


def airbyte_record(message: Mapping[str, Any], cursor: str) -> Record:
    """Read a message of type RECORD.

    :param message: its ``record``.
    :param cursor: name of the stream's cursor field.
    """
    data = message["data"]
    row = Row(compared(message["stream"], data), bool(data.get("is_deleted")))
    return Record(data["id"], row, (int(data.get(cursor) or 0), int(message["emitted_at"])))


def airbyte_tables(messages: Iterable[Mapping[str, Any]]) -> dict[str, Table]:
    """Return the tables that a deduplicating destination makes of all messages so far."""
    records: dict[str, list[Record]] = {stream: [] for stream in COMPARED}
    for message in messages:
        if message["type"] == "RECORD":
            record = message["record"]
            name = record["stream"]
            records[name].append(airbyte_record(record, AIRBYTE_CURSORS[name]))
    return {stream: deduplicated(found) for stream, found in records.items()}


def airbyte_state(messages: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return what the platform hands to the next run: the last state of each stream."""
    latest: dict[str, Any] = {}
    for message in messages:
        if message["type"] == "STATE":
            state = message["state"]
            name = state["stream"]["stream_descriptor"]["name"]
            latest[name] = {"type": "STREAM", "stream": state["stream"]}
    return list(latest.values())


def airbyte_troubles(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what a run says went wrong."""
    return [
        message["trace"]["error"]["message"]
        for message in messages
        if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR"
    ]


# -- Singer: a target upserts by the key properties, in the order of arrival


def singer_record(stream: str, data: Mapping[str, Any]) -> Record:
    """Read the record of a RECORD message.

    There is no mark of its own for a deletion; whoever looks finds it in
    ``updated_by_event_type``. A canceled subscription's event ends with ``.deleted``, too, and
    the subscription lives on, so for subscriptions the column means nothing.
    """
    event = str(data.get("updated_by_event_type") or "")
    gone = event.endswith(".deleted") and stream != "subscriptions"
    return Record(data["id"], Row(compared(stream, data), gone))


def singer_tables(messages: Iterable[Mapping[str, Any]]) -> dict[str, Table]:
    """Return the tables that an upserting target makes of all messages so far."""
    records: dict[str, list[Record]] = {stream: [] for stream in COMPARED}
    for message in messages:
        if message["type"] == "RECORD":
            records[message["stream"]].append(singer_record(message["stream"], message["record"]))
    return {stream: upserted(found) for stream, found in records.items()}


def singer_state(messages: Iterable[Mapping[str, Any]], before: Any) -> Any:
    """Return the value of the last STATE message, or the state before if there is none."""
    for message in messages:
        if message["type"] == "STATE":
            before = message["value"]
    return before


# -- DuckDB: dlt's dataset and this provider's own tables

DLT_TABLES = {
    "customers": "customer",
    "invoices": "invoice",
    "invoice_line_items": "invoice__lines__data",
    "subscriptions": "subscription",
    "subscription_items": "subscription__items__data",
}


def duckdb_tables(path: Path, queries: Mapping[str, str]) -> dict[str, Table]:
    """Read tables out of a DuckDB file.

    :param queries: stream → a query for the id, the fields of :data:`COMPARED` in their order, and
        whether the row is deleted.
    """
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        found: dict[str, Table] = {}
        for stream, query in queries.items():
            names = COMPARED[stream]
            found[stream] = {
                id_: Row(dict(zip(names, values, strict=True)), deleted)
                for id_, *values, deleted in connection.execute(query).fetchall()
            }
    return found


def dlt_queries(dataset: str) -> dict[str, str]:
    """Return the queries for dlt's tables; ``replace`` leaves none that is deleted."""
    return {
        stream: _select(stream, f"{dataset}.{DLT_TABLES[stream]}", "price__id", "false")
        for stream in COMPARED
    }


def our_queries() -> dict[str, str]:
    """Return the queries for the tables that this provider makes."""
    return {stream: _select(stream, stream, "price_id", "is_deleted") for stream in COMPARED}


def _select(stream: str, table: str, price: str, deleted: str) -> str:
    names = [price if name == "price" else f'"{name}"' for name in COMPARED[stream]]
    return f"SELECT id, {', '.join(names)}, {deleted} FROM {table}"
