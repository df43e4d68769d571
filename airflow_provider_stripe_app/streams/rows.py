"""Stripe object → typed row, in Python: the reference that the warehouses' SQL is tested against.

The rules are EQUALITY §8's. Loading does not go through here (DESIGN §5 types in the warehouse);
comparing does: :func:`canonical` and :func:`content_hash` say when two objects are equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from airflow_provider_stripe_app.streams.catalog import known_fields
from airflow_provider_stripe_app.streams.model import ColumnType, Stream

LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z; a timestamp column takes unix seconds from 0 to this."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LARGEST_EXPONENT = 308


@dataclass(frozen=True, slots=True)
class TypedRow:
    """What the columns of one object hold.

    :param values: column → value; ``None`` for null, missing and misfits. Timestamps are aware
        (UTC), JSON columns hold canonical JSON text.
    :param misfits: columns whose value is present, not null, and not of the column's type.
    :param unknown: top-level fields that the catalogue does not know, decoded.
    """

    values: Mapping[str, str | int | bool | datetime | None]
    misfits: frozenset[str]
    unknown: Mapping[str, Any]


class _Misfit(Exception):
    """The value is not of the column's type."""


def typed_row(stream: Stream, raw: str, typed_from: str | None = None) -> TypedRow:
    """Return the typed values of one object.

    :param raw: the object's JSON as Stripe sent it.
    :param typed_from: the copy to read instead, where ``raw`` is not safe to type.
    :raises ValueError: if the text is not a JSON object.
    """
    data = _load(raw if typed_from is None else typed_from, _decimal)
    if not isinstance(data, dict):
        raise ValueError(f"an object of stream {stream.name} is not a JSON object")  # noqa: TRY004
    values, misfits = _values(stream.columns, data)
    known = known_fields(stream)
    unknown = {name: value for name, value in data.items() if name not in known}
    return TypedRow(values, frozenset(misfits), unknown)


class Typing(Protocol):
    """What is needed to type a value: a column of the catalogue, or of a table."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def type(self) -> ColumnType: ...  # noqa: D102
    @property
    def expandable(self) -> bool: ...  # noqa: D102


def typed_values(columns: Sequence[Typing], document: str) -> tuple[dict[str, Any], set[str]]:
    """Return the values of columns in a document, and the names of those that did not fit.

    :param document: JSON text that is safe to type.
    """
    return _values(columns, _load(document, _decimal))


def _values(columns: Sequence[Typing], data: Any) -> tuple[dict[str, Any], set[str]]:
    values: dict[str, Any] = {}
    misfits = set()
    for column in columns:
        try:
            values[column.name] = _typed(column, _at(data, column.path))
        except _Misfit:
            values[column.name] = None
            misfits.add(column.name)
    return values, misfits


def _at(data: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path; ``None`` when something on the way is missing or no object."""
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def _typed(column: Typing, value: Any) -> Any:
    if value is None:
        return None
    if column.expandable and isinstance(value, dict):
        value = value.get("id")
    return _TYPES[column.type](value)


def _text(value: Any) -> str:
    """Take a string, also for decimals, which Stripe sends as strings; never a JSON number."""
    if not isinstance(value, str):
        raise _Misfit
    return value


def _bigint(value: Any) -> int:
    """Take a JSON integer of 64 bits: not 1.5, 1e3, true or "5"."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _Misfit
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Misfit
    return value


def _timestamp(value: Any) -> datetime:
    if type(value) is not int or not 0 <= value <= LAST_SECOND:
        raise _Misfit
    return _EPOCH + timedelta(seconds=value)


def _json(value: Any) -> str:
    return _dump(_plain(value))


_TYPES: Mapping[ColumnType, Callable[[Any], Any]] = {
    "text": _text,
    "decimal": _text,
    "bigint": _bigint,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "json": _json,
}


def canonical(raw: str) -> str:
    """Return a JSON text in the one spelling that equal documents share.

    Keys sorted (of duplicates the last counts), no spaces, characters unescaped where JSON allows,
    whole numbers as integers whatever their spelling (``1E2`` → ``100``), fractions as the shortest
    text of the nearest double, as RFC 8785 has it.

    :raises ValueError: if the text is not JSON.
    """
    return _dump(_load(raw, _canonical_number))


def canonical_value(raw: str) -> Any:
    """Return a decoded JSON text whose :func:`canonical` spelling decides equality.

    :raises ValueError: if the text is not JSON.
    """
    return _load(raw, _canonical_number)


def content_hash(stream: Stream, raw: str) -> str:
    """Return the SHA-256 of an object's canonical JSON without what differs at every read.

    :param stream: whose ``volatile`` paths are left out.
    """
    data = _load(raw, _canonical_number)
    for path in stream.volatile:
        _drop(data, path)
    return hashlib.sha256(_dump(data).encode("utf-8", "surrogatepass")).hexdigest()


def _drop(data: Any, path: tuple[str, ...]) -> None:
    """Take a path out of decoded JSON; ``[]`` in it stands for each element of a list."""
    key, rest = path[0], path[1:]
    if key == "[]":
        for element in data if isinstance(data, list) else ():
            _drop(element, rest)
    elif isinstance(data, dict) and key in data:
        if rest:
            _drop(data[key], rest)
        else:
            del data[key]


def _load(text: str, parse_float: Callable[[str], Any]) -> Any:
    try:
        return json.loads(text, parse_float=parse_float)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python refuses integers of more than 4300 digits unless told otherwise
        return json.loads(
            text,
            parse_float=parse_float,
            parse_int=lambda digits: int(digits) if len(digits) < 20 else parse_float(digits),
        )


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Return a decoded value with its decimals as JSON numbers."""
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _canonical_number(text: str) -> int | float:
    return _number(_decimal(text))


def _decimal(text: str) -> Decimal:
    """Return a number exactly; one beyond what decimals can hold becomes infinite or zero."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(float(text))


def _number(value: Decimal) -> int | float:
    """Return an integer for a whole number, else the nearest double."""
    if not value:
        return 0
    small = value.is_finite() and value.adjusted() <= _LARGEST_EXPONENT
    whole = small and value == value.to_integral_value()
    return int(value) if whole else float(value)
