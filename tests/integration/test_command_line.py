"""The life of installations by command line alone: no API server runs, no secret is an argument."""

from __future__ import annotations

import contextlib
import json
import sqlite3  # noqa: TID253 - a test
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_session import CliSession, cli_session
from plugin_server import PERMISSIONS, PluginServer

from airflow_provider_stripe_app.cli_commands.keeping import NOTHING
from airflow_provider_stripe_app.testing import SimulatedStripe

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

SHOP, OTHER, THIRD = "acct_1CliShop", "acct_1CliOther", "acct_1CliThird"


@dataclass
class Lab:
    """A metadata database, an app at Stripe, and what all commands have said."""

    server: PluginServer
    app: Any
    session: CliSession
    said: list[str]

    def run(self, command: str, stdin: str = "", **env: str) -> list[Any]:
        """Run ``airflow stripe-app …``; return its status, standard output and standard error."""
        done = self.session.run("stripe-app", *command.split(), stdin=stdin, env=env)
        self.said.append(repr(done))
        return done

    def json(self, command: str, stdin: str = "", **env: str) -> Any:
        """Run a command that must succeed, and return the JSON that it prints."""
        status, out, said = self.run(f"{command} --json", stdin, **env)
        assert status == 0, said
        return json.loads(out)

    def have_installed_at_stripe(self, account: str) -> None:
        self.server.sim.install(self.app.client_id, self.server.sim.account(account))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with SimulatedStripe(seed=12) as sim:
        server = PluginServer(tmp_path_factory.mktemp("airflow"), sim)
        server.prepare()
        for account in (SHOP, OTHER, THIRD):
            sim.account(account)
        app = sim.register_app(redirect_uris=[server.redirect_uri], permissions=list(PERMISSIONS))
        with cli_session(server.env) as session:
            yield Lab(server, app, session, [])


def test_app_is_added_and_installed_without_any_secret_in_an_argument(
    lab: Lab, tmp_path: Path
) -> None:
    link, key = lab.app.install_link, lab.app.secret_key
    add = f"add-app app --install-link {link} --app-id {lab.app.app_id}"
    status, out, said = lab.run(f"{add} --json", "pk_test_123")
    assert status == 1
    error = json.loads(out)["error"]
    assert error["kind"] == "configuration"
    assert "publishable key" in error["message"]
    assert said.endswith(f"{error['message']}\n")
    assert lab.json(add, STRIPE_APP_SECRET_KEY=key)["client_id"] == lab.app.client_id
    status, _, said = lab.run(add, key)
    assert status == 1
    assert "add --force" in said
    assert lab.run(f"{add} --force", f"{key}\n")[0] == 0
    assert "Stripe accepts the app's secret key" in lab.run("test app")[1]
    assert lab.run("status")[:2] == [0, f"{NOTHING}\n"]
    assert lab.run("status shop")[0] == 3

    begun = lab.json("install-url app --installation-conn-id shop")
    assert begun["redirect_uri"] == lab.server.redirect_uri
    address = tmp_path / "address"
    address.write_text(lab.server.consent(begun["url"], SHOP))
    finish = f"exchange --callback-file {address}"
    assert lab.json(finish) == {"conn_id": "shop", "account_id": SHOP, "livemode": False}
    status, _, said = lab.run(finish)
    assert status == 1
    assert "used before" in said


def test_installation_is_looked_after(lab: Lab) -> None:
    status, out, _ = lab.run("status shop")
    assert status == 0
    assert out.startswith("shop: healthy\n")
    report = lab.json("status")
    assert report["healthy"] is True
    assert report["counts"] == {"healthy": 1}
    (listed,) = report["installations"]
    assert (listed["conn_id"], listed["account_id"]) == ("shop", SHOP)
    assert lab.json("test shop") == {"conn_id": "shop", "account_id": SHOP, "livemode": False}
    assert lab.json("refresh shop")["generation"] == 2
    events = lab.json("history shop")["events"]
    assert [event["event"] for event in events] == ["refreshed", "installed"]
    assert events[0]["reason"] == "asked"
    assert "by cli:" in events[1]["detail"]
    assert events[0]["request_id"].startswith("req_")
    out = lab.run("history shop --limit 1")[1]
    assert out.count("\n") == 1
    assert "refreshed" in out
    status, _, said = lab.run("history nobody")
    assert status == 1
    assert "Nothing ever happened in connection nobody" in said


def test_renewal_that_fails_is_not_said_to_have_worked(lab: Lab) -> None:
    lab.server.sim.oauth.fail_next(status=500, count=3)
    # The second one comes while renewals pause after the failure of the first.
    for wait in ("45", "1"):
        status, out, said = lab.run("refresh shop", AIRFLOW__STRIPE_APP__WAIT_SECONDS=wait)
        assert (status, out) == (1, "")
        assert "cannot be renewed right now" in said
    assert lab.run("status shop")[0] == 0, "its token lives"
    with contextlib.closing(sqlite3.connect(lab.server.home / "airflow.db")) as database:
        database.execute("UPDATE stripe_app_installation SET retry_at = NULL")
        database.commit()
    assert lab.json("refresh shop")["generation"] == 3


