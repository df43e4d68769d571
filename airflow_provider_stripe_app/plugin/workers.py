"""A few daemon threads that work off a list of things to do.

Not ``concurrent.futures``: its threads are waited for when Python ends, so one slow answer of
Stripe would hold up the stop of the API server.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

Task = Callable[[], object]


def work_off(
    tasks: Iterable[Task],
    *,
    threads: int,
    stop: threading.Event,
    pace: float = 0.0,
    meanwhile: Callable[[], None] | None = None,
    every: float = 30.0,
) -> int:
    """Do all of it, some things at once; return when the last is done or ``stop`` is set.

    :param tasks: in the order in which they are begun. What one raises is logged and stops no
        other. One that returns ``False`` had nothing to do: the pace does not count for it.
    :param threads: how many are done at once.
    :param stop: when set, nothing new is begun and this returns at once; threads that wait for an
        answer end by themselves.
    :param pace: seconds that a thread takes for each at least.
    :param meanwhile: called while the caller waits, in the caller's thread.
    :param every: seconds between two calls of ``meanwhile``.
    :return: how many were begun.
    """
    waiting = deque(tasks)
    all_of_them = len(waiting)

    def work() -> None:
        while not stop.is_set():
            try:
                task = waiting.popleft()
            except IndexError:
                return
            begun = time.monotonic()
            try:
                if task() is False:
                    continue
            except Exception:
                log.exception("A task of the Stripe App keep-alive failed; the others go on.")
            rest = pace - (time.monotonic() - begun)
            if rest > 0 and waiting:
                stop.wait(rest)

    group = [
        threading.Thread(target=work, name=f"stripe-app-keepalive-{number}", daemon=True)
        for number in range(min(threads, all_of_them))
    ]
    for thread in group:
        thread.start()
    _wait(group, stop, meanwhile, every)
    return all_of_them - len(waiting)


def _wait(
    group: list[threading.Thread],
    stop: threading.Event,
    meanwhile: Callable[[], None] | None,
    every: float,
) -> None:
    last = time.monotonic()
    while not stop.is_set():
        working = next((thread for thread in group if thread.is_alive()), None)
        if working is None:
            return
        working.join(0.2)
        if meanwhile is not None and time.monotonic() - last >= every:
            last = time.monotonic()
            meanwhile()
