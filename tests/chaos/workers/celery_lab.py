"""A real Airflow with CeleryExecutor, Redis, PostgreSQL and worker processes that may be killed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from airflow_provider_stripe_app.streams.catalog import resolve_streams
from demo.airflow_cluster import AirflowCluster
from demo.compare import Comparison, StripeReader, compare_tables
from demo.embedded_postgres import EmbeddedPostgres
from demo.embedded_redis import EmbeddedRedis
from demo.processes import ManagedProcess, wait_for
from demo.simulation import Simulation

DAG_ID = "stripe_many"
DAGS = Path(__file__).parent / "dags" / "stripe_many.py"
STREAMS = ("customers", "invoices", "invoice_line_items")
SYNC = "stripe_sync.sync"
CONCURRENCY = 4


class CeleryLab:
    """Simulated Stripe with many accounts, and an Airflow whose workers sync them.

    :param accounts: how many.
    :param objects: how many of each type every account has.
    """

    def __init__(self, accounts: int, **objects: int) -> None:
        self._objects = objects
        self.accounts = {f"stripe_{n:03}": f"acct_many{n:03}" for n in range(accounts)}
        self._keys: dict[str, str] = {}
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> CeleryLab:
        """Start everything, two workers included."""
        with contextlib.ExitStack() as stack:
            self.stripe = stack.enter_context(Simulation("--customers", "0"))
            self.redis = stack.enter_context(EmbeddedRedis())
            self.postgres = stack.enter_context(EmbeddedPostgres())
            self._populate()
            self.airflow = stack.enter_context(
                AirflowCluster(
                    stripe_url=self.stripe.url,
                    dags=[DAGS],
                    metadata="postgres",
                    env=self._environment(),
                    # Not more than run at once: what waits in the queue for long counts as stuck.
                    parallelism=2 * CONCURRENCY,
                )
            )
            for name in ("worker-1", "worker-2"):
                self.start_worker(name)
            self._connect()
            self.airflow.api.wait_for_dag(DAG_ID)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        if error is not None:
            print(self.airflow.tails(), file=sys.stderr)
        self._exit.__exit__(kind, error, trace)

    # ---- workers

    def start_worker(self, name: str) -> None:
        """Start a Celery worker."""
        process = ManagedProcess(
            name,
            [
                *(sys.executable, "-m", "airflow", "celery", "worker"),
                *("--concurrency", str(CONCURRENCY), "--celery-hostname", f"{name}@%h"),
                *("--skip-serve-logs", "--without-mingle", "--without-gossip"),
                *("--pid", str(self.airflow.home / f"{name}.pid")),
            ],
            self.airflow.logs,
            self.airflow.environment,
        )
        process.start()
        self.airflow.processes[name] = process

    def kill_worker(self, name: str) -> set[int]:
        """Kill a worker and all that it started with SIGKILL, as if its machine were gone.

        :return: the pids of its task processes.
        """
        process = self.airflow.processes.pop(name)
        main = psutil.Process(process.pid)
        main.suspend()  # so that nothing is started meanwhile
        victims = main.children(recursive=True)
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.suspend()
        victims = [*main.children(recursive=True), main]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        process.stop(grace=0)
        return {victim.pid for victim in victims}

    # ---- runs

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run."""
        found: list[dict[str, Any]] = []
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances"
        while True:
            page = self.airflow.api.call(
                "GET", path, params={"limit": 100, "offset": len(found), "order_by": "map_index"}
            )
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def wait_until_midway(
        self, run_id: str, worker: str, *, done: int, requests: int
    ) -> dict[int, dict[str, Any]]:
        """Wait until some tasks are done and the worker is in the middle of others.

        :param done: tasks that have succeeded.
        :param requests: requests that Stripe has answered.
        :return: pid → running task instance.
        :raises ProcessFailed: if that does not happen.
        """
        found: dict[int, dict[str, Any]] = {}

        def midway() -> bool:
            self.airflow.processes[worker].check()
            tasks = self.tasks(run_id)
            found.clear()
            found.update({t["pid"]: t for t in tasks if t["state"] == "running"})
            ours = found.keys() & {one.pid for one in self.airflow.processes[worker].descendants()}
            succeeded = sum(t["state"] == "success" for t in tasks)
            return len(ours) >= 2 and succeeded >= done and self.requests() >= requests

        wait_for(
            midway,
            120,
            f"{worker} to be in the middle of its work",
            every=0.1,
            why=lambda: str([(t["state"], t["pid"]) for t in self.tasks(run_id)]),
        )
        return found

    # ---- what came out

    def compare(self) -> Iterator[tuple[str, Comparison]]:
        """Compare every table of every account with Stripe, whose limits are off from now on."""
        import psycopg2

        self.stripe.control("POST", "switches", rate_limits=False, latency=0)
        streams = resolve_streams(STREAMS)
        with contextlib.closing(psycopg2.connect(self.postgres.url())) as connection:
            for conn_id, account in self.accounts.items():
                truth = StripeReader(self.stripe.url, self._keys[conn_id]).read(streams)
                for one in compare_tables(connection.cursor(), truth, account):
                    yield conn_id, one

    def counts(self) -> dict[str, int]:
        """Return operation → requests that were carried out; ``429:reason`` → those refused."""
        return dict(self.stripe.control("GET", "stats")["api"])

    def requests(self) -> int:
        """Return how many requests Stripe has carried out."""
        return sum(n for name, n in self.counts().items() if ":" not in name)

    def refused(self) -> dict[str, int]:
        """Return what Stripe refused: ``429:reason`` → how often."""
        return {name: n for name, n in self.counts().items() if ":" in name}

    # ---- inside

    def _populate(self) -> None:
        for conn_id, account in self.accounts.items():
            self.stripe.control("POST", "populate", account=account, **self._objects)
            made = self.stripe.control("POST", "keys", account=account, kind="restricted")
            self._keys[conn_id] = made["key"]
        self.stripe.control(
            "POST", "switches", rate_limits=True, rate_burst_seconds=0.5, latency=[0.1, 0.2]
        )

    def _connect(self) -> None:
        for conn_id, account in self.accounts.items():
            self.airflow.api.put_connection(
                conn_id, "stripe_app", password=self._keys[conn_id], extra={"account": account}
            )
        self.airflow.api.put_connection(
            "warehouse",
            "postgres",
            host=self.postgres.socket_directory,
            login="postgres",
            schema="postgres",
        )

    def _environment(self) -> dict[str, str]:
        sections: dict[str, dict[str, object]] = {
            "core": {"executor": "CeleryExecutor"},
            "celery": {
                "broker_url": self.redis.url(0),
                "result_backend": self.redis.url(1),
                "worker_enable_remote_control": False,
            },
            # What takes minutes in a real deployment, so that a busy machine is no dead one.
            "scheduler": {
                "task_instance_heartbeat_timeout": 15,
                "task_instance_heartbeat_timeout_detection_interval": 2,
                "task_queued_timeout": 90,
                "task_queued_timeout_check_interval": 5,
            },
            "stripe_app": {"rate_limit_url": self.redis.url(2), "keepalive": False},
        }
        settings = {
            f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
            for section, options in sections.items()
            for option, value in options.items()
        }
        # Celery refuses to run as root otherwise.
        return {**settings, "STRIPE_MANY": str(len(self.accounts)), "C_FORCE_ROOT": "1"}
