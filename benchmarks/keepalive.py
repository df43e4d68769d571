"""What the keep-alive costs with a thousand accounts of one app, and how it spreads renewals.

    python benchmarks/keepalive.py [--accounts 1000] [--databases sqlite postgres]

Airflow's metadata is in SQLite or in a real PostgreSQL server, migrated by Airflow; every account
has installed the app at a simulated Stripe, which runs in this process. What is measured runs in
processes of its own:

* looks with nothing due, by the process that holds the lease and by another one;
* a simulated hour (their clock is pushed on a minute for each look) in which all accounts, which
  were installed in one minute, are in use;
* two processes that begin at once with every account due: with the lease, and both without it, as
  if it had failed, where only the lease of each installation is left.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
APP = "the_app"
REDIRECT = "https://airflow.example/stripe-app/callback"
FERNET = "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs="
MINUTES = 60


# -- what is measured; each runs in a process of its own


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Clock:
    """Replaces ``time.time`` of this process, before anything has taken hold of it."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._real = time.time
        time.time = self.now  # type: ignore[assignment]

    def now(self) -> float:
        """Return the time, pushed on."""
        return self._real() + self.ahead


class Statements:
    """Counts what this process sends to the metadata database."""

    def __init__(self) -> None:
        from airflow import settings
        from sqlalchemy import event

        self.count = 0
        event.listen(settings.get_engine(), "before_cursor_execute", self._note)

    def _note(self, *_: object) -> None:
        self.count += 1


def keeper(pace: float | None = None, lease: bool = True) -> Any:
    """Return a keep-alive as an API server has it; without reconciling, which asks Stripe once."""
    from airflow_provider_stripe_app.plugin import keepalive

    class Desk(keepalive._Database):
        def take(self, name: str, owner: str, seconds: float) -> bool:
            return super().take(name, owner, seconds) or not lease

        def apps(self) -> list[Any]:
            super().apps()
            return []

    options = {} if pace is None else {"pace": pace}
    made = keepalive.KeepAlive(keepalive._default_store, lambda: True, desk=Desk, **options)
    made._apps_at = time.monotonic()
    return made


def install(given: dict[str, Any]) -> dict[str, Any]:
    """Make the connections and exchange all codes."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    from airflow_provider_stripe_app.oauth.store import TokenStore
    from airflow_provider_stripe_app.oauth.token_endpoint import TokenEndpoint

    with create_session() as session:
        session.add(
            Connection(
                conn_id=APP, conn_type="stripe_app", login=given["link"], password=given["key"]
            )
        )
        for name in given["codes"]:
            extra = json.dumps({"app_conn_id": APP})
            session.add(Connection(conn_id=name, conn_type="stripe_app", extra=extra))
    endpoint, store = TokenEndpoint(given["key"], api_base=given["url"], timeout=20), TokenStore()
    begun = time.monotonic()
    for name, code in given["codes"].items():
        granted: Any = endpoint.exchange(code)
        store.save_grant(name, granted, app_conn_id=APP)
    return {"seconds": time.monotonic() - begun}


def looks(given: dict[str, Any]) -> dict[str, Any]:
    """Time looks with nothing due: of the holder of the lease and of another process."""
    holder, other = keeper(), keeper()
    found: dict[str, Any] = {}
    holder.look()
    statements = Statements()
    for name, one in (("holder", holder), ("other", other)):
        spent, statements.count, before = [], 0, cpu()
        for _ in range(given["times"]):
            begun = time.perf_counter()
            assert one.look() == 0
            spent.append(time.perf_counter() - begun)
        spent.sort()
        found[name] = {
            "median_ms": 1000 * spent[len(spent) // 2],
            "max_ms": 1000 * spent[-1],
            "cpu_ms": 1000 * (cpu() - before) / given["times"],
            "queries": statements.count / given["times"],
        }
    holder._leave()
    return found


def hour(given: dict[str, Any]) -> dict[str, Any]:
    """Look once a minute for an hour of a clock that is pushed on; count what was renewed."""
    clock: Clock = given["clock"]
    use_all()
    statements, one, per_minute, slowest = Statements(), keeper(), [], 0.0
    begun, before = time.monotonic(), cpu()
    for minute in range(MINUTES + 1):
        started = time.monotonic()
        clock.ahead = 60 * minute - (started - begun)  # the hour is not longer by what looks take
        per_minute.append(one.look())
        slowest = max(slowest, time.monotonic() - started)
    one._leave()
    return {
        "per_minute": per_minute,
        "cpu": cpu() - before,
        "seconds": time.monotonic() - begun,
        "slowest_look": slowest,
        "queries": statements.count,
    }


def compete(given: dict[str, Any]) -> dict[str, Any]:
    """Look at once, together with another process that does the same."""
    one = keeper(pace=0, lease=given["lease"])
    # Everything is imported before both begin.
    one._store()
    one._desk()
    while time.time() < given["at"]:
        time.sleep(0.001)
    begun, before = time.monotonic(), cpu()
    renewed = one.look()
    return {"renewed": renewed, "seconds": time.monotonic() - begun, "cpu": cpu() - before}


def make_due(given: dict[str, Any]) -> dict[str, Any]:
    """Let every token end within minutes and be in use, and nobody hold the lease."""
    use_all(ends_in=300)
    return {"generations": generations()}


def count(given: dict[str, Any]) -> dict[str, Any]:
    """Return how many installations are of which generation."""
    return {"generations": generations()}


def use_all(ends_in: float | None = None) -> None:
    from airflow.utils.session import create_session
    from sqlalchemy import delete, update

    from airflow_provider_stripe_app.oauth.models import Installation, Job

    now = time.time()
    values: dict[str, Any] = {"last_used_at": now}
    if ends_in is None:
        values |= {"access_expires_at": now + 3600, "last_refreshed_at": now}
    else:
        values |= {"access_expires_at": now + ends_in, "last_refreshed_at": now + ends_in - 3600}
    with create_session() as session:
        session.execute(update(Installation).values(**values))
        session.execute(delete(Job))


def generations() -> dict[str, int]:
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    from airflow_provider_stripe_app.oauth.models import Installation

    query = select(Installation.generation, func.count()).group_by(Installation.generation)
    with create_session() as session:
        return {str(generation): number for generation, number in session.execute(query)}


PARTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "install": install,
    "looks": looks,
    "hour": hour,
    "compete": compete,
    "make_due": make_due,
    "count": count,
}


def child(part: str) -> None:
    """Carry out one part and print what it found as the last line."""
    clock = Clock()
    given = json.loads(sys.stdin.read()) | {"clock": clock}
    print(json.dumps(PARTS[part](given)))


# -- what arranges it


class Bench:
    """One migrated database, one simulated Stripe."""

    def __init__(self, sim: Any, home: Path, database: str) -> None:
        self.sim = sim
        self.env = {
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": FERNET,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__STRIPE_APP__API_BASE": sim.url,
        }
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(command, env=self.env, check=True, capture_output=True, timeout=600)

    def start(self, part: str, **given: Any) -> subprocess.Popen[str]:
        """Begin one part in a process of its own."""
        process = subprocess.Popen(
            [sys.executable, __file__, "--part", part],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        return process

    def end(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for it and return what it found."""
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        if process.wait(timeout=60):
            raise RuntimeError("a part of the benchmark failed")
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    def run(self, part: str, **given: Any) -> dict[str, Any]:
        """Carry out one part."""
        return self.end(self.start(part, **given))

    @property
    def refreshes(self) -> int:
        """How often Stripe was asked for new tokens."""
        return int(self.sim.oauth.counts["refresh"])


