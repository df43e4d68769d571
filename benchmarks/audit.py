"""What an audit costs: objects per second, requests, CPU and peak memory.

    python benchmarks/audit.py [--customers 10000 100000] [--warehouses duckdb sqlite postgres]

Each row is one audit of a table that equals a simulated Stripe in another process, in a process of
its own: without Stripe's limits, and with them (25 requests/s for an endpoint in live mode). The
rows ``100 wrong`` spoil a hundred rows first, and repair them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]


def measure(url: str, key: str, kind: str, where: str, what: str) -> dict[str, Any]:
    """Do one thing in this process and say what it took.

    :param what: ``sync``, ``spoil``, ``audit``, ``limited`` (an audit at Stripe's limits) or
        ``repair``.
    """
    from airflow_provider_stripe_app.api.client import StripeClient
    from airflow_provider_stripe_app.api.rate_limit import RateLimiter
    from airflow_provider_stripe_app.api.tokens import StaticToken
    from airflow_provider_stripe_app.streams.catalog import STREAMS
    from airflow_provider_stripe_app.sync.audit.options import AuditOptions
    from airflow_provider_stripe_app.sync.audit.run import run_audit
    from airflow_provider_stripe_app.sync.options import SyncOptions
    from airflow_provider_stripe_app.sync.run import run_sync
    from benchmarks.sync import ACCOUNT, open_warehouse

    limiter = RateLimiter.for_mode(True) if what == "limited" else None
    client = StripeClient(StaticToken(key), api_base=url, limiter=limiter)
    account: dict[str, Any] = {"account_id": ACCOUNT, "livemode": True}
    streams = [STREAMS["customers"]]
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if what == "spoil":
        spoil(kind, where)
        return {}
    warehouse = open_warehouse(kind, where)
    if what == "sync":
        run_sync(client, warehouse, streams=streams, options=SyncOptions(), **account)
        return {}
    options = AuditOptions(repair=what == "repair")
    result = run_audit(client, warehouse, streams=streams, options=options, **account)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    table = result.tables["customers"]
    return {
        "checked": table.checked,
        "found": table.found,
        "unrepaired": table.unrepaired,
        "seconds": seconds,
        "requests": sum(result.requests.values()),
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss_before": before.ru_maxrss / 1024,
        "rss": after.ru_maxrss / 1024,
    }


def apart(url: str, key: str, kind: str, where: str, what: str) -> dict[str, Any]:
    """Run :func:`measure` in a fresh process."""
    command = [sys.executable, __file__, "--child", url, key, kind, where, what]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def spoil(kind: str, where: str) -> None:
    """Edit a hundred rows by hand."""
    from benchmarks.sync import open_warehouse

    connection = open_warehouse(kind, where)._connect()
    cursor = connection.cursor()
    cursor.execute(
        "UPDATE customers SET email = 'by hand' "
        "WHERE id IN (SELECT id FROM customers ORDER BY id LIMIT 100)"
    )
    if kind != "duckdb":
        connection.commit()
    connection.close()


def report(customers: int, kind: str, what: str, got: dict[str, Any]) -> None:
    """Print one row."""
    name = {"audit": "no limits", "limited": "Stripe's limits", "repair": "100 wrong"}[what]
    print(
        f"{customers:>9,} {kind:>9} {name:>16} {got['seconds']:>8.2f}"
        f" {got['checked'] / got['seconds']:>9,.0f} {got['requests']:>8} {got['found']:>6}"
        f" {got['cpu']:>7.2f} {1000 * got['cpu'] / got['checked']:>8.4f}"
        f" {got['rss']:>7.0f} {got['rss_before']:>8.0f}",
        flush=True,
    )
    assert got["unrepaired"] == 0


def main() -> None:
    """Measure and print."""
    from benchmarks.sync import place_of, simulated_stripe

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--warehouses", nargs="+", default=["duckdb", "sqlite", "postgres"])
    wanted = parser.parse_args()
    print(
        f"{'customers':>9} {'warehouse':>9} {'what':>16} {'seconds':>8} {'objects/s':>9}"
        f" {'requests':>8} {'found':>6} {'CPU s':>7} {'ms/obj':>8} {'MB peak':>7} {'MB start':>8}"
    )
    for customers in wanted.customers:
        with simulated_stripe(customers) as (url, key), tempfile.TemporaryDirectory() as folder:
            for kind in wanted.warehouses:
                with place_of(kind, str(Path(folder) / f"w.{kind}")) as where:
                    whats = ["audit", "repair"]
                    if kind == wanted.warehouses[0]:
                        whats.insert(1, "limited")
                    switch(url, limits=False)
                    apart(url, key, kind, where, "sync")
                    for what in whats:
                        switch(url, limits=what == "limited")
                        if what == "repair":
                            apart(url, key, kind, where, "spoil")
                        report(customers, kind, what, apart(url, key, kind, where, what))


def switch(url: str, *, limits: bool) -> None:
    """Turn Stripe's limits on or off."""
    requests.post(f"{url}/_sim/switches", json={"rate_limits": limits}, timeout=60)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--child"]:
        url, key, kind, where, what = sys.argv[2:]
        print(json.dumps(measure(url, key, kind, where, what)))
    else:
        main()
