"""The only writer of tokens. Runs where Airflow's metadata database is: API server, CLI, ``dags
test``.

Many threads of many processes on many hosts may call ``live_token`` at once; the conditional
updates of ``rows.py`` let one of them renew while the others wait for what it stores.
"""

from __future__ import annotations

import logging
import random
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth import broker_access, config, rows
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.oauth.adoption import Adoption, update_copy
from airflow_provider_stripe_app.oauth.cipher import check_encryption, seal
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.connections import (
    NO_APP_CONNECTION,
    app_access,
    follow_renamed_app,
    remove_copy,
    token_endpoint,
)
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.healing import AccessOf, Healing
from airflow_provider_stripe_app.oauth.models import History, Installation
from airflow_provider_stripe_app.oauth.refresh_rules import (
    LAST_SECONDS,
    Decision,
    decide,
    lost_message,
)
from airflow_provider_stripe_app.oauth.renewal import EndpointOf, Renewal
from airflow_provider_stripe_app.oauth.spool import Spool, default_spool
from airflow_provider_stripe_app.oauth.status import (
    HistoryLine,
    InstallationStatus,
    status_of,
)
from airflow_provider_stripe_app.oauth.token_endpoint import REFRESH_TOKEN_SECONDS, Granted

__all__ = ["HistoryLine", "InstallationStatus", "TokenStore"]

log = logging.getLogger(__name__)
_USED_EVERY = 60.0


