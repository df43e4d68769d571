"""A migrated metadata database (SQLite or PostgreSQL), a simulated Stripe and an installed app."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.testing import SimulatedStripe

REDIRECT = "https://airflow.example/stripe-app/callback"
POLICY = TokenPolicy(
    min_token_age=0, wait_seconds=20, lost_after=0.8, store_seconds=1.0, token_timeout=5
)


@contextlib.contextmanager
def metadata_database(url: str) -> Iterator[str]:
    """Migrate a database with Airflow's own command and make this process use it."""
    from airflow import settings
    from airflow.configuration import conf

    name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    before = os.environ.get(name)
    os.environ[name] = url
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        _use(settings)
        yield url
    finally:
        settings.dispose_orm()
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        _use(settings)
        assert conf.get("database", "sql_alchemy_conn") != url


@contextlib.contextmanager
def own_tables(url: str) -> Iterator[str]:
    """Make only this provider's tables and that of the connections, without a migration, and make
    this process use them.
    """
    from airflow import settings

    name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    before = os.environ.get(name)
    os.environ[name] = url
    try:
        _use(settings)
        from airflow.models import Connection  # noqa: F401 - makes the table known
        from airflow.models.base import Base as AirflowBase

        from airflow_provider_stripe_app.oauth.models import Base

        Base.metadata.create_all(settings.get_engine())
        tables = AirflowBase.metadata.tables
        needed = [tables[name] for name in ("team", "connection")]
        AirflowBase.metadata.create_all(settings.get_engine(), tables=needed)
        yield url
    finally:
        settings.dispose_orm()
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        _use(settings)


def _use(settings: Any) -> None:
    settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


def session() -> Any:
    from airflow.utils.session import create_session

    return create_session(scoped=False)


@dataclass
class Lab:
    """One installed app in one database."""

    sim: SimulatedStripe
    directory: Path
    app: Any = None
    conn_id: str = "acme"
    app_conn_id: str = "the_app"
    account: str = "acct_sim1"
    policy: TokenPolicy = field(default_factory=lambda: POLICY)
    asked_before: int = 0
    knows_app_id: bool = False

    @property
    def spool_files(self) -> list[Path]:
        return list(self.directory.glob("*.json"))

    @property
    def counts(self) -> Counter[str]:
        return self.sim.oauth.counts

    def endpoint(self, *_: object) -> Any:
        """The real token endpoint client, with the simulated Stripe's address."""
        from airflow_provider_stripe_app.oauth.token_endpoint import TokenEndpoint

        return TokenEndpoint(
            self.app.secret_key, api_base=self.sim.url, timeout=self.policy.token_timeout
        )

    def access(self, app_conn_id: str, *_: object) -> Any:
        """The real Install API client, with the simulated Stripe's address."""
        from airflow_provider_stripe_app.exceptions import ConfigurationError
        from airflow_provider_stripe_app.oauth.installs_api import InstallsApi
        from airflow_provider_stripe_app.oauth.key_client import KeyClient
        from airflow_provider_stripe_app.oauth.reinstall import AppAccess

        if not self.knows_app_id:
            raise ConfigurationError(f"Connection {app_conn_id} has no App id.")
        key, timeout = self.app.secret_key, self.policy.token_timeout
        client = KeyClient(key, api_base=self.sim.url, timeout=timeout)
        return AppAccess(
            app_conn_id, self.app.app_id, InstallsApi(client), self.endpoint(), livemode=False
        )

    def store(self, **more: Any) -> Any:
        from airflow_provider_stripe_app.oauth.spool import Spool
        from airflow_provider_stripe_app.oauth.store import TokenStore

        arguments = {
            "endpoint_of": self.endpoint,
            "access_of": self.access,
            "policy": self.policy,
            "spool": Spool(self.directory),
        }
        return TokenStore(**{**arguments, **more})

    def code(self) -> str:
        place = self.sim.install(self.app.client_id, self.sim.account(self.account))
        return parse_qs(urlsplit(place).query)["code"][0]

    def install(self) -> Any:
        granted = self.endpoint().exchange(self.code())
        return self.store().save_grant(
            self.conn_id, granted, app_conn_id=self.app_conn_id, installed_by="ann"
        )

    def set(self, **values: Any) -> None:
        """Set columns of the installation's row."""
        from sqlalchemy import update

        from airflow_provider_stripe_app.oauth.models import Installation

        with session() as s:
            s.execute(
                update(Installation).where(Installation.conn_id == self.conn_id).values(**values)
            )

    def expire(self) -> None:
        self.set(access_expires_at=time.time() - 1)

    def row(self) -> Any:
        return self.store().status(self.conn_id)

    def extra(self) -> dict[str, Any]:
        from airflow.models import Connection
        from sqlalchemy import select

        with session() as s:
            conn = s.scalar(select(Connection).where(Connection.conn_id == self.conn_id))
            return dict(json.loads(conn.extra or "{}"))

    def set_extra(self, extra: dict[str, Any]) -> None:
        """Overwrite extra as the connection form does."""
        from airflow.models import Connection
        from sqlalchemy import select

        with session() as s:
            conn = s.scalar(select(Connection).where(Connection.conn_id == self.conn_id))
            conn.extra = json.dumps(extra)

    def works(self, token: str) -> bool:
        """Whether Stripe takes the token."""
        return hasattr(self.sim.oauth.authenticate(token), "account_id")


