"""``make demo``: the main job from an empty machine to equal tables, with real parts.

Ends with status 0 only if every table equals Stripe after each run, the token was refreshed once,
and the missing permission was named.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from airflow_provider_stripe_app.streams.catalog import DEFAULT_STREAMS
from demo.airflow_api import RunFailed
from demo.browser import PageError
from demo.compare import Comparison
from demo.processes import REPOSITORY, ProcessFailed, interrupt_on_signals
from demo.world import EXAMPLES, World

OBJECTS = {"customers": 2000, "invoices": 1500, "subscriptions": 800}
DAGS = (EXAMPLES, REPOSITORY / "demo" / "dags")
APP, INSTALLATION = "stripe_acme_app", "stripe_acme"
NARROW_APP, NARROW = "stripe_narrow_app", "stripe_narrow"
MISSING = "subscription_read"
HOUR = 3600


class DemoFailed(RuntimeError):
    """Something is not as it should be."""


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is done and how long it took."""
    print(f"{what} …", flush=True)
    began = time.monotonic()
    yield
    print(f"   done in {time.monotonic() - began:.1f} s\n", flush=True)


def say(text: str) -> None:
    """Print a detail of the present step."""
    print(f"   {text}", flush=True)


def install(world: World, app_conn_id: str, conn_id: str, *, without: Sequence[str] = ()) -> None:
    """Make the app and its connection, and install it through the pages.

    :param without: permissions that the app does not ask for.
    :raises DemoFailed: if the last page does not say so.
    """
    world.make_app(app_conn_id, without=without)
    page = world.install(app_conn_id, conn_id)
    if page.status != 200 or f"Installed: {conn_id}" not in page.text:
        raise DemoFailed(f"The installation ended on {page.url} ({page.status}): {page.text}")
    say(f"{conn_id}: consent given by {world.stripe.account_id}, back on {page.url}")


def sync_and_compare(world: World, dag_id: str = "stripe_sync") -> dict[str, Any]:
    """Run the DAG, print a line for each table, and insist on equality.

    :return: what the task returned.
    :raises DemoFailed: if a table differs.
    """
    run_id = world.airflow.api.run(dag_id)
    summary = dict(world.airflow.api.xcom(dag_id, run_id, "sync"))
    comparisons = world.compare()
    print_tables(summary, comparisons)
    unequal = [str(one) for one in comparisons if not one.equal]
    if unequal:
        raise DemoFailed("\n".join(unequal))
    return summary


def print_tables(summary: dict[str, Any], comparisons: Sequence[Comparison]) -> None:
    """Print per table: rows, what changed, and whether it equals Stripe."""
    words = ("inserted", "updated", "deleted", "unchanged")
    head = "".join(f"{word:>11}" for word in ("rows", *words))
    say(f"{'table':<20}{head}   ids and contents")
    for one in comparisons:
        did = summary["streams"].get(one.table, {})
        numbers = "".join(f"{did.get(word, 0):>11,}" for word in words)
        verdict = "equal Stripe's" if one.equal else "DIFFER"
        if one.silent:
            verdict += f" ({len(one.silent)} rows with silent changes)"
        say(f"{one.table:<20}{one.rows:>11,}{numbers}   {verdict}")
    asked = summary.get("requests", {})
    say(f"requests: {sum(asked.values())} ({', '.join(f'{n} {k}' for k, n in asked.items())})")


def a_day_passes(world: World) -> None:
    """Change things at Stripe, and let the access token expire."""
    for said in world.merchant().a_busy_day().said:
        say(said)
    world.stripe.advance(HOUR + 60)
    say("an hour passed: the access token has expired")


def refuse(world: World) -> None:
    """Run a sync without a permission and insist on an error that names it.

    :raises DemoFailed: if the run succeeds or does not say what is missing.
    """
    api = world.airflow.api
    run_id = api.run("stripe_narrow", expect="failed")
    log = api.logs("stripe_narrow", run_id)
    lines = [line for line in log.splitlines() if MISSING in line]
    if not lines:
        raise DemoFailed(f"The failed run does not name {MISSING}:\n{log}")
    say(f"the run failed, and said: {textwrap.shorten(lines[-1], 420, placeholder=' …')}")


def main_job(world: World) -> None:
    """Install, sync, change, expire, sync, and see an error.

    :raises DemoFailed: if something is not as it should be.
    """
    with step("Installing the app through Airflow's page and Stripe's consent page"):
        install(world, APP, INSTALLATION)
        world.connect_warehouse()
        for dag_id in ("stripe_sync", "stripe_narrow"):
            world.airflow.api.wait_for_dag(dag_id)
    with step("First run of the DAG stripe_sync: everything"):
        sync_and_compare(world)
    with step("A busy day at Stripe"):
        a_day_passes(world)
    with step("Second run: what changed"):
        before = world.stripe.counts().get("refresh", 0)
        sync_and_compare(world)
        refreshes = world.stripe.counts().get("refresh", 0) - before
        say(f"tokens refreshed: {refreshes}")
        if refreshes != 1:
            raise DemoFailed(f"The token was refreshed {refreshes} times, not once.")
        gone = world.tombstones()
        say("marked as deleted: " + ", ".join(f"{n} in {table}" for table, n in gone.items() if n))
    with step(f"An app whose consent lacks {MISSING}"):
        install(world, NARROW_APP, NARROW, without=[MISSING])
        refuse(world)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    :return: exit status.
    """
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    for kind, number in OBJECTS.items():
        parser.add_argument(f"--{kind}", type=int, default=number)
    parser.add_argument("--metadata", choices=("sqlite", "postgres"), default="sqlite")
    options = parser.parse_args(arguments)
    objects = {kind: getattr(options, kind) for kind in OBJECTS}
    numbers = ", ".join(f"{number:,} {kind}" for kind, number in objects.items())
    began = time.monotonic()
    interrupt_on_signals()
    try:
        world = World(objects, dags=DAGS, metadata=options.metadata)
        with step(
            f"Starting a simulated Stripe ({numbers}) and Airflow {version('apache-airflow')}"
        ):
            world.__enter__()
        try:
            main_job(world)
        finally:
            world.__exit__(*sys.exc_info())
    except (DemoFailed, PageError, ProcessFailed, RunFailed) as error:
        print(f"\nThe demo FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    tables = ", ".join(DEFAULT_STREAMS)
    print(f"All tables equal Stripe ({tables}). {time.monotonic() - began:.0f} s in all.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
