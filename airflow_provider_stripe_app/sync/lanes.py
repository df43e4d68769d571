"""Requests in lanes, one for each operation: as many under way as use its rate up, and no more.

Threads that wait for their turn are threads that do nothing else. So a lane lets only as many calls
go as its rate and latency take, the rest wait in a queue that costs nothing, and a page whose
hundred children have to be fetched does not stop the list.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.pulse import Pulse, in_flight

UNPACED = 8
"""Calls under way in a lane when nothing limits the rate: then the processor does."""

RATES_EVERY, FIRST_RATES_EVERY = 0.5, 0.05
"""Seconds for which the pacer's rates are taken to hold, and those of operations it has not used.
A pacer may have to ask another machine."""

Done = Callable[[Future[Any]], None]


@dataclass(frozen=True, slots=True)
class Call:
    """Something that makes requests of one operation.

    :param owner: whom it is made for, see :meth:`Lanes.drop`.
    :param work: run in a thread.
    :param done: gets its future, where :meth:`Lanes.finished` is called.
    """

    owner: object
    work: Callable[[], Any]
    done: Done


@dataclass(slots=True)
class _Lane:
    operation: str
    flying: int = 0
    queue: deque[Call] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Landed:
    lane: _Lane
    done: Done
    future: Future[Any]
    at: float


class Lanes:
    """Runs calls in threads. All methods but :meth:`wake` belong to one thread at a time.

    :param client: whose pacer and answer times say how many calls a lane takes.
    :param workers: calls under way in all lanes together.
    """

    def __init__(self, pool: Executor, client: StripeClient, workers: int) -> None:
        self._pool = pool
        self._client = client
        self._workers = workers
        self._lanes: dict[str, _Lane] = {}
        self._done: SimpleQueue[_Landed | None] = SimpleQueue()
        self._lag = Pulse()
        self._flying = 0
        self._rates: dict[str, float] = {}
        self._rates_at = float("-inf")

    def width(self, operation: str) -> int:
        """Return how many calls of an operation should be under way."""
        rates = self._rates_now(operation)
        if not rates:
            return min(self._workers, UNPACED)
        account = rates["account"]
        others = [(n, lane) for n, lane in self._lanes.items() if n != operation and lane.flying]
        left = account - sum(self._uses(name, lane, rates) for name, lane in others)
        rate = min(rates.get(operation, account), max(left, account / (1 + len(others))))
        return min(self._workers, in_flight(rate, self._seconds(operation)))

    def room(self, operation: str) -> bool:
        """Tell whether one more call of an operation can go now."""
        lane = self._lanes.get(operation)
        flying = 0 if lane is None else lane.flying + len(lane.queue)
        return self._flying < self._workers and flying < self.width(operation)

    def put(self, operation: str, call: Call) -> None:
        """Let a call go as soon as its lane has room."""
        self._lane(operation).queue.append(call)

    def fill(self) -> None:
        """Let waiting calls go, one of each lane after the other."""
        going = [name for name, lane in self._lanes.items() if lane.queue]
        going.sort(key=lambda name: self._lanes[name].flying)
        while going and self._flying < self._workers:
            going = [name for name in going if self._go(name)]

    def drop(self, owner: object) -> int:
        """Forget the calls of an owner that have not gone yet.

        :return: how many.
        """
        dropped = 0
        for lane in self._lanes.values():
            kept = deque(call for call in lane.queue if call.owner is not owner)
            dropped += len(lane.queue) - len(kept)
            lane.queue = kept
        return dropped

    def finished(self, timeout: float) -> list[tuple[Done, Future[Any]]]:
        """Return the calls that are done, at least one unless the time is over or :meth:`wake`."""
        out: list[tuple[Done, Future[Any]]] = []
        try:
            one = self._done.get(timeout=timeout)
            while True:
                if one is not None:
                    self._lag.note(one.lane.operation, time.monotonic() - one.at)
                    one.lane.flying -= 1
                    self._flying -= 1
                    out.append((one.done, one.future))
                one = self._done.get_nowait()
        except Empty:
            return out

    def wake(self) -> None:
        """End a :meth:`finished` that waits. Any thread may call it."""
        self._done.put(None)

    def _lane(self, operation: str) -> _Lane:
        return self._lanes.setdefault(operation, _Lane(operation))

    def _go(self, operation: str) -> bool:
        lane = self._lanes[operation]
        if not lane.queue or self._flying >= self._workers:
            return False
        if lane.flying >= self.width(operation):
            return False
        call = lane.queue.popleft()
        lane.flying += 1
        self._flying += 1
        future = self._pool.submit(call.work)
        future.add_done_callback(
            lambda done: self._done.put(_Landed(lane, call.done, done, time.monotonic()))
        )
        return True

    def _seconds(self, operation: str) -> float:
        """Return how long a request keeps its place: until its answer has been looked at here."""
        return self._client.pulse.seconds(operation) + self._lag.seconds(operation)

    def _uses(self, operation: str, lane: _Lane, rates: dict[str, float]) -> float:
        """Return about how many requests per second a lane makes."""
        most = rates.get(operation, rates["account"])
        seconds = self._seconds(operation)
        return min(most, lane.flying / seconds) if seconds else most

    def _rates_now(self, operation: str) -> dict[str, float]:
        now = time.monotonic()
        lasting = RATES_EVERY if operation in self._rates else FIRST_RATES_EVERY
        if self._client.limiter is not None and now - self._rates_at > lasting:
            self._rates = dict(self._client.limiter.rates())
            self._rates_at = now
        return self._rates
