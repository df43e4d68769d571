"""An installation whose connection is edited as people edit connections, and what must hold for it.

What the form sends was read in the bundles of Airflow's UI of 3.2.0 and 3.3.2.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import requests
from plugin_server import PERMISSIONS, Browser, PluginServer

from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.oauth.broker import BrokerTokens
from airflow_provider_stripe_app.oauth.broker_client import BrokerClient


def register(server: PluginServer) -> Any:
    return server.sim.oauth.register_app(
        redirect_uris=[server.redirect_uri], permissions=PERMISSIONS
    )


def app_fields(app: Any) -> dict[str, str]:
    return {"conn_type": "stripe_app", "login": app.install_link, "password": app.secret_key}


@dataclass
class Shop:
    """An account of its own that has installed an app."""

    server: PluginServer
    ann: Browser
    conn_id: str
    app_conn_id: str
    account: str
    app: Any
    broker_token: str = ""

    # what tasks do

    def tokens(self, patience: float = 12) -> BrokerTokens:
        """A fresh worker: it reads the connection and talks to the broker, and no database."""
        return BrokerTokens(
            self.conn_id,
            read_connection=self.row,
            client=BrokerClient(addresses=lambda: [self.server.url]),
            direct=lambda: None,
            patience=patience,
        )

    def row(self, _: str = "") -> Any:
        """The connection as a task gets it."""
        found = database(
            self.server,
            "SELECT login, password, extra, conn_type FROM connection WHERE conn_id = ?",
            self.conn_id,
        )
        assert found, f"{self.conn_id} is not defined"
        login, password, extra, conn_type = found[0]
        return SimpleNamespace(
            conn_id=self.conn_id,
            conn_type=conn_type,
            login=login,
            password=decrypted(self.server, password),
            extra=decrypted(self.server, extra),
        )

    def extra(self) -> dict[str, Any]:
        return dict(json.loads(self.row().extra or "{}"))

    def expire(self) -> None:
        """Let Stripe refuse the access token from now on."""
        self.server.sim.oauth.expire_access_tokens(self.account)

    def syncs(self, tokens: BrokerTokens | None = None) -> None:
        """Read customers as a sync does; the token is replaced if Stripe refuses it."""
        from airflow_provider_stripe_app.api.client import StripeClient

        client = StripeClient(tokens or self.tokens(), api_base=self.server.sim.url)
        assert client.request("GET", "/v1/customers", {"limit": "1"}).json()["object"] == "list"
        client.close()

    # what must hold

    def secrets(self) -> list[str]:
        defined = database(self.server, "SELECT 1 FROM connection WHERE conn_id = ?", self.conn_id)
        extra = self.extra() if defined else {}
        kept = [extra.get("broker_token"), extra.get("access_grant_token"), self.broker_token]
        issued = self.server.sim.oauth._refresh
        mine = [
            token for value, one in issued.items() for token in (value, one.access_token)
        ]  # every app's and every generation's
        return [secret for secret in [*kept, *mine, self.app.secret_key] if len(secret or "") > 9]

    def stands(self) -> None:
        """Next token, next sync, a renewal; then the copy says what the grant says."""
        self.syncs()
        self.expire()
        tokens = self.tokens()
        self.syncs(tokens)
        current = self.server.sim.oauth.current_tokens(self.account, self.app.client_id)
        assert current is not None
        extra = self.extra()
        assert extra["broker_token"] == self.broker_token
        assert extra["account"] == self.account
        assert extra["livemode"] is False
        copy = AccessGrant.from_copy(extra["access_grant_token"])
        assert copy is not None
        assert copy.access_token == current[0] == tokens.get()

    def shows_nothing(self) -> None:
        """Airflow's API shows no secret of the connection, whichever way it is asked."""
        session, base = self.ann.session, f"{self.server.url}/api/v2/connections"
        said = session.get(f"{base}/{self.conn_id}", timeout=20).text
        assert "***" in said
        assert self.account in said
        said += session.get(base, params={"limit": 100}, timeout=20).text
        assert not [secret for secret in self.secrets() if secret in said]


def database(server: PluginServer, statement: str, *values: object) -> list[tuple]:
    import sqlite3

    with sqlite3.connect(server.home / "airflow.db", timeout=20) as connection:
        return connection.execute(statement, values).fetchall()


