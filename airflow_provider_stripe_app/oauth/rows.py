"""Reading and conditionally writing the installation's row and its history.

Every write of a grant or a lease is ``UPDATE … WHERE version = :read`` with a look at the row
count: that holds on SQLite, PostgreSQL and MySQL alike, while ``SELECT … FOR UPDATE`` is no lock on
SQLite (AIRFLOW.md, tried). All functions take a session and neither commit nor wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.oauth.cipher import seal, unseal
from airflow_provider_stripe_app.oauth.models import History, Installation
from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE, TokenState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

REFUSED = "refused"
"""History reason of a renewal that a refused token caused."""
MENDED = "healed"
"""History event of a lost grant that was mended."""


KEEP_HISTORY = 90 * 86400.0
"""Seconds after which lines of the history are deleted."""


@dataclass(frozen=True)
class Snapshot:
    """One read of an installation's row, detached from any session."""

    id: int
    conn_id: str
    app_conn_id: str
    team_name: str | None
    deployment_id: str | None
    version: int
    generation: int
    grant: AccessGrant
    refresh_token: str = field(repr=False)
    broker_token: str = field(repr=False)
    state: TokenState = field(repr=False)
    attempt_id: str | None = None
    attempt_started_at: float | None = None
    attempt_fingerprint: str | None = None
    idempotency_suffix: int = 0
    last_error: str | None = None
    last_used_at: float | None = None
    heal_tries: int = 0


def grant_of(row: Installation) -> AccessGrant:
    """Return the access token that a row holds.

    :raises ConfigurationError: if it cannot be decrypted.
    """
    return AccessGrant(
        access_token=unseal(row.access_token_sealed),
        expires_at=row.access_expires_at,
        generation=row.generation,
        account_id=row.account_id,
        livemode=row.livemode,
    )


def read(session: Session, conn_id: str, *, now: float) -> Snapshot | None:
    """Return the installation of a connection, ``None`` if the app is not installed there.

    :param session: an open session.
    :param conn_id: the connection.
    :param now: unix seconds; renewals of the hour before it are counted.
    :raises ConfigurationError: if the tokens cannot be decrypted.
    """
    row = session.scalar(select(Installation).where(Installation.conn_id == conn_id))
    if row is None:
        return None
    grant = grant_of(row)
    recent = session.scalar(
        select(func.count())
        .select_from(History)
        .where(History.conn_id == conn_id, History.at > now - 3600, History.reason == REFUSED)
    )
    return Snapshot(
        id=row.id,
        conn_id=row.conn_id,
        app_conn_id=row.app_conn_id,
        team_name=row.team_name,
        deployment_id=row.deployment_id,
        version=row.version,
        generation=row.generation,
        grant=grant,
        refresh_token=unseal(row.refresh_token_sealed),
        broker_token=unseal(row.broker_token_sealed),
        state=TokenState(
            status=row.status,
            stored=grant.fingerprint,
            expires_at=row.access_expires_at,
            refreshed_at=row.last_refreshed_at,
            lease_until=row.lease_until,
            refused_at=row.refused_at,
            retry_at=row.retry_at,
            recent_refusals=recent or 0,
            heal_after=row.heal_after,
        ),
        attempt_id=row.attempt_id,
        attempt_started_at=row.attempt_started_at,
        attempt_fingerprint=row.attempt_fingerprint,
        idempotency_suffix=row.idempotency_suffix,
        last_error=row.last_error,
        last_used_at=row.last_used_at,
        heal_tries=row.heal_tries,
    )


def mended_lately(session: Session, conn_id: str, now: float) -> int:
    """Return how many losses of an installation were mended within a day."""
    query = (
        select(func.count())
        .select_from(History)
        .where(History.conn_id == conn_id, History.at > now - 86400, History.event == MENDED)
    )
    return session.scalar(query) or 0


def write(session: Session, row_id: int, version: int, now: float, **values: Any) -> bool:
    """Write to a row if it is still at ``version``, and make the next version of it.

    :param session: an open session.
    :param row_id: the row.
    :param version: the version that was read.
    :param now: unix seconds.
    :param values: columns to set.
    :return: whether the row was written; ``False`` means that somebody else wrote first.
    """
    result = session.execute(
        update(Installation)
        .where(Installation.id == row_id, Installation.version == version)
        .values(version=version + 1, updated_at=now, **values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def token_columns(
    grant: AccessGrant, refresh_token: str, refresh_expires_at: float
) -> dict[str, Any]:
    """Return the columns that a new pair of tokens sets; it ends every attempt and clears every
    status.

    :param grant: the access token; its generation becomes the row's.
    :param refresh_token: the refresh token that came with it.
    :param refresh_expires_at: when that dies, unix seconds.
    """
    return {
        "access_token_sealed": seal(grant.access_token),
        "refresh_token_sealed": seal(refresh_token),
        "access_expires_at": grant.expires_at,
        "refresh_expires_at": refresh_expires_at,
        "generation": grant.generation,
        "account_id": grant.account_id,
        "livemode": grant.livemode,
        "status": ACTIVE,
        "idempotency_suffix": 0,
        "heal_tries": 0,
        "heal_after": None,
        "last_error": None,
        "last_error_at": None,
        "last_error_request_id": None,
        **NO_ATTEMPT,
        **NO_LEASE,
    }


NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_until": None}
NO_ATTEMPT: dict[str, Any] = {
    "attempt_id": None,
    "attempt_started_at": None,
    "attempt_fingerprint": None,
    "refused_at": None,
    "retry_at": None,
}


def record(
    session: Session,
    conn_id: str,
    event: str,
    now: float,
    *,
    reason: str | None = None,
    generation: int | None = None,
    request_id: str | None = None,
    detail: str | None = None,
) -> None:
    """Add a line to an installation's history.

    :param event: ``installed``, ``refreshed``, ``recovered``, ``error``, ``lost``, ``forgotten`` …
    :param detail: a sentence without secrets.
    """
    old = delete(History).where(History.conn_id == conn_id, History.at < now - KEEP_HISTORY)
    session.execute(old.execution_options(synchronize_session=False))
    session.add(
        History(
            conn_id=conn_id,
            at=now,
            event=event,
            reason=reason,
            generation=generation,
            request_id=request_id,
            detail=detail,
        )
    )
