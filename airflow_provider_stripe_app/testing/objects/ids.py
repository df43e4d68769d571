"""Ids as Stripe makes them, and the list object that Stripe inlines in a parent."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

INLINED = 10
"""How many children Stripe inlines in a list inside a parent (``has_more`` tells of more)."""

_LENGTHS = {"cus": 14, "si": 14, "prod": 14, "acct": 16}
_LONG = 24


def new_id(rng: Random, prefix: str) -> str:
    """Return an id as Stripe makes them: prefix, ``_``, letters and digits.

    :param prefix: for example ``cus``, ``in``, ``il``, ``sub``, ``si``, ``price``, ``evt``.
    """
    length = _LENGTHS.get(prefix)
    if length is None:  # the longer ones start with the generation of Stripe's id maker
        return f"{prefix}_1{''.join(rng.choices(ALPHABET, k=_LONG - 1))}"
    return f"{prefix}_{''.join(rng.choices(ALPHABET, k=length))}"


def inline_list(
    children: Sequence[dict[str, Any]], url: str, limit: int = INLINED
) -> dict[str, Any]:
    """Return the list object that a parent carries: its first children.

    :param children: all of them, in Stripe's order.
    :param url: where the whole list is, for example ``/v1/invoices/in_1/lines``.
    :param limit: how many are inlined.
    """
    return {
        "object": "list",
        "data": list(children[:limit]),
        "has_more": len(children) > limit,
        "total_count": len(children),
        "url": url,
    }