def decrypted(server: PluginServer, value: str | None) -> str:
    from cryptography.fernet import Fernet

    return Fernet(server.env["AIRFLOW__CORE__FERNET_KEY"]).decrypt(value).decode() if value else ""


class Shops:
    """Makes installations."""

    def __init__(self, server: PluginServer, ann: Browser) -> None:
        self.server = server
        self.ann = ann

    def __call__(self, name: str, *, own: bool = False, app: str = "") -> Shop:
        """Install an app by the page; ``own`` keeps the installation in the app's connection."""
        app_conn_id = app or (name if own else f"{name}_app")
        record = None if app else self.server.app_connection(app_conn_id)
        account = f"acct_1Shop{name.title().replace('_', '')}"
        self.server.sim.account(account)
        started = self.ann.install(app_conn_id, name)
        assert started.status == 303, started.text
        done = self.ann.get(self.server.consent(started.location, account))
        assert done.status == 303, done.text
        record = record or next(
            one for one in self.server.sim.oauth.apps() if one.client_id in started.location
        )
        shop = Shop(self.server, self.ann, name, app_conn_id, account, record)
        shop.broker_token = shop.extra()["broker_token"]
        assert shop.broker_token
        return shop


# -- what Airflow's form, API and command line do


def shown(shop: Shop) -> dict[str, Any]:
    """The connection as GET shows it, secrets masked."""
    answer = shop.ann.session.get(
        f"{shop.server.url}/api/v2/connections/{shop.conn_id}", timeout=20
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def form_of(shop: Shop) -> dict[str, Any]:
    """What the form holds when it was opened: empty texts for nulls, extra pretty-printed.

    Read in the UI's bundle of 3.3.2 and 3.2.0: `initialConnectionValue`.
    """
    values = shown(shop)
    names = ("conn_type", "connection_id", "description", "host", "login", "password", "schema")
    form = {name: values[name] or "" for name in names}
    form["port"] = ""
    form["extra"] = json.dumps(json.loads(values["extra"] or "{}"), indent=2)
    form["opened"] = values
    return form


def save(shop: Shop, form: dict[str, Any], **changes: Any) -> None:
    """Press Save: the whole form as body, and as mask what is not as it was when opened."""
    opened = form["opened"]
    body = {name: value for name, value in {**form, **changes}.items() if name != "opened"}
    mask = [name for name in body if body[name] != (opened.get(name) or "")]
    body["port"] = None
    if body["extra"] == "{}":
        del body["extra"]
    patch(shop, body, mask)


def patch(shop: Shop, body: dict[str, Any], mask: list[str] | None = None) -> None:
    answer = shop.ann.session.patch(
        f"{shop.server.url}/api/v2/connections/{shop.conn_id}",
        json={"connection_id": shop.conn_id, "conn_type": "stripe_app", **body},
        params={"update_mask": mask} if mask else None,
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    assert not [secret for secret in shop.secrets() if secret in answer.text]


def bulk(shop: Shop, action: str, entities: list[Any], **options: Any) -> dict[str, Any]:
    answer = shop.ann.session.patch(
        f"{shop.server.url}/api/v2/connections",
        json={"actions": [{"action": action, "entities": entities, **options}]},
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    assert not [secret for secret in shop.secrets() if secret in answer.text]
    result = dict(answer.json()[action])
    assert not result["errors"], result
    return result


def ask(shop: Shop, broker_token: str | None = None) -> requests.Response:
    """Ask the broker once, as a worker that has read the connection before."""
    body = {"conn_id": shop.conn_id, "broker_token": broker_token or shop.broker_token}
    return requests.post(f"{shop.server.url}/stripe-app/token", json=body, timeout=20)


@contextlib.contextmanager
def shadow(shop: Shop, **fields: object) -> Iterator[None]:
    """Let the secrets backend answer for the installation's name, too."""
    file = shop.server.home / "backend.json"
    before = file.read_text()
    entry = {"conn_type": "stripe_app", **fields}
    file.write_text(json.dumps({**json.loads(before), shop.conn_id: entry}))
    try:
        yield
    finally:
        file.write_text(before)
