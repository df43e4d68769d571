"""Which column holds which field: decided here, as data, before any DDL (EQUALITY §8)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_stripe_app.api.split import sanitize
from airflow_provider_stripe_app.streams import catalog
from airflow_provider_stripe_app.streams.model import ColumnType, Stream

MAX_COLUMNS = 400
"""Beyond this many columns an unknown field stays in ``_raw`` only (EQUALITY §8)."""

META_COLUMNS: Mapping[str, ColumnType] = {
    "_raw": "text",
    "account_id": "text",
    "livemode": "boolean",
    "is_deleted": "boolean",
    "deleted_at": "timestamp",
    "_synced_at": "timestamp",
    "_event_id": "text",
    "_version": "bigint",
    "_children_version": "bigint",
    "_api_version": "text",
    "_schema_version": "bigint",
    "_load_id": "bigint",
}
"""What every table has beside the stream's own columns."""

OUR_MARKS = frozenset({"_raw", "_version", "account_id"})
"""A table without these was not made by us."""

Path = tuple[str, ...]

_ODD = re.compile(r"[^a-z0-9_]")
_UNUSABLE_KEY = re.compile(r"^$|[^ !#-\[\]-~]")
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?')
_ESCAPED_KEY = re.compile(r'\\u[0-9a-fA-F]{4}[^"]*"\s*:')


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of the JSON and the column that holds it.

    :param path: keys from the outermost.
    :param name: column name.
    """

    path: Path
    name: str
    type: ColumnType
    expandable: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a table must look like.

    :param slots: every typed column, catalogue first, ``id`` among them.
    :param remember: slots that the stored column map does not have yet.
    :param add: (column name, type) that the table lacks, in order; all of them for a new table.
    :param found: names of the columns among ``add`` for fields that the catalogue does not know.
    """

    slots: tuple[Slot, ...]
    remember: tuple[Slot, ...]
    add: tuple[tuple[str, ColumnType], ...]
    found: tuple[str, ...]


def plan_columns(
    stream: Stream,
    *,
    stored: Mapping[Path, tuple[str, ColumnType]],
    existing: Sequence[str],
    fields: Mapping[str, ColumnType],
    limit: int,
) -> Plan:
    """Decide the columns of a stream's table.

    :param stored: the column map so far.
    :param existing: columns that the table has now; empty if there is no table.
    :param fields: unknown top-level fields to take in, with their type. Those whose key cannot be
        written in every engine's path syntax (empty, quotes, backslashes, not ASCII) and
        those beyond :data:`MAX_COLUMNS` stay in ``_raw`` only.
    :param limit: longest identifier in bytes.
    """
    present = {name.lower() for name in existing}
    taken = set(META_COLUMNS) | {name.lower() for name, _ in stored.values()}
    slots: list[Slot] = []
    remember: list[Slot] = []
    for path, wanted, type_, expandable in _catalogue(stream):
        if path in stored:
            name, type_ = stored[path]  # noqa: PLW2901 -- the table's word counts
            slots.append(Slot(path, name, type_, expandable))
            continue
        slot = Slot(path, free_name(wanted, path, taken, limit), type_, expandable)
        taken.add(slot.name)
        slots.append(slot)
        remember.append(slot)
    known = {slot.path for slot in slots}
    slots += [Slot(path, *entry) for path, entry in stored.items() if path not in known]
    known |= set(stored)
    found: list[str] = []
    for key, type_ in fields.items():
        room = len(slots) + len(META_COLUMNS) < MAX_COLUMNS
        if (key,) in known or not room or _UNUSABLE_KEY.search(key):
            continue
        slot = Slot((key,), free_name(key, (key,), taken | present, limit), type_)
        taken.add(slot.name)
        slots.append(slot)
        remember.append(slot)
        found.append(slot.name)
    wanted_columns = [(slot.name, slot.type) for slot in slots] + list(META_COLUMNS.items())
    add = tuple((name, type_) for name, type_ in wanted_columns if name.lower() not in present)
    return Plan(tuple(slots), tuple(remember), add, tuple(found))


def _catalogue(stream: Stream) -> Iterable[tuple[Path, str, ColumnType, bool]]:
    """Yield path, name, type, expandable of a stream's columns; id and parent's id ensured."""
    yield ("id",), "id", "text", False
    names = set()
    for column in stream.columns:
        if column.path in (("id",), ("livemode",)):
            continue  # one is the key, the other a column of every table
        names.add(column.name)
        yield column.path, column.name, column.type, column.expandable
    if stream.parent_column is not None and stream.parent_column not in names:
        yield (stream.parent_column,), stream.parent_column, "text", True


def free_name(wanted: str, path: Path, taken: set[str], limit: int) -> str:
    """Return a column name: case-folded, plain, within the limit, not taken.

    :param taken: names in use, lower case.
    """
    name = _ODD.sub("_", wanted.lower()) or "_"
    if name[0].isdigit():
        name = "_" + name
    if len(name) <= limit and name not in taken:
        return name
    mark = hashlib.sha256("\0".join(path).encode()).hexdigest()
    for length in range(8, len(mark) + 1):
        candidate = f"{name[: limit - length - 1]}_{mark[:length]}"
        if candidate not in taken:
            return candidate
    raise ValueError(f"no free column name for the field {'.'.join(path)}")


def known_fields(stream: Stream, inlined: Iterable[str | None]) -> frozenset[str]:
    """Return the top-level JSON keys that never become new columns.

    :param inlined: keys that hold child lists.
    """
    keys = catalog.known_fields(stream) | {"id", "object", "livemode", "deleted"}
    return keys | {key for key in (*inlined, stream.parent_column) if key}


def infer_type(value: bytes, before: ColumnType | None) -> ColumnType | None:
    """Return the column type for a field after one more value.

    All integers → bigint, booleans → boolean, strings → text, anything else or a mix → json.

    :param value: the value's JSON.
    :param before: the type so far; ``None`` when only nulls were seen.
    """
    if value == b"null":
        return before
    first = value[:1]
    one: ColumnType = "json"
    if first == b'"':
        one = "text"
    elif value in (b"true", b"false"):
        one = "boolean"
    elif first.isdigit() or first == b"-":
        one = "bigint" if value.lstrip(b"-").isdigit() else "json"
    return one if before in (None, one) else "json"


def safe_copy(raw: str) -> str | None:
    """Return a copy that every engine can type, ``None`` when the text itself is safe."""
    if "\\u" not in raw:
        return None
    copy = sanitize(raw.encode())
    text = plain_keys(raw if copy is None else copy.decode())
    return None if text == raw else text


def plain_keys(text: str) -> str:
    r"""Return the JSON with no ``\u`` escapes in its keys.

    SQLite compares a path with a key as it is written, so ``"am\u006funt"`` would be missing there.

    :param text: JSON without lone surrogates.
    """
    if "\\u" not in text or not _ESCAPED_KEY.search(text):
        return text
    return _STRING.sub(_plain_key, text)


def _plain_key(match: re.Match[str]) -> str:
    string, colon = match[1], match[2]
    if not colon or "\\u" not in string:
        return match[0]
    return json.dumps(json.loads(string), ensure_ascii=False) + colon
