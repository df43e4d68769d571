"""Storing tokens that exist nowhere else: on disk first, then in the metadata database.

Both a renewal and a mended loss end here, and so does what an earlier process left on disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import StripeAppError, TokenUnavailable
from airflow_provider_stripe_app.oauth import config, rows
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant, fingerprint
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.connections import write_copy
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.spool import Spool, Spooled
from airflow_provider_stripe_app.oauth.token_endpoint import REFRESH_TOKEN_SECONDS, Granted

log = logging.getLogger(__name__)


class Adoption:
    """Stores pairs of tokens.

    :param policy: the numbers.
    :param spool: where tokens wait that could not be stored.
    :param clock: unix seconds.
    """

    def __init__(
        self, *, policy: TokenPolicy, spool: Spool, clock: Callable[[], float] = time.time
    ) -> None:
        self._policy = policy
        self._spool = spool
        self._clock = clock

    def keep(
        self, seen: rows.Snapshot, granted: Granted, event: str, reason: str, **facts: Any
    ) -> AccessGrant | None:
        """Store what Stripe gave for a row that was read.

        :param seen: the row; its refresh token is spent (or lost).
        :param granted: the tokens.
        :param event: for the history: ``refreshed`` or ``healed``.
        :param reason: for the history.
        :param facts: further columns.
        :return: the access token to use, also when only the disk holds it by now; ``None`` if the
            row is gone or went another way.
        """
        spent, healed = fingerprint(seen.refresh_token), event == rows.MENDED
        entry = Spooled(seen.conn_id, seen.generation, spent, granted, healed)
        path = self._spool.put(entry)
        try:
            grant = self.adopt(entry, event, reason, **facts)
        except TokenUnavailable:
            where = path or "the memory of this process only"
            log.error(  # noqa: TRY400 - the trace would add nothing
                "Stripe renewed the tokens of connection %s, but the metadata database does not "
                "take them; they wait in %s.",
                seen.conn_id,
                where,
            )
            return next_grant(seen.grant, granted)
        self._spool.remove(path)
        return grant

    def recover(self, conn_id: str, *, min_age: float = 0.0) -> bool:
        """Store what an earlier renewal could not.

        :param conn_id: the installation's connection.
        :param min_age: seconds that it has waited; less while its own process may still store it.
        :return: whether tokens were stored: read the row again.
        """
        found = self._spool.find(conn_id, min_age=min_age)
        return True in [self._recover(path, entry) for path, entry in found]

    def recover_all(self, *, min_age: float = 10.0) -> int:
        """Store what earlier renewals of any installation could not.

        :param min_age: as for ``recover``.
        :return: how many pairs of tokens were stored.
        :raises StripeAppError: what kept some of them from being stored; they stay.
        """
        stored, failure = 0, None
        for path, entry in self._spool.everything(min_age=min_age):
            try:
                stored += self._recover(path, entry)
            except StripeAppError as error:
                failure = error
        if failure is not None:
            raise failure
        return stored

    def _recover(self, path: Path, entry: Spooled) -> bool:
        # As healed it counts towards the losses of a day that are mended.
        event = rows.MENDED if entry.healed else "recovered"
        stored = self.adopt(entry, event, "spool") is not None
        self._spool.remove(path)
        return stored

    def adopt(self, entry: Spooled, event: str, reason: str, **facts: Any) -> AccessGrant | None:
        """Store a pair of tokens if the row still is of the generation that they follow.

        Not the version decides here but the generation: whoever holds the lease by now, these
        tokens are newer than the stored ones, and the stored ones are spent.

        :return: the stored token; ``None`` if the row is gone or went another way.
        """

        def store(session: Session) -> AccessGrant | bool | None:
            now = self._clock()
            row = rows.read(session, entry.conn_id, now=now)
            if row is None:
                return None
            if row.generation != entry.generation or entry.spent != fingerprint(row.refresh_token):
                same = row.grant.access_token == entry.granted.access_token
                return row.grant if same else None
            grant = next_grant(row.grant, entry.granted)
            columns = rows.token_columns(
                grant, entry.granted.refresh_token, now + REFRESH_TOKEN_SECONDS
            )
            if row.deployment_id is None:
                columns["deployment_id"] = config.deployment_id()
            values = {**columns, **facts}
            if not rows.write(session, row.id, row.version, now, last_refreshed_at=now, **values):
                return False
            rows.record(
                session,
                entry.conn_id,
                event,
                now,
                reason=reason,
                generation=grant.generation,
                request_id=entry.granted.request_id,
            )
            return grant

        while True:
            stored = transaction(store, patience=self._policy.store_seconds)
            if stored is not False:
                break
        if isinstance(stored, AccessGrant):
            update_copy(entry.conn_id)
            return stored
        return None


def next_grant(old: AccessGrant, granted: Granted) -> AccessGrant:
    """Return the access token that follows one.

    :param old: the stored one.
    :param granted: what Stripe gave; a refresh answer may leave account and mode out.
    """
    return AccessGrant(
        access_token=granted.access_token,
        expires_at=granted.expires_at,
        generation=old.generation + 1,
        account_id=granted.account_id or old.account_id,
        livemode=old.livemode if granted.livemode is None else granted.livemode,
    )


def update_copy(conn_id: str) -> None:
    """Bring the disposable copy up to date; a failure costs a worker one request and nothing else.

    :param conn_id: the installation's connection.
    """
    try:
        write_copy(conn_id)
    except Exception as error:
        log.warning(
            "Cannot write the access token into connection %s (%s); workers will ask the API "
            "server.",
            conn_id,
            type(error).__name__,
        )
