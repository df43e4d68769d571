"""``airflow dags test`` has no API server: it renews tokens itself, with the same code."""

from __future__ import annotations

import os
import subprocess
import sys

from airflow_provider_stripe_app.testing import SimulatedStripe
from tests.integration.oauth_lab import metadata_database, new_lab

DAG = """
from airflow.sdk import dag, task


@dag(schedule=None)
def needs_token():
    @task
    def ask():
        from airflow_provider_stripe_app.oauth.access_grant import fingerprint
        from airflow_provider_stripe_app.oauth.broker import token_provider

        print("fingerprint", fingerprint(token_provider("acme").get()))

    ask()


needs_token()
"""


def test_dags_test_renews_an_expired_token_without_a_broker(tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "needs_token.py").write_text(DAG)
    url = f"sqlite:///{tmp_path}/airflow.db"
    with SimulatedStripe(seed=5) as sim, metadata_database(url):
        lab = new_lab(sim, tmp_path / "spool")
        lab.expire()
        environment = {
            **os.environ,
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
            "AIRFLOW__STRIPE_APP__API_BASE": sim.url,
            "AIRFLOW__STRIPE_APP__BROKER_URL": "http://127.0.0.1:1",
        }
        command = [sys.executable, "-m", "airflow", "dags", "test", "needs_token"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        log = done.stdout + done.stderr
        grant = lab.store().live_token(lab.conn_id)
        assert done.returncode == 0, log
        assert (lab.counts["refresh"], grant.generation) == (1, 2)
        assert grant.fingerprint in log
