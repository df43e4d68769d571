"""A real Airflow on this machine, made for one job and gone after it.

API server, scheduler (LocalExecutor) and DAG processor run as processes of their own, with a
metadata database on SQLite or on a real PostgreSQL server::

    with AirflowCluster(stripe_url=sim.url, dags=[Path("example_dags")]) as airflow:
        airflow.api.put_connection("warehouse", "sqlite", host=str(path))
        airflow.api.wait_for_dag("stripe_sync")
        airflow.api.run("stripe_sync")
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import requests

from demo.airflow_api import AirflowApi, AirflowApiError
from demo.browser import PageError
from demo.embedded_postgres import EmbeddedPostgres
from demo.processes import (
    REPOSITORY,
    ManagedProcess,
    ProcessFailed,
    TemporaryHome,
    end_trees,
    free_ports,
    inherited_environment,
    wait_for,
)

Component = Literal["api-server", "scheduler", "dag-processor", "triggerer"]
ALL_COMPONENTS: tuple[Component, ...] = ("api-server", "scheduler", "dag-processor")


@dataclass(frozen=True)
class User:
    """A user of Airflow's simple auth manager.

    :param role: ``viewer``, ``user``, ``op`` or ``admin``.
    """

    name: str
    role: str
    password: str


class AirflowCluster:
    """An Airflow with a home of its own. Use it as a context manager.

    :param stripe_url: address of the simulated Stripe: Airflow's ``[stripe_app] api_base`` and
        ``marketplace_base``.
    :param dags: DAG files, or directories with DAG files, that Airflow reads where they are.
    :param components: what is started; ``("api-server",)`` is enough for routes and pages.
    :param metadata: where Airflow keeps its metadata.
    :param users: real users with roles; with none everybody is administrator.
    :param parallelism: how many tasks run at once.
    :param api_workers: processes of the API server.
    :param env: further environment, for example ``AIRFLOW__STRIPE_APP__KEEPALIVE``.
    :param port: port of the API server; 0 lets the system choose.
    :param python: the interpreter whose Airflow runs.
    """

    def __init__(
        self,
        *,
        stripe_url: str | None = None,
        dags: Sequence[Path] = (),
        components: Sequence[Component] = ALL_COMPONENTS,
        metadata: Literal["sqlite", "postgres"] = "sqlite",
        users: Sequence[User] = (),
        parallelism: int = 8,
        api_workers: int = 1,
        env: Mapping[str, str] | None = None,
        port: int = 0,
        python: str | Path = sys.executable,
    ) -> None:
        self._temporary = TemporaryHome("stripe-app-airflow-")
        self.home = self._temporary.path
        self.logs = self.home / "process-logs"
        self.dags = self.home / "dags"
        api_port, log_port, trigger_log_port, health_port = free_ports(4)
        self.port = port or api_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, ManagedProcess] = {}
        self._components = tuple(components)
        self._api_workers = api_workers
        self._users = tuple(users)
        self._python = str(python)
        self._postgres = EmbeddedPostgres() if metadata == "postgres" else None
        self._link_dags(dags)
        self.environment = {
            **inherited_environment(),
            **self._settings(parallelism, log_port, trigger_log_port, health_port),
            **_stripe_settings(stripe_url),
            **(env or {}),
        }
        self.api = self.api_for(self._users[0] if self._users else None)

    # ---- life

    def start(self) -> AirflowCluster:
        """Create the metadata database and start the components.

        :raises ProcessFailed: if one does not become ready; nothing is left running then.
        """
        try:
            self.logs.mkdir(exist_ok=True)
            if self._postgres is not None:
                self._postgres.start()
                self.environment |= _postgres_settings(self._postgres)
            self.airflow("db", "migrate")
            for component in self._components:
                self.start_component(component)
            if "api-server" in self._components:
                self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything and remove the home directory."""
        running = list(self.processes.values())
        end_trees([process.pid for process in running], grace=5)
        for process in running:
            process.stop()
        self.processes.clear()
        if self._postgres is not None:
            self._postgres.stop()
        self._temporary.remove()

    def __enter__(self) -> AirflowCluster:
        """Start it."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it; the ends of the logs are printed where a server's answer was the trouble."""
        if isinstance(error, (AirflowApiError, PageError, requests.RequestException)):
            print(self.tails(), file=sys.stderr)
        self.stop()

    # ---- components

    def start_component(self, component: Component) -> None:
        """Start one component (again)."""
        command = [self._python, "-m", "airflow", component]
        if component == "api-server":
            command += ["--host", "127.0.0.1", "--port", str(self.port)]
            command += ["--workers", str(self._api_workers)]
        process = ManagedProcess(component, command, self.logs, self.environment)
        process.start()
        self.processes[component] = process

    def stop_component(self, component: str, grace: float = 10) -> None:
        """End one component with all its descendants; nothing happens if it does not run.

        :param grace: seconds between SIGTERM and SIGKILL; 0 is a crash.
        """
        process = self.processes.pop(component, None)
        if process is not None:
            process.stop(grace)

    def wait_until_healthy(self, seconds: float = 90) -> None:
        """Wait until the API server says that all that was started is healthy.

        :raises ProcessFailed: if not, with the ends of all logs.
        """
        wanted = {"metadatabase"} | {
            component.replace("-", "_")
            for component in self._components
            if component in {"scheduler", "dag-processor"}
        }

        def healthy() -> bool:
            for process in self.processes.values():
                process.check()
            try:
                answer = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
            except (requests.RequestException, ValueError):
                return False
            return all((answer.get(name) or {}).get("status") == "healthy" for name in wanted)

        wait_for(healthy, seconds, "Airflow to be healthy", why=self.tails)

    # ---- use

    def airflow(self, *arguments: str, seconds: float = 120) -> str:
        """Run an ``airflow`` command in this Airflow and return what it prints.

        :raises ProcessFailed: if it fails.
        """
        done = subprocess.run(
            [self._python, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise ProcessFailed(
                f"airflow {' '.join(arguments[:2])} ended with status {done.returncode}:\n"
                f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
            )
        return done.stdout

    def api_for(self, user: User | None) -> AirflowApi:
        """Return a client for one of the users, or for the administrator that everybody is."""
        if user is None:
            return AirflowApi(self.url)
        return AirflowApi(self.url, user.name, user.password)

    def tails(self, lines: int = 40) -> str:
        """Return the ends of all process logs.

        :param lines: how many of each.
        """
        return "\n".join(process.tail(lines) for process in self.processes.values())

    # ---- configuration

    def _link_dags(self, dags: Sequence[Path]) -> None:
        self.dags.mkdir()
        for path in dags:
            for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
                (self.dags / file.name).symlink_to(file.resolve())

    def _settings(
        self, parallelism: int, log_port: int, trigger_log_port: int, health_port: int
    ) -> dict[str, str]:
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({user.name: user.password for user in self._users}))
        sections: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": self.dags,
                "load_examples": False,
                "executor": "LocalExecutor",
                "parallelism": parallelism,
                "max_active_tasks_per_dag": parallelism,
                "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "execution_api_server_url": f"{self.url}/execution/",
                "simple_auth_manager_all_admins": not self._users,
                "simple_auth_manager_users": ",".join(f"{u.name}:{u.role}" for u in self._users),
                "simple_auth_manager_passwords_file": passwords,
            },
            "database": {"sql_alchemy_conn": f"sqlite:///{self.home}/airflow.db"},
            "api": {
                "base_url": self.url,
                "port": self.port,
                "secret_key": secrets.token_hex(16),
                "expose_config": False,
            },
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "logging": {
                "base_log_folder": self.home / "logs",
                "worker_log_server_port": log_port,
                "trigger_log_server_port": trigger_log_port,
                "colored_console_log": False,
            },
            # What only saves work on a big installation is turned down: people wait for this one.
            "scheduler": {
                "scheduler_heartbeat_sec": 1,
                "scheduler_idle_sleep_time": 0.2,
                "scheduler_health_check_server_port": health_port,
            },
            "dag_processor": {
                "refresh_interval": 5,
                "min_file_process_interval": 5,
                "bundle_refresh_check_interval": 1,
                "parsing_processes": 1,
            },
            "usage_data_collection": {"enabled": False},
        }
        return {"AIRFLOW_HOME": str(self.home)} | {
            f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
            for section, options in sections.items()
            for option, value in options.items()
        }


def _stripe_settings(stripe_url: str | None) -> dict[str, str]:
    if stripe_url is None:
        return {}
    return {
        "AIRFLOW__STRIPE_APP__API_BASE": stripe_url,
        "AIRFLOW__STRIPE_APP__MARKETPLACE_BASE": stripe_url,
    }


def _postgres_settings(postgres: EmbeddedPostgres) -> dict[str, str]:
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url("postgresql+psycopg2"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": postgres.url("postgresql+asyncpg"),
    }
