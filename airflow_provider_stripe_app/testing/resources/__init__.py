"""Which resources the simulated Stripe has, as data: one row each, and how to find a row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from airflow_provider_stripe_app.testing.resources.billing import BILLING
from airflow_provider_stripe_app.testing.resources.core import (
    BOOLEANS,
    CORE,
    INTEGERS,
    ITEM,
    TRANSIENT,
)
from airflow_provider_stripe_app.testing.resources.lines import CHILDREN
from airflow_provider_stripe_app.testing.resources.model import Move, Resource, names
from airflow_provider_stripe_app.testing.resources.money import MONEY
from airflow_provider_stripe_app.testing.resources.payments import PAYMENTS

__all__ = [
    "BOOLEANS",
    "BY_KIND",
    "BY_PATH",
    "BY_PLURAL",
    "CHILD",
    "COLLECTIONS",
    "CORE",
    "INTEGERS",
    "ITEM",
    "PARENTS",
    "TRANSIENT",
    "Move",
    "Resource",
    "event_permission",
    "named",
    "names",
]

COLLECTIONS: tuple[Resource, ...] = (*CORE, *BILLING, *PAYMENTS, *MONEY)
"""Types with a collection of their own; lines and items live in their parents."""

CHILD: Mapping[str, Resource] = {row.kind: row for row in CHILDREN}
"""Types that live in the objects of others and are made from data, by their ``object`` value."""

BY_KIND: Mapping[str, Resource] = {row.kind: row for row in (*COLLECTIONS, ITEM)}
BY_PATH: Mapping[str, Resource] = {row.path: row for row in (*COLLECTIONS, ITEM)}
BY_PLURAL: Mapping[str, Resource] = {row.plural: row for row in COLLECTIONS}
PARENTS: Mapping[str, str] = {row.child: row.kind for row in COLLECTIONS if row.child}
"""Type of a child → that of the objects that it is inlined in."""


def named(name: str) -> Resource:
    """Return the resource that is called so: by its ``object`` value or as :func:`.populate` does.

    :raises ValueError: if there is none.
    """
    found = BY_KIND.get(name) or BY_PLURAL.get(name)
    if found is None:
        raise ValueError(f"There are no objects of type {name!r}")
    return found


@cache
def event_permission(event_type: str) -> str:
    """Return the stem of the permission that an event's object needs (STRIPE.md §1)."""
    stems = {row.event: row.permission for row in (*COLLECTIONS, ITEM)}
    parts = event_type.split(".")
    for length in range(len(parts) - 1, 0, -1):
        stem = stems.get(".".join(parts[:length]))
        if stem is not None:
            return stem
    return "connected_account"
