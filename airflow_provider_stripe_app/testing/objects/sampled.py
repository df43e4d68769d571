"""Objects made from their shape and a line of data: the fields that matter get values, in words.

A specification is a text of ``path=value``, the path with dots for what is nested. A value is one
of several with ``|`` between them; a ``?`` at the end leaves the field null in half of the cases.

- ``~amount ~currency ~email ~hex ~metadata ~name ~percent ~sentence ~small ~word``: at random;
- ``~text:…``: a text as it stands (``$field`` and ``~small`` in it are replaced), ``~list:a,b``;
- ``@kind``: the id of an object of that type (``@kind?``: null where there is none), ``&kind``: a
  whole one;
- ``$path``: what another field of the object holds; ``list/…``: an empty list at that place;
- ``+3d -30d +90s``: a time, counted from the object's (or the change's) own;
- ``-``: the field is left out;
- anything else: JSON where it can be, text otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import msgspec

from airflow_provider_stripe_app.testing.objects import values
from airflow_provider_stripe_app.testing.objects.filling import RARE_SHARE, blank, fill_some
from airflow_provider_stripe_app.testing.objects.shapes import fields_of, is_shape

Values = dict[str, Any]

_TIME = re.compile(r"^([+-]\d+)([ds])$")
_SECONDS = {"d": 86_400, "s": 1}
_NEVER_FILLED = frozenset({"created", "date", "deleted", "id", "livemode", "object", "test_clock"})


@dataclass(frozen=True, slots=True)
class Context:
    """What values are made from.

    :param at: unix seconds that times are counted from.
    :param pick: returns the id of an object of a type; where there is none, a new one if it is
        needed (the second argument), else ``None``.
    :param whole: returns a whole object of a type.
    :param url: of the object itself, without the host.
    :param plain: take the first of several values, and leave fields null that may be.
    """

    rng: Random
    at: int
    pick: Callable[[str, bool], str | None]
    whole: Callable[[str], Values]
    url: str = ""
    plain: bool = False


Maker = Callable[[Context, Values], Any]


def sample(kind: str, spec: str, context: Context, rare: bool = True) -> Values:
    """Return a whole object with every field of its shape.

    :param kind: Stripe's ``object`` value.
    :param spec: what its fields hold.
    :param rare: whether one in fifty has a value in every field that is empty otherwise.
    """
    made: Values = msgspec.json.decode(_template(kind, spec))
    made["object"] = kind
    for path, make in _compiled(spec):
        put(made, path, make(context, made))
    if rare and context.rng.random() < RARE_SHARE:
        made.update(fill_some(context.rng, kind, _rare(kind, spec), context.at))
    return made


def apply(obj: Values, spec: str, context: Context) -> None:
    """Set fields of an object as a specification says; what is null on the way is made."""
    kind = str(obj.get("object"))
    for path, make in _compiled(spec):
        _open(obj, kind, path)
        put(obj, path, make(context, obj))


def look(obj: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return what is at a path, ``None`` where it ends early."""
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def put(obj: Values, path: tuple[str, ...], value: Any) -> None:
    """Set what is at a path whose parts are there."""
    for name in path[:-1]:
        obj = obj[name]
    obj[path[-1]] = value


@cache
def _template(kind: str, spec: str) -> bytes:
    """Return an empty object, with the nested objects that a specification fills."""
    obj = blank(kind)
    for path, _ in _compiled(spec):
        _open(obj, kind, path)
    for name in _left_out(spec):
        del obj[name]
    return msgspec.json.encode(obj)


def _open(obj: Values, kind: str, path: tuple[str, ...]) -> None:
    """Make the nested objects on the way to a path."""
    shape = kind
    for name in path[:-1]:
        if not is_shape(shape):  # in a map, where any key may be
            return
        target = fields_of(shape)[name].rstrip("?").partition(":")[2]
        shape = target or f"{shape}.{name}"
        if not obj[name]:
            obj[name] = blank(shape) if is_shape(shape) else {}
        obj = obj[name]


@cache
def _rare(kind: str, spec: str) -> tuple[str, ...]:
    """Return the fields that a specification leaves empty and that refer to nothing."""
    given = {path[0] for path, _ in _compiled(spec)} | _NEVER_FILLED | {*_left_out(spec)}
    empty = blank(kind)
    return tuple(
        field
        for field, shape in fields_of(kind).items()
        if field in empty and field not in given and not _refers(field, shape)
    )


