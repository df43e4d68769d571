"""Whatever is wrong with this plugin, Airflow's API server starts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from plugin_server import ROOT
from security_lab import SecureServer, migrated_database

from airflow_provider_stripe_app.oauth.broker_client import BrokerClient, Busy
from airflow_provider_stripe_app.plugin.shield import security_headers
from airflow_provider_stripe_app.testing import SimulatedStripe

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(280)]

PACKAGE = "airflow_provider_stripe_app.plugin"
CANNOT_IMPORT = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise {error}("broken on purpose")

sys.meta_path.insert(0, Broken())
"""
CANNOT_RUN = """
import threading

start = threading.Thread.start

def broken(self):
    if "keep" in self.name:
        raise RuntimeError("can't start new thread")
    start(self)

threading.Thread.start = broken
"""
FAULTS = {
    "a page": CANNOT_IMPORT.format(module=f"{PACKAGE}.routes_install", error="ImportError"),
    "all pages": CANNOT_IMPORT.format(module=f"{PACKAGE}.shield", error="SyntaxError"),
    "the plugin": CANNOT_IMPORT.format(module=f"{PACKAGE}.airflow_plugin", error="ValueError"),
    "the keep-alive": CANNOT_RUN,
}


class FaultyServer(SecureServer):
    """A server whose interpreter is spoiled before anything of Airflow runs."""

    def spoil(self, code: str) -> None:
        directory = self.home / "fault"
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(code)
        self.env["PYTHONPATH"] = f"{directory}:{ROOT}"

    def ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/api/v2/version", timeout=2).ok
        return False


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FaultyServer]]:
    """All of them at once: most of a start is waiting."""
    template = migrated_database()
    with SimulatedStripe(seed=7) as sim, ThreadPoolExecutor() as pool:
        made: dict[str, FaultyServer] = {}
        for name, code in FAULTS.items():
            made[name] = FaultyServer(tmp_path_factory.mktemp("airflow"), sim, "simple", template)
            made[name].spoil(code)
        try:
            for start in [pool.submit(server.start) for server in made.values()]:
                start.result()
            yield made
        finally:
            for server in made.values():
                server.stop()


@pytest.mark.parametrize("fault", FAULTS)
def test_airflow_serves_its_own_pages(servers: dict[str, FaultyServer], fault: str) -> None:
    server = servers[fault]
    ann = server.browser("ann")
    assert ann.get("/api/v2/connections").status == 200
    assert ann.get("/api/v2/monitor/health").status == 200


def test_pages_that_cannot_be_imported_are_replaced_by_one_that_says_so(
    servers: dict[str, FaultyServer],
) -> None:
    server = servers["a page"]
    for path in ("", "callback?code=ac_secret&state=secret", "health", "token"):
        answer = requests.get(f"{server.url}/stripe-app/{path}", timeout=20)
        assert answer.status_code == 503
        assert "the API server's log says why" in answer.json()["error"]
        for name, value in security_headers().items():
            assert answer.headers[name] == value
    log = server.log.read_text()
    assert "broken on purpose" in log
    assert "Airflow goes on without them" in log
    assert "ac_secret" not in log


def test_worker_says_what_the_server_said(servers: dict[str, FaultyServer]) -> None:
    client = BrokerClient(lambda: [servers["a page"].url])
    answer = client.ask("shop", "token", None)
    assert isinstance(answer, Busy)
    assert "could not be loaded" in answer.message


@pytest.mark.parametrize("fault", ["all pages", "the plugin"])
def test_without_any_of_it_the_log_says_why(servers: dict[str, FaultyServer], fault: str) -> None:
    assert "broken on purpose" in servers[fault].log.read_text()


def test_plugin_that_cannot_be_imported_is_on_airflows_own_list(
    servers: dict[str, FaultyServer],
) -> None:
    errors = servers["the plugin"].browser("ann").get("/api/v2/plugins/importErrors")
    assert "broken on purpose" in errors.text


def test_without_keep_alive_the_pages_work(servers: dict[str, FaultyServer]) -> None:
    server = servers["the keep-alive"]
    assert server.browser("ann").page().status == 200
    deadline = time.monotonic() + 20
    while "keep-alive could not be started" not in server.log.read_text():
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        time.sleep(0.2)
