"""What the engine's own code can do: a full load with the limits off, and where its time goes.

    python benchmarks/loading.py [--objects 100000] [--kinds invoices customers]
                                 [--warehouses duckdb postgres sqlite] [--sources stripe memory]

Each row is one full load in a process of its own. *stripe* is the simulated Stripe in another
process on the same machine; *memory* answers the same requests from the loading process's memory,
so that the difference is HTTP and the simulator. Invoices carry all their lines (one to three, so
that every one is inlined and none has to be fetched apart) and become rows of two tables. CPU and
memory are the loading process's own (DuckDB and SQLite work inside it, PostgreSQL outside), memory
is the peak less what the process held when the load began.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ACCOUNT = "acct_benchmark"
STREAMS_OF = {"customers": ["customers"], "invoices": ["invoices", "invoice_line_items"]}
INLINED = {"customers": None, "invoices": "lines"}
AFTER_COMMIT = ("verify", "advance: read")
"""Statements that can be the last of a transaction: what follows them is a wait for rows."""


def serve(kind: str, objects: int) -> None:
    """Be the simulated Stripe, without limits, whose invoices have no more lines than inline."""
    from airflow_provider_stripe_app.testing import SimulatedStripe, populate

    populate._LINES = (1, 1, 1, 2, 2, 3)  # type: ignore[assignment]
    populate.MANY_LINES = 3  # type: ignore[misc]
    sim = SimulatedStripe()
    sim.switches.set(rate_limits=False)
    account = sim.account(ACCOUNT, livemode=True)
    sim.populate(account, **{"customers": 100, kind: objects})
    key = sim.secret_key(account)
    sim.serve(0, lambda url: print(json.dumps({"url": url, "key": key}), flush=True))


@contextmanager
def simulated_stripe(kind: str, objects: int) -> Iterator[tuple[str, str]]:
    """Start :func:`serve` in a process; yield its URL and a key."""
    command = [sys.executable, __file__, "--serve", kind, str(objects)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        yield hello["url"], hello["key"]
    finally:
        process.terminate()
        process.wait(timeout=30)


class Memory:
    """Answers list requests as Stripe does, from a list of (created, id, JSON), newest first."""

    def __init__(self, objects: Sequence[tuple[int, str, bytes]]) -> None:
        self._raws = [raw for _, _, raw in objects]
        self._ages = [-created for created, _, _ in objects]
        self._places = {id_: place for place, (_, id_, _) in enumerate(objects)}

    def send(self, method: str, path: str, *, query: Any = (), **_: Any) -> Any:
        """Stand in for :meth:`Transport.send`."""
        from requests.structures import CaseInsensitiveDict

        from airflow_provider_stripe_app.api.transport import Reply

        asked = dict(query)
        if path == "/v1/events" or method != "GET":
            body = b'{"object":"list","data":[],"has_more":false,"url":"/v1/events"}'
        else:
            body = self._page(asked)
        date = formatdate(time.time(), usegmt=True)
        headers = CaseInsensitiveDict({"Date": date, "Content-Type": "application/json"})
        return Reply(200, headers, body, 0.0)

    def _page(self, asked: Mapping[str, Any]) -> bytes:
        first, end = 0, len(self._ages)
        if "created[lt]" in asked:
            first = bisect_left(self._ages, -int(asked["created[lt]"]) + 1)
        if "created[gte]" in asked:
            end = bisect_left(self._ages, -int(asked["created[gte]"]) + 1)
        if "starting_after" in asked:
            first = max(first, self._places[asked["starting_after"]] + 1)
        last = min(end, first + int(asked.get("limit", 10)))
        more = b"true" if last < end else b"false"
        data = b", ".join(self._raws[first:last])
        return b'{"object": "list", "data": [' + data + b'], "has_more": ' + more + b"}"


def capture(kind: str, url: str, key: str, place: Path) -> None:
    """Store every object as the simulated Stripe lists it."""
    import requests

    from airflow_provider_stripe_app.api.split import split_page

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    objects: list[tuple[int, str, bytes]] = []
    params: dict[str, str | int] = {"limit": 100}
    more = True
    while more:
        page = session.get(f"{url}/v1/{kind}", params=params, timeout=60)
        page.raise_for_status()
        items, more = split_page(page.content)
        objects += [(item.created or 0, item.id, bytes(item.raw, "utf-8")) for item in items]
        params["starting_after"] = items[-1].id
    place.write_bytes(pickle.dumps(objects))


class Stages:
    """Adds up time by stage: CPU of the threads that fetch, wall time of the one that writes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._label = ""
        self._at = 0.0
        self._cpu_at = 0.0
        self._lock = threading.Lock()

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function; what it costs is the CPU time of its thread."""

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                with self._lock:
                    self.seconds[f"{stage} (CPU)"] += time.thread_time() - began

        return run

    def writers(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function of the writer's."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.statement(stage)
            return work(*args, **kwargs)

        return run

    def statement(self, label: str) -> None:
        """Note that the writer is about to send a statement, or to do a step in Python."""
        now = time.perf_counter()
        if self._label:
            self.seconds[self._label] += now - self._at
        self._label, self._at = ("" if label in AFTER_COMMIT else label), now


class PeakMemory:
    """Watches what this process holds."""

    def __init__(self) -> None:
        self.start = self.peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def over_start(self) -> float:
        """End, and return the peak over what was held at the start, in MB."""
        self._stop.set()
        self._thread.join()
        return (max(self.peak, self._now()) - self.start) / 1e6

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        import os

        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def load(
    kind: str, warehouse_kind: str, where: str, options: Mapping[str, Any], source: Sequence[str]
) -> dict[str, Any]:
    """Do one full load in this process and say what it took.

    :param options: of :class:`SyncOptions`, where they are not the default.
    :param source: ``stripe``, URL and key; or ``memory`` and the file that :func:`capture` wrote.
    """
    import resource

    from airflow_provider_stripe_app.api import client as client_module
    from airflow_provider_stripe_app.api.client import StripeClient
    from airflow_provider_stripe_app.api.tokens import StaticToken
    from airflow_provider_stripe_app.streams.catalog import STREAMS
    from airflow_provider_stripe_app.sync.options import SyncOptions
    from airflow_provider_stripe_app.sync.run import run_sync
    from airflow_provider_stripe_app.warehouse import merge

    stages = Stages()
    splitting: Any = client_module
    splitting.split_parents = stages.timed("split", splitting.split_parents)
    staging: Any = merge
    for name in ("stage_rows", "stage_children"):
        setattr(staging, name, stages.writers("prepare", getattr(staging, name)))
    warehouse = open_warehouse(warehouse_kind, where)
    warehouse.fault = stages.statement
    if source[0] == "memory":
        client: Any = StripeClient(StaticToken("none"))
        client._transport.send = Memory(pickle.loads(Path(source[1]).read_bytes())).send
    else:
        client = StripeClient(StaticToken(source[2]), api_base=source[1])
        client._transport.send = stages.timed("http", client._transport.send)
    memory = PeakMemory()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    summary = run_sync(
        client,
        warehouse,
        account_id=ACCOUNT,
        livemode=True,
        streams=[STREAMS[name] for name in STREAMS_OF[kind]],
        options=SyncOptions(**options),
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "objects": summary.streams[kind].inserted,
        "rows": sum(summary.streams[name].inserted for name in STREAMS_OF[kind]),
        "seconds": seconds,
        "requests": sum(summary.requests.values()),
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory": memory.over_start(),
        "start": memory.start / 1e6,
        "stages": dict(stages.seconds),
    }


def open_warehouse(kind: str, where: str) -> Any:
    """Return a warehouse by kind and place."""
    if kind == "duckdb":
        import duckdb
        import pyarrow as pa  # noqa: F401 -- held at the start, as in a worker that has loaded it

        from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(lambda: duckdb.connect(where))
    if kind == "sqlite":
        import sqlite3

        from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse

        return SQLiteWarehouse(lambda: sqlite3.connect(where))
    import psycopg

    from airflow_provider_stripe_app.warehouse.postgres import PostgresWarehouse

    return PostgresWarehouse(lambda: psycopg.connect(where))


@contextmanager
def place_of(kind: str, folder: str) -> Iterator[str]:
    """Yield where an empty warehouse is; PostgreSQL gets a server of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        if kind != "postgres":
            yield str(Path(place) / f"w.{kind}")
            return
        from demo.embedded_postgres import EmbeddedPostgres

        with EmbeddedPostgres() as server:
            yield server.url()


