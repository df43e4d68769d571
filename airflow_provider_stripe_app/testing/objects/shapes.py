"""The shapes of Stripe's objects, read from the generated table one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from airflow_provider_stripe_app.testing.objects.shapes_generated import FIELDS


@cache
def fields_of(shape: str) -> Mapping[str, str]:
    """Return a shape's fields and their kinds.

    :param shape: an object's name, or the path of what is nested in it: ``customer.shipping``.
    :raises KeyError: if there is no such shape.
    """
    return dict(part.split("=") for part in FIELDS[shape].split())


def is_shape(key: str) -> bool:
    """Tell whether there is a shape of this name or path."""
    return key in FIELDS
