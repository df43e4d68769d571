"""``airflow stripe-app requests``: what a warehouse knows of the requests made for it."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_stripe_app import cli
from airflow_provider_stripe_app.cli_commands.counting import requests
from tests.integration.sync_lab import Lab, lab


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    with lab(tmp_path, "sqlite") as made:
        warehouse = {"conn_type": "sqlite", "host": made.where}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse))
        yield made


def arguments(*flags: str) -> Namespace:
    """Parse a command line as Airflow does, with the command's own defaults."""
    [group] = cli.get_provider_cli_commands()
    [command] = [c for c in group.subcommands if c.name == "requests"]  # type: ignore[union-attr]
    parser = ArgumentParser()
    for arg in command.args:  # type: ignore[union-attr]
        arg.add_to_parser(parser)
    return parser.parse_args(["warehouse", *flags])


def test_requests_are_told_by_day_and_purpose(one: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    one.sim.populate(one.account, customers=20)
    one.settle()
    made = sum(one.sync(["customers"]).requests.values())
    made += sum(one.sync(["customers"]).requests.values())
    requests(arguments())
    told = capfd.readouterr().out.splitlines()
    assert told[0].startswith(f"{one.account.id} (test): {made} requests in 30 days; Stripe allots")
    assert told[1].split() == ["day", "events", "list", "all"]
    assert told[2].split()[1:] == ["3", "1", "4"]
    requests(arguments("--json", "--account", one.account.id, "--days", "2"))
    [account] = json.loads(capfd.readouterr().out)["accounts"]
    assert account["requests"] == made
    assert list(account["by_day"].values()) == [{"events": 3, "list:customers": 1}]


def test_a_warehouse_without_requests_is_no_empty_table(
    one: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    for flags in ((), ("--account", "acct_other")):
        with pytest.raises(SystemExit):
            requests(arguments(*flags))
        assert "are kept in warehouse for the last 30 days" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        requests(arguments("--days", "61"))
    assert "--days must be 1 to 60" in capfd.readouterr().err
