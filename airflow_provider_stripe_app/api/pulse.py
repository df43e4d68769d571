"""How long Stripe takes to answer, and so how many requests use a rate up.

A rate is used only if enough requests are under way: at 25 requests/s and 0.4 s to an answer that
is ten (Little's law), and more where answers differ. More than enough is no use, and has a price:
each request more is a part of a list more, and Stripe limits concurrency too.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

GAIN = 0.125
DEVIATION_GAIN = 0.25
"""Weights of a new answer time, as TCP weighs its own (RFC 6298, section 2)."""

SPARE = 1
"""A request that is ready whenever a place is free."""


@dataclass(slots=True)
class _Seen:
    mean: float
    deviation: float


class Pulse:
    """Answer times by operation, without the waiting for a turn. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}

    def note(self, operation: str, seconds: float) -> None:
        """Take note of an answer.

        :param operation: see :func:`.rate_limit.operation`.
        :param seconds: from sending until the whole answer was there.
        """
        with self._lock:
            seen = self._seen.get(operation)
            if seen is None:
                self._seen[operation] = _Seen(seconds, seconds / 4)
                return
            seen.deviation += DEVIATION_GAIN * (abs(seconds - seen.mean) - seen.deviation)
            seen.mean += GAIN * (seconds - seen.mean)

    def seconds(self, operation: str) -> float:
        """Return the seconds within which nearly all answers come, 0 if there was none yet."""
        with self._lock:
            seen = self._seen.get(operation)
            return 0.0 if seen is None else seen.mean + 2 * seen.deviation


def in_flight(rate: float, seconds: float) -> int:
    """Return how many requests have to be under way to use a rate up.

    :param rate: requests per second.
    :param seconds: see :meth:`Pulse.seconds`.
    """
    return max(1, math.ceil(rate * seconds)) + SPARE
