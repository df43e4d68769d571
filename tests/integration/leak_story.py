"""What happens in the deployment before anybody looks for leaks: the good days and the bad ones."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.integration.leak_dags.leaks import PLANTED
from tests.integration.leak_lab import LeakLab, Visitor


def whole_story(lab: LeakLab) -> None:
    """Install, sync, fail and edit in every way."""
    lab.connect()
    ann = lab.visitor()
    install_with_a_parked_callback(lab, ann)
    install_by_command_line(lab)
    refused_callbacks(lab, ann)
    malformed_requests(lab, ann)
    for dag_id in ("leak_sync", "leak_errors", "leak_plants"):
        lab.airflow.api.wait_for_dag(dag_id)
    runs = [run_syncs(lab)]
    lose_and_mend(lab)
    api = lab.airflow.api
    pending = [("leak_plants", "success"), ("leak_errors", "failed")]
    started = [(dag_id, api.trigger(dag_id, {"note": PLANTED}), state) for dag_id, state in pending]
    with sync_in_the_foreground(lab):
        edit_connections(lab)
        use_the_command_line(lab)
        for dag_id, run_id, state in started:
            assert api.wait_for_run(dag_id, run_id) == state, api.logs(dag_id, run_id)
            runs.append((dag_id, run_id))
    manage(lab, ann)
    look_at_pages(lab, ann)
    look_at_the_api(lab, runs)


# ---- installing


def install_with_a_parked_callback(lab: LeakLab, ann: Visitor) -> None:
    """Install by the page; the browser's session has ended when Stripe sends it back."""
    begun = ann.form("/stripe-app/install", {"conn_id": "shop_app", "installation_conn_id": "shop"})
    assert begun.status_code == 303, begun.text
    back = lab.consent(begun.headers["Location"])
    parked = lab.visitor(logged_in=False).open("GET", back)
    assert parked.status_code == 303, parked.text
    [after_login] = parse_qs(urlsplit(parked.headers["Location"]).query)["next"]
    [handle] = parse_qs(urlsplit(after_login).query)["resume"]
    lab.know(handle, "handle")
    lab.visitor(logged_in=False).open("GET", parked.headers["Location"], group="airflow")
    done = ann.open("GET", after_login)
    assert "notice=installed" in done.headers["Location"], done.text


def install_by_command_line(lab: LeakLab) -> None:
    """Install without a browser on the server."""
    into = ["--installation-conn-id", "shop_cli"]
    [(status, asked, _)] = lab.commands((["stripe-app", "install-url", "shop_app", *into], ""))
    assert status == 0
    address = next(line for line in asked.splitlines() if line.startswith("http"))
    back = lab.consent(address, "acct_1Second")
    wrong = lab.know(f"ac_{secrets.token_hex(16)}", "code")
    steps = [
        (["stripe-app", "exchange", "--conn-id", "shop_app"], wrong),
        (["stripe-app", "exchange"], back.replace("code=", "cod=")),
        (["stripe-app", "exchange"], back),
        (["stripe-app", "exchange"], back),
    ]
    statuses = [status for status, _, _ in lab.commands(*steps)]
    assert statuses == [1, 1, 0, 1]


def refused_callbacks(lab: LeakLab, ann: Visitor) -> None:
    """Stripe does not know the code; Stripe is broken; consent is denied; another account."""

    def begin() -> str:
        fields = {"conn_id": "shop_app", "installation_conn_id": "shop"}
        return str(ann.form("/stripe-app/install", fields).headers["Location"])

    wrong = lab.know(f"ac_{secrets.token_hex(16)}", "code")
    unknown = re.sub(r"code=\w+", f"code={wrong}", lab.consent(begin()))
    assert ann.open("GET", unknown).status_code == 400
    assert ann.open("GET", unknown).status_code == 400  # again, with the spent state
    lab.sim.oauth.fail_next(status=500, count=9)
    assert ann.open("GET", lab.consent(begin())).status_code == 400
    lab.sim.oauth._failures.clear()
    assert ann.open("GET", lab.consent(begin(), decision="deny")).status_code == 400
    other = ann.open("GET", lab.consent(begin(), "acct_1Third"))
    assert other.status_code == 303
    [handle] = parse_qs(urlsplit(other.headers["Location"]).query)["handle"]
    lab.know(handle, "handle")
    assert ann.open("GET", other.headers["Location"]).status_code == 200


