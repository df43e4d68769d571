"""What the metadata database holds of installations, apart from the renewal of tokens: storing a
new grant, forgetting one, and looking.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import broker_access, config, rows, stream_reports
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.oauth.adoption import update_copy
from airflow_provider_stripe_app.oauth.cipher import check_encryption, seal
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.connections import remove_copy
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.models import History, Installation
from airflow_provider_stripe_app.oauth.spool import Spool, default_spool
from airflow_provider_stripe_app.oauth.status import (
    HistoryLine,
    InstallationStatus,
    status_of,
)
from airflow_provider_stripe_app.oauth.token_endpoint import REFRESH_TOKEN_SECONDS, Granted


class InstallationRecords:
    """The rows of installations and their history.

    :param policy: the numbers; by default what ``airflow.cfg`` says.
    :param spool: where tokens wait that the database does not take.
    :param clock: unix seconds.
    """

    def __init__(
        self,
        *,
        policy: TokenPolicy | None = None,
        spool: Spool | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy or config.token_policy()
        self._spool = spool or default_spool()
        self._clock = clock

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
        event: str = "installed",
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
        :param event: for the history, ``installed`` or ``adopted``.
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
                event,
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
                stream_reports.forget(session, conn_id)
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
