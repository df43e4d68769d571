"""Requests made to Stripe, per account, day, purpose and stream: reads are allotted (STRIPE.md §2).

Rows are only ever added, so that tasks that write at the same time do not wait for each other, in
any warehouse; once a day they are summed up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from airflow_provider_stripe_app.warehouse.session import Row, Session
from airflow_provider_stripe_app.warehouse.state import REQUESTS

_ACCOUNT = "account_id = ? AND livemode = ?"


def spend(
    session: Session, account_id: str, livemode: bool, day: str, requests: Mapping[str, int]
) -> None:
    """Add to a day's requests; see the protocol in :mod:`.base`."""
    _add(
        session,
        [
            (account_id, livemode, day, *_parts(purpose), number)
            for purpose, number in sorted(requests.items())
            if number
        ],
    )


def spent(
    session: Session, account_id: str, livemode: bool, since: str
) -> dict[tuple[str, str], int]:
    """Return (day, purpose) → requests from a day on."""
    rows = session.rows(
        "spent",
        f"SELECT day, purpose, stream, sum(requests) FROM {session.table(REQUESTS)} "
        f"WHERE {_ACCOUNT} AND day >= ? GROUP BY day, purpose, stream "
        "ORDER BY day, purpose, stream",
        (account_id, livemode, since),
    )
    return {(day, _joined(verb, stream)): int(number) for day, verb, stream, number in rows}


def spenders(session: Session) -> list[tuple[str, bool]]:
    """Return (account, livemode) of all whose requests are kept."""
    rows = session.rows(
        "spenders",
        f"SELECT DISTINCT account_id, livemode FROM {session.table(REQUESTS)} ORDER BY 1, 2",
    )
    return [(account, bool(livemode)) for account, livemode in rows]


def tidy(session: Session, account_id: str, livemode: bool, keep: str, today: str) -> None:
    """Forget the days before ``keep``, and sum up those that nobody adds to any more.

    Yesterday is left alone: a task may just be writing what it did before midnight.
    """
    table = session.table(REQUESTS)
    yesterday = (date.fromisoformat(today) - timedelta(days=1)).isoformat()
    account = (account_id, livemode)
    session.run(
        "forget requests", f"DELETE FROM {table} WHERE {_ACCOUNT} AND day < ?", (*account, keep)
    )
    scattered = session.rows(
        "look at requests",
        f"SELECT day FROM {table} WHERE {_ACCOUNT} AND day < ? "
        "GROUP BY day, purpose, stream HAVING count(*) > 1",
        (*account, yesterday),
    )
    for day in sorted({row[0] for row in scattered}):
        sums = session.rows(
            "sum requests",
            f"SELECT account_id, livemode, day, purpose, stream, sum(requests) FROM {table} "
            f"WHERE {_ACCOUNT} AND day = ? GROUP BY account_id, livemode, day, purpose, stream",
            (*account, day),
        )
        session.run(
            "forget single requests",
            f"DELETE FROM {table} WHERE {_ACCOUNT} AND day = ?",
            (*account, day),
        )
        _add(session, [(*row[:5], int(row[5])) for row in sums])


def _add(session: Session, rows: Iterable[Row]) -> None:
    values = list(rows)
    if not values:
        return
    cells = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(values))
    session.run(
        "spend",
        f"INSERT INTO {session.table(REQUESTS)} "
        f"(account_id, livemode, day, purpose, stream, requests) VALUES {cells}",
        [value for row in values for value in row],
    )


def _parts(purpose: str) -> tuple[str, str]:
    verb, _, stream = purpose.partition(":")
    return verb, stream


def _joined(verb: str, stream: str) -> str:
    return f"{verb}:{stream}" if stream else verb
