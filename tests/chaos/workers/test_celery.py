"""Many accounts on Celery workers, one of which is killed: all tables equal Stripe at the end.

It starts a whole Airflow with CeleryExecutor and costs a minute of CPU with three accounts, so only
``make chaos`` runs it, with fifty. What ``make test`` has of it: the group on a real Airflow
(``test_hard_days.py``), budgets over several processes (``test_shared_rate.py``).
"""

from __future__ import annotations

import os

import pytest

from tests.chaos.workers.celery_lab import DAG_ID, SYNC, CeleryLab

ACCOUNTS = int(os.environ.get("CELERY_ACCOUNTS", "0"))
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.postgres,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(ACCOUNTS < 1, reason="long: make chaos, or CELERY_ACCOUNTS=3"),
]


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

        ended = api.wait_for_run(DAG_ID, run_id, seconds=1200)
        assert ended == "success", api.logs(DAG_ID, run_id)
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
