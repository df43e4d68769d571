"""Connections of type ``stripe_app`` that hold no installation: apps, keys, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from airflow_provider_stripe_app.oauth.credentials import (
    AppSettings,
    InstallationSettings,
    Settings,
)
from airflow_provider_stripe_app.plugin.views.common import NO_MODE, Mode, mode, plural
from airflow_provider_stripe_app.plugin.views.paging import address

Kind = Literal["ok", "warn", "bad", ""]

ENVIRONMENT = "environment variable"
ELSEWHERE = "not in the database"
DATABASE = ""
"""Where a connection is kept; the usual place needs no word."""


@dataclass(frozen=True)
class ConnectionView:
    """One connection.

    :param target: suggested connection for the installation; empty when a name has to be chosen.
    :param app_conn_id: the app's connection, when this one only waits for its installation.
    :param accounts: address of the accounts that have installed the app; empty if it is no app.
    :param found: address of the list of this app's installations; empty for none.
    """

    conn_id: str
    label: str
    kind: Kind
    sentence: str
    mode: Mode = NO_MODE
    source: str = DATABASE
    can_install: bool = False
    app_conn_id: str = ""
    target: str = ""
    accounts: str = ""
    found: str = ""


def connection_view(
    conn_id: str,
    settings: Settings | Exception,
    *,
    can_change: bool,
    installed_as: Sequence[str] = (),
    source: str = DATABASE,
) -> ConnectionView:
    """Return how a connection is shown.

    :param conn_id: the connection.
    :param settings: what was read out of it, or why it cannot be used.
    :param can_change: whether the user may install into it.
    :param installed_as: connections that installations of this app are kept in.
    :param source: where the connection is kept.
    """
    if isinstance(settings, Exception):
        return ConnectionView(conn_id, "needs attention", "bad", str(settings), source=source)
    if isinstance(settings, InstallationSettings) and settings.app is not None:
        settings = settings.app  # a quick start: the app's side of it
    if isinstance(settings, AppSettings):
        return _app_view(
            conn_id, settings, can_change=can_change, installed_as=installed_as, source=source
        )
    if isinstance(settings, InstallationSettings):
        return ConnectionView(
            conn_id,
            "not installed",
            "warn",
            f"Is meant for an installation of {settings.app_conn_id}, and holds none.",
            mode=mode(settings.livemode),
            source=source,
            can_install=can_change and source == DATABASE,
            app_conn_id=settings.app_conn_id,
            target=conn_id,
        )
    return ConnectionView(
        conn_id,
        "restricted key",
        "ok",
        "Uses a restricted key of your own account: nothing to install and nothing to renew.",
        mode=mode(settings.livemode),
        source=source,
    )


def unlisted_app_view(
    conn_id: str, *, can_change: bool, installed_as: Sequence[str]
) -> ConnectionView:
    """Return how an app is shown that is known by its installations only.

    Its connection is in a secrets backend, which Airflow cannot list, or it was deleted.

    :param conn_id: the app's connection.
    :param can_change: whether the user may install it.
    :param installed_as: connections that its installations are kept in.
    """
    return ConnectionView(
        conn_id,
        "app",
        "",
        f"Installed in {plural(len(installed_as), 'account')}. Airflow's database has no Stripe "
        "App connection of this name: it is in a secrets backend, or it was deleted.",
        source=ELSEWHERE,
        can_install=can_change,
        accounts=address("accounts", conn_id=conn_id),
        found=address(q=conn_id),
    )


def _app_view(
    conn_id: str,
    settings: AppSettings,
    *,
    can_change: bool,
    installed_as: Sequence[str],
    source: str,
) -> ConnectionView:
    """Return how an app is shown.

    The suggestion is to keep the first installation in the app's own connection: a first user makes
    one connection and uses one name in DAGs. With more accounts each needs a name of its own, and
    so does every installation of an app whose connection Airflow cannot write.
    """
    names = sorted(installed_as)
    if not can_change:
        sentence = "You may see this connection but not change it."
    elif len(names) > 3:
        sentence = f"Installed in {plural(len(names), 'account')}. It can be installed in more."
    elif names:
        sentence = f"Installed as {', '.join(names)}. It can be installed in more accounts."
    else:
        sentence = "Ready to install: Stripe will ask you for the account and its consent."
    own = source == DATABASE and not names
    return ConnectionView(
        conn_id,
        "app" if names else "not installed",
        "" if names else "warn",
        sentence,
        mode=mode(settings.livemode),
        source=source,
        can_install=can_change,
        target=conn_id if own else "",
        accounts=address("accounts", conn_id=conn_id),
        found=address(q=conn_id) if len(names) > 3 else "",
    )
