"""Which installations the keep-alive has to see to: one query of a few columns, and the rules.

The query asks for whatever may be due and never unseals a token; the rules, which are pure
functions, decide. A stable number per connection spreads the moments: a thousand accounts that were
installed in one minute must not be renewed in one minute for ever after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import and_, case, func, literal, or_, select

from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.models import Installation, Job
from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE, LOST

DAY = 86400.0

IN_USE = 2 * 3600.0
"""Seconds since a task asked for a token or told of a run, during which an installation counts as
in use."""

EARLY = 900.0
"""Seconds of life below which a token in use is renewed at the latest: workers that reach no broker
find a fresh copy in their connection."""

SPREAD = 900.0
"""Seconds over which the renewals of tokens that end together are spread, before ``EARLY``."""

IDLE = 7 * DAY
"""Seconds after which an idle installation is touched; its refresh token lives a year."""

IDLE_SPREAD = DAY
"""Seconds over which idle installations are spread."""

WARN_DAYS = (1, 7, 30)
"""Days before the end of a refresh token at which it is said (DESIGN §2.5)."""

RECONCILE = "reconcile:"
"""What the names of the jobs begin with that compare an app's installations with Stripe's list."""

Why = Literal["in use", "idle", "healing"]


class Candidate(NamedTuple):
    """What the rules need of an installation's row; times are unix seconds. Holds no secret."""

    conn_id: str
    status: str
    access_expires_at: float
    refresh_expires_at: float
    last_refreshed_at: float
    last_used_at: float | None = None
    heal_after: float | None = None
    retry_at: float | None = None
    app_conn_id: str = ""


@dataclass(frozen=True)
class Due:
    """One installation to see to.

    :param conn_id: its connection.
    :param why: ``in use`` when tasks need it, ``idle`` when it is only kept from dying, ``healing``
        when it is lost and may be mended.
    :param margin: seconds of life below which its access token is renewed.
    :param app_conn_id: its app's connection.
    """

    conn_id: str
    why: Why
    margin: float = 0.0
    app_conn_id: str = ""


class Ages(NamedTuple):
    """How installations of one status are; unix seconds, ``None`` where there is none.

    :param number: how many there are.
    :param first_ends_at: when the first access token in use ends.
    """

    status: str
    number: int
    refreshed_at: float | None
    first_ends_at: float | None
    refresh_ends_at: float | None


class App(NamedTuple):
    """An app with installations, and its daily comparison with Stripe."""

    conn_id: str
    done_at: float | None
    lease_until: float | None


def share(name: str) -> float:
    """Return a number from 0 up to 1 that is always the same for a name and looks random."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def margin(one: Candidate) -> float:
    """Return the seconds of life below which the token in use of an installation is renewed.

    At most half of its life, should Stripe ever hand out short ones: never again at every look.

    :param one: the installation.
    """
    lifetime = max(0.0, one.access_expires_at - one.last_refreshed_at)
    return min(EARLY + SPREAD * share(one.conn_id), lifetime / 2)


def due(candidates: Iterable[Candidate], now: float, *, all_fresh: bool = False) -> list[Due]:
    """Return what has to be seen to now, the most urgent first.

    :param candidates: what the database says.
    :param now: unix seconds.
    :param all_fresh: whether every installation counts as in use.
    """
    found: list[tuple[float, Due]] = []
    for one in candidates:
        if one.retry_at is not None and one.retry_at > now:
            continue
        if one.status == LOST:
            if one.heal_after is not None and one.heal_after <= now:
                found.append((one.heal_after, Due(one.conn_id, "healing", 0.0, one.app_conn_id)))
        elif one.status == ACTIVE:
            used = one.last_used_at is not None and now - one.last_used_at < IN_USE
            early = margin(one)
            rest = IDLE + IDLE_SPREAD * share(one.conn_id)
            if (used or all_fresh) and one.access_expires_at - now <= early:
                item = Due(one.conn_id, "in use", early, one.app_conn_id)
                found.append((one.access_expires_at, item))
            elif now - one.last_refreshed_at > rest:
                found.append((now, Due(one.conn_id, "idle", 0.0, one.app_conn_id)))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def ending(candidates: Iterable[Candidate], now: float) -> list[tuple[str, int]]:
    """Return the installations that end within 30, 7 or 1 days, with the smallest of these.

    :param candidates: what the database says.
    :param now: unix seconds.
    """
    found = []
    for one in candidates:
        left = (one.refresh_expires_at - now) / DAY
        days = next((days for days in WARN_DAYS if left <= days), None)
        if one.status == ACTIVE and days is not None:
            found.append((one.conn_id, days))
    return found


def reconcile_due(apps: Iterable[App], now: float) -> list[str]:
    """Return the apps whose daily comparison with Stripe has to be made now.

    Each has a moment of the day of its own, so that they do not all ask at midnight.

    :param apps: what the database says.
    :param now: unix seconds.
    """
    found = []
    for one in apps:
        if one.lease_until is not None and one.lease_until > now:
            continue
        shift = DAY * share(one.conn_id)
        if one.done_at is None or (now - shift) // DAY > (one.done_at - shift) // DAY:
            found.append(one.conn_id)
    return found


def read(now: float, deployment: str = "", *, all_fresh: bool = False) -> Sequence[Candidate]:
    """Read the installations that may have to be seen to; a few columns, no token.

    :param now: unix seconds.
    :param deployment: this deployment; those of another one are left alone.
    :param all_fresh: as for :func:`due`.
    :raises StripeAppError: if the database cannot be used.
    """
    one = Installation
    soon = one.access_expires_at <= now + EARLY + SPREAD
    in_use = soon if all_fresh else and_(one.last_used_at > now - IN_USE, soon)
    idle = one.last_refreshed_at < now - IDLE
    active = and_(
        one.status == ACTIVE, or_(in_use, idle, one.refresh_expires_at <= now + WARN_DAYS[-1] * DAY)
    )
    mendable = and_(one.status == LOST, one.heal_after <= now)
    query = select(*(getattr(one, name) for name in Candidate._fields)).where(or_(active, mendable))
    if deployment:
        query = query.where(or_(one.deployment_id.is_(None), one.deployment_id == deployment))
    return transaction(lambda session: [Candidate(*row) for row in session.execute(query)])


def ages(now: float) -> list[Ages]:
    """Read how many installations there are, how old and how near their end; one row a status.

    :param now: unix seconds.
    :raises StripeAppError: if the database cannot be used.
    """
    one = Installation
    in_use = case((one.last_used_at > now - IN_USE, one.access_expires_at))
    query = select(
        one.status,
        func.count(),
        func.min(one.last_refreshed_at),
        func.min(in_use),
        func.min(one.refresh_expires_at),
    ).group_by(one.status)
    return transaction(lambda session: [Ages(*row) for row in session.execute(query)])


def apps() -> list[App]:
    """Read the apps with installations and when each was last compared with Stripe.

    :raises StripeAppError: if the database cannot be used.
    """
    own = select(Installation.app_conn_id).distinct().subquery()
    query = select(own.c.app_conn_id, Job.done_at, Job.lease_until).outerjoin(
        Job, Job.name == literal(RECONCILE) + own.c.app_conn_id
    )
    return transaction(lambda session: [App(*row) for row in session.execute(query)])
