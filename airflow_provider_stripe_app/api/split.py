r"""Cuts Stripe's answers into objects without decoding them: their bytes stay as they were sent.

Only ``id``, ``created`` and the borders are looked at (:class:`msgspec.Raw`), because decoding
every object in Python would cost ten times as much (DESIGN §5). ``\u0000`` and lone surrogates are
valid JSON but break warehouses, and the latter :mod:`msgspec` itself (EQUALITY §8). A page that
has one is cut along a copy *of the same length* in which each such escape is ``\ufffd``; the same
spans of the original are what Stripe sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import msgspec

from airflow_provider_stripe_app.exceptions import StripeAppError

T = TypeVar("T")

Json: TypeAlias = str | msgspec.Raw
"""A JSON text: a string, or a slice of an answer's UTF-8 bytes that was not copied."""

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})")
"""Quick test; also hits what is harmless: a proper pair, an escaped backslash before ``u``."""

_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
"""One escape; read from the left it tells ``\\u0000`` from ``\\\\u0000``."""


class MalformedBody(StripeAppError):
    """The body is not the JSON it should be: cut off, not UTF-8, or not of Stripe's form."""


def text_of(json: Json) -> str:
    """Return a JSON text as a string."""
    return json if isinstance(json, str) else str(json, "utf-8")


class Item(msgspec.Struct, frozen=True):
    """One object.

    :param id: its id.
    :param created: unix seconds, ``None`` if it has none.
    :param sent: its JSON text, byte for byte as sent. Most are slices of the page, which they keep
        in memory as a whole.
    :param typed_from: a copy that is safe to type, ``None`` when ``sent`` is.
    """

    id: str
    created: int | None
    sent: Json
    typed_from: str | None = None

    @property
    def raw(self) -> str:
        """Its JSON text as a string, made anew at each call."""
        return text_of(self.sent)


class ParentItem(Item, frozen=True):
    """One object whose inlined children were cut out of it as well (``sent`` stays whole).

    :param children: the inlined ones, as far as Stripe inlines them (ten).
    :param children_complete: whether those are all; ``False`` too when the list is missing.
    """

    children: tuple[Item, ...] = ()
    children_complete: bool = True


class _Head(msgspec.Struct):
    id: str
    created: Any = None
    date: Any = None  # what invoice items have instead


