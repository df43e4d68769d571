"""A sync killed with SIGKILL anywhere, or overtaken by another one, leaves equal tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.sync.context import LeaseTimeout
from airflow_provider_stripe_app.warehouse.base import StaleWriter, StateKey
from tests.integration.sync_lab import ALL, Lab, lab
from tests.integration.test_sync_equality import change_everything

ROOT = Path(__file__).parents[2]
CHILD = "tests.integration.sync_child"


def start_child(one: Lab, streams: Any = ALL, kill_at: int = 0, **options: Any) -> Any:
    """Start a sync in a process of its own."""
    settings = {"streams": list(streams), "kill_at": kill_at, "options": options}
    command = [sys.executable, "-m", CHILD, one.sim.url, one.key, one.account.id]
    return subprocess.Popen(
        [*command, one.kind, one.where, json.dumps(settings)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: Any) -> str:
    """Wait for a child that must not fail; return what it printed."""
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return str(out)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("request_number", [1, 12])
def test_a_load_killed_between_requests_goes_on(
    tmp_path: Path, kind: str, request_number: int
) -> None:
    with lab(tmp_path, kind, latency=(0.1, 0.1)) as one:
        one.sim.populate(one.account, customers=1500)
        one.settle()
        children: list[Any] = []
        one.sim.before(
            r"/v1/customers\?",
            lambda _: os.kill(children[0].pid, signal.SIGKILL),
            nth=request_number,
        )
        children.append(start_child(one, ["customers"], batch_rows=100, workers=1))
        children[0].communicate(timeout=120)
        assert children[0].returncode == -signal.SIGKILL
        change_everything(one)
        one.settle()
        resumed = one.sync(["customers"], workers=1)
        one.assert_equal(["customers"])
        listed = resumed.requests["list:customers"]
        if request_number == 1:
            assert listed >= 15, "nothing had been committed"
        else:
            assert listed < 15, "what was committed before the kill was listed again"


def statements(one: Lab) -> int:
    """Return how many statements the next sync takes, by letting it run on a copy."""
    return int(finish(start_child(one)).strip())


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_sync_killed_at_any_statement_goes_on(tmp_path: Path, kind: str) -> None:
    with lab(tmp_path, kind) as one:
        one.sim.populate(one.account, customers=40, invoices=15, subscriptions=10)
        one.settle()
        twin = one.beside(kind, str(tmp_path / f"twin.{kind}"))
        total = statements(twin)
        killed = 0
        for step in range(1, 8):
            child = start_child(one, kill_at=max(1, total * step // 8 - total // 16))
            child.communicate(timeout=120)
            killed += child.returncode == -signal.SIGKILL
            change_everything(one)
            one.settle()
        assert killed >= 4
        one.sync()
        one.assert_equal()


def test_two_runs_at_once_wait_for_each_other(tmp_path: Path) -> None:
    with lab(tmp_path, "duckdb", latency=(0.02, 0.05)) as one:
        one.sim.populate(one.account, customers=900, invoices=30, subscriptions=10)
        one.settle()
        children = [start_child(one, owner=f"run {n}", batch_rows=200) for n in range(2)]
        for child in children:
            finish(child)
        one.assert_equal()
        listed = one.sim.requests(r"/v1/customers\?")
        assert len(listed) < 25, "the second run listed again what the first had listed"


def test_streams_in_different_tasks_share_one_feed(tmp_path: Path) -> None:
    with lab(tmp_path, "duckdb") as one:
        one.sim.populate(one.account, customers=60, invoices=30, subscriptions=20)
        one.settle()
        tasks = (["customers"], ["invoices", "invoice_line_items"], ["subscriptions"])
        for _ in range(2):
            running = [start_child(one, t, owner=str(t)) for t in tasks]
            for child in running:
                finish(child)
            change_everything(one)
            one.settle()
        one.sync()
        one.assert_equal()


def test_a_run_that_was_overtaken_cannot_commit(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=700)
        one.settle()
        overtaker: list[Any] = []

        def overtake(_: Any) -> None:
            thread = threading.Thread(target=lambda: one.sync(["customers"]))
            overtaker.append(thread)
            thread.start()
            time.sleep(0.5)

        one.sim.before(r"/v1/customers\?", overtake, nth=3)
        with pytest.raises(StaleWriter):
            one.sync(["customers"], batch_rows=100, workers=1)
        overtaker[0].join(timeout=60)
        one.assert_equal(["customers"])


def test_a_run_gives_up_with_a_sentence_when_another_one_does_not_end(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        other = one.warehouse()
        with other.transaction() as tx:
            tx.claim(StateKey(one.account.id, False, "customers"), "other run 7", 300, "")
        other.close()
        with pytest.raises(LeaseTimeout, match="other run 7"):
            one.sync(["customers"], lease_wait=0.3)
