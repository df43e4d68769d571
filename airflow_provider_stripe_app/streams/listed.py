"""How rows of the catalogue are written."""

from __future__ import annotations

from typing import Any

from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.streams.schema_generated import COLUMNS


def listed(name: str, object_: str, permission: str, path: str, **more: Any) -> Stream:
    """Return a top-level stream.

    :param name: stream and table.
    :param object_: Stripe's ``object`` value.
    :param permission: without ``_read``.
    :param path: without ``/v1/``; one object is below it by its id, as everywhere at Stripe.
    :param more: see :class:`~airflow_provider_stripe_app.streams.model.Stream`.
    """
    return Stream(
        name=name,
        object=object_,
        permission=f"{permission}_read",
        path=f"/v1/{path}",
        retrieve_path=f"/v1/{path}/{{id}}",
        columns=COLUMNS[name],
        **more,
    )


def inlined(parent: Stream, name: str, object_: str, path: str, key: str, column: str) -> Stream:
    """Return the stream of the objects that are inlined in another stream's.

    :param path: where all of them are listed, with ``{parent}``; without ``/v1/``.
    :param key: the parent's field that holds the first of them.
    :param column: the child's column for the parent's id.
    """
    return Stream(
        name=name,
        object=object_,
        permission=parent.permission,
        path=f"/v1/{path}",
        columns=COLUMNS[name],
        parent=parent.name,
        inlined=key,
        parent_column=column,
        group=parent.group,
    )


def paths(*dotted: str) -> frozenset[tuple[str, ...]]:
    """Return field paths written with dots."""
    return frozenset(tuple(one.split(".")) for one in dotted)
