"""Installations whose API server is killed again and again, and what became of them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.tokens.world import Installed, Server, Task, World

STEPS = [
    "before the lease",
    "after the lease",
    "before the call",
    "answer arriving",
    "answer read",
    "before the spool",
    "spool half written",
    "spooled, not synced",
    "before the transaction",
    "before the commit",
    "after the commit",
    "before the spool is emptied",
    "before the worker's answer",
]
ANY = "any moment"
"""At a moment of chance around the call to Stripe."""
IN_MEMORY = {"answer arriving", "answer read", "before the spool", "spool half written", ANY}
"""Steps at which the new tokens can exist in the dying process only."""
MENDING = [
    "before mending",
    "reinstalled",
    "code spent",
    "before the spool",
    "spooled, not synced",
    "before the commit",
    "after the commit",
]
"""Steps at which the mending of a lost grant is killed in its turn."""
MENDED_MOST = 2
"""An installation that was mended so often is left alone: three times a day is the most."""


@dataclass(frozen=True)
class Order:
    """One kill to come.

    :param step: where.
    :param mendable: whether the Install API may be used.
    :param then: where to kill the next server as well.
    """

    step: str
    mendable: bool = False
    then: str = ""


@dataclass(frozen=True)
class Strike:
    """One kill and what came of it.

    :param order: where the process was told to end.
    :param effect: whether Stripe had rolled the tokens by then.
    :param on_disk: whether they were in the spool.
    :param committed: whether they were in the database.
    :param outcome: ``survived``, ``healed`` (by the Install API) or ``lost``.
    :param seconds: from its end until the worker had its answer.
    :param failed: what the worker's call failed with, nothing if it came through.
    """

    order: Order
    effect: bool
    on_disk: bool
    committed: bool
    outcome: str
    seconds: float
    failed: str = ""

    @property
    def name(self) -> str:
        """Where it was killed, in words."""
        order = self.order
        return f"{order.step}, then {order.then}" if order.then else order.step

    @property
    def nowhere(self) -> bool:
        """Whether the new tokens existed nowhere but in the process that ended."""
        return self.effect and not self.on_disk and not self.committed


class Lane:
    """One installation with an API server of its own.

    :param world: the deployment.
    :param number: names it.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self._name = f"lane{number}"
        self.server: Server = world.server(self._name)
        self._one: Installed | None = None
        self._mendable = False
        self._mended = 0

    def installation(self, mendable: bool) -> Installed:
        """Return one that may still be mended (or never is)."""
        if self._one is None or self._mendable != mendable or self._mended >= MENDED_MOST:
            self._one = self.world.installed(self._name, mendable=mendable)
            self._mendable, self._mended = mendable, 0
        return self._one

    def strike(self, order: Order) -> Strike:
        """Kill the server at a step of a refresh while a worker waits for the token."""
        step, then = order.step, order.then
        one, server = self.installation(order.mendable), self.server
        one.expire()
        refreshes, generation = one.refreshes, one.row().generation
        task = self._die(step, one)
        died = time.monotonic()
        time.sleep(0.3 if step == ANY else 0.0)  # a request in flight may still have its effect
        effect = one.refreshes > refreshes
        on_disk, committed = bool(one.spool_files), one.row().generation > generation
        if then:
            server.order_kill(then)
            server.start()
            assert server.killed() == -9
            one.mend_now()
        server.start()
        result = self.world.end_tasks(task)
        seconds = time.monotonic() - died
        outcome = self._outcome(one, result)
        failed = "".join(result.failed)
        return Strike(order, effect, on_disk, committed, outcome, seconds, failed)

    def _die(self, step: str, one: Installed) -> int:
        self.server.order_kill(step)
        task = self.world.start_tasks(one, [self.server.url], patience=60)
        status = self.server.killed()
        assert status == -9, f"{step}: the server ended with {status}"
        return task

    def _outcome(self, one: Installed, result: Task) -> str:
        mended = one.mended
        if one.row().status != "active" or result.failed or not one.works():
            one.install()
            return "lost"
        if mended > self._mended:
            self._mended = mended
            return "healed"
        return "survived"

    def stop(self) -> None:
        self.server.kill()


def strike_all(lanes: list[Lane], orders: Iterable[Order]) -> list[Strike]:
    """Carry out the orders with all lanes side by side.

    :param orders: those of one kind together: an installation is used for several.
    :raises AssertionError: what a lane raised.
    """
    waiting = list(orders)[::-1]
    done: list[Strike] = []
    errors: list[BaseException] = []
    lock = threading.Lock()

    def run(lane: Lane) -> None:
        while not errors:
            with lock:
                if not waiting:
                    return
                order = waiting.pop()
            try:
                struck = lane.strike(order)
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
        rows[one.name].append(one)
    lines = ["| killed at | kills | rolled at Stripe | nowhere else | survived | healed | lost |"]
    lines.append("|---|---|---|---|---|---|---|")
    order = [*STEPS, ANY]
    for step in sorted(rows, key=lambda name: order.index(name) if name in order else 99):
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
