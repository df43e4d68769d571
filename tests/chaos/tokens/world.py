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
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import sqlalchemy as sa

from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.oauth import parse_basic
from demo.embedded_postgres import EmbeddedPostgres
from demo.processes import (
    REPOSITORY,
    ManagedProcess,
    Reaper,
    TemporaryHome,
    free_ports,
    inherited_environment,
    wait_for,
)

KILL_POINTS = Path(__file__).with_name("kill_points")
TOKEN = "/v1/oauth/token"
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


@dataclass
class Task:
    """Processes that were ordered as tasks."""

    pids: list[int]
    results: list[dict[str, Any]]

    @property
    def ok(self) -> int:
        """How many calls succeeded."""
        return sum(one.get("ok", 0) for one in self.results)

    @property
    def failed(self) -> dict[str, int]:
        """The texts of failed calls, and what processes died of."""
        found: Counter[str] = Counter()
        for one in self.results:
            found.update(one.get("failed", {}))
            if "error" in one:
                found[one["error"]] += 1
        return dict(found)


class Orders:
    """The zygote's other end.

    :param env: environment of the deployment.
    :param log: file for what it prints.
    """

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.tokens.zygote"],
                env=env,
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        Reaper.shared().order("watch", str(self.process.pid))
        self._lock = threading.Lock()
        self._next = 1
        self._ready = False
        self._events: dict[int, queue.Queue[dict[str, Any]]] = {0: queue.Queue()}
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, role: str, **order: Any) -> int:
        """Give an order and return its number; the first one waits until it can be obeyed."""
        with self._lock:
            if not self._ready:
                self.wait(0, "ready", 120)
                self._ready = True
            number = self._next
            self._next += 1
            self._events[number] = queue.Queue()
            line = json.dumps({"id": number, "role": role, **order})
            assert self.process.stdin is not None
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        return number

    def wait(self, number: int, event: str, seconds: float = 60) -> dict[str, Any]:
        """Return the next event of a kind; others of the same order are dropped."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self._events[number].get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} in {seconds} s:\n{self.tail()}") from None
            if found["event"] == event:
                return found
            assert found["event"] != "gone", f"the zygote is gone:\n{self.tail()}"

    def call(self, name: str, env: dict[str, str] | None = None, **arguments: Any) -> Any:
        """Run one of ``steps`` in a process of its own and return what it returned."""
        number = self.send("call", name=name, arguments=arguments, env=env or {})
        found = self.wait(number, "result", 90)
        assert "error" not in found, found["error"]
        return found["value"]

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it; it ends its children."""
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        Reaper.shared().order("forget", str(self.process.pid))

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self._events[event["id"]].put(event)
        for waiting in list(self._events.values()):
            waiting.put({"event": "gone"})


