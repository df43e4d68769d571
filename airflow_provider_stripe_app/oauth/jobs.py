"""Work that one of many processes does: a lease by name, and when it was last done.

The lease is a row and a conditional ``UPDATE``, as in ``rows.py``: no lock is held, a dead holder's
lease ends by itself, and who does not get it has run one query on a primary key. It saves work and
protects nothing: what must not happen twice has a lease of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.models import Job

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

OWNER_LENGTH = 64
PATIENCE = 5.0
"""Seconds to wait for a locked database; whoever gives up comes again."""


def take(name: str, owner: str, seconds: float, now: float) -> bool:
    """Take a lease, or make one's own longer.

    :param name: the work.
    :param owner: who asks; one name per process and thread, at most 64 characters.
    :param seconds: how long nobody else may take it.
    :param now: unix seconds.
    :return: whether ``owner`` holds it now.
    :raises StripeAppError: if the database cannot be used.
    """
    free = or_(Job.lease_until.is_(None), Job.lease_until <= now, Job.owner == owner)
    leased = {"owner": owner, "lease_until": now + seconds}

    def try_it(session: Session) -> bool:
        row = session.execute(
            select(Job.owner, Job.lease_until).where(Job.name == name)
        ).one_or_none()
        if row is None:
            session.execute(insert(Job).values(name=name, **leased))
            return True
        if row.owner != owner and row.lease_until is not None and row.lease_until > now:
            return False
        result = session.execute(
            update(Job)
            .where(Job.name == name, free)
            .values(**leased)
            .execution_options(synchronize_session=False)
        )
        return bool(result.rowcount == 1)  # type: ignore[attr-defined]

    try:
        return transaction(try_it, patience=PATIENCE)
    except IntegrityError:  # two first ones at once: the other is the holder
        return False


def done(name: str, owner: str, now: float) -> bool:
    """Write down that the work was done, and give the lease back.

    :param name: the work.
    :param owner: who did it.
    :param now: unix seconds.
    :return: whether ``owner`` still held the lease; else nothing was written.
    :raises StripeAppError: if the database cannot be used.
    """
    return _end(name, owner, {"done_at": now})


def release(name: str, owner: str) -> bool:
    """Give a lease back; the work counts as not done.

    :return: whether ``owner`` still held it.
    :raises StripeAppError: if the database cannot be used.
    """
    return _end(name, owner, {})


def last_done(name: str) -> float | None:
    """Return when the work was last done in unix seconds, ``None`` if never.

    :raises StripeAppError: if the database cannot be used.
    """
    query = select(Job.done_at).where(Job.name == name)
    return transaction(lambda session: session.scalar(query), patience=PATIENCE)


def _end(name: str, owner: str, values: dict[str, float]) -> bool:
    statement = (
        update(Job)
        .where(Job.name == name, Job.owner == owner)
        .values(owner=None, lease_until=None, **values)
        .execution_options(synchronize_session=False)
    )

    def write(session: Session) -> bool:
        return bool(session.execute(statement).rowcount == 1)  # type: ignore[attr-defined]

    return transaction(write, patience=PATIENCE)