@contextmanager
def bench(database: str, accounts: int) -> Iterator[Bench]:
    from airflow_provider_stripe_app.testing import SimulatedStripe

    with ExitStack() as stack:
        sim = stack.enter_context(SimulatedStripe(seed=1))
        sim.switches.set(rate_limits=False)
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stripe-app-bench-")))
        if database == "postgres":
            from demo.embedded_postgres import EmbeddedPostgres

            url = stack.enter_context(EmbeddedPostgres()).url("postgresql+psycopg2")
        else:
            url = f"sqlite:///{home}/airflow.db"
        made = Bench(sim, home, url)
        app = sim.oauth.register_app(redirect_uris=[REDIRECT], permissions=["customer_read"])
        codes = {}
        for number in range(accounts):
            place = sim.install(app.client_id, sim.account(f"acct_bench{number:05}"))
            codes[f"shop-{number:05}"] = parse_qs(urlsplit(place).query)["code"][0]
        made.run("install", codes=codes, key=app.secret_key, link=app.install_link, url=sim.url)
        yield made


def measure(database: str, accounts: int) -> bool:
    """Measure one database and print it; return whether what has to hold held."""
    with bench(database, accounts) as one:
        print(f"{database}, {accounts:,} accounts", flush=True)
        for name, found in one.run("looks", times=50).items():
            print(
                f"  look with nothing due, {name}: {found['queries']:g} queries, median "
                f"{found['median_ms']:.1f} ms, slowest {found['max_ms']:.1f} ms, "
                f"{found['cpu_ms']:.1f} ms CPU",
                flush=True,
            )
        before = one.refreshes
        found = one.run("hour")
        minutes = [number for number in found["per_minute"] if number]
        right = one.refreshes - before == accounts == sum(minutes)
        print(
            f"  an hour in use: {sum(minutes):,} renewals over {len(minutes)} minutes, at most "
            f"{max(minutes)} in one, {found['cpu']:.1f} s CPU ({1000 * found['cpu'] / accounts:.0f}"
            f" ms a renewal), longest look {found['slowest_look']:.1f} s, "
            f"{found['queries'] / accounts:.1f} queries a renewal",
            flush=True,
        )
        for lease in (True, False):
            right = compete_once(one, accounts, lease) and right
        print(
            f"  {'exactly one refresh each' if right else 'WRONG NUMBER OF REFRESHES'}", flush=True
        )
    return right


def compete_once(one: Bench, accounts: int, lease: bool) -> bool:
    before, generations_before = one.refreshes, one.run("make_due")["generations"]
    at = time.time() + 20
    both = [one.start("compete", at=at, lease=lease) for _ in range(2)]
    found = [one.end(process) for process in both]
    after = one.run("count")["generations"]
    grown = {str(int(name) + 1): number for name, number in generations_before.items()}
    print(
        f"  two processes at once, {'with' if lease else 'without'} the lease: "
        f"{one.refreshes - before:,} refreshes, seen to by them {found[0]['renewed']:,} and "
        f"{found[1]['renewed']:,}, {max(f['seconds'] for f in found):.1f} s",
        flush=True,
    )
    return one.refreshes - before == accounts and after == grown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        child(args.part)
        return 0
    results = [measure(database, args.accounts) for database in args.databases]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
