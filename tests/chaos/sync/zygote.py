"""Forks syncs from a process that has imported everything, so that hundreds can be killed.

Orders are JSON lines on standard input; what is forked is a real process with connections of its
own and a death of its own. For each order two lines come back: ``{"pid": 123}`` when the sync
begins, and ``{"status": -9, "steps": 0, "error": ""}`` when it is over. One order at a time.

An order has ``url``, ``key``, ``account``, ``kind`` and ``where`` (see :class:`Lab`), ``streams``,
``options``, ``version`` (the API version that the release pins; empty for this one's) and
``dies_at`` (the step, see :class:`Fate`, at which it kills itself; 0 for never).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from types import SimpleNamespace
from typing import Any

from tests.chaos.sync.runs import Fate, Killed, Runs, release
from tests.integration.sync_lab import Lab

REPORT = os.dup(1)
"""The pipe to the tests; what a sync prints goes to standard error instead."""


class Mortal(Fate):
    """Kills the process where a :class:`Fate` only raises."""

    def step(self, label: str) -> None:
        try:
            super().step(label)
        except Killed:
            os.kill(os.getpid(), signal.SIGKILL)


def lab_of(order: dict[str, Any]) -> Lab:
    """Return the lab as it is seen from another process than the simulation's."""
    sim: Any = SimpleNamespace(
        url=order["url"],
        account=lambda: SimpleNamespace(id=order["account"], livemode=False),
        secret_key=lambda _: order["key"],
    )
    return Lab(sim, order["kind"], order["where"])


def sync(order: dict[str, Any]) -> int:
    """Run the sync; return how many steps it took."""
    lab, fate = lab_of(order), Mortal(order["dies_at"])
    warehouse: Any = lab.warehouse()
    warehouse.fault = fate.step
    client = Runs(lab, None, (), ()).client(fate)  # type: ignore[arg-type]

    def run() -> None:
        lab.sync(order["streams"], client=client, warehouse=warehouse, **order["options"])

    if order["version"]:
        with release(order["version"]):
            run()
    else:
        run()
    return fate.steps


def child(order: dict[str, Any], report: int) -> None:
    """Be the forked process: sync, report, end."""
    answer = {"steps": 0, "error": ""}
    status = 0
    try:
        answer["steps"] = sync(order)
    except Exception as error:
        traceback.print_exc()
        answer["error"] = f"{type(error).__name__}: {error}"
        status = 1
    os.write(report, json.dumps(answer).encode())
    os._exit(status)


def tell(**facts: Any) -> None:
    os.write(REPORT, json.dumps(facts).encode() + b"\n")


def main() -> None:
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(order, writing)
        os.close(writing)
        tell(pid=pid)
        with os.fdopen(reading, "rb") as answers:
            answer = answers.read()
        _, waited = os.waitpid(pid, 0)
        facts = json.loads(answer) if answer else {"steps": 0, "error": ""}
        tell(status=os.waitstatus_to_exitcode(waited), **facts)


if __name__ == "__main__":
    os.dup2(2, 1)
    main()
