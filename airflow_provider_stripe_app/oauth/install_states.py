"""One-time values of installations in progress: only their hash is stored, each is used once.

Three kinds share the table: the ``state`` that Stripe hands back, the handle of a callback that
arrived before its user had logged in (``parked``), and the handle of a grant that waits for a
confirmation (``confirm``). What must not be read in the database (a code, tokens) is sealed with
Airflow's Fernet. Runs only where the metadata database may be used.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.oauth.cipher import seal, unseal
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.models import InstallState

Kind = Literal["state", "parked", "confirm"]

LIFETIME = 600.0
"""Seconds. Stripe's codes live 5 minutes; a person needs some more to consent."""

KEPT = 86400.0
"""Seconds that a used or expired row stays, so that a replay is told apart from a forgery."""


class InstallStateError(StripeAppError):
    """A one-time value is unknown, used, expired or somebody else's; says so to a person."""


@dataclass(frozen=True)
class Pending:
    """An installation in progress.

    :param conn_id: the app's connection.
    :param user_id: who started it: ``airflow:<id>`` or ``cli:<name>``.
    :param data: what was noted down, no secrets.
    :param secret: what was sealed.
    """

    conn_id: str
    user_id: str
    data: dict[str, Any] = field(default_factory=dict)
    secret: dict[str, Any] = field(default_factory=dict, repr=False)


def digest(value: str) -> str:
    """Return the form in which a one-time value is stored: hex SHA-256 (it has 256 random bits)."""
    return hashlib.sha256(value.encode("utf-8")).hexdigest()


class InstallStates:
    """The table ``stripe_app_install_state``.

    :param transaction: runs work in one short transaction; Airflow's metadata database by default.
    :param clock: unix seconds.
    """

    def __init__(
        self,
        transaction: Callable[[Callable[[Session], Any]], Any] = transaction,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transaction = transaction
        self._clock = clock

    def issue(self, kind: Kind, pending: Pending) -> str:
        """Store ``pending`` and return the new one-time value that leads back to it.

        :param kind: what the value will be used for.
        :param pending: what to remember.
        """
        value = secrets.token_urlsafe(32)
        data: dict[str, Any] = {**pending.data, "kind": kind}
        if pending.secret:
            data["sealed"] = seal(json.dumps(pending.secret))
        now = self._clock()
        row = {
            "state_hash": digest(value),
            "conn_id": pending.conn_id,
            "user_id": pending.user_id,
            "created_at": now,
            "used_at": None,
            "data": data,
        }

        def work(session: Session) -> None:
            session.execute(delete(InstallState).where(InstallState.created_at < now - KEPT))
            session.add(InstallState(**row))

        self._transaction(work)
        return value

    def peek(self, value: str, kind: Kind) -> Pending:
        """Return what belongs to ``value`` without using it up.

        :raises InstallStateError: if it is unknown, used or expired.
        """
        columns = (
            InstallState.conn_id,
            InstallState.user_id,
            InstallState.created_at,
            InstallState.used_at,
            InstallState.data,
        )
        query = select(*columns).where(InstallState.state_hash == digest(value))
        row = self._transaction(lambda session: session.execute(query).one_or_none())
        data = dict(row.data or {}) if row is not None else {}
        if row is None or data.pop("kind", None) != kind:
            raise InstallStateError(
                "This installation was not started from this Airflow, so it was not accepted. "
                "Open the Stripe App page and press Install."
            )
        if row.used_at is not None:
            raise InstallStateError(
                "This installation link was used before. Open the Stripe App page: if the app is "
                "not listed as installed, press Install again."
            )
        if row.created_at < self._clock() - LIFETIME:
            raise InstallStateError(
                "This installation was started more than 10 minutes ago. Open the Stripe App page "
                "and press Install again."
            )
        sealed = data.pop("sealed", None)
        secret = json.loads(unseal(sealed)) if sealed else {}
        return Pending(row.conn_id, row.user_id, data=data, secret=secret)

    def use(self, value: str, kind: Kind, user_id: str) -> Pending:
        """Use a value up and return what belongs to it.

        Of several that try at once one wins: the update is conditional.

        :raises InstallStateError: as :meth:`peek`, or if another user started it.
        """
        pending = self.peek(value, kind)
        if pending.user_id != user_id:
            raise InstallStateError(foreign_user(pending.user_id))
        data = {**pending.data, "kind": kind}  # without what was sealed
        statement = (
            update(InstallState)
            .where(InstallState.state_hash == digest(value), InstallState.used_at.is_(None))
            .values(used_at=self._clock(), data=data)
            .execution_options(synchronize_session=False)
        )
        won = self._transaction(lambda session: bool(session.execute(statement).rowcount == 1))  # type: ignore[attr-defined]
        if not won:
            raise InstallStateError(
                "This installation link was used before. Open the Stripe App page to see the "
                "result."
            )
        return pending


def foreign_user(starter: str) -> str:
    """Return the sentence for a value that somebody else started."""
    if starter.startswith("cli:"):
        return (
            "This installation was started on the command line. Copy the whole address of this "
            "page out of the browser and paste it into: airflow stripe-app exchange"
        )
    return (
        "This installation was started by another Airflow user, so it was not accepted. Log in "
        "as that user, or open the Stripe App page and press Install yourself."
    )
