"""Installations whose API server is killed again and again, and what became of them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.tokens.world import Installed, Server, World

STEPS = [
    # (where the process ends, whether Stripe may have rolled the tokens by then)
    "before the lease",
    "after the lease",
    "before the call",
    "answer arriving",
    "answer read",
    "before the spool",
    "spool half written",
    "before the transaction",
    "before the commit",
    "after the commit",
    "before the spool is emptied",
    "before the worker's answer",
]
ANY = "any moment"
"""At a moment of chance around the call to Stripe."""


@dataclass(frozen=True)
class Strike:
    """One kill and what came of it.

    :param step: where the process was told to end.
    :param effect: whether Stripe had rolled the tokens by then.
    :param on_disk: whether they were in the spool.
    :param committed: whether they were in the database.
    :param outcome: ``survived``, ``healed`` (by the Install API) or ``lost``.
    :param seconds: from its end until the worker had its answer.
    :param failed: what the worker's call failed with, nothing if it came through.
    """

    step: str
    effect: bool
    on_disk: bool
    committed: bool
    outcome: str
    seconds: float
    failed: str = ""

    @property
    def nowhere(self) -> bool:
        """Whether the new tokens existed nowhere but in the process that ended."""
        return self.effect and not self.on_disk and not self.committed


class Lane:
    """One installation with an API server of its own.

    :param world: the deployment.
    :param number: names it.
    :param app_extra: extra of the app's connection.
    """

    def __init__(self, world: World, number: int, app_extra: str = "") -> None:
        self.world = world
        self.one: Installed = world.installed(f"lane{number}", app_extra)
        self.server: Server = world.server(f"lane-{number}-{self.one.conn_id}")

    def strike(self, step: str) -> Strike:
        """Kill the server at a step of a refresh while a worker waits for the token."""
        one, server = self.one, self.server
        one.expire()
        refreshes, generation = one.refreshes, one.row().generation
        server.order_kill(step)
        task = self.world.start_tasks(one, [server.url], patience=60)
        status = server.killed()
        died = time.monotonic()
        assert status == -9, f"{step}: the server ended with {status}"
        time.sleep(0.3 if step == ANY else 0.0)  # a request in flight may still have its effect
        effect = one.refreshes > refreshes
        on_disk, committed = bool(one.spool_files), one.row().generation > generation
        server.start()
        result = self.world.end_tasks(task)
        seconds = time.monotonic() - died
        row = one.row()
        failed = "".join(result.failed)
        outcome = "survived"
        if any(line["event"] == "healed" for line in one.history()[:2]):
            outcome = "healed"
        if row.status != "active" or failed or not one.works():
            outcome = "lost"
            one.install()
        return Strike(step, effect, on_disk, committed, outcome, seconds, failed)

    def stop(self) -> None:
        self.server.kill()


def strike_all(lanes: list[Lane], steps: Iterable[str]) -> list[Strike]:
    """Work through the steps with all lanes side by side.

    :raises AssertionError: what a lane raised.
    """
    waiting = list(steps)[::-1]
    done: list[Strike] = []
    errors: list[BaseException] = []
    lock = threading.Lock()

    def run(lane: Lane) -> None:
        while not errors:
            with lock:
                if not waiting:
                    return
                step = waiting.pop()
            try:
                struck = lane.strike(step)
            except BaseException as error:
                errors.append(error)
                return
            with lock:
                done.append(struck)

    threads = [threading.Thread(target=run, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return done


def table(strikes: list[Strike]) -> list[str]:
    """Return the counts per step as lines of a Markdown table."""
    rows: dict[str, list[Strike]] = defaultdict(list)
    for one in strikes:
        rows[one.step].append(one)
    lines = ["| killed at | kills | rolled at Stripe | nowhere else | survived | healed | lost |"]
    lines.append("|---|---|---|---|---|---|---|")
    for step in [*STEPS, ANY]:
        if step in rows:
            lines.append(f"| {step} | {_counts(rows[step])} |")
    lines.append(f"| all | {_counts(strikes)} |")
    return lines


def _counts(strikes: list[Strike]) -> str:
    outcomes = [one.outcome for one in strikes]
    numbers = [
        len(strikes),
        sum(one.effect for one in strikes),
        sum(one.nowhere for one in strikes),
        *(outcomes.count(name) for name in ("survived", "healed", "lost")),
    ]
    return " | ".join(map(str, numbers))
