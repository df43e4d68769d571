"""How fast a full load is, what limits it, and where the time goes.

    python benchmarks/sync.py [--customers 10000 100000] [--warehouses duckdb sqlite postgres]

Each row is one full load in a process of its own, from a simulated Stripe in another process:
once with Stripe's real limits (25 requests/s for an endpoint in live mode), once without. CPU
seconds and peak memory are the loading process's own (``getrusage``), stages are measured inside.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]
ENDPOINT_RATE = 25.0
AFTER_COMMIT = ("verify", "advance: read")
"""Statements that can be the last of a transaction: what follows them is a wait for rows."""


@contextmanager
def simulated_stripe(customers: int) -> Iterator[tuple[str, str]]:
    """Start a simulated Stripe with live-mode customers; yield its URL and a key."""
    command = [sys.executable, "-m", "airflow_provider_stripe_app.testing", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        account = {"account": ACCOUNT, "livemode": True}
        requests.post(f"{url}/_sim/accounts", json={"id": ACCOUNT, "livemode": True}, timeout=60)
        body = {**account, "customers": customers}
        requests.post(f"{url}/_sim/populate", json=body, timeout=600).raise_for_status()
        key = requests.post(f"{url}/_sim/keys", json={**account, "kind": "secret"}, timeout=60)
        key.raise_for_status()
        yield url, key.json()["key"]
    finally:
        process.terminate()
        process.wait(timeout=30)


ACCOUNT = "acct_benchmark"


class Stages:
    """Adds up wall time by stage; threads that fetch overlap, the writer is one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._label = ""
        self._at = 0.0

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function."""

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time(), time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds[f"{stage} (CPU)"] += time.thread_time() - began[0]
                self.seconds[f"{stage} (wall)"] += time.perf_counter() - began[1]

        return run

    def statement(self, label: str) -> None:
        """Note that the writer is about to send a statement."""
        now = time.perf_counter()
        if self._label:
            self.seconds[f"sql: {self._label}"] += now - self._at
        self._label, self._at = ("" if label in AFTER_COMMIT else label), now


def load(url: str, key: str, kind: str, where: str, *, limited: bool) -> dict[str, Any]:
    """Do one full load in this process and say what it took."""
    from airflow_provider_stripe_app.api import client as client_module
    from airflow_provider_stripe_app.api.client import StripeClient
    from airflow_provider_stripe_app.api.rate_limit import RateLimiter
    from airflow_provider_stripe_app.api.tokens import StaticToken
    from airflow_provider_stripe_app.streams.catalog import STREAMS
    from airflow_provider_stripe_app.sync.options import SyncOptions
    from airflow_provider_stripe_app.sync.run import run_sync

    stages = Stages()
    module: Any = client_module
    module.split_parents = stages.timed("split", module.split_parents)
    warehouse: Any = open_warehouse(kind, where)
    warehouse.fault = stages.statement
    limiter = RateLimiter.for_mode(True) if limited else None
    client = StripeClient(StaticToken(key), api_base=url, limiter=limiter)
    client._transport.send = stages.timed("http", client._transport.send)  # type: ignore[method-assign]
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    summary = run_sync(
        client,
        warehouse,
        account_id=ACCOUNT,
        livemode=True,
        streams=[STREAMS["customers"]],
        options=SyncOptions(),
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": summary.streams["customers"].inserted,
        "seconds": seconds,
        "requests": sum(summary.requests.values()),
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss_before": before.ru_maxrss / 1024,
        "rss": after.ru_maxrss / 1024,
        "stages": dict(stages.seconds),
    }


def open_warehouse(kind: str, where: str) -> Any:
    """Return a warehouse by kind and place."""
    if kind == "duckdb":
        import duckdb

        from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(lambda: duckdb.connect(where))
    if kind == "sqlite":
        import sqlite3

        from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse

        return SQLiteWarehouse(lambda: sqlite3.connect(where))
    import psycopg

    from airflow_provider_stripe_app.warehouse.postgres import PostgresWarehouse

    return PostgresWarehouse(lambda: psycopg.connect(where))


def measure(url: str, key: str, kind: str, where: str, *, limited: bool) -> dict[str, Any]:
    """Run :func:`load` in a fresh process."""
    command = [sys.executable, __file__, "--child", url, key, kind, where, str(int(limited))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def report(customers: int, kind: str, limited: bool, got: dict[str, Any]) -> None:
    """Print one row and its stages."""
    rate = got["requests"] / got["seconds"]
    share = f"{rate / ENDPOINT_RATE:6.1%}" if limited else "     -"
    print(
        f"{customers:>9,} {kind:>9} {'real' if limited else 'none':>6} {got['seconds']:>8.2f}"
        f" {got['rows'] / got['seconds']:>8,.0f} {rate:>8.1f} {share:>8} {got['cpu']:>7.2f}"
        f" {1000 * got['cpu'] / got['rows']:>8.4f} {got['rss']:>7.0f} {got['rss_before']:>8.0f}"
    )
    top = sorted(got["stages"].items(), key=lambda item: -item[1])[:14]
    print("          " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in top))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--warehouses", nargs="+", default=["duckdb", "sqlite", "postgres"])
    parser.add_argument("--limits", nargs="+", default=["none", "real"])
    wanted = parser.parse_args()
    print(
        f"{'customers':>9} {'warehouse':>9} {'limits':>6} {'seconds':>8} {'rows/s':>8}"
        f" {'req/s':>8} {'of limit':>8} {'CPU s':>7} {'ms/row':>8} {'MB peak':>7} {'MB start':>8}"
    )
    for customers in wanted.customers:
        with simulated_stripe(customers) as (url, key), tempfile.TemporaryDirectory() as folder:
            for limits in wanted.limits:
                limited = limits == "real"
                switches = {"rate_limits": limited}
                requests.post(f"{url}/_sim/switches", json=switches, timeout=60).raise_for_status()
                kinds = wanted.warehouses if not limited else wanted.warehouses[:1]
                for kind in kinds:
                    place = str(Path(folder) / f"{limits}.{kind}")
                    with place_of(kind, place) as where:
                        got = measure(url, key, kind, where, limited=limited)
                    report(customers, kind, limited, got)


@contextmanager
def place_of(kind: str, path: str) -> Iterator[str]:
    """Yield where the warehouse is; PostgreSQL gets a server of its own."""
    if kind != "postgres":
        yield path
        return
    from demo.embedded_postgres import EmbeddedPostgres

    with EmbeddedPostgres() as server:
        yield server.url()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--child"]:
        url, key, kind, where, limited = sys.argv[2:]
        print(json.dumps(load(url, key, kind, where, limited=limited == "1")))
    else:
        main()
