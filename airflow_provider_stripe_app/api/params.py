"""Stripe's way of writing nested parameters (https://docs.stripe.com/api, form encoding)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def encode(params: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Flatten parameters: ``{"a": {"b": 1}}`` is ``a[b]=1``, lists are ``a[0]=…``.

    :param params: nested values; ``None`` values are left out. A key that ends in ``[]`` takes a
        list and is repeated as it is.
    :return: pairs ready for a query string or a form.
    """
    return [pair for key, value in (params or {}).items() for pair in _pairs(key, value)]


def _pairs(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _pairs(f"{key}[{name}]", inner)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for index, inner in enumerate(value):
            yield from _pairs(key if key.endswith("[]") else f"{key}[{index}]", inner)
    elif isinstance(value, bool):
        yield key, "true" if value else "false"
    else:
        yield key, str(value)
