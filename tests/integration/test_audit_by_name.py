"""The operator and the command find both sides by the names of Airflow connections."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_stripe_app import cli
from airflow_provider_stripe_app.cli_commands.verifying import verify
from airflow_provider_stripe_app.oauth import broker
from airflow_provider_stripe_app.operators.audit import StripeAuditOperator
from airflow_provider_stripe_app.sync.audit.options import AuditOptions
from tests.integration.audit_lab import ids_of, spoil, synced
from tests.integration.sync_lab import Lab
from tests.unit.test_audit_operator import Ti

CONNS = {"conn_id": "stripe_acme", "warehouse_conn_id": "warehouse"}


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    with synced(tmp_path) as made:
        key = made.sim.restricted_key(None, made.account)
        stripe = {"conn_type": "stripe_app", "password": key}
        stripe["extra"] = json.dumps({"account": made.account.id})
        monkeypatch.setenv("AIRFLOW_CONN_STRIPE_ACME", json.dumps(stripe))
        warehouse = {"conn_type": "sqlite", "host": made.where}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse))
        monkeypatch.setenv("AIRFLOW__STRIPE_APP__API_BASE", made.sim.url)
        monkeypatch.setattr(broker, "may_use_metadata_db", lambda: False)
        # While the audit waits for events to become visible, Stripe's clock runs.
        fast = partial(AuditOptions, sleep=made.sim.clock.advance)
        monkeypatch.setattr("airflow_provider_stripe_app.sync.audit.options.AuditOptions", fast)
        yield made


def arguments(*flags: str) -> Namespace:
    """Parse a command line as Airflow does, with the command's own defaults."""
    [group] = cli.get_provider_cli_commands()
    [command] = [c for c in group.subcommands if c.name == "verify"]  # type: ignore[union-attr]
    parser = ArgumentParser()
    for arg in command.args:  # type: ignore[union-attr]
        arg.add_to_parser(parser)
    return parser.parse_args([*CONNS.values(), *flags])


def test_the_operator_fails_on_a_wrong_row_and_mends_it(one: Lab) -> None:
    def operator(**more: Any) -> StripeAuditOperator:
        given = {"stripe_app_conn_id": "stripe_acme", "warehouse_conn_id": "warehouse", **more}
        return StripeAuditOperator(task_id="audit", **given)

    customer = ids_of(one, "customer")[0]
    spoil(one, f"UPDATE customers SET name = 'by hand' WHERE id = '{customer}'")
    ti: Any = Ti()
    wrong = operator()
    with pytest.raises(AirflowFailException, match=r"1 rows differ from Stripe \(customers: 1\)"):
        wrong.execute({"ti": ti})
    table = ti.pushed["return_value"]["tables"]["customers"]
    assert table["examples"] == {"different": {customer: ["column name"]}}
    assert wrong.dashboard_url.endswith(f"/{one.account.id}/test/dashboard")
    mended = operator(repair=True, streams=["customers"]).execute({"ti": ti})
    assert (mended["equal"], mended["tables"]["customers"]["repaired"]) == (True, 1)
    assert operator().execute({"ti": ti})["tables"]["customers"]["different"] == 0


def test_the_command_says_it_in_its_exit_status_and_in_json(
    one: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    verify(arguments())
    assert "customers: 40 checked, 40 equal: equal" in capfd.readouterr().out
    customer = ids_of(one, "customer")[0]
    spoil(one, f"DELETE FROM customers WHERE id = '{customer}'")
    with pytest.raises(SystemExit) as stopped:
        verify(arguments("--streams", "customers"))
    assert stopped.value.code == 1
    assert f"missing {customer}" in capfd.readouterr().out
    verify(arguments("--repair", "--json"))
    told = json.loads(capfd.readouterr().out)
    assert (told["equal"], told["tables"]["customers"]["repaired"]) == (True, 1)
    one.assert_equal()