class _Inlined(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool = False


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool


_head = msgspec.json.Decoder(_Head)
_page = msgspec.json.Decoder(_Page)


def sanitize(body: bytes) -> bytes | None:
    r"""Replace each ``\u0000`` and lone surrogate by ``\ufffd``, which is as long.

    :param body: JSON.
    :return: the copy, ``None`` if there is nothing to replace.
    """
    if _SUSPECT.search(body) is None:
        return None
    spoiled: list[int] = []
    high = -1  # where a high surrogate waits for its other half
    for match in _ESCAPE.finditer(body):
        code = int(match[1], 16) if match[1] else -1
        if high >= 0 and not (match.start() == high + 6 and 0xDC00 <= code <= 0xDFFF):
            spoiled.append(high)
            high = -1
        if high >= 0:
            high = -1
        elif 0xD800 <= code <= 0xDBFF:
            high = match.start()
        elif code == 0 or 0xDC00 <= code <= 0xDFFF:
            spoiled.append(match.start())
    if high >= 0:
        spoiled.append(high)
    if not spoiled:
        return None
    copy = bytearray(body)
    for start in spoiled:
        copy[start : start + 6] = b"\\ufffd"
    return bytes(copy)


def check_text(body: bytes) -> None:
    """Check that a body is UTF-8: :mod:`msgspec` does not look into strings that it skips.

    :raises MalformedBody: if it is not.
    """
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the answer is not valid UTF-8 ({error.reason})") from None


class Source:
    """A body and its copy that is safe to decode; slices are taken from the front to the back.

    :param body: JSON as sent.
    :raises MalformedBody: if it is not UTF-8.
    """

    def __init__(self, body: bytes | str) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        check_text(self.body)
        copy = sanitize(self.body)
        self.safe = self.body if copy is None else copy
        self._spoiled = copy is not None
        self._at = 0

    def skip_to(self, key: str) -> None:
        """Look for slices behind the first mention of ``key``."""
        if self._spoiled:
            self._at = max(self._at, self.safe.find(f'"{key}"'.encode(), self._at))

    def slice(self, raw: msgspec.Raw) -> tuple[Json, str | None]:
        """Return (as sent, safe copy if it differs) of a slice of :attr:`safe`."""
        if not self._spoiled:
            return raw, None
        safe, encoded = str(raw, "utf-8"), bytes(raw)
        start = self.safe.index(encoded, self._at)
        self._at = start + len(encoded)
        sent = str(self.body[start : self._at], "utf-8")
        return sent, None if sent == safe else safe

    def cut(self, raw: msgspec.Raw) -> tuple[str, str | None]:
        """Return (as sent, safe copy if it differs) of a slice, as strings of their own."""
        sent, safe = self.slice(raw)
        return text_of(sent), safe


def decode(decoder: msgspec.json.Decoder[T], source: bytes | msgspec.Raw) -> T:
    """Decode, with one kind of error for everything that can be wrong.

    :raises MalformedBody: naming what is wrong, never the content.
    """
    try:
        return decoder.decode(source)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the answer is not the JSON it should be ({error})") from None


def head(raw: msgspec.Raw | bytes) -> tuple[str, int | None]:
    """Return id and created of an object.

    :raises MalformedBody: if it has no id.
    """
    found = decode(_head, raw)
    created = found.date if found.created is None else found.created
    return found.id, created if type(created) is int else None


def _items(source: Source, slices: Sequence[msgspec.Raw]) -> list[Item]:
    items = []
    for raw in slices:
        object_id, created = head(raw)
        items.append(Item(object_id, created, *source.slice(raw)))
    return items


def split_page(body: bytes | str) -> tuple[list[Item], bool]:
    """Split a list page.

    :param body: a list object's JSON.
    :return: its items in order, and ``has_more``.
    :raises MalformedBody: if it is not a whole list page.
    """
    source = Source(body)
    page = decode(_page, source.safe)
    source.skip_to("data")
    return _items(source, page.data), page.has_more


def split_parents(
    body: bytes | str, *, inlined: str | None = None
) -> tuple[list[ParentItem], bool]:
    """Split a list page, and each object's inlined list too.

    :param body: a list object's JSON.
    :param inlined: the key that holds the children's list object; ``None`` if there are none.
    :return: the items in order, and ``has_more``.
    :raises MalformedBody: if it is not a whole list page.
    """
    source = Source(body)
    page = decode(_page, source.safe)
    source.skip_to("data")
    return [_parent(raw, *source.slice(raw), inlined) for raw in page.data], page.has_more


def split_parent(body: bytes | str, *, inlined: str | None = None) -> ParentItem:
    """Split a single retrieved object and its inlined list.

    :param body: the object's JSON.
    :param inlined: as in :func:`split_parents`.
    :raises MalformedBody: if it is not a whole object.
    """
    source = Source(body)
    whole = decode(_whole, source.safe)
    return _parent(whole, *source.slice(whole), inlined)


def split_object(body: bytes | str) -> Item:
    """Return a single retrieved object.

    :raises MalformedBody: if it is not a whole object.
    """
    source = Source(body)
    whole = decode(_whole, source.safe)
    return Item(*head(whole), *source.slice(whole))


_whole = msgspec.json.Decoder(msgspec.Raw)


@lru_cache(maxsize=64)
def _parent_decoder(inlined: str) -> msgspec.json.Decoder[Any]:
    shape = msgspec.defstruct(
        "_Parent",
        [("id", str), ("created", Any, None), ("inlined", _Inlined | None, None)],
        rename={"inlined": inlined},
    )
    return msgspec.json.Decoder(shape)


def _parent(
    safe: msgspec.Raw, sent: Json, typed_from: str | None, inlined: str | None
) -> ParentItem:
    if inlined is None:
        return ParentItem(*head(safe), sent, typed_from)
    found = decode(_parent_decoder(inlined), safe)
    created = found.created if type(found.created) is int else None
    children: list[Item] = []
    if found.inlined is not None:
        source = Source(text_of(sent)) if typed_from is not None else _CLEAN
        source.skip_to(inlined)
        children = _items(source, found.inlined.data)
    complete = found.inlined is not None and not found.inlined.has_more
    return ParentItem(found.id, created, sent, typed_from, tuple(children), complete)


_CLEAN = Source(b"")
"""Cuts slices that need no original."""
