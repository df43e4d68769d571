"""Whether the tables equal Stripe: ids, all columns, children, deleted flags, nothing left open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from airflow_provider_stripe_app.api.split import split_parent
from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import STREAMS, resolve_streams
from airflow_provider_stripe_app.streams.model import Column, Stream
from airflow_provider_stripe_app.streams.rows import canonical, typed_row
from airflow_provider_stripe_app.sync.state import StreamState
from airflow_provider_stripe_app.testing.resources import COLLECTIONS
from demo.compare import StripeReader, compare_tables, decode
from tests.chaos.sync.figures import TALLY
from tests.integration.sync_lab import Lab


class Judge:
    """Holds the tables of a lab against its Stripe.

    :param streams: which ones, children with their parents.
    """

    def __init__(self, lab: Lab, streams: Sequence[str]) -> None:
        self._lab = lab
        self._streams = resolve_streams(streams)
        self._seen: dict[str, set[str]] = {s.name: set() for s in self._streams}
        self._connection: Any = None

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Keep one connection open: DuckDB's file takes long to open."""
        self._connection = self._lab.connect()
        try:
            yield
        finally:
            self._connection.close()

    def _query(self, sql: str) -> list[Any]:
        cursor = self._connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())

    def watch(self) -> None:
        """Look at the tables while a story goes on: a row is never lost.

        :raises AssertionError: if one is.
        """
        with self._looking():
            for stream in self._streams:
                ids = self._ids(stream)
                lost = self._seen[stream.name] - ids
                assert not lost, f"{stream.name}: rows are gone: {sorted(lost)[:5]}"
                self._seen[stream.name] = ids

    def _ids(self, stream: Stream) -> set[str]:
        try:
            return {str(row[0]) for row in self._query(f"SELECT id FROM {stream.name}")}
        except Exception:  # there is no table yet
            if hasattr(self._connection, "rollback") and self._lab.kind != "duckdb":
                self._connection.rollback()
            return set()

    def differences(self) -> list[str]:
        """Return everything that is not as it should be, in words."""
        self.watch()
        with self._looking():
            found = self._against_stripe()
            for stream in self._streams:
                found += self._columns(stream) + self._flags(stream)
            found += self._left_open()
        TALLY["differences"] += len(found)
        return found

    def _against_stripe(self) -> list[str]:
        truth = StripeReader(self._lab.sim.url, self._lab.key).read(self._streams)
        for row in COLLECTIONS:
            if row.hidden is not None and (stream := row.plural) in truth:
                # Its list leaves some out that can be read all the same (closed reviews).
                raws = self._lab.sim.raw_objects(None, row.kind)
                truth[stream] = {one["id"]: one for one in (decode(raw.decode()) for raw in raws)}
        self._leave_out_old(truth)
        compared = compare_tables(self._connection.cursor(), truth, self._lab.account.id)
        TALLY["tables compared"] += len(compared)
        TALLY["rows compared"] += sum(one.rows for one in compared)
        return [str(one) for one in compared if not one.equal]

    def _leave_out_old(self, truth: dict[str, dict[str, Any]]) -> None:
        """Take away what the tables' own start dates leave out; the caller checks those dates."""
        for stream in self._streams:
            if stream.parent is not None:
                continue
            start = self._state(stream.name).start_date
            if start is None:
                continue
            born = stream.created_field or "created"  # some objects do not say when they were made
            old = {i for i, o in truth[stream.name].items() if o.get(born, start) < start}
            for id_ in old:
                del truth[stream.name][id_]
            for child in [s for s in self._streams if s.parent == stream.name]:
                key = child.parent_column or ""
                for id_ in [i for i, o in truth[child.name].items() if o[key] in old]:
                    del truth[child.name][id_]

    def state(self, stream: str) -> StreamState:
        """Return what is stored about a stream."""
        with self._looking():
            return self._state(stream)

    def _state(self, stream: str) -> StreamState:
        [(text,)] = self._query(f"SELECT state FROM _stripe_sync_state WHERE stream = '{stream}'")
        return StreamState.from_json(text)

    def _columns(self, stream: Stream) -> list[str]:
        """Hold each living row's columns against its own document, typed by the reference."""
        names = [c.name for c in stream.columns]
        listed = ", ".join(f'"{name}"' for name in names)
        rows = self._query(f"SELECT _raw, {listed} FROM {stream.name} WHERE NOT is_deleted")
        wrong: dict[str, str] = {}
        for raw, *values in rows:
            expected = typed_row(stream, raw, split_parent(raw.encode()).typed_from).values
            for column, value in zip(stream.columns, values, strict=True):
                if self._plain(column, value) != expected[column.name]:
                    wrong[column.name] = f"{value!r} instead of {expected[column.name]!r}"
        return [f"{stream.name}.{name}: {what}" for name, what in wrong.items()]

    def _plain(self, column: Column, value: Any) -> Any:
        if value is None:
            return None
        if column.type == "boolean":
            return bool(value)
        if column.type == "timestamp":
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            return moment.astimezone(timezone.utc)
        if column.type == "json":
            return canonical(json.dumps(value) if self._lab.kind == "postgres" else value)
        return value

    def _flags(self, stream: Stream) -> list[str]:
        """Check what says which rows are dead, and of which version the others are."""
        checks = {
            "is_deleted IS NULL": "rows neither living nor dead",
            "is_deleted AND deleted_at IS NULL": "dead rows without a time of death",
            f"NOT is_deleted AND _api_version <> '{API_VERSION}'": "rows of another API version",
            "_raw IS NULL": "rows without a document",
        }
        found = []
        for condition, what in checks.items():
            [(count,)] = self._query(f"SELECT count(*) FROM {stream.name} WHERE {condition}")
            if count:
                found.append(f"{stream.name}: {count} {what}")
        return found

    def _left_open(self) -> list[str]:
        names = ", ".join(f"'{s.name}'" for s in self._streams)
        rows = self._query(
            f"SELECT stream, id FROM _stripe_sync_obligations WHERE stream IN ({names})"
        )
        return [f"{stream}: {id_} is still owed" for stream, id_ in rows]


def tops(streams: Sequence[str]) -> list[str]:
    """Return the streams that are nobody's children."""
    return [name for name in streams if STREAMS[name].parent is None]
