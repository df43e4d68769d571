"""Requests counted per second of real time, account and operation: what of the limits was used.

The request log has the simulation's time and forgets; limits are in real time, so are these counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock

from airflow_provider_stripe_app.testing.messages import Response

KEPT_SECONDS = 3600
"""How far back they go."""

Key = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Arrival:
    """The requests of one second to one operation of one account.

    :param second: unix second (real time) in which they arrived.
    :param account: ``None`` where no key told.
    :param operation: method and path with open ids.
    :param outcomes: ``ok``, ``429:<reason>``, another status, or ``lost`` → how many.
    """

    second: int
    account: str | None
    operation: str
    outcomes: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "second": self.second,
            "account": self.account,
            "operation": self.operation,
            "outcomes": dict(self.outcomes),
        }


class Arrivals:
    """All counts of the last hour. Thread-safe."""

    def __init__(self) -> None:
        self._seconds: dict[int, dict[Key, Arrival]] = {}
        self._lock = Lock()

    def count(self, at: float, account: str | None, operation: str, outcome: str) -> None:
        """Count a request.

        :param at: when it arrived, unix seconds of real time.
        """
        second, key = int(at), (account, operation)
        with self._lock:
            rows = self._seconds.get(second)
            if rows is None:
                rows = self._seconds[second] = {}
                while len(self._seconds) > KEPT_SECONDS:
                    del self._seconds[min(self._seconds)]
            if key not in rows:
                rows[key] = Arrival(second, account, operation)
            rows[key].outcomes[outcome] += 1

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._seconds.clear()

    def __iter__(self) -> Iterator[Arrival]:
        """Walk over them, the earliest second first."""
        with self._lock:
            found = [row for second in sorted(self._seconds) for row in self._copies(second)]
        return iter(found)

    def _copies(self, second: int) -> list[Arrival]:
        return [
            Arrival(second, row.account, row.operation, Counter(row.outcomes))
            for row in self._seconds[second].values()
        ]


def outcome_of(response: Response) -> str:
    """Return what became of a request, in a word."""
    if response.status < 400:
        return "ok"
    reason = dict(response.headers).get("Stripe-Rate-Limited-Reason")
    return f"{response.status}:{reason}" if reason else str(response.status)
