"""Forks API servers and workers from one process that has imported everything.

A real ``airflow api-server`` takes ten seconds to start, and 200 workers that import Airflow one by
one take minutes. This process imports once and forks on order; what it forks are real processes
with real sockets, database connections of their own and a death of their own.

Orders are JSON lines on standard input, events JSON lines on standard output::

    {"id": 1, "role": "server", "port": 4711, "env": {…}, "log": "…"}   serves until it is killed
    {"id": 2, "role": "task", "count": 200, …}                          see tests.chaos.tokens.task
    {"id": 3, "role": "call", "name": "install", "arguments": {…}}      see tests.chaos.tokens.steps

    {"id": 2, "event": "started", "pid": 123}
    {"id": 2, "event": "result", …}
    {"id": 2, "event": "ended", "pid": 123, "status": -9}
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import signal
import sys
import time
import traceback
from typing import Any

# Before Airflow is imported: what serves is a server, as in `airflow api-server`.
os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
REPORT = os.dup(1)
"""The pipe to the tests; what a child prints goes into its log instead."""
os.dup2(2, 1)


def report(order: dict[str, Any], event: str, **facts: Any) -> None:
    """Tell the tests something, in one write: several processes share the pipe."""
    line = json.dumps({"id": order["id"], "event": event, **facts}).encode() + b"\n"
    assert len(line) <= select.PIPE_BUF, line
    os.write(REPORT, line)


def build_app() -> Any:
    """Return the provider's plugin and Airflow's Execution API, mounted as Airflow does it."""
    from airflow.api_fastapi.app import lifespan
    from airflow.api_fastapi.execution_api.app import create_task_execution_api_app
    from fastapi import FastAPI

    from airflow_provider_stripe_app.plugin.airflow_plugin import StripeAppPlugin

    app = FastAPI(lifespan=lifespan)
    app.mount("/execution", create_task_execution_api_app())
    (plugin,) = StripeAppPlugin().fastapi_apps
    app.mount(plugin["url_prefix"], plugin["app"])
    return app


async def warm_up(app: Any) -> None:
    """Send a first request in this process: it builds the Execution API's routes for seconds."""
    import httpx

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://warm.up") as client:
        await client.get("/execution/connections/none")
        await client.get("/stripe-app/health")


def serve(app: Any, order: dict[str, Any]) -> None:
    """Serve as ``airflow api-server`` does, with uvicorn."""
    import uvicorn

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=order["port"],
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        backlog=512,
    )


def _use_another_database() -> None:
    from airflow import settings

    settings.dispose_orm(do_log=False)
    settings.configure_vars()
    settings.configure_orm()


def _wrong_clock(seconds: float) -> None:
    """Let this process's token store live in another time: there is no libfaketime here."""
    from airflow_provider_stripe_app.oauth.store import TokenStore

    real = TokenStore.__init__

    def init(self: Any, **options: Any) -> None:
        real(self, **{"clock": lambda: time.time() + seconds, **options})

    TokenStore.__init__ = init  # type: ignore[method-assign]


def _child(app: Any, order: dict[str, Any]) -> None:
    os.environ.update(order.get("env", {}))
    if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in order.get("env", {}):
        _use_another_database()
    if "log" in order:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
    if order["role"] == "server":
        if order.get("wrong"):
            _wrong_clock(order["wrong"])
        serve(app, order)
    elif order["role"] == "task":
        from tests.chaos.tokens import task

        report(order, "result", **task.run(order))
    else:
        from tests.chaos.tokens import steps

        value = getattr(steps, order["name"])(**order.get("arguments", {}))
        report(order, "result", value=value)


def _fork(app: Any, order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.close(0)
        _child(app, order)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException as error:
        traceback.print_exc()
        report(order, "result", error=f"{type(error).__name__}: {error}"[:2000])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Obey until standard input closes, then end every child that is left."""
    from airflow import settings
    from airflow.utils import db

    settings.initialize()
    db.upgradedb()  # what `airflow db migrate` runs
    report({"id": 0}, "migrated")
    app = build_app()
    from tests.chaos.tokens import steps, task

    task.prepare()
    steps.prepare()
    asyncio.run(warm_up(app))
    settings.dispose_orm(do_log=False)
    settings.configure_orm()
    children: dict[int, dict[str, Any]] = {}
    gc.collect()
    gc.freeze()  # so that a child's collector does not copy every page
    report({"id": 0}, "ready")
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.02 if children else 1.0)
        if ready:
            part = os.read(0, 65536)
            if not part:
                break
            *lines, buffer = (buffer + part).split(b"\n")
            for line in lines:
                order = json.loads(line)
                for _ in range(order.get("count", 1)):
                    pid = _fork(app, order)
                    children[pid] = order
                    report(order, "started", pid=pid)
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            report(children.pop(pid), "ended", pid=pid, status=os.waitstatus_to_exitcode(status))
    for pid in children:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