def new_lab(sim: SimulatedStripe, directory: Path) -> Lab:
    """Empty the provider's tables, make the two connections and install the app."""
    from airflow.models import Connection
    from sqlalchemy import delete

    from airflow_provider_stripe_app.oauth.models import History, Installation, InstallState

    lab = Lab(sim, directory)
    lab.app = sim.register_app(redirect_uris=[REDIRECT], permissions=["customer_read"])
    with session() as s:
        for table in (Installation, History, InstallState):
            s.execute(delete(table))
        s.execute(delete(Connection).where(Connection.conn_id.in_([lab.conn_id, lab.app_conn_id])))
        s.add(
            Connection(
                conn_id=lab.app_conn_id,
                conn_type="stripe_app",
                login=lab.app.install_link,
                password=lab.app.secret_key,
            )
        )
        extra = {"app_conn_id": lab.app_conn_id, "colour": "blue"}
        s.add(Connection(conn_id=lab.conn_id, conn_type="stripe_app", extra=json.dumps(extra)))
    lab.install()
    sim.oauth.counts.clear()
    return lab


def in_processes(count: int, work: Callable[[], object]) -> list[Any]:
    """Run ``work`` in so many forked processes at once and return what they returned.

    Forked, because importing Airflow twenty times takes a minute; Airflow's own fork handler gives
    each of them database connections of its own.
    """
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    start = context.Event()

    def run() -> None:
        start.wait(30)
        try:
            results.put(work())
        except Exception as error:
            results.put(error)

    processes = [context.Process(target=run) for _ in range(count)]
    for process in processes:
        process.start()
    start.set()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(10)
    return found


def in_threads(count: int, work: Callable[[], object]) -> list[Any]:
    found: list[Any] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait(30)
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


HTML = b"<html>Airflow</html>"


@contextlib.contextmanager
def broker_over_http(lab: Lab) -> Iterator[tuple[str, list[int]]]:
    """The broker's answers behind a real socket; everything else gets Airflow's 200 of HTML."""
    from airflow_provider_stripe_app.oauth.accounts_client import ACCOUNTS_PATH
    from airflow_provider_stripe_app.oauth.accounts_server import answer_accounts
    from airflow_provider_stripe_app.oauth.broker_client import HEALTH_PATH, PROVIDER, TOKEN_PATH
    from airflow_provider_stripe_app.oauth.broker_server import answer_token_request

    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plugin = self.path == f"/air{HEALTH_PATH}"
            self.answer(200, json.dumps({"provider": PROVIDER}).encode() if plugin else HTML)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, text = 200, HTML
            if self.path == f"/air{TOKEN_PATH}":
                status, answer = answer_token_request(json.loads(body), lab.store())
                text = json.dumps(answer).encode()
                statuses.append(status)
            if self.path == f"/air{ACCOUNTS_PATH}":
                status, told = answer_accounts(json.loads(body))
                text = json.dumps(told).encode()
                statuses.append(status)
            self.answer(status, text)

        def answer(self, status: int, text: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", statuses
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
