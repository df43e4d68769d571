"""What a user needs on connections to do something here. Blocking: call these in a thread."""

from __future__ import annotations

from typing import Any

from airflow_provider_stripe_app.oauth import install_target
from airflow_provider_stripe_app.plugin.security import may, may_create
from airflow_provider_stripe_app.plugin.web import Forbidden


def check_install(user: Any, app_conn_id: str, conn_id: str) -> None:
    """Raise unless the user may install the app of one connection into another.

    They must be able to see the app's connection and to change the installation's, or to create it
    in the app's team if it is not there.

    :param user: Airflow's user.
    :param app_conn_id: the app's connection.
    :param conn_id: the installation's connection.
    :raises Forbidden: naming the connection.
    """
    if not may(user, app_conn_id, "GET"):
        raise Forbidden(f"You may not use the connection {app_conn_id}.")
    if install_target.find_row(conn_id) is not None:
        check_change(user, conn_id)
        return
    app = install_target.find_row(app_conn_id)
    if not may_create(user, conn_id, app.team_name if app is not None else None):
        raise Forbidden(f"You may not create the connection {conn_id}.")


def check_change(user: Any, conn_id: str) -> None:
    """Raise :class:`Forbidden` unless the user may change a connection."""
    if not may(user, conn_id, "PUT"):
        raise Forbidden(f"You may not change the connection {conn_id}.")


def check_see(user: Any, conn_id: str) -> None:
    """Raise :class:`Forbidden` unless the user may see a connection."""
    if not may(user, conn_id, "GET"):
        raise Forbidden(f"You may not see the connection {conn_id}.")
