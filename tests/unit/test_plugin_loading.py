"""Airflow starts whatever happens to this plugin, and workers do not pay for it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from airflow_provider_stripe_app.plugin import airflow_plugin, app


def call(asgi, path: str, query: bytes = b"") -> tuple[int, dict, bytes, dict]:
    sent: list[dict] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [],
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(asgi(scope, receive, send))
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]), scope


def test_app_that_cannot_be_built_is_replaced_by_one_that_says_so(monkeypatch):
    def fail():
        raise ImportError("no such module")

    monkeypatch.setattr(app, "create_app", fail)
    (mount,) = airflow_plugin.StripeAppPlugin().fastapi_apps
    status, headers, body, scope = call(mount["app"], "/callback", b"code=ac_secret&state=x")
    assert status == 503
    assert "application/json" in headers["content-type"]
    assert "log says why" in json.loads(body)["error"]
    assert b"secret" not in scope["query_string"]


def test_health_says_who_answers():
    status, headers, body, _ = call(app.create_app(), "/health")
    assert status == 200
    assert json.loads(body)["provider"] == "airflow-provider-stripe-app"
    assert headers["cache-control"] == "no-store"


def test_app_is_built_once_and_only_when_asked_for(monkeypatch):
    built = []
    monkeypatch.setattr(app, "create_app", lambda: built.append(1) or object())
    plugin = airflow_plugin.StripeAppPlugin()
    assert built == []
    assert plugin.fastapi_apps[0]["app"] is plugin.fastapi_apps[0]["app"]
    assert built == [1]


def test_nav_entry_is_a_plain_link_below_the_base_path(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://data.example.com/air/flow/")
    (view,) = airflow_plugin.StripeAppPlugin().external_views
    assert view["href"] == "/air/flow/stripe-app/"
    assert "url_route" not in view


def test_importing_the_plugin_imports_no_web_framework_and_no_store():
    code = (
        "import sys\n"
        "from airflow.plugins_manager import AirflowPlugin\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_stripe_app.plugin.airflow_plugin\n"
        "print(' '.join(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = set(done.stdout.splitlines()[-1].split())
    assert "airflow_provider_stripe_app.plugin.airflow_plugin" in new
    assert not {name for name in new if name.startswith(("fastapi", "sqlalchemy", "jinja2"))}
    assert "airflow_provider_stripe_app.plugin.app" not in new