def malformed_requests(lab: LeakLab, ann: Visitor) -> None:
    """Send what Stripe would not send, with codes and tokens in it."""

    def code() -> str:
        return lab.know(f"ac_{secrets.token_hex(16)}", "code")

    state = lab.know(secrets.token_urlsafe(32), "state")
    handle = lab.know(secrets.token_urlsafe(32), "handle")
    nobody = lab.visitor(logged_in=False)
    for visitor in (ann, nobody):
        for query in (
            f"code={code()}&state={state}",
            f"code={code()}&code={code()}&state={state}",
            f"code={code()}",
            f"%63ode={code()}&%73tate={state}",
            f"code={code()}&state={state}&scope=%ff%fe&x=%0d%0aX-Evil:1",
            urlencode({"error": code(), "state": state}),
            urlencode({"error_description": code(), "error": "access_denied", "state": state}),
            f"access_token={code()}&refresh_token={code()}&state={state}",
        ):
            visitor.open("GET", f"/stripe-app/callback?{query}")
            visitor.open("HEAD", f"/stripe-app/callback?{query}")
            visitor.open("POST", f"/stripe-app/callback?{query}")
            visitor.open("GET", f"/stripe-app/callback/?{query}")
            visitor.open("GET", f"/stripe-app/confirm?handle={handle}&{query}")
            visitor.open("GET", f"/stripe-app/callback?resume={handle}&{query}")
        for body in (
            b"\xff\xfe",
            b"[" * 5000,
            json.dumps({"conn_id": "shop", "broker_token": code()}).encode(),
            json.dumps({"conn_id": "shop", "broker_token": [code()]}).encode(),
            json.dumps({"conn_id": {"a": code()}, "broker_token": code()}).encode(),
            json.dumps({"broker_token": code() * 900}).encode(),
        ):
            visitor.open("POST", "/stripe-app/token", data=body)
            visitor.open("POST", "/stripe-app/report", data=body)
        for path in ("install", "test", "disconnect", "confirm", "adopt", "uninstall"):
            visitor.open("POST", f"/stripe-app/{path}", data={"handle": handle, "code": code()})
    ann.open("GET", f"/api/v2/version?word={PLANTED}", group="rest")


# ---- syncing


def run_syncs(lab: LeakLab) -> tuple[str, str]:
    """Sync while the token expires midway and Stripe's token endpoint fails once."""
    account = lab.sim.account().id

    def midway(_: object) -> None:
        lab.sim.oauth.expire_access_tokens(account)
        lab.sim.oauth.fail_next(status=500, effect=False)

    lab.sim.before("/v1/customers", midway, nth=2)
    before = lab.sim.oauth.counts["refresh"]
    run_id = lab.airflow.api.run("leak_sync")
    assert lab.sim.oauth.counts["refresh"] == before + 1
    assert lab.sim.oauth.counts["failed"] >= 1
    return "leak_sync", run_id


def lose_and_mend(lab: LeakLab) -> None:
    """The tokens of one account die and are mended; the owner of another uninstalls for good."""
    oauth, first, second = lab.sim.oauth, lab.sim.account(), lab.sim.account("acct_1Second")
    oauth._end_tokens(first.id, lab.app.client_id, grace=0.0)
    lab.sim.uninstall(lab.app.client_id, second)
    steps = [
        (["stripe-app", "refresh", "shop_cli"], ""),
        (["stripe-app", "refresh", "shop"], ""),
        (["stripe-app", "refresh", "nobody"], ""),
        (["stripe-app", "status"], ""),
        (["stripe-app", "status", "--json"], ""),
        (["stripe-app", "verify", "shop", "warehouse"], ""),
        (["stripe-app", "verify", "shop", "nowhere"], ""),
    ]
    statuses = [status for status, _, _ in lab.commands(*steps)]
    assert statuses == [3, 0, 3, 3, 3, 0, 1]
    assert oauth.counts["spent_refresh"] >= 1


