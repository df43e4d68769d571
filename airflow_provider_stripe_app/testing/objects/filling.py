"""Objects made from their shape alone: with nothing in them, or with everything."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.objects.shapes_generated import SHAPES

RARE_SHARE = 0.02
"""How many objects have their rare parts filled in, so that every column meets a value."""

_EMPTY: dict[str, Any] = {
    "text": "", "int": 0, "time": 0, "bool": False, "number": 0.0, "decimal": "0",
}  # fmt: skip
_WORDS = ("automatic", "self", "日本", "b2b", "not_available")
_DAY = 86_400


def blank(shape: str) -> dict[str, Any]:
    """Return an object of a shape with every field: null where allowed, else an empty value.

    :param shape: key of ``SHAPES``, for example ``account.settings``.
    """
    result: dict[str, Any] = {}
    for field, kind in SHAPES[shape].items():
        if _is_left_out(kind):
            continue
        if kind.endswith("?"):
            result[field] = None
        elif kind == "object":
            result[field] = blank(f"{shape}.{field}")
        else:
            result[field] = _empty(kind)
    return result


def fill(rng: Random, shape: str, near: int) -> dict[str, Any]:
    """Return an object of a shape with a value in every field, as far as shapes tell.

    API objects and unions inside it stay null where that is allowed: their fields are not known.

    :param near: unix seconds around which its times are.
    """
    return {
        field: _value(rng, f"{shape}.{field}", kind, near)
        for field, kind in SHAPES[shape].items()
        if not _is_left_out(kind)
    }


def fill_some(rng: Random, name: str, fields: Iterable[str], near: int) -> dict[str, Any]:
    """Return values for some fields of an API object.

    :param name: Stripe's name of the object, for example ``invoice``.
    """
    kinds = SHAPES[name]
    return {field: _value(rng, f"{name}.{field}", kinds[field], near) for field in fields}


def _is_left_out(kind: str) -> bool:
    return kind.startswith("true") or kind.endswith("+")


def _empty(kind: str) -> Any:
    if kind == "map":
        return {}
    return [] if kind.startswith("list") else _EMPTY[kind]


def _value(rng: Random, path: str, kind: str, near: int) -> Any:
    kind = kind.rstrip("?")
    if kind == "object":
        return fill(rng, path, near)
    if kind == "list":
        return [fill(rng, f"{path}[]", near)] if f"{path}[]" in SHAPES else []
    kind, _, target = kind.partition(":")
    if target:
        filled = fill(rng, target, near)
        return [filled] if kind == "list" else filled
    return _scalar(rng, kind, near)


def _scalar(rng: Random, kind: str, near: int) -> Any:
    draw = rng.random()
    if kind == "text":
        return _WORDS[int(draw * len(_WORDS))]
    if kind == "time":
        return near + int(draw * 30) * _DAY
    values: dict[str, Any] = {
        "int": 1 + int(draw * 1000),
        "bool": draw < 0.5,
        "number": int(draw * 400) / 4,
        "decimal": f"{draw:.6f}",
        "map": {"filled": "yes"},
    }
    return values.get(kind)
