"""A deployment to break: a metadata database, API servers that die on order, workers, and a Stripe.

The test's process holds the simulated Stripe and looks at the database with plain SQL; everything
of Airflow's runs in other processes.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from airflow_provider_stripe_app.testing import SimulatedStripe
from demo.embedded_postgres import EmbeddedPostgres
from demo.processes import (
    REPOSITORY,
    ManagedProcess,
    TemporaryHome,
    free_ports,
    inherited_environment,
    wait_for,
)
from tests.chaos.tokens.installed import TOKEN, Installed
from tests.chaos.tokens.orders import Orders, Server, Task

__all__ = ["OPTIONS", "PATIENT", "TOKEN", "Installed", "Server", "Task", "World", "quiet_stripe"]

KILL_POINTS = Path(__file__).with_name("kill_points")
APP_PERMISSIONS = ["customer_read"]
OPTIONS: dict[str, object] = {
    "KEEPALIVE": False,
    "REFRESH_MARGIN": 3,
    "WORKER_MARGIN": 2,
    "MIN_TOKEN_AGE": 0,
    "LEASE_SECONDS": 2,
    "TOKEN_TIMEOUT": 1,
    "WAIT_SECONDS": 20,
    "LOST_AFTER": 2,
    "STORE_SECONDS": 5,
}
"""``[stripe_app]`` of the deployments here: the same rules in less time."""

PATIENT = {"AIRFLOW__STRIPE_APP__TOKEN_TIMEOUT": "5", "AIRFLOW__STRIPE_APP__LEASE_SECONDS": "10"}
"""For servers during whose requests something is done: that counts as time that Stripe takes."""


class World:
    """One deployment. Use it as a context manager.

    :param metadata: ``sqlite`` or ``postgres``.
    :param sim: the simulated Stripe.
    :param options: more of ``[stripe_app]``.
    :param env: more environment.
    """

    def __init__(
        self,
        metadata: str,
        sim: SimulatedStripe,
        options: dict[str, object] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.sim = sim
        self.metadata = metadata
        self._temporary = TemporaryHome("stripe-app-chaos-")
        self.home = self._temporary.path
        self.postgres = EmbeddedPostgres() if metadata == "postgres" else None
        self._options = {**OPTIONS, **(options or {})}
        self._env = env or {}
        self._servers: list[Server] = []
        self._managed: list[ManagedProcess] = []
        self._numbers = itertools.count(1)
        self.orders: Orders

    # -- life

    def __enter__(self) -> World:
        try:
            if self.postgres is not None:
                self.postgres.start()
            self.environment = self._environment()
            self.orders = Orders(self.environment, self.home / "zygote.log")
            self.orders.wait(0, "migrated", 120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._managed:
            process.stop(3)
        if hasattr(self, "orders"):
            self.orders.stop()
        if "engine" in vars(self):
            self.engine.dispose()
        if self.postgres is not None:
            self.postgres.stop()
        self._temporary.remove()

    def server(self, name: str, wrong: float = 0.0, **env: str) -> Server:
        """Start an API server out of the zygote; see :meth:`Server.start`."""
        server = Server(self.orders, self.home, name)
        server.start(wrong, **env)
        self._servers.append(server)
        return server

    def api_server(self, name: str, workers: int = 1) -> tuple[ManagedProcess, str, Path]:
        """Start a real ``airflow api-server``; return it, its address and its kill order.

        It is not ready yet: see :meth:`wait_for_api_server`.
        """
        (port,) = free_ports(1)
        kill_file = self.home / f"{name}.kill"
        command = [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", str(workers)]
        url = f"http://127.0.0.1:{port}"
        env = {**self.environment, "CHAOS_KILL_FILE": str(kill_file)}
        process = ManagedProcess(name, command, self.home, env)
        process.start()
        self._managed.append(process)
        return process, url, kill_file

    def wait_for_api_server(self, process: ManagedProcess, url: str) -> None:
        """Wait until the plugin answers there."""

        def answers() -> bool:
            process.check()
            try:
                return requests.get(f"{url}/stripe-app/health", timeout=5).json()["provider"] != ""
            except (requests.RequestException, ValueError, KeyError):
                return False

        wait_for(answers, 120, f"{process.name} to answer", why=process.tail)

    # -- installing and working

    def installed(
        self, name: str = "acme", *, mendable: bool = False, sim: SimulatedStripe | None = None
    ) -> Installed:
        """Make an app and an account, and install it.

        :param sim: another Stripe than the deployment's.
        :param mendable: whether the app's connection knows the app's id, which the Install API
            needs; without it nothing is mended.
        """
        sim = sim or self.sim
        name = f"{name}_{next(self._numbers)}"
        app = sim.register_app(
            redirect_uris=["https://airflow.example/stripe-app/callback"],
            permissions=APP_PERMISSIONS,
        )
        one = Installed(self, sim, name, f"{name}_app", f"acct_{name.replace('_', '')}", app)
        self.orders.call(
            "connections",
            conn_id=one.conn_id,
            app_conn_id=one.app_conn_id,
            link=app.install_link,
            key=app.secret_key,
            app_extra=json.dumps({"app_id": app.app_id}) if mendable else "",
        )
        one.install()
        return one

    def start_tasks(
        self, one: Installed, servers: Sequence[str], count: int = 1, **order: Any
    ) -> int:
        """Start processes that call ``/v1/customers`` as tasks do; see ``task.run``."""
        api = order.pop("api", servers)
        return self.orders.send(
            "task",
            conn_id=one.conn_id,
            api=" ".join(api),
            broker=" ".join(servers),
            count=count,
            env=one.env,
            log=str(self.home / "tasks.log"),
            **order,
        )

    def end_tasks(self, number: int, count: int = 1, seconds: float = 120) -> Task:
        """Wait for all of them."""
        results = [self.orders.wait(number, "result", seconds) for _ in range(count)]
        return Task([], results)

    def tasks(self, one: Installed, servers: Sequence[str], count: int = 1, **order: Any) -> Task:
        """Run processes to their end."""
        return self.end_tasks(self.start_tasks(one, servers, count, **order), count)

    # -- the database

    @cached_property
    def engine(self) -> sa.Engine:
        return sa.create_engine(self.database_url, poolclass=sa.NullPool)

    @property
    def database_url(self) -> str:
        if self.postgres is not None:
            return self.postgres.url("postgresql+psycopg2")
        return f"sqlite:///{self.home}/airflow.db"

    def one(self, query: str, **values: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(sa.text(query), values).one_or_none()

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def stop_database(self) -> Callable[[], None]:
        """Let the database be away; return what brings it back.

        PostgreSQL is stopped as a crash would; a SQLite file is locked by another process's
        endless transaction (here: by this one's).
        """
        if self.postgres is None:
            import sqlite3

            holder = sqlite3.connect(self.home / "airflow.db", check_same_thread=False, timeout=20)
            holder.execute("BEGIN EXCLUSIVE")
            return holder.close
        self.postgres.crash()
        return self.postgres.restart

    def copy_database(self) -> Path:
        """Copy the SQLite file as a backup does."""
        import sqlite3

        copy = self.home / "copy.db"
        with (
            contextlib.closing(sqlite3.connect(self.home / "airflow.db")) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return copy

    # -- inside

    def _environment(self) -> dict[str, str]:
        database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database_url}
        if self.postgres is not None:
            url = self.postgres.url("postgresql+asyncpg")
            database["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = url
        options = {f"AIRFLOW__STRIPE_APP__{k}": str(v) for k, v in self._options.items()}
        return {
            **inherited_environment(),
            "PYTHONPATH": f"{KILL_POINTS}{os.pathsep}{REPOSITORY}",
            "CHAOS_KILL_FILE": str(self.home / "nobody.kill"),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__BASE_URL": "http://airflow.example",
            "AIRFLOW__API__SECRET_KEY": "secret-of-the-tests",
            "AIRFLOW__API_AUTH__JWT_SECRET": "jwt-secret-of-the-tests " * 3,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            # Airflow gives a connection within 5 s or says that there is none: too short for two
            # hundred tasks that start at once on a small machine, which is not what is tried here.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "90",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.2",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "8",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__STRIPE_APP__API_BASE": self.sim.url,
            "AIRFLOW__STRIPE_APP__MARKETPLACE_BASE": self.sim.url,
            **database,
            **options,
            **self._env,
        }


@contextlib.contextmanager
def quiet_stripe(**switches: Any) -> Iterator[SimulatedStripe]:
    """A simulated Stripe without rate limits: what is tried here is not the speed."""
    with SimulatedStripe(seed=11) as sim:
        sim.switches.set(rate_limits=False, **switches)
        yield sim
