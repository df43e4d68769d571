"""Installing an app: from "Install" to a stored grant. Used by the page and by the CLI alike.

The ``state`` that goes to Stripe is opaque, used once, lives 10 minutes and is bound to the user
and the connection. An answer without a state of ours is never accepted: an install that was
started in Stripe's marketplace may look like that, and so does an attack that puts somebody else's
account into this Airflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_stripe_app.oauth import install_target
from airflow_provider_stripe_app.oauth.install_states import (
    InstallStateError,
    InstallStates,
    Pending,
    foreign_user,
)
from airflow_provider_stripe_app.oauth.install_words import (
    DifferentAccount,
    Holder,
    InstallError,
    check_mode,
    explain,
    word,
)
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, Outcome, Trouble

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.credentials import AppSettings

__all__ = ["DifferentAccount", "Holder", "InstallError", "Installed", "Installer", "callback_uri"]

EXCHANGE_ATTEMPTS = 3
CALLBACK_PATH = "/stripe-app/callback"

Check = Callable[[str, str], None]
"""Raises unless the user may install the app of the first connection into the second."""


@dataclass(frozen=True)
class Installed:
    """A stored installation."""

    conn_id: str
    account_id: str
    livemode: bool


class GrantStore(Protocol):
    """The part of ``TokenStore`` that installing needs."""

    def save_grant(
        self,
        conn_id: str,
        granted: Granted,
        *,
        app_conn_id: str,
        team_name: str | None = None,
        installed_by: str | None = None,
        allow_account_change: bool = False,
    ) -> Any:
        """Store a new grant and write the disposable copy."""
        ...


def callback_uri(base_url: str) -> str:
    """Return the redirect URI: what Stripe compares letter by letter.

    :param base_url: ``[api] base_url``; behind a proxy only it knows the public address.
    """
    return f"{base_url.rstrip('/')}{CALLBACK_PATH}"


class Installer:
    """The steps of an installation.

    :param store: where grants go.
    :param redirect_uri: see :func:`callback_uri`.
    :param by: who installs, as people know them; by default what the states are bound to.
    :param states: the one-time values.
    :param app_settings: reads an app's connection.
    :param exchange: exchanges a code with the key of an app's connection.
    :param pause: waits between attempts, seconds.
    :param look_closer: notes what else Stripe tells of a new installation.
    """

    def __init__(
        self,
        store: GrantStore,
        redirect_uri: str,
        *,
        by: str | None = None,
        states: InstallStates | None = None,
        app_settings: Callable[[str], AppSettings] | None = None,
        exchange: Callable[[str, str], Outcome] | None = None,
        pause: Callable[[float], None] = time.sleep,
        look_closer: Callable[[str, str, Granted], object] | None = None,
    ) -> None:
        self._store = store
        self._look_closer = look_closer or _look_closer
        self._redirect_uri = redirect_uri
        self._by = by
        self._states = states or InstallStates()
        self._app_settings = app_settings or _read_app
        self._exchange = exchange or _exchange
        self._pause = pause

    def begin(self, app_conn_id: str, conn_id: str, user_id: str) -> str:
        """Return the address of Stripe's consent page for a new installation.

        :param app_conn_id: the app's connection.
        :param conn_id: the connection that the installation is to be kept in.
        :param user_id: who starts it; only they can finish it.
        :raises ConfigurationError: if a connection is not usable for this.
        """
        settings = self._app_settings(app_conn_id)
        install_target.check_target(app_conn_id, conn_id)
        pending = Pending(app_conn_id, user_id, data={"installation_conn_id": conn_id})
        state = self._states.issue("state", pending)
        return settings.link.with_parameters(self._redirect_uri, state)

    def park(self, state: str, values: dict[str, str]) -> str:
        """Keep a callback whose user has not logged in yet, and return the handle to it.

        :param state: the state that came with it.
        :param values: the callback's parameters; stored encrypted.
        :raises InstallStateError: if the state is not one of ours, or was started on the command
            line.
        """
        pending = self._states.peek(state, "state")
        if pending.user_id.startswith("cli:"):
            raise InstallStateError(foreign_user(pending.user_id))
        return self._states.issue(
            "parked", Pending(pending.conn_id, pending.user_id, secret=dict(values))
        )

    def unpark(self, handle: str, user_id: str) -> dict[str, str]:
        """Return what :meth:`park` kept, once, to the user who started the installation."""
        return {
            str(k): str(v) for k, v in self._states.use(handle, "parked", user_id).secret.items()
        }

    def decline(self, state: str, user_id: str, error: str) -> None:
        """Note that the account owner did not consent.

        :raises InstallError: always, with the sentence for the page.
        :raises InstallStateError: if the state is not this user's.
        """
        pending = self._states.use(state, "state", user_id)
        if error == "access_denied":
            raise InstallError(
                f"The app of connection {pending.conn_id} was not installed: consent was denied in "
                "Stripe. Nothing was changed; press Install to try again."
            )
        raise InstallError(
            f"The app of connection {pending.conn_id} was not installed: Stripe answered "
            f"{word(error)}. Look at the install link and the redirect URI, and press Install "
            "again."
        )

    def complete(self, state: str, code: str, user_id: str, check: Check) -> Installed:
        """Finish an installation with what Stripe sent to the callback.

        :param state: the state that came with the code.
        :param code: ``ac_…``.
        :param user_id: who is logged in now.
        :param check: asks the auth manager about the connections of the *stored* state.
        :raises InstallStateError: if the state is unknown, used, expired or somebody else's.
        :raises DifferentAccount: if a person has to confirm first.
        :raises InstallError: if Stripe does not give a grant or gives a wrong one.
        """
        pending = self._states.peek(state, "state")
        conn_id = str(pending.data["installation_conn_id"])
        check(pending.conn_id, conn_id)
        self._states.use(state, "state", user_id)
        return self.accept(pending.conn_id, conn_id, code, user_id)

    def accept(
        self, app_conn_id: str, conn_id: str, code: str, user_id: str, *, replace: bool = False
    ) -> Installed:
        """Exchange a code and store the grant. The caller answers for where the code came from.

        :param app_conn_id: the app's connection.
        :param conn_id: the installation's connection.
        :param code: ``ac_…``.
        :param user_id: who installs.
        :param replace: whether another account or mode may be replaced without asking.
        :raises DifferentAccount: if a person has to confirm first.
        """
        settings = self._app_settings(app_conn_id)
        # It may have become something else since the installation began; the code is not spent yet.
        install_target.check_target(app_conn_id, conn_id)
        granted = self._granted(app_conn_id, code)
        check_mode(granted, settings.livemode, app_conn_id)
        if not replace:
            self._ask(app_conn_id, conn_id, user_id, granted, known=None)
        return self._save(app_conn_id, conn_id, granted, user_id, replace=replace)

    def _ask(
        self, app_conn_id: str, conn_id: str, user_id: str, granted: Granted, known: Holder | None
    ) -> None:
        """Raise :class:`DifferentAccount` unless the connection holds this account, or ``known``.

        :param known: what a person has already agreed to replace.
        """
        old, new = _installed_holder(conn_id), _holder_of(granted)
        if old is None or old in {new, known}:
            return
        data = {"installation_conn_id": conn_id, "old": [old.account_id, old.livemode]}
        pending = Pending(app_conn_id, user_id, data=data, secret=asdict(granted))
        raise DifferentAccount(self._states.issue("confirm", pending), old, new, conn_id)

    def waiting(self, handle: str, user_id: str, check: Check) -> DifferentAccount:
        """Return the question that a grant waits for an answer to.

        :param handle: from :class:`DifferentAccount`.
        :param user_id: who installed.
        :param check: as in :meth:`complete`.
        :raises InstallStateError: if it is unknown, answered, expired or somebody else's.
        """
        pending = self._states.peek(handle, "confirm")
        if pending.user_id != user_id:
            raise InstallStateError(foreign_user(pending.user_id))
        conn_id = str(pending.data["installation_conn_id"])
        check(pending.conn_id, conn_id)
        new = _holder_of(Granted(**pending.secret))
        return DifferentAccount(handle, _installed_holder(conn_id), new, conn_id)

    def confirm(self, handle: str, user_id: str, check: Check) -> Installed:
        """Store a grant that waited for a confirmation.

        :param handle: from :class:`DifferentAccount`.
        :param user_id: who confirms; must be who installed.
        :param check: as in :meth:`complete`.
        :raises DifferentAccount: if the connection holds something else by now than what the person
            was asked about.
        """
        pending = self._states.peek(handle, "confirm")
        conn_id = str(pending.data["installation_conn_id"])
        check(pending.conn_id, conn_id)
        install_target.check_target(pending.conn_id, conn_id)
        pending = self._states.use(handle, "confirm", user_id)
        granted = Granted(**pending.secret)
        known = Holder(*pending.data["old"]) if "old" in pending.data else None
        self._ask(pending.conn_id, conn_id, user_id, granted, known)
        return self._save(pending.conn_id, conn_id, granted, user_id, replace=True)

    def _granted(self, app_conn_id: str, code: str) -> Granted:
        outcome = self._exchange(app_conn_id, code)
        for attempt in range(1, EXCHANGE_ATTEMPTS):
            # The code lives five minutes: trouble on the way is worth another try.
            if not isinstance(outcome, Trouble):
                break
            self._pause(min(outcome.retry_after or attempt, 5.0))
            outcome = self._exchange(app_conn_id, code)
        if isinstance(outcome, Granted):
            return outcome
        raise InstallError(explain(outcome, app_conn_id))

    def _save(
        self, app_conn_id: str, conn_id: str, granted: Granted, user_id: str, *, replace: bool
    ) -> Installed:
        install_target.ensure_target(app_conn_id, conn_id)
        row = install_target.find_row(conn_id)
        self._store.save_grant(
            conn_id,
            granted,
            app_conn_id=app_conn_id,
            team_name=row.team_name if row is not None else None,
            installed_by=self._by or user_id,
            allow_account_change=replace,
        )
        self._look_closer(app_conn_id, conn_id, granted)
        return Installed(conn_id, str(granted.account_id), bool(granted.livemode))


def _read_app(app_conn_id: str) -> AppSettings:
    from airflow_provider_stripe_app.oauth.connections import app_settings

    return app_settings(app_conn_id, team_name=_team(app_conn_id))


def _exchange(app_conn_id: str, code: str) -> Outcome:
    from airflow_provider_stripe_app.oauth.connections import token_endpoint

    return token_endpoint(app_conn_id, _team(app_conn_id)).exchange(code)


def _look_closer(app_conn_id: str, conn_id: str, granted: Granted) -> None:
    from airflow_provider_stripe_app.oauth.account_name import note_name
    from airflow_provider_stripe_app.oauth.installs import note_listed

    note_name(conn_id, granted.access_token)
    note_listed(app_conn_id, conn_id)


def _team(app_conn_id: str) -> str | None:
    row = install_target.find_row(app_conn_id)
    return row.team_name if row is not None else None


def _holder_of(granted: Granted) -> Holder:
    return Holder(str(granted.account_id), bool(granted.livemode))


def _installed_holder(conn_id: str) -> Holder | None:
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.database import transaction
    from airflow_provider_stripe_app.oauth.models import Installation

    columns = (Installation.account_id, Installation.livemode)
    query = select(*columns).where(Installation.conn_id == conn_id)
    found = transaction(lambda session: session.execute(query).one_or_none())
    return None if found is None else Holder(*found)