class Server:
    """One API server out of the zygote, started again after each of its deaths.

    :param orders: the zygote.
    :param directory: for its log and its kill orders.
    :param name: names its files.
    """

    def __init__(self, orders: Orders, directory: Path, name: str) -> None:
        self._orders = orders
        self._log = directory / f"{name}.log"
        self.kill_file = directory / f"{name}.kill"
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.pid = 0
        self._number = 0

    def start(self, wrong: float = 0.0, **env: str) -> None:
        """Start it and wait until the plugin answers.

        :param wrong: seconds by which its clock is wrong.
        :param env: more environment.
        """
        self._number = self._orders.send(
            "server",
            port=self._port,
            env={"CHAOS_KILL_FILE": str(self.kill_file), **env},
            log=str(self._log),
            wrong=wrong,
        )
        self.pid = self._orders.wait(self._number, "started", 30)["pid"]
        wait_for(self._answers, 30, f"{self._log.name}", every=0.02, why=self.tail)

    def order_kill(self, step: str) -> None:
        """Let it end itself when it reaches a step."""
        part = self.kill_file.with_suffix(".new")
        part.write_text(step)
        part.replace(self.kill_file)

    def killed(self, seconds: float = 30) -> int:
        """Wait for its end and return its status, -9 after SIGKILL."""
        status: int = self._orders.wait(self._number, "ended", seconds)["status"]
        self.pid = 0
        return status

    def kill(self, sign: int = signal.SIGKILL) -> None:
        """Send it a signal now."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def restart(self, wrong: float = 0.0, **env: str) -> None:
        """Kill it and start it with other settings."""
        self.kill()
        self.killed()
        self.start(wrong, **env)

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/stripe-app/health", timeout=5).ok
        except requests.RequestException:
            return False


@dataclass
class Installed:
    """One installed account.

    :param app: the app at the simulated Stripe.
    """

    world: World
    sim: SimulatedStripe
    conn_id: str
    app_conn_id: str
    account: str
    app: Any

    @property
    def env(self) -> dict[str, str]:
        """What makes any process talk to its Stripe."""
        return {
            "AIRFLOW__STRIPE_APP__API_BASE": self.sim.url,
            "AIRFLOW__STRIPE_APP__MARKETPLACE_BASE": self.sim.url,
        }

    def server(self, name: str, wrong: float = 0.0, **env: str) -> Server:
        """Start an API server that talks to its Stripe."""
        return self.world.server(f"{self.conn_id}-{name}", wrong, **{**self.env, **env})

    def before_refresh(self, act: Callable[[], object]) -> None:
        """Do something when its next renewal reaches Stripe, before the tokens are rolled."""
        self.sim.before(TOKEN, self._once(act), nth=None)

    def after_refresh(self, act: Callable[[], object]) -> None:
        """Do something when its tokens were rolled, before Stripe answers."""
        self.sim.after(TOKEN, self._once(act), nth=None)

    def _once(self, act: Callable[[], object]) -> Callable[[Any], object]:
        """Return a hook that knows its own requests by the app's key."""
        done: list[bool] = []

        def run(request: Any) -> object:
            user, _ = parse_basic(request.headers.get("authorization")) or ("", "")
            if done or user != self.app.secret_key:
                return None
            done.append(True)
            return act()

        return run

    def code(self, account: str | None = None) -> str:
        place = self.sim.install(self.app.client_id, self.sim.account(account or self.account))
        return parse_qs(urlsplit(place).query)["code"][0]

    def install(self, account: str | None = None) -> int:
        """Install or reinstall it; return the generation."""
        code = self.code(account)
        generation: int = self.world.orders.call(
            "install",
            env=self.env,
            conn_id=self.conn_id,
            app_conn_id=self.app_conn_id,
            code=code,
            change=account is not None,
        )
        return generation

    def row(self) -> Any:
        """Return the installation's row as it is."""
        return self.world.one(
            "SELECT * FROM stripe_app_installation WHERE conn_id=:c", c=self.conn_id
        )

    def expire(self, since: float = 1) -> None:
        """Let the token be over, here and in the copy that workers read.

        :param since: seconds ago; a negative number is life that is left.
        """
        self.world.execute(
            "UPDATE stripe_app_installation SET access_expires_at=:t WHERE conn_id=:c",
            t=time.time() - since,
            c=self.conn_id,
        )
        self.world.orders.call("expire_copy", conn_id=self.conn_id)

    def use_and_expire(self) -> None:
        """As :meth:`expire`, for one whose token was asked for a moment ago."""
        self.world.execute(
            "UPDATE stripe_app_installation SET last_used_at=:t WHERE conn_id=:c",
            t=time.time(),
            c=self.conn_id,
        )
        self.expire()

    def mend_now(self) -> None:
        """Let the pause between two tries to mend be over; it is a minute at first."""
        self.world.execute(
            "UPDATE stripe_app_installation SET heal_after=0 "
            "WHERE conn_id=:c AND heal_after IS NOT NULL",
            c=self.conn_id,
        )

    @property
    def mended(self) -> int:
        """How often it was mended by the Install API."""
        query = "SELECT count(*) FROM stripe_app_history WHERE conn_id=:c AND event='healed'"
        return int(self.world.one(query, c=self.conn_id)[0])

    @property
    def refreshes(self) -> int:
        """How often Stripe rolled its tokens."""
        return self.sim.oauth.counts[f"refresh:{self.account}"]

    @property
    def spool_files(self) -> list[Path]:
        import hashlib

        prefix = hashlib.sha256(self.conn_id.encode()).hexdigest()[:24]
        return list((self.world.home / "stripe_app_spool").glob(f"{prefix}-*.json"))

    def works(self) -> bool:
        """Whether a process with the database gets a token that Stripe takes."""
        found = self.world.orders.call("live_token", env=self.env, conn_id=self.conn_id)
        return "token" in found and hasattr(
            self.sim.oauth.authenticate(found["token"]), "account_id"
        )

    def history(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.world.orders.call("history", conn_id=self.conn_id)
        return lines


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
