"""API servers with either auth manager, one user a role, and attempts that can be undone."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from plugin_server import PASSWORD, Answer, Browser, PluginServer

from airflow_provider_stripe_app.plugin import security
from airflow_provider_stripe_app.testing import SimulatedStripe
from demo.processes import TemporaryHome

AuthManager = Literal["simple", "fab"]
HAS_FAB = importlib.util.find_spec("airflow.providers.fab") is not None
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
ROLES = ("viewer", "user", "op", "admin")
READER = "reader"
"""A role that FAB can have and the simple auth manager cannot: sees connections, changes none."""
USERS = {f"{role}_1": role for role in ROLES}
SHOP = "acct_1SimulatedStripe"
OTHER = "acct_1AnotherShop"
TABLES = (
    "connection",
    "stripe_app_account",
    "stripe_app_install_state",
    "stripe_app_installation",
    "stripe_app_job",
    "stripe_app_stream",
)
Rows = dict[str, list[tuple]]


class SecureServer(PluginServer):
    """A server whose auth manager is chosen.

    :param home: AIRFLOW_HOME, an empty directory.
    :param sim: the simulated Stripe.
    :param auth: the auth manager.
    :param template: a metadata database to begin with.
    :param users: of the simple auth manager: name and role, or role and team.
    """

    def __init__(
        self,
        home: Path,
        sim: SimulatedStripe,
        auth: AuthManager,
        template: Path | None = None,
        users: Mapping[str, str] = USERS,
    ) -> None:
        super().__init__(home, sim, {"ann": "admin", **users})
        self.auth = auth
        self.public_url = self.url
        self._template = template
        self.env["AIRFLOW__STRIPE_APP__KEEPALIVE"] = "False"
        if auth == "fab":
            self.env["AIRFLOW__CORE__AUTH_MANAGER"] = FAB
        self._ids: dict[str, str] = {}

    def behind_proxy(self, public_url: str) -> None:
        """Serve for a proxy that ends TLS and keeps its public name to itself."""
        path = urlsplit(public_url).path
        self.url = f"http://127.0.0.1:{self.port}{path}"
        self.public_url = self.env["AIRFLOW__API__BASE_URL"] = public_url

    @property
    def redirect_uri(self) -> str:
        return f"{self.public_url}/stripe-app/callback"

    def inside(self, address: str) -> str:
        """Return where the proxy would pass a public address on to."""
        assert address.startswith(f"{self.public_url}/"), address
        return address.replace(self.public_url, self.url, 1)

    @property
    def database(self) -> Path:
        return self.home / "airflow.db"

    def prepare(self, teams: Sequence[str] = ()) -> None:
        self.env["AIRFLOW__CORE__MULTI_TEAM"] = str(bool(teams))
        if self._template is not None:
            shutil.copy(self._template, self.database)
        else:
            self.airflow("db", "migrate")
        for team in teams:
            self.sql("INSERT INTO team (name) VALUES (?)", team)
        if self.auth == "fab":
            (done,) = self.airflow_steps(create_user("ann", "Admin"))
            assert done[0] in {0, None}, done

    def start(self, teams: Sequence[str] = ()) -> None:
        super().start(teams)
        if self.auth == "fab":
            make_fab_users(self)
            self._ids = {
                name: str(number) for number, name in self.sql("SELECT id, username FROM ab_user")
            }

    def stop(self) -> None:
        """End it at once: nothing of it is needed any more."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=20)

    def user_key(self, user: str) -> str:
        """What states and forms of a user are bound to."""
        return f"airflow:{self._ids.get(user, user)}"

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        import sqlite3

        database = sqlite3.connect(self.database, timeout=20)
        with contextlib.closing(database), database:
            yield database

    def sql(self, statement: str, *values: object) -> list[tuple]:
        with self._connected() as database:
            return list(database.execute(statement, values))

    def rows(self) -> Rows:
        """Return all that an attempt could have changed."""
        return {table: self.sql(f"SELECT * FROM {table}") for table in TABLES}

    def restore(self, rows: Rows) -> None:
        with self._connected() as database:
            for table, lines in rows.items():
                database.execute(f"DELETE FROM {table}")
                if lines:
                    marks = ",".join("?" * len(lines[0]))
                    database.executemany(f"INSERT INTO {table} VALUES ({marks})", lines)

    def seal(self, values: object) -> str:
        key = Fernet(self.env["AIRFLOW__CORE__FERNET_KEY"])
        return "fernet:" + key.encrypt(json.dumps(values).encode()).decode()

    def one_time_value(
        self,
        kind: str,
        user: str,
        app: str,
        installation: str,
        *,
        secret: Mapping[str, object] | None = None,
        age: float = 0.0,
        **data: object,
    ) -> str:
        """Store a value as the plugin does when ``user`` has come that far; return it."""
        value = f"{kind}-{user}-{time.monotonic_ns()}"
        noted = {"kind": kind, "installation_conn_id": installation, **data}
        if secret is not None:
            noted["sealed"] = self.seal(secret)
        self.sql(
            "INSERT INTO stripe_app_install_state VALUES (?, ?, ?, ?, NULL, ?)",
            hashlib.sha256(value.encode()).hexdigest(),
            app,
            self.user_key(user),
            time.time() - age,
            json.dumps(noted),
        )
        return value

    def form(self, browser: Browser, user: str, **fields: str) -> dict[str, str]:
        """Return a form as the user's own page would send it, without having opened the page."""
        browser.session.cookies.set(security.CSRF_COOKIE, "nonce")
        secret = self.env["AIRFLOW__API__SECRET_KEY"]
        token = security.csrf_token(secret, self.user_key(user), "nonce", time.time())
        return {"csrf": token, **fields}

    def installed(self, app: str, installation: str, account: str = SHOP) -> object:
        """Make an app's connection and install it with a browser; return the app."""
        made = self.app_connection(app)
        self.install(app, installation, "ann", account)
        return made

    def install(self, app: str, installation: str, user: str, account: str = SHOP) -> None:
        """Install an app as a user does in a browser."""
        browser = self.browser(user)
        form = self.form(browser, user, conn_id=app, installation_conn_id=installation)
        started = browser.post("/stripe-app/install", form)
        assert started.status == 303, started.text
        sent = browser.get(self.inside(self.consent(started.location, account)))
        assert "notice=installed" in sent.location, sent.text