def _refers(field: str, shape: str) -> bool:
    """Tell whether a field holds an id, which has to be of something that there is."""
    words = set(field.split("_"))
    return shape.startswith("text") and bool(words & _REFERENCES)


_REFERENCES = frozenset(
    {
        "account", "application", "authorization", "capability", "card", "charge", "customer",
        "destination", "dispute", "fee", "file", "grant", "intent", "invoice", "link", "mandate",
        "method", "payment", "payout", "plan", "price", "product", "record", "refund", "report",
        "reversal", "review", "schedule", "session", "source", "subscription", "token",
        "transaction", "transfer",
    }
)  # fmt: skip


@cache
def _compiled(spec: str) -> tuple[tuple[tuple[str, ...], Maker], ...]:
    parts = (part.partition("=") for part in spec.split())
    return tuple((tuple(path.split(".")), _maker(text)) for path, _, text in parts if text != "-")


def _left_out(spec: str) -> list[str]:
    return [part[:-2] for part in spec.split() if part.endswith("=-")]


def _maker(text: str) -> Maker:
    if text.endswith("?"):
        return _maybe(text[:-1])
    if "|" in text:
        return _choice([_maker(choice) for choice in text.split("|")])
    make = _MARKED.get(text[:1])
    if make is not None:
        return make(text[1:])
    if text.startswith("list/"):
        return lambda context, _: _empty_list(f"{context.url}/{text[5:]}")
    return _time_or_literal(text)


def _choice(makers: list[Maker]) -> Maker:
    def make(context: Context, obj: Values) -> Any:
        chosen = makers[0] if context.plain else values.pick(context.rng, makers)
        return chosen(context, obj)

    return make


def _time_or_literal(text: str) -> Maker:
    time = _TIME.match(text)
    if time:
        seconds = int(time.group(1)) * _SECONDS[time.group(2)]
        return lambda context, _: context.at + seconds
    constant = _literal(text)
    return lambda _context, _obj: constant


def _random_or_text(text: str) -> Maker:
    name, _, rest = text.partition(":")
    return _TEXTS[name](rest) if name in _TEXTS else _plain(name)


def _reference(kind: str) -> Maker:
    return lambda context, _: context.pick(kind, True)


def _embedded(kind: str) -> Maker:
    return lambda context, _: context.whole(kind)


def _same_as(text: str) -> Maker:
    path = tuple(text.split("."))
    return lambda _, obj: look(obj, path)


_MARKED: Mapping[str, Callable[[str], Maker]] = {
    "~": _random_or_text,
    "@": _reference,
    "&": _embedded,
    "$": _same_as,
}


def _maybe(text: str) -> Maker:
    inner = None if text[:1] == "@" else _maker(text)

    def make(context: Context, obj: Values) -> Any:
        if context.plain or context.rng.random() < 0.5:
            return None
        return inner(context, obj) if inner else context.pick(text[1:], False)

    return make


def _literal(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _plain(name: str) -> Maker:
    make = _PLAIN[name]
    return lambda context, _: make(context.rng)


_PLAIN: Mapping[str, Callable[[Random], Any]] = {
    "amount": lambda rng: 100 + int(rng.random() * 50_000),
    "currency": values.currency,
    "email": lambda rng: f"{int(rng.random() * 1e9):x}@example.com",
    "hex": lambda rng: f"{rng.getrandbits(64):016x}",
    "metadata": values.metadata,
    "name": lambda rng: values.pick(rng, values.NAMES),
    "percent": lambda rng: (1 + int(rng.random() * 199)) / 2,
    "sentence": lambda rng: values.pick(rng, values.SENTENCES),
    "small": lambda rng: 1 + int(rng.random() * 9),
    "word": lambda rng: values.pick(rng, ("gold", "Basic", "プラン", "été", "b2b 👕")),
}


def _text(text: str) -> Maker:
    if text[:1] == "$":
        path = tuple(text[1:].split("."))
        return lambda _, obj: str(look(obj, path))
    if text.endswith("~small"):
        return lambda context, _: f"{text[:-6]}{int(context.rng.random() * 1e6):06d}"
    return lambda _context, _obj: text


def _list(text: str) -> Maker:
    return lambda _context, _obj: text.split(",")


_TEXTS: Mapping[str, Callable[[str], Maker]] = {"text": _text, "list": _list}


def _empty_list(url: str) -> Values:
    return {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": url}
