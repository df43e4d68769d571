"""What a full load makes of Stripe's limits: one stream, and all streams of an account at once.

    python benchmarks/sync.py [--objects 100000] [--streams 1 4] [--latency 0 0.3] [--sandbox]
                              [--warehouse duckdb] [--series]

Each row is one full load in a process of its own, from a simulated Stripe in another process that
enforces the real limits: 25 requests/s for an endpoint, 100 for an account (25 in a sandbox).
*Used* is the part of the allowed list requests that were made from the second second to the last,
by the simulated Stripe's own log. *Extra* are requests beyond the least number (a page is 100
objects), *empty* those that brought nothing, *again* objects that came twice. CPU and memory are
the loading process's own. What the code can do without limits is in ``loading.py``.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.rates import Used, used  # noqa: E402

ACCOUNT = "acct_benchmark"
KINDS = ("customers", "invoices", "products", "prices")


@contextmanager
def simulated_stripe(
    counts: Mapping[str, int], *, livemode: bool, spread: str = "years", **switches: Any
) -> Iterator[tuple[str, str]]:
    """Start a simulated Stripe with small objects; yield its URL and a key."""
    command = [sys.executable, "-m", "airflow_provider_stripe_app.testing", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        account = {"account": ACCOUNT, "livemode": livemode}

        def control(path: str, body: Mapping[str, Any]) -> Any:
            answer = requests.post(f"{url}/_sim/{path}", json=body, timeout=900)
            answer.raise_for_status()
            return answer.json()

        control("accounts", {"id": ACCOUNT, "livemode": livemode})
        control("populate", {**account, **counts, "small": True, "spread": spread})
        control("switches", switches)
        yield url, control("keys", {**account, "kind": "secret"})["key"]
    finally:
        process.terminate()
        process.wait(timeout=30)


def streams_of(kinds: Sequence[str]) -> list[Any]:
    """Return the streams that list some kinds of objects."""
    from airflow_provider_stripe_app.streams.catalog import STREAMS
    from airflow_provider_stripe_app.streams.model import Column, Stream

    def simple(name: str) -> Stream:
        columns = (
            Column("id", ("id",), "text"),
            Column("created", ("created",), "timestamp"),
            Column("email", ("email",), "text"),
        )
        path = f"/v1/{name}"
        return Stream(name, name[:-1], "", path, f"{path}/{{id}}", columns=columns)

    return [STREAMS.get(kind) or simple(kind) for kind in kinds]


class Seen:
    """Counts what list pages bring."""

    def __init__(self, client: Any) -> None:
        self.empty = 0
        self.objects = 0
        self._list = client.list_parents
        client.list_parents = self.listed

    def listed(self, *args: Any, **kwargs: Any) -> Any:
        """List a page."""
        page = self._list(*args, **kwargs)
        self.objects += len(page.items)
        self.empty += not page.items
        return page


def load(url: str, key: str, warehouse: str, where: str, options: Mapping[str, Any]) -> Any:
    """Do one full load in this process and say what it took."""
    from airflow_provider_stripe_app.api.client import StripeClient
    from airflow_provider_stripe_app.api.rate_limit import RateLimiter
    from airflow_provider_stripe_app.api.tokens import StaticToken
    from airflow_provider_stripe_app.sync.options import SyncOptions
    from airflow_provider_stripe_app.sync.run import run_sync

    livemode = options["livemode"]
    limiter = RateLimiter.for_mode(livemode) if options["limited"] else None
    client = StripeClient(StaticToken(key), api_base=url, limiter=limiter)
    seen = Seen(client)
    target: Any = open_warehouse(warehouse, where)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    summary = run_sync(
        client,
        target,
        account_id=ACCOUNT,
        livemode=livemode,
        streams=streams_of(options["kinds"]),
        options=SyncOptions(),
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": sum(summary.streams[kind].inserted for kind in options["kinds"]),
        "seconds": seconds,
        "requests": sum(summary.requests.values()),
        "lists": sum(n for purpose, n in summary.requests.items() if purpose.startswith("list:")),
        "throttled": dict(summary.throttled),
        "empty": seen.empty,
        "again": seen.objects,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss": (after.ru_maxrss - before.ru_maxrss) / 1024,
    }


def open_warehouse(kind: str, where: str) -> Any:
    """Return an embedded warehouse by kind and file."""
    if kind == "duckdb":
        import duckdb

        from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(lambda: duckdb.connect(where))
    import sqlite3

    from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse

    return SQLiteWarehouse(lambda: sqlite3.connect(where))


def measure(url: str, key: str, warehouse: str, **options: Any) -> tuple[dict[str, Any], Used]:
    """Run :func:`load` in a fresh process; return what it took and what it used."""
    requests.delete(f"{url}/_sim/requests", timeout=60).raise_for_status()
    with tempfile.TemporaryDirectory() as folder:
        where = str(Path(folder) / f"load.{warehouse}")
        command = [sys.executable, __file__, "--child", url, key, warehouse, where]
        command.append(json.dumps(options))
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    got: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    log = requests.get(f"{url}/_sim/requests", timeout=60).json()["requests"]
    return got, used(log, len(options["kinds"]), livemode=options["livemode"])


def report(label: str, counts: Mapping[str, int], got: Mapping[str, Any], made: Used) -> None:
    """Print one row."""
    least = sum(max(1, math.ceil(n / 100)) for n in counts.values())
    refused = Counter(got["throttled"])
    speed = got["rows"] / got["seconds"]
    print(
        f"{label:<28} {got['rows']:>9,} {got['seconds']:>7.1f} {speed:>8,.0f}"
        f" {made.share:>7.1%} {got['lists']:>7,} {got['lists'] / least - 1:>7.1%} {got['empty']:>5}"
        f" {got['again'] - got['rows']:>5} {sum(refused.values()):>4} {got['cpu']:>7.2f}"
        f" {1000 * got['cpu'] / got['rows']:>7.4f} {got['rss']:>5.0f}",
        flush=True,
    )
    if refused:
        print("   refused:", dict(refused))


HEADER = (
    f"{'load':<28} {'objects':>9} {'seconds':>7} {'objs/s':>8} {'used':>7} {'lists':>7}"
    f" {'extra':>7} {'empty':>5} {'again':>5} {'429s':>4} {'CPU s':>7} {'ms/obj':>7} {'+MB':>5}"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[100_000], help="of each stream")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0, 0.3], help="seconds")
    parser.add_argument("--warehouse", choices=("duckdb", "sqlite"), default="duckdb")
    parser.add_argument("--sandbox", action="store_true")
    parser.add_argument("--series", action="store_true", help="print requests of each second")
    wanted = parser.parse_args()
    print(HEADER)
    livemode = not wanted.sandbox
    for objects in wanted.objects:
        counts = dict.fromkeys(KINDS[: max(wanted.streams)], objects)
        with simulated_stripe(counts, livemode=livemode) as (url, key):
            for seconds in wanted.latency:
                switches = {"latency": [seconds * 2 / 3, seconds * 4 / 3]}
                requests.post(f"{url}/_sim/switches", json=switches, timeout=60).raise_for_status()
                for streams in wanted.streams:
                    kinds = list(counts)[:streams]
                    got, made = measure(
                        url, key, wanted.warehouse, kinds=kinds, livemode=livemode, limited=True
                    )
                    label = f"{streams} streams, answers {seconds:g} s"
                    report(label, dict.fromkeys(kinds, objects), got, made)
                    if wanted.series:
                        print("  ", *made.per_second)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        url, key, warehouse, where, options = sys.argv[2:]
        print(json.dumps(load(url, key, warehouse, where, json.loads(options))))
    else:
        main()