class TokenStore:
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
        self._policy = policy or config.token_policy()
        self._clock = clock
        self._sleep = sleep
        self._spool = spool or default_spool()
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
        return self._token(conn_id, refused_fingerprint, min_remaining, wait_seconds, False)

    def renew(self, conn_id: str) -> AccessGrant:
        """Renew now, although nothing asks for it and even if the grant counts as lost.

        :param conn_id: the installation's connection.
        :raises StripeAppError: as ``live_token``.
        """
        return self._token(conn_id, None, float("inf"), None, True)

    def _token(
        self,
        conn_id: str,
        refused: str | None,
        min_remaining: float | None,
        wait_seconds: float | None,
        forced: bool,
    ) -> AccessGrant:
        wait = self._policy.wait_seconds if wait_seconds is None else wait_seconds
        deadline = time.monotonic() + wait
        pause = 0.05
        first_generation, even_lost = sys.maxsize, forced
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
            if decision is Decision.USE or (forced and seen.generation > first_generation):
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

    def _renew(self, seen: rows.Snapshot, refused: str | None, forced: bool) -> AccessGrant | None:
        was_refused = refused is not None and refused == seen.state.stored
        failure: StripeAppError
        try:
            return self._renewal.run(seen, rows.REFUSED if was_refused else "expiring")
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

    # -- installing

    def save_grant(
        self,
        conn_id: str,
        granted: Granted,
        *,
        app_conn_id: str,
        livemode: bool | None = None,
        installed_by: str | None = None,
        team_name: str | None = None,
        permissions: list[str] | None = None,
        allow_account_change: bool = False,
    ) -> AccessGrant:
        """Store the tokens of an exchanged code: a new installation, or the next generation of one.

        :param conn_id: the installation's connection.
        :param granted: what the exchange returned.
        :param app_conn_id: the app's connection, whose key renews the tokens.
        :param livemode: the mode, where Stripe's answer does not say it.
        :param installed_by: the Airflow user.
        :param team_name: the connection's team.
        :param permissions: what the account granted, if known.
        :param allow_account_change: whether a person confirmed that another account or mode takes
            the place.
        :return: the stored access token.
        :raises ConfigurationError: if the answer lacks account or mode, if live tokens cannot be
            encrypted, or if the connection holds another account's installation and nobody
            confirmed the change.
        """
        mode = granted.livemode if granted.livemode is not None else livemode
        if granted.account_id is None or mode is None:
            raise ConfigurationError(
                f"Stripe did not say which account and mode the tokens of connection {conn_id} are "
                "for: install the app again."
            )
        check_encryption(mode)
        account, now = granted.account_id, self._clock()
        facts: dict[str, Any] = {
            "app_conn_id": app_conn_id,
            "installed_by": installed_by,
            "team_name": team_name,
            "permissions_granted": permissions,
            "deployment_id": config.deployment_id(),
            "last_refreshed_at": now,
        }

        def store(session: Session) -> AccessGrant | None:
            old = session.scalar(select(Installation).where(Installation.conn_id == conn_id))
            changes = old is not None and (old.account_id, old.livemode) != (account, mode)
            if old is not None and changes and not allow_account_change:
                modes = {True: "live", False: "test"}
                raise ConfigurationError(
                    f"Connection {conn_id} holds the installation of account {old.account_id} in "
                    f"{modes[old.livemode]} mode, and {account} in {modes[mode]} mode was "
                    "authorized now: confirm the change, or choose another connection."
                )
            generation = old.generation + 1 if old is not None else 1
            grant = AccessGrant(granted.access_token, granted.expires_at, generation, account, mode)
            columns = rows.token_columns(grant, granted.refresh_token, now + REFRESH_TOKEN_SECONDS)
            if old is not None:
                if not rows.write(session, old.id, old.version, now, **facts, **columns):
                    return None
            else:
                session.add(
                    Installation(
                        conn_id=conn_id,
                        version=1,
                        created_at=now,
                        updated_at=now,
                        broker_token_sealed=seal(secrets.token_urlsafe(32)),
                        **facts,
                        **columns,
                    )
                )
                session.flush()
            rows.record(
                session,
                conn_id,
                "installed",
                now,
                generation=generation,
                request_id=granted.request_id,
                detail=f"account {account}, by {installed_by or 'unknown'}",
            )
            return grant

        while True:
            try:
                grant = transaction(store, patience=self._policy.store_seconds)
            except IntegrityError:  # two first installations at once: the later follows
                continue
            if grant is not None:
                break
        update_copy(conn_id)
        return grant

    def take_over(self, conn_id: str, by: str | None = None) -> bool:
        """Let this deployment renew an installation's tokens from now on.

        :param conn_id: the installation's connection.
        :param by: who confirmed that the other deployment is gone, for the history.
        :return: whether there was an installation of another deployment.
        """
        own, now = config.deployment_id(), self._clock()

        def take(session: Session) -> bool | None:
            row = session.scalar(select(Installation).where(Installation.conn_id == conn_id))
            if row is None or row.deployment_id in {None, own}:
                return False
            before = row.deployment_id
            if not rows.write(session, row.id, row.version, now, deployment_id=own):
                return None
            detail = f"from {before}, by {by or 'unknown'}"
            rows.record(session, conn_id, "taken_over", now, detail=detail)
            return True

        while True:
            taken = transaction(take)
            if taken is not None:
                return taken

    def forget(self, conn_id: str, *, event: str = "forgotten", by: str | None = None) -> bool:
        """Delete an installation here; at Stripe it stays installed.

        :param conn_id: the installation's connection.
        :param event: for the history, ``forgotten`` or ``uninstalled``.
        :param by: who does it, for the history.
        :return: whether there was one.
        """
        now = self._clock()

        def remove(session: Session) -> bool:
            result = session.execute(delete(Installation).where(Installation.conn_id == conn_id))
            gone = bool(result.rowcount)  # type: ignore[attr-defined]
            if gone:
                rows.record(session, conn_id, event, now, detail=f"by {by}" if by else None)
            return gone

        gone = transaction(remove)
        for path, _ in self._spool.find(conn_id):
            self._spool.remove(path)
        remove_copy(conn_id)
        return gone

    # -- looking

    def installations(self) -> list[InstallationStatus]:
        """Return all installations, by connection id."""
        query = select(Installation).order_by(Installation.conn_id)
        return transaction(lambda session: [status_of(row) for row in session.scalars(query)])

    def status(self, conn_id: str) -> InstallationStatus | None:
        """Return one installation, ``None`` if the app is not installed for that connection."""
        query = select(Installation).where(Installation.conn_id == conn_id)

        def find(session: Session) -> InstallationStatus | None:
            row = session.scalar(query)
            return None if row is None else status_of(row)

        return transaction(find)

    def history(self, conn_id: str, limit: int = 50) -> list[HistoryLine]:
        """Return the newest ``limit`` lines of an installation's history, newest first."""
        query = (
            select(History)
            .where(History.conn_id == conn_id)
            .order_by(History.at.desc(), History.id.desc())
            .limit(limit)
        )
        names = HistoryLine.__dataclass_fields__
        return transaction(
            lambda session: [
                HistoryLine(**{name: getattr(row, name) for name in names})
                for row in session.scalars(query)
            ]
        )

    def may_ask(self, conn_id: str, broker_token: str) -> bool:
        """Return whether a worker's ``broker_token`` is the installation's, in constant time.

        :param conn_id: the installation's connection; an unknown one is treated like a wrong token.
        :param broker_token: what the worker sent.
        """
        return broker_access.may_ask(conn_id, broker_token)
