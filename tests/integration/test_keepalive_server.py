"""The keep-alive, the workers' reports and the metrics of a real API server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from plugin_server import PERMISSIONS, PluginServer

from airflow_provider_stripe_app.testing import SimulatedStripe

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.timeout(280)]

SHOP = "acct_1SimulatedStripe"
GONE = "acct_1Uninstalled"


class Receiver:
    """A StatsD server: keeps what it is sent."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except OSError:
                return
            self.lines += [line for line in text.splitlines() if ".stripe_app." in line]

    def close(self) -> None:
        self._socket.close()

    def got(self, start: str) -> bool:
        return any(line.startswith(f"airflow.stripe_app.{start}") for line in self.lines)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


SEED = """
import json, sys, time
from airflow.models import Connection
from airflow.utils.session import create_session
from sqlalchemy import update
from airflow_provider_stripe_app.oauth.models import Installation
from airflow_provider_stripe_app.oauth.store import TokenStore
from airflow_provider_stripe_app.oauth.token_endpoint import TokenEndpoint
given = json.loads(sys.argv[1])
extra = json.dumps({"app_id": given["app_id"]})
with create_session() as session:
    session.add(Connection(conn_id="the_app", conn_type="stripe_app", login=given["link"],
                           password=given["key"], extra=extra))
    for name in given["codes"]:
        session.add(Connection(conn_id=name, conn_type="stripe_app",
                               extra=json.dumps({"app_conn_id": "the_app"})))
endpoint = TokenEndpoint(given["key"], api_base=given["api"], timeout=20)
for name, code in given["codes"].items():
    TokenStore().save_grant(name, endpoint.exchange(code), app_conn_id="the_app")
now = time.time()
used = {"last_used_at": now, "access_expires_at": now + 300, "last_refreshed_at": now - 3300}
with create_session() as session:
    session.execute(update(Installation).where(Installation.conn_id == "shop").values(**used))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[PluginServer]:
    """Before the server starts there are two installed accounts: one in use with a token that ends
    soon, one whose owner has uninstalled the app in the Stripe Dashboard.
    """
    with SimulatedStripe(seed=7) as sim:
        running = PluginServer(tmp_path_factory.mktemp("airflow"), sim)
        running.env |= {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(receiver.port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }
        app = sim.oauth.register_app(redirect_uris=[running.redirect_uri], permissions=PERMISSIONS)
        codes = {}
        for name, account in (("shop", SHOP), ("gone", GONE)):
            back = sim.install(app.client_id, sim.account(account))
            codes[name] = parse_qs(urlsplit(back).query)["code"][0]
        given = {"key": app.secret_key, "link": app.install_link, "app_id": app.app_id}
        running.prepare()
        command = [
            sys.executable,
            "-c",
            SEED,
            json.dumps({**given, "codes": codes, "api": sim.url}),
        ]
        subprocess.run(command, env=running.env, check=True, timeout=120)
        sim.oauth.uninstall(GONE, app.client_id)
        running.prepare = lambda *_: None  # type: ignore[method-assign] - done
        try:
            running.start()
            yield running
        finally:
            running.stop()


def sql(server: PluginServer, statement: str, *values: object) -> list[tuple]:
    import sqlite3

    with sqlite3.connect(server.home / "airflow.db", timeout=20) as database:
        return database.execute(statement, values).fetchall()


def until(done: Callable[[], object], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.2)


def broker_token(server: PluginServer, conn_id: str) -> str:
    """Return what a task reads in its connection."""
    from cryptography.fernet import Fernet

    key = Fernet(server.env["AIRFLOW__CORE__FERNET_KEY"])
    ((text,),) = sql(server, "SELECT extra FROM connection WHERE conn_id = ?", conn_id)
    return str(json.loads(key.decrypt(text))["broker_token"])


def post(server: PluginServer, path: str, **body: object) -> requests.Response:
    return requests.post(f"{server.url}/stripe-app/{path}", json=body, timeout=30)


REPORT = {"stream": "customers", "warehouse_conn_id": "w", "ok": True, "inserted": 3}


def test_the_keep_alive_of_many_processes_renews_a_token_in_use_once_and_early(
    server: PluginServer,
) -> None:
    """The server's own thread and two more processes, all of them with a due token before them."""
    code = (
        "from airflow_provider_stripe_app.plugin.keepalive import KeepAlive, _default_store\n"
        "one = KeepAlive(_default_store, lambda: True)\n"
        "one.look()\n"
        "one._reconciling and one._reconciling.join(60)\n"
        "one._leave()\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], env=server.env) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    query = "SELECT generation FROM stripe_app_installation WHERE conn_id = 'shop'"
    until(lambda: sql(server, query) == [(2,)], "the renewal")
    history = (
        "SELECT count(*) FROM stripe_app_history WHERE conn_id = 'shop' AND event = 'refreshed'"
    )
    assert sql(server, history) == [(1,)]


def test_a_worker_tells_of_its_sync_and_nobody_else_can(server: PluginServer) -> None:
    token = broker_token(server, "shop")
    query = "SELECT stream, ok, inserted FROM stripe_app_stream WHERE conn_id = 'shop'"
    refused = [
        post(server, "report", conn_id="shop", broker_token="wrong", streams=[REPORT]),
        post(server, "report", conn_id="unknown", broker_token=token, streams=[REPORT]),
    ]
    assert [answer.status_code for answer in refused] == [401, 401]
    assert refused[0].content == refused[1].content
    odd = {**REPORT, "surprise": 1}
    answer = post(server, "report", conn_id="shop", broker_token=token, streams=[odd])
    assert answer.status_code == 400
    large = post(server, "report", conn_id="shop", broker_token=token, streams="x" * 70_000)
    assert large.status_code == 413
    assert sql(server, query) == []
    answer = post(server, "report", conn_id="shop", broker_token=token, streams=[REPORT])
    assert (answer.status_code, answer.json()["stored"]) == (200, 1)
    assert sql(server, query) == [("customers", 1, 3)]
    assert requests.get(f"{server.url}/stripe-app/report", timeout=20).status_code == 405


def test_the_operators_own_report_is_stored(server: PluginServer, tmp_path: Path) -> None:
    """The worker's code in a process without the metadata database, against the real server."""
    connection = {
        "conn_type": "stripe_app",
        "extra": {"broker_token": broker_token(server, "shop")},
    }
    connection["extra"]["app_conn_id"] = "the_app"
    code = (
        "from airflow_provider_stripe_app.oauth.report_client import send\n"
        "from airflow_provider_stripe_app.oauth.stream_reports import StreamReport\n"
        "send('shop', [StreamReport('invoices', 'w', False, error='No.', dag_id='d')])\n"
    )
    env = {
        **server.env,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/nothing/airflow.db",
        "AIRFLOW_CONN_SHOP": json.dumps(connection),
    }
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=120)
    query = "SELECT ok, error, dag_id FROM stripe_app_stream WHERE stream = 'invoices'"
    assert sql(server, query) == [(0, "No.", "d")]


