"""What a load made of Stripe's limits, from the simulated Stripe's own log of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ENDPOINT_RATE = 25.0
ACCOUNT_RATES = {True: 100.0, False: 25.0}
"""Requests per second of an account, in live mode and in a sandbox."""


@dataclass(frozen=True, slots=True)
class Used:
    """What became of the requests that lists were allowed.

    :param requests: list requests, refused ones too.
    :param allowed: those that the limits would have let through from the second second to the last.
    :param used: those made in that time.
    :param refused: reason or status → how many were refused.
    :param per_second: list requests made in each second.
    :param seconds: from the first list request to the last.
    """

    requests: int
    allowed: float
    used: int
    refused: Mapping[str, int]
    per_second: list[int]
    seconds: float

    @property
    def share(self) -> float:
        """Part of the allowed requests that was used; 0 if it was over within a second."""
        return self.used / self.allowed if self.allowed else 0.0


def used(log: Iterable[Mapping[str, Any]], lists: int, *, livemode: bool = True) -> Used:
    """Read a log.

    :param log: lines of ``/_sim/requests``.
    :param lists: number of lists read at once: each is an endpoint with a limit of its own.
    """
    lines = [
        line for line in log if "limit=100" in line["target"] and "/events" not in line["target"]
    ]
    times = [line["at"] for line in lines]
    if not times:
        return Used(0, 0.0, 0, {}, [], 0.0)
    first = min(times)
    seconds = max(times) - first
    rate = min(ENDPOINT_RATE * lists, ACCOUNT_RATES[livemode])
    per_second = Counter(int(at - first) for at in times)
    return Used(
        len(lines),
        max(0.0, rate * (seconds - 1.0)),
        sum(1 for at in times if at - first >= 1.0),
        Counter(str(line["status"]) for line in lines if line["status"] != 200),
        [per_second[second] for second in range(int(seconds) + 1)],
        seconds,
    )


def _is_list(target: str) -> bool:
    return "limit=100" in target and not target.startswith("/v1/events")
