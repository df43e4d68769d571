"""The last sync of each stream, read for all installations at once: a page shows hundreds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class LastSync:
    """The last sync of one stream into one warehouse; times are unix seconds.

    :param conn_id: the installation's connection.
    :param stream: the stream's name.
    :param warehouse_conn_id: the warehouse's connection.
    :param ok: whether it succeeded.
    :param at: when it ended.
    :param complete_to: up to when the table holds what Stripe has, None if that is not known.
    :param inserted: rows; as ``updated`` and ``deleted`` None if the worker did not say.
    :param dag_id: with ``task_id`` and ``run_id`` the task, if it was one.
    :param error: one sentence if it failed.
    :param permission: the permission that Stripe's 403 named.
    """

    conn_id: str
    stream: str
    warehouse_conn_id: str
    ok: bool
    at: float
    complete_to: float | None = None
    inserted: int | None = None
    updated: int | None = None
    deleted: int | None = None
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    error: str | None = None
    permission: str | None = None


def last_syncs(conn_id: str | None = None) -> dict[str, tuple[LastSync, ...]]:
    """Return the last sync of each stream by the installation's connection.

    :param conn_id: only this installation's; None for all.
    """
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.database import transaction
    from airflow_provider_stripe_app.oauth.models import StreamSync

    columns = [getattr(StreamSync, name) for name in LastSync.__dataclass_fields__]
    query = select(*columns).order_by(StreamSync.stream, StreamSync.warehouse_conn_id)
    if conn_id is not None:
        query = query.where(StreamSync.conn_id == conn_id)

    def work(session: Session) -> dict[str, tuple[LastSync, ...]]:
        found: dict[str, list[LastSync]] = {}
        for values in session.execute(query):
            line = LastSync(*values)
            found.setdefault(line.conn_id, []).append(line)
        return {name: tuple(lines) for name, lines in found.items()}

    return transaction(work)