def test_the_keep_alive_notices_an_uninstall(server: PluginServer) -> None:
    query = "SELECT install_status, status FROM stripe_app_installation WHERE conn_id = 'gone'"

    def noticed() -> bool:
        ((install_status, status),) = sql(server, query)
        return bool(install_status) and status == "reauthorization_required"

    until(noticed, "the daily comparison with Stripe's list")
    ((install_status, status),) = sql(
        server, "SELECT install_status, status FROM stripe_app_installation WHERE conn_id = 'shop'"
    )
    assert (install_status, status) == ("installed", "active")
    job = "SELECT done_at FROM stripe_app_job WHERE name = 'reconcile:the_app'"
    until(lambda: sql(server, job)[0][0] is not None, "the job's end")


def test_metrics_arrive_and_name_no_account(server: PluginServer, receiver: Receiver) -> None:
    token = broker_token(server, "shop")
    post(server, "token", conn_id="shop", broker_token=token).raise_for_status()
    for start in (
        "broker.requests,route=token,status=200:1|c",
        "broker.requests,route=report,status=401:1|c",
        "keepalive.duration:",
        "keepalive.due:",
        "installations,status=active:",
        "token.age_max:",
        "reconcile.done,outcome=done:1|c",
        "token.refreshed,reason=",
    ):
        until(lambda start=start: receiver.got(start), f"{start} of {receiver.lines}", 30)
    sent = "\n".join(receiver.lines)
    assert not [word for word in ("acct_", "shop", "gone", "the_app", token) if word in sent]
