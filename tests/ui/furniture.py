"""Installations with a past, so that pages have something to show."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from plugin_server import Browser, PluginServer

from airflow_provider_stripe_app.streams.catalog import (
    DEFAULT_STREAMS,
    permissions_for,
    resolve_streams,
)

SYNCED = DEFAULT_STREAMS
"""Streams of the DAG that the pages tell about."""

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0


def sql(server: PluginServer, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement in the server's metadata database, which is SQLite."""
    import sqlite3

    with sqlite3.connect(server.home / "airflow.db", timeout=20) as database:
        return database.execute(statement, values).fetchall()


def empty(server: PluginServer) -> None:
    """Remove what other tests made: all connections of our type and all installations."""
    for table in ("installation", "history", "install_state", "account", "stream"):
        sql(server, f"DELETE FROM stripe_app_{table}")
    sql(server, "DELETE FROM connection WHERE conn_type = 'stripe_app'")


def expire(server: PluginServer, conn_id: str) -> None:
    """Let the stored access token be over, so that the next use has to renew it."""
    statement = "UPDATE stripe_app_installation SET access_expires_at = ? WHERE conn_id = ?"
    sql(server, statement, time.time() - 1, conn_id)


class Furniture:
    """Makes apps, installations and what DAGs and Stripe told of them.

    :param server: a running server; its first administrator does it all.
    """

    def __init__(self, server: PluginServer) -> None:
        self.server = server
        self.now = time.time()
        self._browser: Browser | None = None

    @property
    def browser(self) -> Browser:
        if self._browser is None:
            self._browser = self.server.browser("ann")
        return self._browser

    def app(
        self,
        conn_id: str,
        *,
        livemode: bool = False,
        without: tuple[str, ...] = (),
        channel: str | None = "chnlink_",
    ) -> Any:
        """Upload an app at Stripe that asks for what the streams need, and make its connection.

        :param without: permissions that it does not ask for.
        :param channel: None for a published app.
        """
        names = {name for name, _ in permissions_for(resolve_streams(DEFAULT_STREAMS))}
        app = self.server.sim.register_app(
            redirect_uris=[self.server.redirect_uri],
            permissions=names - set(without),
            livemode=livemode,
            channel=channel,
        )
        fields = {"login": app.install_link, "password": app.secret_key}
        self.server.connection(conn_id, **fields, extra=json.dumps({"app_id": app.app_id}))
        return app

    def install(self, app: Any, app_conn_id: str, conn_id: str, account: str) -> None:
        """Go through the installation without a browser."""
        self.server.sim.account(account, livemode=app.livemode)
        started = self.browser.install(app_conn_id, conn_id)
        assert started.status == 303, started.text
        back = self.server.consent(started.location, account)
        # Behind a proxy only the path is ours; the host is the public one.
        ended = self.browser.get("/stripe-app/" + back.partition("/stripe-app/")[2])
        assert ended.status == 303, ended.text

    def named(self, conn_id: str, name: str) -> None:
        """Give the account a name, as Stripe tells it."""
        statement = "UPDATE stripe_app_installation SET account_name = ? WHERE conn_id = ?"
        sql(self.server, statement, name, conn_id)

    def synced(
        self,
        conn_id: str,
        *,
        minutes_ago: float = 12,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        """Let a DAG have synced the streams.

        :param refused: stream to the permission that the account has not granted.
        """
        for number, stream in enumerate(SYNCED):
            permission = (refused or {}).get(stream)
            error = (
                f"Stripe refused {stream}: the app needs the permission {permission}."
                if permission
                else None
            )
            at = self.now - minutes_ago * MINUTE + number * 3
            rows = [None] * 3 if permission else [7 * number + 3, 41 * number + 12, number % 3]
            sql(
                self.server,
                "INSERT INTO stripe_app_stream (conn_id, stream, warehouse_conn_id, ok, at, "
                "complete_to, inserted, updated, deleted, dag_id, task_id, run_id, error, "
                "permission) VALUES (?, ?, 'warehouse', ?, ?, ?, ?, ?, ?, 'stripe_sync', ?, "
                "'scheduled__2026-11-24T13:00:00+00:00', ?, ?)",
                *(conn_id, stream, permission is None, at),
                *(None if permission else at - 20, *rows, f"sync_{stream}", error, permission),
            )

    def past(self, conn_id: str) -> None:
        """Give an installation a history of some weeks."""
        sql(
            self.server,
            "UPDATE stripe_app_installation SET created_at = ?, generation = 312, "
            "last_refreshed_at = ?, last_used_at = ? WHERE conn_id = ?",
            *(self.now - 41 * DAY, self.now - 13 * MINUTE, self.now - 2 * MINUTE, conn_id),
        )
        sql(
            self.server,
            "UPDATE stripe_app_history SET at = ? WHERE conn_id = ? AND event = 'installed'",
            *(self.now - 41 * DAY, conn_id),
        )
        trouble = "Stripe did not answer within 10 s"
        lines = [
            (6 * DAY, "refreshed", "expiring", 268, None, None),
            (5 * DAY, "error", None, 268, "req_8FkQ2mNvT4hLzS", trouble),
            (5 * DAY - 30, "refreshed", "expiring", 269, None, None),
            (2 * HOUR, "refreshed", "expiring", 310, None, None),
            (66 * MINUTE, "refreshed", "refused", 311, None, None),
            (13 * MINUTE, "refreshed", "expiring", 312, None, None),
        ]
        for ago, *line in lines:
            sql(
                self.server,
                "INSERT INTO stripe_app_history (conn_id, at, event, reason, generation, "
                "request_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
                *(conn_id, self.now - ago, *line),
            )

    def reconcile(self, app_conn_id: str) -> None:
        """Ask Stripe which accounts have the app, as its page does by a button."""
        self._post("reconcile", app_conn_id)

    def _post(self, action: str, conn_id: str) -> None:
        csrf = next(form["csrf"] for form in self.browser.page().forms if "csrf" in form)
        answer = self.browser.post(f"/stripe-app/{action}", {"csrf": csrf, "conn_id": conn_id})
        assert answer.status in {303, 400}, answer.text

    def removed_by_owner(self, app: Any, conn_id: str, account: str) -> None:
        """Let the account's owner uninstall the app, and Airflow have found out."""
        self.server.sim.oauth.uninstall(account, app.client_id)
        expire(self.server, conn_id)
        self._post("test", conn_id)
