"""A lost grant is mended without a person where Stripe allows it (DESIGN §2.6).

This is the database's side of it: lease, counting, history. What is asked of Stripe is in
``reinstall``; how often, in ``refresh_rules``. A try is written down before it begins, so a process
that dies in one costs a pause and nothing else.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import metrics, rows
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.oauth.adoption import Adoption
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.refresh_rules import MAX_MENDED_PER_DAY, next_mending
from airflow_provider_stripe_app.oauth.reinstall import (
    AppAccess,
    LeaseLost,
    Mended,
    NotMended,
    mend,
    mending_key,
)
from airflow_provider_stripe_app.oauth.renewal import check_deployment
from airflow_provider_stripe_app.oauth.words import NOT_MENDED

AccessOf = Callable[[str, "str | None", float], AppAccess]
"""(app connection, team, timeout in seconds) → what its key may do with the Install API."""

NOT_INSTALLED = "uninstalled"
"""``install_status`` of an account that Stripe no longer lists."""


class Healing:
    """Mends lost grants.

    :param access_of: finds the Install API of an app connection.
    :param policy: the numbers.
    :param adoption: stores what Stripe gives.
    :param clock: unix seconds.
    :param sleep: waits for seconds.
    """

    def __init__(
        self,
        *,
        access_of: AccessOf,
        policy: TokenPolicy,
        adoption: Adoption,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._access_of = access_of
        self._policy = policy
        self._adoption = adoption
        self._clock = clock
        self._sleep = sleep

    def run(self, seen: rows.Snapshot) -> AccessGrant | None:
        """Make one try to mend a row that was just read and counts as lost.

        :param seen: the row.
        :return: the new token; ``None`` if there is none: read the row again, it says how it is.
        :raises ConfigurationError: if the tokens belong to another deployment.
        """
        check_deployment(seen)
        version = self._begin(seen)
        if version is None:
            return None
        try:
            outcome = self._try(seen, version)
        except LeaseLost:
            return None
        if isinstance(outcome, Mended):
            install = outcome.install
            grant = self._adoption.keep(
                seen,
                outcome.granted,
                rows.MENDED,
                "install_api",
                install_id=install.id,
                install_channel=install.channel,
                install_status=install.status,
                permissions_granted=list(install.permissions_granted),
                permissions_pending=list(install.permissions_pending),
            )
            if grant is not None:
                metrics.healed()
            return grant
        self._note(seen, outcome)
        return None

    def _begin(self, seen: rows.Snapshot) -> int | None:
        """Take the lease and count the try; return the row's version while it is held."""
        now, tries = self._clock(), seen.heal_tries + 1
        values = {
            "lease_owner": uuid.uuid4().hex,
            "lease_until": now + self._policy.lease_seconds,
            "heal_tries": tries,
            "heal_after": next_mending(tries, now, self._policy),
        }
        taken = transaction(lambda s: rows.write(s, seen.id, seen.version, now, **values))
        return seen.version + 1 if taken else None

    def _try(self, seen: rows.Snapshot, version: int) -> Mended | NotMended:
        mended = transaction(lambda s: rows.mended_lately(s, seen.conn_id, self._clock()))
        if mended >= MAX_MENDED_PER_DAY:
            return NotMended(
                f"it was mended {mended} times within a day, so something keeps taking its tokens",
                final=True,
            )
        try:
            access = self._access_of(seen.app_conn_id, seen.team_name, self._policy.token_timeout)
        except ConfigurationError as error:
            return NotMended(str(error), final=True)
        held = version

        def still_ours() -> bool:
            nonlocal held
            now = self._clock()
            until = {"lease_until": now + self._policy.lease_seconds}
            kept = transaction(lambda s: rows.write(s, seen.id, held, now, **until))
            held += 1
            return kept

        key = mending_key(seen.refresh_token, seen.heal_tries + 1)
        return mend(
            access,
            seen.grant.account_id,
            seen.grant.livemode,
            key,
            still_ours=still_ours,
            sleep=self._sleep,
        )

    def _note(self, seen: rows.Snapshot, outcome: NotMended) -> None:
        """Write down why there are no tokens, unless the row went another way meanwhile."""
        now = self._clock()
        reason = (seen.last_error or "The stored tokens are dead").split(NOT_MENDED)[0]
        values: dict[str, Any] = {
            **rows.NO_LEASE,
            "last_error": f"{reason.rstrip('.')}{NOT_MENDED}{outcome.message.rstrip('.')}",
            "last_error_at": now,
        }
        if outcome.request_id:
            values["last_error_request_id"] = outcome.request_id
        if outcome.final:
            values["heal_after"] = None
        if outcome.uninstalled:
            values["install_status"] = NOT_INSTALLED

        def write(session: Session) -> None:
            now_there = rows.read(session, seen.conn_id, now=now)
            if now_there is None or now_there.generation != seen.generation:
                return
            if rows.write(session, seen.id, now_there.version, now, **values):
                rows.record(
                    session,
                    seen.conn_id,
                    "not_healed",
                    now,
                    reason="final" if outcome.final else "later",
                    generation=seen.generation,
                    request_id=outcome.request_id,
                    detail=outcome.message,
                )

        transaction(write)
