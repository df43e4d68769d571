"""Comparing an app's installations with the installs that Stripe lists."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.oauth import rows
from airflow_provider_stripe_app.oauth.connections import app_access
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.healing import NOT_INSTALLED, AccessOf
from airflow_provider_stripe_app.oauth.installs import TIMEOUT, answered, note_install, team_of
from airflow_provider_stripe_app.oauth.installs_api import INSTALLED, Install
from airflow_provider_stripe_app.oauth.models import Installation, InstalledAccount

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.status import InstallationStatus
    from airflow_provider_stripe_app.oauth.store import TokenStore

LOOKED_AFTER = 20
"""Installations that Stripe does not list and whose tokens are tried, at one comparison."""


@dataclass(frozen=True)
class Reconciled:
    """What a comparison with Stripe found.

    :param app_conn_id: the app's connection.
    :param accounts: how many accounts have the app.
    :param updated: connections of installations that Stripe lists.
    :param missing: connections of installations that Stripe does not list.
    :param unknown: accounts that have the app and no installation here.
    """

    app_conn_id: str
    accounts: int
    updated: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def reconcile_app(
    app_conn_id: str,
    store: TokenStore | None = None,
    *,
    access_of: AccessOf = app_access,
    clock: Callable[[], float] = time.time,
) -> Reconciled:
    """Ask Stripe which accounts have an app, and write down what it says.

    An installation that Stripe does not list is renewed to find out whether it lives: the list
    alone takes nobody's tokens.

    :param app_conn_id: the app's connection.
    :param store: the token store.
    :param access_of: finds the Install API of an app connection.
    :param clock: unix seconds.
    :raises ConfigurationError: if the connection has no key or no app id.
    :raises InstallsUnavailable: if Stripe refuses.
    :raises TokenUnavailable: if Stripe does not answer.
    """
    from airflow_provider_stripe_app.oauth.store import TokenStore

    store = store or TokenStore()
    access = access_of(app_conn_id, team_of(app_conn_id), TIMEOUT)
    listed = answered(access.api.list(access.app_id))
    now = clock()
    transaction(lambda session: _write_accounts(session, app_conn_id, listed, now))
    there = {(one.account, one.livemode): one for one in listed}
    # A key sees the installs of its own mode only.
    modes = {one.livemode for one in listed} | {access.livemode}
    ours = [one for one in store.installations() if one.app_conn_id == app_conn_id]
    updated = [one for one in ours if (one.account_id, one.livemode) in there]
    missing = [one for one in ours if one not in updated and one.livemode in modes]
    for one in updated:
        note_install(one.conn_id, there[one.account_id, one.livemode], now)
    for one in missing:
        _note_missing(one, now)
    for one in missing[:LOOKED_AFTER]:
        _look_after(store, one)
    known = {(one.account_id, one.livemode) for one in ours}
    return Reconciled(
        app_conn_id,
        accounts=len({one.account for one in listed}),
        updated=tuple(one.conn_id for one in updated),
        missing=tuple(one.conn_id for one in missing),
        unknown=tuple(
            sorted(
                one.account
                for key, one in there.items()
                if key not in known and one.status == INSTALLED
            )
        ),
    )


def _write_accounts(session: Session, app_conn_id: str, listed: list[Install], now: float) -> None:
    gone = delete(InstalledAccount).where(InstalledAccount.app_conn_id == app_conn_id)
    session.execute(gone.execution_options(synchronize_session=False))
    by_account = {one.account: one for one in sorted(listed, key=lambda i: i.status == INSTALLED)}
    session.add_all(
        InstalledAccount(
            app_conn_id=app_conn_id,
            account_id=one.account,
            livemode=one.livemode,
            install_id=one.id,
            channel=one.channel,
            status=one.status,
            permissions_granted=list(one.permissions_granted),
            permissions_pending=list(one.permissions_pending),
            seen_at=now,
        )
        for one in by_account.values()
    )


def _note_missing(one: InstallationStatus, now: float) -> None:
    statement = (
        update(Installation)
        .where(Installation.conn_id == one.conn_id, Installation.account_id == one.account_id)
        .values(install_status=NOT_INSTALLED, reconciled_at=now)
        .execution_options(synchronize_session=False)
    )

    def write(session: Session) -> None:
        session.execute(statement)
        if one.install_status != NOT_INSTALLED:
            rows.record(session, one.conn_id, "not_listed", now, generation=one.generation)

    transaction(write)


def _look_after(store: TokenStore, one: InstallationStatus) -> None:
    """Find out whether an installation that Stripe does not list still lives."""
    try:
        store.renew(one.conn_id)
    except StripeAppError:
        return  # its row says how it is