def test_accounts_are_listed_compared_adopted_and_uninstalled(lab: Lab) -> None:
    lab.have_installed_at_stripe(OTHER)
    accounts = {one["account_id"]: one for one in lab.json("accounts app")["accounts"]}
    assert accounts[SHOP]["conn_id"] == "shop"
    assert accounts[OTHER]["conn_id"] is None
    (app,) = lab.json("reconcile")["apps"]
    assert (app["accounts"], app["updated"], app["unknown"]) == (2, ["shop"], [OTHER])

    status, _, said = lab.run(f"adopt app {OTHER}")
    assert status == 2
    assert "Nothing was done: add --yes" in said
    done = lab.run(f"adopt app {OTHER} --yes")
    assert done[:2] == [0, f"Adopted {OTHER} (test mode) in connection app_{OTHER}.\n"]
    status, _, said = lab.run(f"adopt app {OTHER} --yes --installation-conn-id more")
    assert status == 1
    assert f"{OTHER} is installed here already" in said
    assert lab.run(f"test app_{OTHER}")[0] == 0
    assert f"{OTHER} (test mode): installed, connection app_{OTHER}\n" in lab.run("accounts app")[1]

    assert lab.run(f"uninstall app_{OTHER}")[0] == 2
    assert lab.json(f"uninstall app_{OTHER} --yes")["uninstalled"] is True
    assert lab.run(f"status app_{OTHER}")[0] == 3
    assert lab.server.sim.oauth.install_of(OTHER, lab.app.client_id) is None


def test_copied_database_renews_only_what_a_person_takes_over(lab: Lab) -> None:
    copy = {"AIRFLOW__STRIPE_APP__DEPLOYMENT_ID": "the-copy"}
    out = lab.run("status shop", **copy)[1]
    assert out.startswith("shop: held elsewhere\n")
    assert "airflow stripe-app take-over shop\n" in out
    status, _, said = lab.run("refresh shop", **copy)
    assert status == 1
    assert "the-copy" in said
    assert lab.run("take-over shop", **copy)[0] == 2
    assert lab.json("take-over shop --yes", **copy)["taken_over"] is True
    assert lab.run("refresh shop", **copy)[0] == 0
    assert "nothing to take over" in lab.run("take-over shop --yes", **copy)[1]
    assert lab.run("refresh shop")[0] == 1, "the original has lost it"
    assert lab.json("take-over shop --yes")["taken_over"] is True


def test_lost_installation_has_an_exit_status_of_its_own(lab: Lab) -> None:
    lab.have_installed_at_stripe(THIRD)
    lab.json(f"adopt app {THIRD} --yes --installation-conn-id lost")
    lab.server.sim.uninstall(lab.app.client_id, lab.server.sim.account(THIRD))
    assert lab.run("refresh lost")[0] == 3
    status, out, _ = lab.run("status")
    assert status == 3
    assert "2 installations: 1 reauthorize, 1 healthy." in out
    assert "airflow stripe-app install-url app --installation-conn-id lost\n" in out
    status, out, _ = lab.run("test lost --json")
    assert status == 3
    assert json.loads(out)["error"]["kind"] == "reauthorization_required"
    assert lab.run("status shop")[0] == 0
    assert lab.run("disconnect lost")[0] == 2
    assert lab.json("disconnect lost --yes") == {"conn_id": "lost", "forgotten": True}
    assert lab.run("disconnect lost --yes")[0] == 1
    assert lab.json("history lost")["events"][0]["event"] == "forgotten"


def test_connection_that_tasks_do_not_read_is_told_by_test(lab: Lab) -> None:
    status, _, said = lab.run("test shop", AIRFLOW_CONN_SHOP='{"conn_type": "stripe_app"}')
    assert status == 1
    assert "an environment variable (AIRFLOW_CONN_SHOP), which hides" in said
    status, out, _ = lab.run("status shop", AIRFLOW_CONN_SHOP='{"conn_type": "stripe_app"}')
    assert status == 1
    assert out.startswith("shop: connection lost\n")
    delete = lab.session.run("connections", "delete", "shop")
    assert delete[0] == 0, delete
    status, _, said = lab.run("test shop")
    assert status == 1
    assert "was deleted, but its installation is kept: create it again" in said
    lab.session.run("connections", "add", "shop", "--conn-type", "stripe_app")
    assert lab.run("test shop")[0] == 0


def test_refused_install_api_says_what_to_do_instead(lab: Lab) -> None:
    lab.server.sim.switches.set(install_api="refused")
    status, out, _ = lab.run("reconcile --json")
    assert status == 1
    assert "Install API" in json.loads(out)["apps"][0]["error"]
    status, _, said = lab.run("uninstall shop --yes")
    assert status == 1
    assert "Stripe Dashboard" in said
    assert lab.run("test shop")[0] == 0, "nothing was forgotten"


def test_no_command_said_a_secret(lab: Lab) -> None:
    oauth, everything = lab.server.sim.oauth, "".join(lab.said)
    secrets = {lab.app.secret_key, *oauth._refresh, *oauth._codes}
    secrets |= {one.access_token for one in oauth._refresh.values()}
    assert len(secrets) > 8
    assert len(lab.said) > 30
    assert not [secret for secret in secrets if secret in everything]
