"""PostgreSQL's bulk path: COPY in its binary format."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from airflow_provider_stripe_app.api.split import Json, text_of
from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.session import Columns

_COPY_CHUNK = 64  # rows per write: some hundred kilobytes
_COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_NULL = (b"\xff\xff\xff\xff",)
_SHORT, _INT4 = struct.Struct("!h"), struct.Struct("!i")
_INT8, _BOOL = struct.Struct("!iq"), struct.Struct("!i?")
_INTEGERS = frozenset({"bigint"})


def copy_binary(
    columns: Sequence[tuple[str, ColumnType]], values: Columns, encoding: str = "utf-8"
) -> Iterator[bytes]:
    """Return rows in COPY's binary format, in chunks: nothing has to be escaped in it.

    https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".

    :param encoding: the connection's, by Python's name.
    """
    cells = [
        _binary(type_, column, encoding) for (_, type_), column in zip(columns, values, strict=True)
    ]
    width = _SHORT.pack(len(columns))
    yield _COPY_BEGIN
    chunk: list[bytes | msgspec.Raw] = []
    for place, row in enumerate(zip(*cells, strict=True), start=1):
        chunk.append(width)
        for cell in row:
            chunk += cell
        if place % _COPY_CHUNK == 0:
            yield b"".join(chunk)
            chunk = []
    yield b"".join((*chunk, _COPY_END))


def _binary(
    type_: ColumnType, column: Sequence[Any], encoding: str
) -> Iterable[tuple[bytes | msgspec.Raw, ...]]:
    if type_ in _INTEGERS:
        return (_NULL if value is None else (_INT8.pack(8, value),) for value in column)
    if type_ == "boolean":
        return (_NULL if value is None else (_BOOL.pack(1, value),) for value in column)
    return (_NULL if value is None else _binary_text(value, encoding) for value in column)


def _binary_text(value: Json, encoding: str) -> tuple[bytes | msgspec.Raw, ...]:
    if isinstance(value, str) or encoding != "utf-8":
        text = text_of(value).encode(encoding)
        return _INT4.pack(len(text)), text
    return _INT4.pack(len(value)), value


class Chunks(io.RawIOBase):
    """A file of chunks, for psycopg2, which reads files only."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, none at the end."""
        if not self._left:
            self._left = next(self._chunks, b"")
        some, self._left = self._left[:size], self._left[size:]
        return some
