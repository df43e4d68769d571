"""Objects made from their shape alone: with nothing in them, or with everything."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.objects.shapes import fields_of, is_shape

RARE_SHARE = 0.02
"""How many objects have their rare parts filled in, so that every column meets a value."""

_EMPTY: dict[str, Any] = {
    "text": "", "int": 0, "time": 0, "bool": False, "number": 0.0, "decimal": "0",
}  # fmt: skip
_FILLED = frozenset(
    {
        "account", "coupon", "customer", "discount", "invoice", "line_item", "plan", "price",
        "product", "subscription", "subscription_item", "tax_rate",
    }
)  # fmt: skip
"""API objects that are filled inside others; the rest refer to each other without end."""

_WORDS = ("automatic", "self", "日本", "b2b", "not_available")
_DAY = 86_400


def blank(shape: str) -> dict[str, Any]:
    """Return an object of a shape with every field: null where allowed, else an empty value.

    :param shape: for example ``account.settings``, see :func:`.fields_of`.
    """
    return {
        field: None if _is_nullable(kind) else _blank_value(f"{shape}.{field}", kind.rstrip("?"))
        for field, kind in fields_of(shape).items()
        if not _is_left_out(kind)
    }


def _is_nullable(kind: str) -> bool:
    """Tell whether a field is null when it is empty; Stripe shows empty maps as such."""
    return kind.endswith("?") and not kind.startswith("map")


def _blank_value(path: str, kind: str) -> Any:
    if kind == "object":
        return blank(path)
    outer, _, target = kind.partition(":")
    if outer == "resource" and target:
        return blank(target)
    return _empty(kind)


def fill(rng: Random, shape: str, near: int) -> dict[str, Any]:
    """Return an object of a shape with a value in every field, as far as shapes tell.

    API objects and unions inside it stay null where that is allowed: their fields are not known.

    :param near: unix seconds around which its times are.
    """
    return {
        field: _value(rng, f"{shape}.{field}", kind, near)
        for field, kind in fields_of(shape).items()
        if not _is_left_out(kind)
    }


def fill_some(rng: Random, name: str, fields: Iterable[str], near: int) -> dict[str, Any]:
    """Return values for some fields of an API object.

    :param name: Stripe's name of the object, for example ``invoice``.
    """
    kinds = fields_of(name)
    return {field: _value(rng, f"{name}.{field}", kinds[field], near) for field in fields}


def _is_left_out(kind: str) -> bool:
    return kind.startswith("true") or kind.endswith("+")


def _empty(kind: str) -> Any:
    if kind in ("map", "union", "resource"):
        return {}
    return [] if kind.startswith("list") else _EMPTY[kind]


def _value(rng: Random, path: str, kind: str, near: int) -> Any:
    needed = not kind.endswith("?")
    kind, _, target = kind.rstrip("?").partition(":")
    if kind == "object":
        return fill(rng, path, near)
    if target in _FILLED:
        filled = fill(rng, target, near)
        return [filled] if kind == "list" else filled
    if kind == "list":
        return [fill(rng, f"{path}[]", near)] if is_shape(f"{path}[]") else []
    value = _scalar(rng, kind, near)
    return blank(target) if target and needed else value


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
