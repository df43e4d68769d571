"""Whether tables equal Stripe, row by row: what the demo prints and the tests insist on.

Equal means: the same set of living ids, and each row's ``_raw`` is, as canonical JSON, what
Stripe's API returns now at the pinned version. Fields that differ at every read are left out;
fields that Stripe changes without an event are reported apart.

The truth is read over Stripe's own API with the account's secret key by the plain code below, so
that nothing of the provider's reading is trusted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import requests

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.streams.model import Stream

Truth = Mapping[str, Mapping[str, Any]]
"""Table name → object id → the object as Stripe's JSON, decoded."""


class Cursor(Protocol):
    """The part of a DB-API cursor (or a DuckDB connection) that is used here."""

    def execute(self, operation: str, /) -> Any:
        """Run a statement."""

    def fetchall(self) -> list[Any]:
        """Return all rows."""


# ---- the truth


class StripeReader:
    """Reads everything of one account.

    :param url: address of Stripe's API.
    :param key: secret key of the account.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers.update(
            {"Authorization": f"Bearer {key}", "Stripe-Version": API_VERSION}
        )

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """Return an answer; waits where Stripe asks for patience.

        :raises requests.HTTPError: if it is an error.
        """
        for _ in range(100):
            answer = self._session.get(f"{self._url}{path}", params=params, timeout=60)
            if answer.status_code not in {429, 500, 502, 503}:
                break
            time.sleep(0.1)
        answer.raise_for_status()
        decoded = decode(answer.text)
        return dict(decoded)

    def pages(self, path: str, **params: str) -> Iterator[dict[str, Any]]:
        """Yield every object of a list."""
        more = True
        while more:
            page = self.get(path, limit="100", **params)
            yield from page["data"]
            more = page["has_more"]
            if more:
                params["starting_after"] = page["data"][-1]["id"]

    def read(self, streams: Iterable[Stream]) -> dict[str, dict[str, Any]]:
        """Return the truth of streams; children are read by their parents' ids."""
        wanted = {stream.name: stream for stream in streams}
        truth: dict[str, dict[str, Any]] = {name: {} for name in wanted}
        for stream in STREAMS.values():
            children = [s for s in wanted.values() if s.parent == stream.name]
            if stream.parent or not (children or stream.name in wanted):
                continue
            for parent in self.pages(stream.path, **stream.params):
                if stream.name in wanted:
                    truth[stream.name][parent["id"]] = parent
                for child in children:
                    truth[child.name] |= {one["id"]: one for one in self._children(child, parent)}
        return truth

    def _children(self, child: Stream, parent: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        inlined = parent[child.inlined or ""]
        if not inlined["has_more"]:
            return list(inlined["data"])
        path, _, query = child.path.format(parent=parent["id"]).partition("?")
        return self.pages(path, **dict(pair.split("=", 1) for pair in query.split("&") if pair))


# ---- the tables


def read_rows(cursor: Cursor, table: str, account_id: str) -> dict[str, str]:
    """Return id → ``_raw`` of the living rows of one account.

    :param cursor: of the warehouse.
    :param table: name of the table, qualified where needed.
    :param account_id: ``acct_…``; must not hold a quote.
    """
    if "'" in account_id:
        raise ValueError(f"{account_id!r} is no account id.")
    cursor.execute(
        f"SELECT id, _raw FROM {table} WHERE account_id = '{account_id}' AND NOT is_deleted"
    )
    return dict(cursor.fetchall())


def count_tombstones(cursor: Cursor, table: str) -> int:
    """Return how many rows are marked as deleted."""
    cursor.execute(f"SELECT count(*) FROM {table} WHERE is_deleted")
    return int(cursor.fetchall()[0][0])


# ---- the comparison


@dataclass(frozen=True)
class Comparison:
    """What one table has against what Stripe has.

    :param table: its name.
    :param rows: living rows.
    :param missing: ids that Stripe has and the table has not.
    :param surplus: ids that the table has and Stripe has not.
    :param different: id → the field paths that differ.
    :param silent: id → the differing field paths that Stripe changes without an event.
    """

    table: str
    rows: int
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    different: Mapping[str, tuple[str, ...]]
    silent: Mapping[str, tuple[str, ...]]

    @property
    def equal(self) -> bool:
        """Whether nothing but silent changes differs."""
        return not (self.missing or self.surplus or self.different)

    def __str__(self) -> str:
        """Say it in one line, with examples of what differs."""
        if self.equal:
            note = f" ({len(self.silent)} with silent changes)" if self.silent else ""
            return f"{self.table}: {self.rows} rows, equal{note}"
        examples = [f"{id_}: {', '.join(paths)}" for id_, paths in self.different.items()]
        return (
            f"{self.table}: {self.rows} rows, NOT EQUAL: {len(self.missing)} missing "
            f"{list(self.missing[:3])}, {len(self.surplus)} surplus {list(self.surplus[:3])}, "
            f"{len(self.different)} different {examples[:3]}"
        )


def compare(stream: Stream, rows: Mapping[str, str], truth: Mapping[str, Any]) -> Comparison:
    """Compare a table's living rows with what Stripe returns.

    :param stream: whose catalogue entry names volatile and silent fields.
    :param rows: id → ``_raw``.
    :param truth: id → decoded object.
    """
    different, silent = {}, {}
    for id_ in rows.keys() & truth.keys():
        paths = [
            path
            for path in differing_paths(decode(rows[id_]), truth[id_])
            if not _under(path, stream.volatile)
        ]
        loud = tuple(".".join(path) for path in paths if not _under(path, stream.silent))
        quiet = tuple(".".join(path) for path in paths if _under(path, stream.silent))
        if loud:
            different[id_] = loud
        elif quiet:
            silent[id_] = quiet
    return Comparison(
        table=stream.name,
        rows=len(rows),
        missing=tuple(sorted(truth.keys() - rows.keys())),
        surplus=tuple(sorted(rows.keys() - truth.keys())),
        different=different,
        silent=silent,
    )


def compare_tables(
    cursor: Cursor,
    truth: Truth,
    account_id: str,
    tables: Mapping[str, str] | None = None,
) -> list[Comparison]:
    """Compare every table that the truth has.

    :param cursor: of the warehouse.
    :param truth: from :meth:`StripeReader.read`.
    :param account_id: whose rows.
    :param tables: stream → qualified table name, where it is not the stream's name.
    """
    names = tables or {}
    return [
        compare(STREAMS[name], read_rows(cursor, names.get(name, name), account_id), objects)
        for name, objects in truth.items()
    ]


def decode(text: str) -> Any:
    """Decode JSON so that two spellings of one value compare equal and no digit is lost.

    :param text: the JSON.
    """
    return json.loads(text, parse_float=_number)


def _number(text: str) -> str:
    # As text, because 0.1 + 0.2 must not become equal to 0.3; 1.10 and 1.1 are one number.
    mantissa, _, exponent = text.lower().partition("e")
    plain = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"number {plain}{f'e{int(exponent)}' if exponent else ''}"


def differing_paths(one: Any, other: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return where two decoded values differ: paths of keys, ``[]`` for any element of a list.

    :param path: where the values are.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        found: list[tuple[str, ...]] = []
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                found.append((*path, key))
            else:
                found += differing_paths(one[key], other[key], (*path, key))
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        inner = [differing_paths(a, b, (*path, "[]")) for a, b in zip(one, other, strict=True)]
        return list(dict.fromkeys(chain.from_iterable(inner)))  # a path once, not per element
    same = type(one) is type(other) and one == other  # True == 1 for Python, not for JSON
    return [] if same else [path]


def _under(path: Sequence[str], prefixes: Iterable[tuple[str, ...]]) -> bool:
    return any(tuple(path[: len(prefix)]) == prefix for prefix in prefixes)