def measure(
    kind: str, warehouse: str, where: str, options: Mapping[str, Any], source: Sequence[str]
) -> dict[str, Any]:
    """Run :func:`load` in a fresh process."""
    command = [sys.executable, __file__, "--child", kind, warehouse, where, json.dumps(options)]
    command += source
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def report(kind: str, warehouse: str, source: str, got: dict[str, Any]) -> None:
    """Print one row and its stages, per object."""
    objects = got["objects"]
    print(
        f"{objects:>9,} {kind:>9} {warehouse:>9} {source:>7} {got['seconds']:>8.2f}"
        f" {objects / got['seconds']:>10,.0f} {got['rows'] / got['seconds']:>8,.0f}"
        f" {1000 * got['cpu'] / objects:>8.4f} {got['memory']:>8.0f} {got['start']:>8.0f}"
    )
    top = sorted(got["stages"].items(), key=lambda item: -item[1])[:16]
    each = (f"{name} {1e6 * seconds / objects:.1f}" for name, seconds in top)
    print("          µs an object: " + ", ".join(each), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[100_000])
    parser.add_argument("--kinds", nargs="+", default=["invoices", "customers"])
    parser.add_argument("--warehouses", nargs="+", default=["duckdb", "postgres", "sqlite"])
    parser.add_argument("--sources", nargs="+", default=["stripe", "memory"])
    parser.add_argument("--options", type=json.loads, default={}, help="SyncOptions, as JSON")
    wanted = parser.parse_args()
    print(
        f"{'objects':>9} {'kind':>9} {'warehouse':>9} {'source':>7} {'seconds':>8}"
        f" {'objects/s':>10} {'rows/s':>8} {'ms CPU':>8} {'MB peak':>8} {'MB start':>8}"
    )
    for objects in wanted.objects:
        for kind in wanted.kinds:
            with tempfile.TemporaryDirectory() as folder, simulated_stripe(kind, objects) as found:
                captured = Path(folder) / "objects"
                if "memory" in wanted.sources:
                    capture(kind, *found, captured)
                for source in wanted.sources:
                    given = [source, *(found if source == "stripe" else (str(captured),))]
                    for warehouse in wanted.warehouses:
                        with place_of(warehouse, folder) as where:
                            got = measure(kind, warehouse, where, wanted.options, given)
                        report(kind, warehouse, source, got)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["--child"]:
        print(json.dumps(load(*sys.argv[2:5], json.loads(sys.argv[5]), sys.argv[6:])))
    else:
        main()
