"""Where the objects that are owed stand among all objects of their stream, by ``created``.

One set-based statement counts, so that :mod:`airflow_provider_stripe_app.sync.costs` knows what
listing a range would cost without a request.
"""

from __future__ import annotations

from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.warehouse.base import OwedSecond
from airflow_provider_stripe_app.warehouse.session import Session
from airflow_provider_stripe_app.warehouse.sql import identifier
from airflow_provider_stripe_app.warehouse.state import OBLIGATIONS


def seconds(
    session: Session,
    stream: Stream,
    account_id: str,
    livemode: bool,
    created: str | None,
    after: int,
    limit: int,
) -> list[OwedSecond]:
    """Return when owed objects were created; see the protocol in :mod:`.base`.

    :param created: the table's column; ``None`` if there is no table, and nothing is known then.
    """
    if created is None:
        return []
    at = session.dialect.seconds(f"t.{identifier(created)}")
    rows = session.rows(
        "owed seconds",
        f"""WITH owed AS ({_owed(session, stream, at)}),
        listed AS (
            SELECT born, 1 AS due FROM owed WHERE born IS NOT NULL
            UNION ALL
            SELECT {at}, 0 FROM {session.table(stream.name)} AS t
            WHERE t.account_id = ? AND t.livemode = ? AND NOT t.is_deleted
              AND NOT EXISTS (SELECT 1 FROM owed WHERE owed.id = t.id)
        ),
        counted AS (
            SELECT born, sum(due) AS due, count(*) AS n FROM listed
            WHERE born IS NOT NULL GROUP BY born
        ),
        ranked AS (SELECT born, due, n, sum(n) OVER (ORDER BY born) AS through FROM counted)
        SELECT born, due, through - n, through FROM ranked WHERE due > 0 AND born > ?
        ORDER BY born LIMIT {int(limit)}""",
        (account_id, livemode, stream.name, account_id, livemode, after),
    )
    return [OwedSecond(*(int(value) for value in row)) for row in rows]


def ids(
    session: Session,
    stream: Stream,
    account_id: str,
    livemode: bool,
    created: str | None,
    first: int,
    last: int,
) -> set[str]:
    """Return which objects of some seconds are owed; see the protocol in :mod:`.base`."""
    if created is None:
        return set()
    at = session.dialect.seconds(f"t.{identifier(created)}")
    rows = session.rows(
        "owed ids",
        f"SELECT id FROM ({_owed(session, stream, at)}) AS owed WHERE born BETWEEN ? AND ?",
        (account_id, livemode, stream.name, first, last),
    )
    return {row[0] for row in rows}


def _owed(session: Session, stream: Stream, at: str) -> str:
    """Return the select of what is owed: id and second of creation (``born``)."""
    return (
        f"SELECT o.id AS id, coalesce(o.created, {at}) AS born "
        f"FROM {session.table(OBLIGATIONS)} AS o LEFT JOIN {session.table(stream.name)} AS t "
        "ON t.account_id = o.account_id AND t.id = o.id "
        "WHERE o.account_id = ? AND o.livemode = ? AND o.stream = ?"
    )