# ---- connections, as people treat them


def edit_connections(lab: LeakLab) -> None:
    """Edit, overwrite and break connections through the API, with secrets in wrong places too."""
    api, key = lab.airflow.api, lab.app.secret_key
    asking = Visitor(lab)
    asking.session.headers.update(
        {"Authorization": f"Bearer {api.token()}", "Accept": "application/json"}
    )

    def send(method: str, path: str, body: Any) -> Any:
        return asking.open(method, f"/api/v2{path}", group="rest", json=body)

    shop = api.connection("shop")
    assert shop is not None
    saved = {k: v for k, v in shop.items() if k != "team_name"}
    app = {"connection_id": "shop_app", "conn_type": "stripe_app", "password": key}
    link = {"login": lab.app.install_link}
    extra = json.dumps({"app_id": lab.app.app_id, "secret_note": key})
    for method, path, body in (
        ("PATCH", "/connections/shop", {**saved, "description": "Saved in the form."}),
        ("PATCH", "/connections/shop_app", {**app, **link, "description": PLANTED}),
        ("PATCH", "/connections/shop_app?update_mask=password", app),
        ("POST", "/connections", {**app, **link}),
        ("POST", "/connections", {**app, "port": "not a number"}),
        ("POST", "/connections", {**app, "connection_id": "bad id !"}),
        ("POST", "/connections/test", {**app, **link}),
        ("POST", "/connections/test", {**saved, "connection_id": "shop"}),
        ("POST", "/connections/test", {**app, "password": key + "x"}),
        (
            "PATCH",
            "/connections",
            {
                "actions": [
                    {
                        "action": "create",
                        "entities": [{**app, **link, "extra": extra}],
                        "action_on_existence": "overwrite",
                    },
                    {"action": "update", "entities": [{**saved, "description": "bulk"}]},
                ]
            },
        ),
    ):
        send(method, path, body)


# ---- the command line


def use_the_command_line(lab: LeakLab) -> None:
    """Everything that prints connections, and a run in the foreground."""
    export = str(lab.airflow.home / "export.json")
    link = ["--install-link", lab.app.install_link]
    lab.commands(
        (["connections", "list", "-o", "json"], ""),
        (["connections", "get", "shop", "-o", "json"], ""),
        (["connections", "get", "shop_app", "-o", "json"], ""),
        (["connections", "list", "--show-values", "-o", "json"], ""),
        (["connections", "export", export], ""),
        (["config", "list", "--section", "stripe_app"], ""),
        (["stripe-app", "manifest"], ""),
        (["stripe-app", "add-app", "shop_copy", *link], lab.app.secret_key),
        (["stripe-app", "add-app", "shop_wrong", *link], lab.app.secret_key[3:]),
        (["stripe-app", "test", "shop_app"], ""),
        (["stripe-app", "test", "shop", "--json"], ""),
        (["stripe-app", "history", "shop", "--json"], ""),
        (["stripe-app", "history", "shop_cli"], ""),
        (["stripe-app", "reconcile", "shop_app", "--json"], ""),
        (["stripe-app", "accounts", "shop_app"], ""),
        (["stripe-app", "rotate-fernet"], ""),
    )
    lab.corpus.add("cli/the exported file", (lab.airflow.home / "export.json").read_bytes())
    (lab.airflow.home / "export.json").unlink()


