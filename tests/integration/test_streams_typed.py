"""Every table's typed columns are what the reference in Python says, in each warehouse."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.streams.model import Column, Stream
from airflow_provider_stripe_app.streams.rows import canonical, typed_row
from airflow_provider_stripe_app.testing.warehouses import Place
from airflow_provider_stripe_app.testing.warehouses.lab import merge
from airflow_provider_stripe_app.warehouse.base import StagedRow
from airflow_provider_stripe_app.warehouse.sql import identifier
from tests.integration.warehouse_lab import place_for

VALUES: dict[str, Sequence[Any]] = {
    "text": ("", "é🦄", "a'b\"c", "x" * 300),
    "bigint": (0, -1, 2**53 + 1, 2**63 - 1),
    "boolean": (True, False),
    "timestamp": (0, 1_700_000_000, 253_402_300_799),
    "decimal": ("0.10", "-12", "1" * 40),
    "json": ([], {"b": [1, None], "a": "é"}, False, 7),
}
WRONG = (1.5, -7, True, "text", [1], {"id": "x_1"}, {"a": None}, 2**63, "")


def document(stream: Stream, id_: str, rng: random.Random, noise: float) -> str:
    """Return an object of a stream.

    :param noise: part of the fields that are absent, null or of another type.
    """
    out: dict[str, Any] = {"id": id_, "object": stream.object}
    for column in stream.columns:
        if column.path == ("id",):
            continue
        chance = rng.random() / max(noise, 1e-9)
        if chance < 0.4:
            continue
        value = None if chance < 0.7 else rng.choice(WRONG) if chance < 1 else _value(column, rng)
        _put(out, column.path, value, rng)
    return json.dumps(out, ensure_ascii=rng.random() < 0.5)


def _value(column: Column, rng: random.Random) -> Any:
    if column.expandable and rng.random() < 0.3:
        return {"id": "obj_1", "object": "thing"}
    return rng.choice(VALUES[column.type])


def _put(out: dict[str, Any], path: tuple[str, ...], value: Any, rng: random.Random) -> None:
    inner: Any = out
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            return
    inner[path[-1]] = value


def _normal(column: Column, value: Any, *, decoded: bool) -> Any:
    if value is None:
        return None
    if column.type == "boolean":
        return bool(value)
    if column.type == "timestamp":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    if column.type == "json":
        return canonical(json.dumps(value) if decoded else value)
    return value


def check(place: Place, stream: Stream) -> None:
    """Merge objects of a stream and compare every column with the reference."""
    rng = random.Random(stream.name)
    stream = replace(stream, parent=None, parent_column=None, inlined=None)
    noises = (0.0, 0.0, 0.3, 0.6, 0.9, 1.5)
    rows = [
        StagedRow(f"x_{at}", document(stream, f"x_{at}", rng, noise), 1002)
        for at, noise in enumerate(noises)
    ]
    warehouse = place.warehouse()
    change = merge(warehouse, rows, stream=stream)[stream.name]
    warehouse.close()
    assert change.inserted == len(rows)
    names = [column.name for column in stream.columns]
    listed = ", ".join(identifier(name) for name in names)
    found = {
        row[0]: row[1:]
        for row in place.execute(f"SELECT id, {listed} FROM {place.named(stream.name)}")
    }
    misfits: dict[str, int] = {}
    for row in rows:
        expected = typed_row(stream, str(row.raw))
        for column, got in zip(stream.columns, found[row.id], strict=True):
            value = _normal(column, got, decoded=place.decodes_json)
            assert (row.id, column.name, value) == (
                row.id,
                column.name,
                expected.values[column.name],
            )
        for name in expected.misfits:
            misfits[name] = misfits.get(name, 0) + 1
    assert dict(change.misfits) == misfits
    assert misfits


ALL = sorted(STREAMS)
SAMPLE = sorted(random.Random(5).sample(ALL, 6))


@pytest.mark.parametrize("part", range(4))
def test_sqlite_types_every_stream_as_the_reference_does(part: int, tmp_path: Any) -> None:
    place = place_for("sqlite", tmp_path, "", "")
    for name in ALL[part::4]:
        check(place, STREAMS[name])


@pytest.mark.parametrize("name", ["charges", *SAMPLE])
def test_duckdb_types_streams_as_the_reference_does(name: str, tmp_path: Any) -> None:
    check(place_for("duckdb", tmp_path, "", ""), STREAMS[name])


@pytest.mark.parametrize("name", ["charges", *SAMPLE])
def test_postgres_types_streams_as_the_reference_does(
    name: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    socket = request.getfixturevalue("postgres").socket_directory
    schema = f"t_{uuid.uuid4().hex[:12]}"
    check(place_for("psycopg2", tmp_path, socket, schema), STREAMS[name])