@dataclass(frozen=True)
class Identity:
    """Somebody who tries: a role, and how the request says who they are."""

    role: str
    way: Literal["cookie", "bearer", "nobody"]

    @property
    def user(self) -> str:
        return f"{self.role}_1"

    def __str__(self) -> str:
        return f"{self.role} by {self.way}"


def identities(auth: AuthManager) -> list[Identity]:
    roles = [*ROLES, READER] if auth == "fab" else [*ROLES]
    found = [Identity(role, way) for role in roles for way in ("cookie", "bearer")]
    return [Identity("anonymous", "nobody"), *found]


def browser_of(server: SecureServer, who: Identity) -> Browser:
    browser = server.browser(None)
    if who.way == "nobody":
        return browser
    browser.login(who.user)
    if who.way == "bearer":
        token = browser.session.cookies.get("_token")
        browser.session.cookies.clear()
        browser.session.headers["Authorization"] = f"Bearer {token}"
    return browser


def create_user(name: str, role: str) -> tuple[list[str], str]:
    words = ["users", "create", "--username", name, "--role", role, "--password", PASSWORD]
    return [*words, "--firstname", "a", "--lastname", "b", "--email", f"{name}@example.org"], ""


def make_fab_users(server: SecureServer) -> None:
    """Make the other users over FAB's API: each ``airflow users create`` takes seconds."""
    session, base = server.browser("ann").session, f"{server.url}/auth/fab/v1"
    see = {"action": {"name": "can_read"}, "resource": {"name": "Connections"}}
    made = session.post(f"{base}/roles", json={"name": "Reader", "actions": [see]}, timeout=30)
    assert made.ok, made.text
    for role in (*ROLES, READER):
        user = {
            "username": f"{role}_1",
            "password": PASSWORD,
            "email": f"{role}@example.org",
            "first_name": role,
            "last_name": "b",
            "roles": [{"name": role.capitalize()}],
        }
        made = session.post(f"{base}/users", json=user, timeout=30)
        assert made.ok, made.text


@functools.cache
def migrated_database() -> Path:
    """Return a metadata database with the tables of everything, also FAB's if there is FAB."""
    home = TemporaryHome("stripe-app-migrated-")
    atexit.register(home.remove)
    with SimulatedStripe(seed=7) as sim:
        server = SecureServer(home.path, sim, "fab" if HAS_FAB else "simple")
        server.airflow("db", "migrate")
        return server.database


@contextlib.contextmanager
def secure_server(
    home: Path,
    auth: AuthManager,
    template: Path | None = None,
    *,
    public_url: str = "",
    env: Mapping[str, str] | None = None,
    users: Mapping[str, str] = USERS,
    teams: Sequence[str] = (),
) -> Iterator[SecureServer]:
    """Run one; ``public_url`` is what a proxy in front of it is called."""
    with SimulatedStripe(seed=7) as sim:
        server = SecureServer(home, sim, auth, template, users)
        server.env.update(env or {})
        if public_url:
            server.behind_proxy(public_url)
        try:
            server.start(teams)
            yield server
        finally:
            server.stop()


def is_login(answer: Answer) -> bool:
    return answer.status == 303 and "/api/v2/auth/login?" in answer.location
