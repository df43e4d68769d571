"""Many accounts on Celery workers, one of which is killed: all tables equal Stripe at the end.

``CELERY_ACCOUNTS=50`` is the long version.
"""

from __future__ import annotations

import os

import pytest

from tests.integration.celery_lab import DAG_ID, SYNC, CeleryLab

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(900)]
ACCOUNTS = int(os.environ.get("CELERY_ACCOUNTS", "3"))


def test_a_killed_workers_tasks_are_retried_and_every_table_equals_stripe() -> None:
    with CeleryLab(ACCOUNTS, customers=600, invoices=120) as lab:
        api = lab.airflow.api
        run_id = api.trigger(DAG_ID)
        running = lab.wait_until_midway(
            run_id, "worker-1", done=ACCOUNTS // 4, requests=4 * ACCOUNTS
        )
        dead = lab.kill_worker("worker-1")
        killed = [task for pid, task in running.items() if pid in dead]
        assert killed

        assert api.wait_for_run(DAG_ID, run_id, seconds=600) == "success"
        tasks = {(t["task_id"], t["map_index"]): t for t in lab.tasks(run_id)}
        assert len(tasks) == 2 * ACCOUNTS + 1
        assert {t["state"] for t in tasks.values()} == {"success"}
        again = [tasks[t["task_id"], t["map_index"]] for t in killed]
        assert all(task["try_number"] > 1 for task in again)

        print(f"killed {len(killed)} tasks; {lab.requests()} requests, refused {lab.refused()}")
        assert not lab.refused()
        unequal = [f"{conn_id}: {one}" for conn_id, one in lab.compare() if not one.equal]
        assert not unequal
        summary = api.xcom(DAG_ID, run_id, "stripe_sync.summary")
        assert summary["accounts"] == ACCOUNTS
        assert not summary["failed"]
        names = {t["rendered_map_index"] for t in tasks.values() if t["task_id"] == SYNC}
        assert "stripe_000: invoices, invoice_line_items" in names
