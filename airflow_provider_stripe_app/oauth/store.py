"""The only writer of tokens. Runs where Airflow's metadata database is: API server, CLI, ``dags
test``.

Many threads of many processes on many hosts may call ``live_token`` at once; the conditional
updates of ``rows.py`` let one of them renew while the others wait for what it stores.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable

from sqlalchemy import update

from airflow_provider_stripe_app.exceptions import (
    ReauthorizationRequired,
    StripeAppError,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth import rows
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.oauth.adoption import Adoption
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.connections import (
    NO_APP_CONNECTION,
    app_access,
    follow_renamed_app,
    token_endpoint,
)
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.healing import AccessOf, Healing
from airflow_provider_stripe_app.oauth.models import Installation
from airflow_provider_stripe_app.oauth.records import InstallationRecords
from airflow_provider_stripe_app.oauth.refresh_rules import (
    LAST_SECONDS,
    Decision,
    decide,
    lost_message,
)
from airflow_provider_stripe_app.oauth.renewal import EndpointOf, Renewal
from airflow_provider_stripe_app.oauth.spool import Spool
from airflow_provider_stripe_app.oauth.status import (
    HistoryLine,
    InstallationStatus,
)

__all__ = ["HistoryLine", "InstallationStatus", "TokenStore"]

log = logging.getLogger(__name__)
_USED_EVERY = 60.0


class TokenStore(InstallationRecords):
    """Grants of all installations.

    :param endpoint_of: finds the token endpoint of an app connection.
    :param access_of: finds the Install API of an app connection.
    :param policy: the numbers; by default what ``airflow.cfg`` says.
    :param spool: where tokens wait that the database does not take.
    :param clock: unix seconds.
    :param sleep: waits for seconds.
    """

    def __init__(
        self,
        *,
        endpoint_of: EndpointOf = token_endpoint,
        access_of: AccessOf = app_access,
        policy: TokenPolicy | None = None,
        spool: Spool | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(policy=policy, spool=spool, clock=clock)
        self._sleep = sleep
        self._adoption = Adoption(policy=self._policy, spool=self._spool, clock=clock)
        self._renewal = Renewal(
            endpoint_of=endpoint_of,
            policy=self._policy,
            adoption=self._adoption,
            clock=clock,
            sleep=sleep,
        )
        self._healing = Healing(
            access_of=access_of,
            policy=self._policy,
            adoption=self._adoption,
            clock=clock,
            sleep=sleep,
        )

    # -- tokens

    def live_token(
        self,
        conn_id: str,
        refused_fingerprint: str | None = None,
        *,
        min_remaining: float | None = None,
        wait_seconds: float | None = None,
    ) -> AccessGrant:
        """Return a live access token, renewed if it has to be.

        It is renewed only if the stored one is (nearly) expired or is the one that was refused: a
        hundred workers with the same refused token cause one renewal.

        :param conn_id: the installation's connection.
        :param refused_fingerprint: ``access_grant.fingerprint`` of a token that Stripe refused.
        :param min_remaining: seconds of life it must have left, by default ``[stripe_app]
            refresh_margin``.
        :param wait_seconds: how long to wait for another process's renewal.
        :raises ReauthorizationRequired: if the app is not installed or the grant is lost.
        :raises TokenUnavailable: if Stripe, the database or another process takes too long.
        :raises ConfigurationError: if tables, keys or the app's connection are not in order.
        """
        return self._token(conn_id, refused_fingerprint, min_remaining, wait_seconds)

    def renew(self, conn_id: str, *, reason: str = "upkeep") -> AccessGrant:
        """Renew now, although nothing asks for it and even if the grant counts as lost.

        :param conn_id: the installation's connection.
        :param reason: for the history.
        :raises StripeAppError: as ``live_token``.
        """
        return self._token(conn_id, None, float("inf"), None, reason)

    def recover_all(self) -> int:
        """Store what this machine's disk holds and the database did not take when Stripe gave it.

        Nobody else has these tokens, and the stored ones are spent: another machine that renews
        with them would have to give the grant up.

        :return: how many pairs of tokens were stored.
        :raises StripeAppError: if the database does not take some now either; they stay.
        """
        return self._adoption.recover_all()

    def _token(
        self,
        conn_id: str,
        refused: str | None,
        min_remaining: float | None,
        wait_seconds: float | None,
        forced: str = "",
    ) -> AccessGrant:
        """Return a live token; ``forced`` is why a new one is wanted whatever the old one is."""
        wait = self._policy.wait_seconds if wait_seconds is None else wait_seconds
        deadline = time.monotonic() + wait
        pause = 0.05
        first_generation, even_lost = sys.maxsize, bool(forced)
        while True:
            seen = self._read(conn_id)
            now = self._clock()
            decision = decide(
                seen.state,
                refused=refused,
                now=now,
                policy=self._policy,
                min_remaining=min_remaining,
                even_lost=even_lost,
            )
            first_generation = min(first_generation, seen.generation)
            # Who asks for a renewal wants another token than the one that was there.
            wanted = seen.generation > first_generation if forced else decision is Decision.USE
            if wanted:
                self._mark_used(seen, now)
                return seen.grant
            if decision is Decision.CAPPED:
                raise TokenUnavailable(
                    f"Stripe refused the tokens of connection {conn_id} more than "
                    f"{self._policy.max_refreshes_per_hour} times within an hour, each soon after "
                    "it was issued: no more renewals for now. Look for another program that uses "
                    "the same installation, and at Stripe's status page."
                )
            own_process_may = 3.0 if decision is Decision.WAIT else 0.0
            if self._adoption.recover(conn_id, min_age=own_process_may):
                continue
            if decision is Decision.LOST:
                raise ReauthorizationRequired(lost_message(conn_id, seen.last_error))
            if decision is Decision.MEND_LATER:
                raise self._mended_later(seen, now)
            if decision in {Decision.RENEW, Decision.MEND}:
                renewing = decision is Decision.RENEW
                grant = self._renew(seen, refused, forced) if renewing else self._healing.run(seen)
                if grant is not None:
                    return grant
                # What was asked for by a person has been tried; the rest is as for everybody.
                even_lost = False
            if time.monotonic() + pause > deadline:
                raise self._too_long(seen, now, wait)
            self._sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311
            pause = min(pause * 1.5, 1.0)

    @staticmethod
    def _too_long(seen: rows.Snapshot, now: float, wait: float) -> TokenUnavailable:
        subject = f"The token of connection {seen.conn_id}"
        if seen.state.retry_at is not None and now < seen.state.retry_at:
            return TokenUnavailable(f"{subject} cannot be renewed right now: {seen.last_error}.")
        return TokenUnavailable(
            f"{subject} is being renewed by another process and was not ready after {wait:g} s. "
            f"(Last error: {seen.last_error or 'none'})"
        )

    @staticmethod
    def _mended_later(seen: rows.Snapshot, now: float) -> TokenUnavailable:
        left = max((seen.state.heal_after or now) - now, 1.0)
        return TokenUnavailable(
            f"The grant of connection {seen.conn_id} is lost, and it will be tried again in "
            f"{left:.0f} s to mend it by Stripe's Install API. ({seen.last_error})"
        )

    def _renew(self, seen: rows.Snapshot, refused: str | None, forced: str) -> AccessGrant | None:
        was_refused = refused is not None and refused == seen.state.stored
        failure: StripeAppError
        try:
            return self._renewal.run(seen, rows.REFUSED if was_refused else forced or "expiring")
        except NO_APP_CONNECTION as missing:
            if follow_renamed_app(seen.conn_id, seen.app_conn_id):
                return None
            failure = missing
        except TokenUnavailable as trouble:
            failure = trouble
        # As long as the stored token lives, that is nobody's trouble but of who asked for this.
        if forced or was_refused or seen.grant.expires_at - self._clock() <= LAST_SECONDS:
            raise failure
        return seen.grant

    def _read(self, conn_id: str) -> rows.Snapshot:
        seen = transaction(lambda session: rows.read(session, conn_id, now=self._clock()))
        if seen is None:
            raise ReauthorizationRequired(
                f"The Stripe App is not installed for connection {conn_id}: open the page Stripe "
                "App in Airflow (/stripe-app/) and press Install, or run `airflow stripe-app "
                "install-url`."
            )
        return seen

    def _mark_used(self, seen: rows.Snapshot, now: float) -> None:
        """Note now and then that tokens are in use; no version, nothing depends on it."""
        if seen.last_used_at is not None and now - seen.last_used_at < _USED_EVERY:
            return
        statement = (
            update(Installation)
            .where(Installation.id == seen.id)
            .values(last_used_at=now)
            .execution_options(synchronize_session=False)
        )
        transaction(lambda session: session.execute(statement) and None)