@contextlib.contextmanager
def sync_in_the_foreground(lab: LeakLab) -> Iterator[None]:
    """Run ``airflow dags test`` with an expired token meanwhile, and record what it prints.

    At the level of INFO: at DEBUG, Airflow's own supervisor prints each value that anything
    registers to be masked ("Sending request msg=MaskSecret(value=...").
    """
    lab.sim.oauth.expire_access_tokens(lab.sim.account().id)
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow", "dags", "test", "leak_foreground"],
        env=lab.airflow.environment | {"AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield
        said, _ = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode == 0, said[-3000:]
    lab.corpus.add("cli/airflow dags test", said)


# ---- looking


def manage(lab: LeakLab, ann: Visitor) -> None:
    """Press every other button of the pages, with and without success."""
    for button, fields, done in (
        ("test", {"conn_id": "shop"}, "test_ok"),
        ("test", {"conn_id": "shop_cli"}, ""),
        ("reconcile", {"conn_id": "shop_app"}, "reconciled"),
        ("reconcile", {"conn_id": "own_key"}, ""),
        (
            "adopt",
            {
                "conn_id": "shop_app",
                "account_id": "acct_1Third",
                "installation_conn_id": "shop_third",
            },
            "adopted",
        ),
        ("take-over", {"conn_id": "shop"}, ""),
        ("uninstall", {"conn_id": "shop_third"}, "uninstalled"),
        ("disconnect", {"conn_id": "nobody"}, ""),
    ):
        answer = ann.form(f"/stripe-app/{button}", fields)
        assert done in answer.headers.get("Location", ""), answer.text
        assert (answer.status_code == 303) == bool(done), answer.text


def look_at_pages(lab: LeakLab, ann: Visitor) -> None:
    """Open every page of ours, logged in and not."""
    nobody = lab.visitor(logged_in=False)
    for path in (
        "",
        "?q=shop",
        "installation?conn_id=shop",
        "installation?conn_id=shop_cli",
        "uninstall?conn_id=shop",
        "accounts?conn_id=shop_app",
        "manifest",
        "manifest/stripe-app.json",
        "status.json",
        "health",
        "static/copy.js",
    ):
        assert ann.open("GET", f"/stripe-app/{path}").status_code == 200, path
        nobody.open("GET", f"/stripe-app/{path}")
    ann.open("GET", "/stripe-app/no/such/page")


def look_at_the_api(lab: LeakLab, runs: list[tuple[str, str]]) -> None:
    """Ask every GET route of Airflow's API, for every connection and task instance of ours."""
    api = lab.airflow.api
    described = api._session.get(f"{api.url}/openapi.json", timeout=60).json()
    paths = [
        path
        for path, methods in described["paths"].items()
        if "get" in methods and "/auth/" not in path  # a logout would end the session
    ]
    assert len(paths) > 60
    connections = ("shop_app", "shop", "shop_cli", "own_key", "warehouse_down")
    tasks = [
        {
            "dag_id": dag_id,
            "dag_run_id": run_id,
            "task_id": one["task_id"],
            "map_index": "-1",
            "task_try_number": "1",
            "try_number": "1",
            "xcom_key": "return_value",
            "dag_version": "1",
            "version_number": "1",
            "asset_id": "1",
        }
        for dag_id, run_id in runs
        for one in api.task_instances(dag_id, run_id)
    ]
    seen: set[str] = set()
    for path in paths:
        names = re.findall(r"{(\w+)}", path)
        values = (
            [{"connection_id": one} for one in connections]
            if "connection_id" in names
            else [task for task in tasks if task.keys() >= set(names)]
        )
        seen |= {path.format(**one) for one in values}
    answered = 0
    extra = ["/ui/config", "/ui/connections/hook_meta", "/ui/dags", "/ui/grid/runs/leak_errors"]
    for path in [*sorted(seen), *extra]:
        answer = api._session.get(
            f"{api.url}{path}",
            headers={"Authorization": f"Bearer {api.token()}"},
            params={"limit": 100} if path.endswith(("eventLogs", "connections")) else None,
            timeout=60,
        )
        lab.corpus.add(f"rest/GET {path}", answer.content)
        answered += answer.ok
    assert answered > 90
