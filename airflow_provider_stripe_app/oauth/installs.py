"""What can be done about an app's installs at Stripe: uninstall them, adopt them.

All of it by the Install API, so all of it can be refused; then the messages say what a person can
do instead. Runs where the metadata database may be used.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    StripeAppError,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth import install_target
from airflow_provider_stripe_app.oauth.account_name import note_name
from airflow_provider_stripe_app.oauth.connections import app_access
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.healing import AccessOf
from airflow_provider_stripe_app.oauth.installs_api import (
    Install,
    InstallsRefused,
    InstallsTrouble,
)
from airflow_provider_stripe_app.oauth.models import Installation, InstalledAccount
from airflow_provider_stripe_app.oauth.reinstall import AppAccess, Mended, mend

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.install import Installed
    from airflow_provider_stripe_app.oauth.status import InstallationStatus
    from airflow_provider_stripe_app.oauth.store import TokenStore

TIMEOUT = 20.0
SHORT_TIMEOUT = 5.0
"""Seconds, where a person waits for something that can do without."""


class InstallsUnavailable(StripeAppError):
    """Stripe does not let this app use the Install API."""


@dataclass(frozen=True)
class KnownAccount:
    """An account that has an app, by what Stripe last said; ``seen_at`` is in unix seconds.

    :param conn_id: the installation's connection, ``None`` if there is none here.
    """

    app_conn_id: str
    account_id: str
    livemode: bool
    install_id: str
    channel: str | None
    status: str
    permissions_granted: list[str]
    permissions_pending: list[str]
    seen_at: float
    conn_id: str | None


class Installs:
    """The installs of apps.

    :param store: the token store.
    :param access_of: finds the Install API of an app connection.
    :param clock: unix seconds.
    :param sleep: waits for seconds.
    """

    def __init__(
        self,
        store: TokenStore | None = None,
        *,
        access_of: AccessOf = app_access,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        from airflow_provider_stripe_app.oauth.store import TokenStore

        self._store = store or TokenStore()
        self._access_of = access_of
        self._clock = clock
        self._sleep = sleep

    def accounts(self, app_conn_id: str) -> list[KnownAccount]:
        """Return the accounts that Stripe last said have an app, without asking it.

        :param app_conn_id: the app's connection.
        """
        query = (
            select(InstalledAccount)
            .where(InstalledAccount.app_conn_id == app_conn_id)
            .order_by(InstalledAccount.account_id)
        )
        ours = {
            (one.account_id, one.livemode): one.conn_id for one in self._installations(app_conn_id)
        }
        names = [name for name in KnownAccount.__dataclass_fields__ if name != "conn_id"]
        return transaction(
            lambda session: [
                KnownAccount(
                    **{name: getattr(row, name) for name in names},
                    conn_id=ours.get((row.account_id, row.livemode)),
                )
                for row in session.scalars(query)
            ]
        )

    def uninstall(self, conn_id: str, by: str) -> None:
        """Uninstall the app from an installation's account at Stripe, and forget it here.

        :param conn_id: the installation's connection.
        :param by: who does it, for the history.
        :raises ConfigurationError: if nothing is installed there, or the app has no id.
        :raises InstallsUnavailable: if Stripe refuses; nothing is forgotten then.
        :raises TokenUnavailable: if Stripe does not answer; nothing is forgotten then.
        """
        one = self._store.status(conn_id)
        if one is None:
            raise ConfigurationError(f"Connection {conn_id} holds no installation to uninstall.")
        access = self._access(one.app_conn_id, one.team_name)
        listed = answered(access.api.list(access.app_id, one.account_id))
        for install in listed:
            if install.livemode == one.livemode:
                key = f"uninstall-{uuid.uuid4().hex}"
                for number in range(1, 4):
                    answer = access.api.uninstall(install.id, idempotency_key=key)
                    if not isinstance(answer, InstallsTrouble) or number == 3:
                        break
                    self._sleep(0.5 * number)
                answered(answer)
        self._store.forget(conn_id, event="uninstalled", by=by)

    def adopt(self, app_conn_id: str, account_id: str, conn_id: str, by: str) -> Installed:
        """Make an installation here of an account that has the app already.

        :param app_conn_id: the app's connection.
        :param account_id: ``acct_…``.
        :param conn_id: where the installation is to be kept; is made if it does not exist.
        :param by: who does it.
        :raises ConfigurationError: if a connection cannot be used, or the account does not have the
            app, or is installed here already.
        :raises InstallsUnavailable: if Stripe gives no tokens.
        :raises TokenUnavailable: if Stripe does not answer.
        """
        from airflow_provider_stripe_app.oauth.install import Installed

        install_target.check_target(app_conn_id, conn_id)
        if self._store.status(conn_id) is not None:
            raise ConfigurationError(
                f"Connection {conn_id} holds an installation: choose another name."
            )
        access = self._access(app_conn_id)
        known = {one.account_id: one.livemode for one in self.accounts(app_conn_id)}
        livemode = known.get(account_id, access.livemode)
        if livemode is None:
            raise ConfigurationError(
                f"It is not known whether {account_id} has the app in live or in test mode: look "
                "for accounts first."
            )
        same = [
            one.conn_id
            for one in self._installations(app_conn_id)
            if (one.account_id, one.livemode) == (account_id, livemode)
        ]
        if same:
            # In which connection is not told: with an app of all teams it may be another team's.
            raise ConfigurationError(
                f"{account_id} is installed here already: look for it in the list of "
                "installations, or in airflow stripe-app status."
            )
        key = f"adopt-{uuid.uuid4().hex}"
        outcome = mend(access, account_id, livemode, key, sleep=self._sleep)
        if not isinstance(outcome, Mended):
            kind = InstallsUnavailable if outcome.final else TokenUnavailable
            raise kind(
                f"{account_id} cannot be adopted: {outcome.message}. Ask the account's owner to "
                "install the app by the link: press Install in Stripe."
            )
        install_target.ensure_target(app_conn_id, conn_id)
        self._store.save_grant(
            conn_id,
            outcome.granted,
            app_conn_id=app_conn_id,
            livemode=livemode,
            installed_by=by,
            team_name=team_of(conn_id),
            permissions=list(outcome.install.permissions_granted),
            event="adopted",
        )
        note_install(conn_id, outcome.install, self._clock())
        note_name(conn_id, outcome.granted.access_token)
        return Installed(conn_id, account_id, livemode)

    # -- inside

    def _access(self, app_conn_id: str, team: str | None = None) -> AppAccess:
        return self._access_of(app_conn_id, team or team_of(app_conn_id), TIMEOUT)

    def _installations(self, app_conn_id: str) -> list[InstallationStatus]:
        return [one for one in self._store.installations() if one.app_conn_id == app_conn_id]


def team_of(conn_id: str) -> str | None:
    """Return the team of a connection in the metadata database, ``None`` if it has none."""
    row = install_target.find_row(conn_id)
    return row.team_name if row is not None else None


def note_install(conn_id: str, found: Install, now: float) -> None:
    """Write down what Stripe says of an installation; tokens and version are not touched.

    :param conn_id: the installation's connection.
    :param found: what Stripe lists.
    :param now: unix seconds.
    """
    statement = (
        update(Installation)
        .where(
            Installation.conn_id == conn_id,
            Installation.account_id == found.account,
            Installation.livemode == found.livemode,
        )
        .values(
            install_id=found.id,
            install_channel=found.channel,
            install_status=found.status,
            permissions_granted=list(found.permissions_granted),
            permissions_pending=list(found.permissions_pending),
            reconciled_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    transaction(lambda session: session.execute(statement) and None)


def note_listed(app_conn_id: str, conn_id: str, *, access_of: AccessOf = app_access) -> None:
    """Write down what Stripe says of a new installation, where it says anything.

    The daily comparison brings it later all the same, so nothing that goes wrong is told.

    :param app_conn_id: the app's connection.
    :param conn_id: the installation's connection.
    :param access_of: finds the Install API of an app connection.
    """
    from airflow_provider_stripe_app.oauth.store import TokenStore

    with contextlib.suppress(StripeAppError):
        one = TokenStore().status(conn_id)
        access = access_of(app_conn_id, team_of(app_conn_id), SHORT_TIMEOUT)
        if one is None:
            return
        listed = access.api.list(access.app_id, one.account_id)
        for install in listed if isinstance(listed, list) else []:
            note_install(conn_id, install, time.time())


def answered(
    answer: list[Install] | Install | InstallsRefused | InstallsTrouble,
) -> list[Install]:
    """Return what Stripe answered.

    :raises InstallsUnavailable: if it refused.
    :raises TokenUnavailable: if it did not answer.
    """
    if isinstance(answer, InstallsTrouble):
        raise TokenUnavailable(
            f"Stripe's Install API did not answer ({answer.message}): try again in a moment."
        )
    if isinstance(answer, InstallsRefused):
        raise InstallsUnavailable(
            f"Stripe refused its Install API to this app ({answer.message}). Without it accounts "
            "are installed by the link only, and uninstalled by their owners in the Stripe "
            "Dashboard (Settings > Installed apps)."
        )
    return answer if isinstance(answer, list) else [answer]
