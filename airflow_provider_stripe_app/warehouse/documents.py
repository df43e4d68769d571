"""Looking at documents before they are staged: do they fit their columns, what is unknown there.

One strict decode (msgspec, in C) answers both for nearly every document, at a tenth of what
decoding into Python objects costs: the shape says for each column which JSON type it takes, and
that there is no other field. A document of another shape is looked into field by field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from airflow_provider_stripe_app.api.split import Json
from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.base import WarehouseError
from airflow_provider_stripe_app.warehouse.columns import Path, Slot, plain_keys

LATEST_SECOND = 253402300799
"""9999-12-31T23:59:59Z: later unix seconds are no time."""

_Text = str | None
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
_Second = Annotated[int, msgspec.Meta(ge=0, le=LATEST_SECOND)] | None

_TYPES: Mapping[ColumnType, Any] = {
    "text": _Text,
    "decimal": _Text,
    "bigint": _Integer,
    "timestamp": _Second,
    "boolean": bool | None,
    "json": msgspec.Raw,
}
"""What fits a column. Of an expandable field only the id does."""

_ESCAPED_KEY = re.compile(rb'\\u[0-9a-fA-F]{4}[^"]*"\s*:')
_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Look:
    """What a table's documents should look like.

    :param slots: the table's columns.
    :param known: top-level keys that are no news.
    """

    def __init__(self, slots: Sequence[Slot], known: frozenset[str]) -> None:
        self.known = known | {slot.path[0] for slot in slots}
        shape = _shape(tuple(slots), self.known)
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if shape is not None:
            self._decoder = msgspec.json.Decoder(shape)

    def fits(self, text: Json) -> tuple[bool, Any]:
        """Tell whether a document fits its columns and brings no unknown field.

        :param text: JSON without NUL, lone surrogates and escaped keys.
        :return: and its ``livemode``, if it fits.
        """
        if self._decoder is None:
            return False, None
        try:
            return True, self._decoder.decode(text).livemode
        except (msgspec.DecodeError, UnicodeError):
            return False, None

    def unknown(self, id_: str, text: Json) -> tuple[dict[str, bytes], Any]:
        """Return the unknown top-level fields of a document, and its ``livemode``.

        Lists of other objects are left out: they are a table of their own, or none.

        :raises WarehouseError: if it is not JSON, or not an object.
        """
        try:
            fields = _fields_of(text)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise WarehouseError(f"The JSON of {id_} cannot be typed ({error}).") from error
        values = ((key, bytes(fields[key])) for key in fields.keys() - self.known)
        found = {key: value for key, value in values if not _is_list_object(value)}
        livemode = bytes(fields.get("livemode", b""))
        return found, {b"true": True, b"false": False}.get(livemode)


@lru_cache(maxsize=64)
def look(slots: tuple[Slot, ...], known: frozenset[str]) -> Look:
    """Return the look of a table, made once per process and shape."""
    return Look(slots, known)


def safe_keys(text: Json) -> Json:
    r"""Return a document without ``\u`` escapes in its keys; itself if it has none."""
    if isinstance(text, str):
        return plain_keys(text)
    return plain_keys(str(text, "utf-8")) if _ESCAPED_KEY.search(text) else text


def _is_list_object(value: bytes) -> bool:
    if value[:1] != b"{" or b'"list"' not in value[:200]:
        return False
    return bytes(_fields_of(value).get("object", b"")) == b'"list"'


def _shape(slots: tuple[Slot, ...], known: frozenset[str]) -> type[msgspec.Struct] | None:
    """Return the strict type of a document; ``None`` if the columns' paths do not make a tree."""
    tree: dict[str, Any] = {}
    for slot in slots:
        if not _plant(tree, slot.path, _Text if slot.expandable else _TYPES[slot.type]):
            return None
    # What is no column may be anything; these are what forbid_unknown_fields lets pass.
    tree |= dict.fromkeys(known - tree.keys(), msgspec.Raw)
    tree["livemode"] = Any
    return _struct(tree, strict=True)


def _plant(tree: dict[str, Any], path: Path, leaf: Any) -> bool:
    level: Any = tree
    for key in path[:-1]:
        level = level.setdefault(key, {})
        if not isinstance(level, dict):
            return False
    if path[-1] in level:
        return False
    level[path[-1]] = leaf
    return True


def _struct(tree: Mapping[str, Any], *, strict: bool) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = []
    keys = {}
    for place, (key, leaf) in enumerate(tree.items()):
        # Keys can be anything, attributes cannot.
        name = "livemode" if strict and key == "livemode" else f"f{place}"
        keys[name] = key
        type_ = _struct(leaf, strict=False) | None if isinstance(leaf, dict) else leaf
        fields.append((name, type_, None))
    return msgspec.defstruct(
        "Document", fields, rename=keys, forbid_unknown_fields=strict, gc=False
    )
