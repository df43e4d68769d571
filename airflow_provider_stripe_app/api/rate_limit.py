"""Keeps requests at the rate that Stripe allows: a target, not something to run into.

Stripe limits each account (100 requests/s in live mode, 25 in a sandbox) and within it each
endpoint, a named operation, to 25 (https://docs.stripe.com/rate-limits). What really holds may be
less, since other programs use the account too: a 429 lowers the bucket that its reason names by a
fifth, and the rate climbs back slowly (additive increase, multiplicative decrease).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

HEADROOM = 0.98
"""Part of the stated limit that is used; the rest pays for clocks that differ."""

BURST_SECONDS = 0.1
"""How far behind its schedule a bucket may catch up."""

DECREASE = 0.8
RECOVERY_PER_SECOND = 0.01
"""Part of the ceiling by which a lowered rate climbs each second."""

SETTLE_SECONDS = 0.5
"""429s within this time after a decrease belong to requests that were under way: one decrease."""

IN_USE_SECONDS = 2.0
"""For so long after its last request an operation counts as being in use."""

FLOOR = 0.5
"""Requests per second below which no bucket falls."""

_NAMESPACES = frozenset(
    {
        "apps",
        "billing",
        "billing_portal",
        "checkout",
        "climate",
        "entitlements",
        "financial_connections",
        "forwarding",
        "identity",
        "issuing",
        "product_catalog",
        "radar",
        "reporting",
        "sigma",
        "tax",
        "terminal",
        "test_helpers",
        "three_d_secure",
        "treasury",
    }
)
_WORDS = frozenset({"search", "upcoming", "create_preview"})
_ENDPOINT_REASONS = frozenset({"endpoint-rate", "endpoint-concurrency", "resource-specific"})

Scope = Literal["account", "endpoint"]


class Pacer(Protocol):
    """Decides when the requests of one account may be sent. Implementations are thread-safe.

    :class:`RateLimiter` paces one process; others may share a budget between processes. Arguments
    are given by position.
    """

    def acquire(self, operation: str, /) -> float:
        """Wait until a request of an operation may be sent.

        :param operation: see :func:`operation`.
        :return: seconds waited.
        """
        ...

    def throttled(self, operation: str, reason: str | None, /) -> None:
        """Take note that Stripe answered 429.

        :param operation: the operation that got it.
        :param reason: its header ``Stripe-Rate-Limited-Reason``; ``None`` without one, which is an
            object's lock and nobody's rate (:func:`scope_of`).
        """
        ...

    def rates(self) -> Mapping[str, float]:
        """Return the present requests per second by operation; ``account`` is the whole account's.

        Only what was used so far has to be in it.
        """
        ...


def operation(method: str, path: str) -> str:
    """Return the named operation of a request: ids are replaced.

    :param path: for example ``/v1/invoices/in_1/lines``.
    :return: for example ``GET /v1/invoices/{id}/lines``.
    """
    parts = path.partition("?")[0].strip("/").split("/")
    named = parts[:1]
    rest = parts[1:]
    while rest and rest[0] in _NAMESPACES:
        named.append(rest.pop(0))
    for place, part in enumerate(rest):
        named.append("{id}" if place % 2 and part not in _WORDS else part)
    return f"{method.upper()} /{'/'.join(named)}"


def scope_of(reason: str | None) -> Scope | None:
    """Return which bucket a 429's reason header speaks of.

    :param reason: ``Stripe-Rate-Limited-Reason``; without one it is a lock, and no bucket is to
        blame.
    """
    if not reason:
        return None
    return "endpoint" if reason in _ENDPOINT_REASONS else "account"


@dataclass(slots=True)
class Bucket:
    """One limit.

    :param ceiling: requests per second when all is well.
    :param rate: requests per second at ``changed_at``.
    :param changed_at: monotonic seconds of the last decrease.
    :param due: monotonic second for which the next request is scheduled.
    """

    ceiling: float
    rate: float
    changed_at: float = float("-inf")
    due: float = float("-inf")


def rate_at(bucket: Bucket, now: float) -> float:
    """Return a bucket's rate at a time: it climbs from the last decrease towards the ceiling."""
    if bucket.rate >= bucket.ceiling:
        return bucket.ceiling
    climbed = (now - bucket.changed_at) * RECOVERY_PER_SECOND * bucket.ceiling
    return min(bucket.ceiling, bucket.rate + climbed)


def book(bucket: Bucket, now: float) -> float:
    """Take the next place in a bucket's schedule.

    :return: monotonic second at which the request may go; not later than ``now`` if at once.
    """
    start = max(bucket.due, now - BURST_SECONDS)
    bucket.due = start + 1.0 / rate_at(bucket, now)
    return start


def decrease(bucket: Bucket, now: float, most: float = float("inf")) -> bool:
    """Lower a bucket's rate after a 429, once for all those that were under way.

    :param most: requests per second that can have been made, if that is known.
    :return: whether it was lowered.
    """
    if now - bucket.changed_at < SETTLE_SECONDS:
        return False
    bucket.rate = max(FLOOR, min(most, rate_at(bucket, now)) * DECREASE)
    bucket.changed_at = now
    # Stripe's own bucket is empty now: those who wait begin again one step later, at the new pace.
    bucket.due = max(bucket.due, now) + 1.0 / bucket.rate
    return True


class RateLimiter:
    """Paces the requests of one account. Thread-safe.

    :param account_rate: requests per second that Stripe allows the account.
    :param endpoint_rate: requests per second that Stripe allows each operation.
    :param headroom: part of both that is used.
    :param clock: monotonic seconds.
    :param sleep: waits for seconds.
    """

    def __init__(
        self,
        account_rate: float = 100.0,
        endpoint_rate: float = 25.0,
        *,
        headroom: float = HEADROOM,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if account_rate <= 0 or endpoint_rate <= 0 or not 0 < headroom <= 1:
            raise ValueError("rates must be positive and headroom in (0, 1]")
        self._lock = threading.Lock()
        self._clock = clock
        self._sleep = sleep
        self._account = Bucket(account_rate * headroom, account_rate * headroom)
        self._endpoint_rate = endpoint_rate * headroom
        self._endpoints: dict[str, Bucket] = {}
        self.waited = 0.0

    @classmethod
    def for_mode(cls, livemode: bool | None) -> RateLimiter:
        """Return a limiter with Stripe's default limits of live mode or of a sandbox."""
        return cls(100.0 if livemode else 25.0, 25.0)

    def acquire(self, name: str) -> float:
        """Wait until a request of an operation may be sent.

        The endpoint comes first and the account second: a request that waits for its endpoint does
        not hold a place that requests of other endpoints could use.

        :param name: see :func:`operation`.
        :return: seconds waited.
        """
        waited = self._wait(lambda: self._endpoint(name)) + self._wait(lambda: self._account)
        if waited:
            with self._lock:
                self.waited += waited
        return waited

    def throttled(self, name: str, reason: str | None) -> None:
        """Take note of a 429.

        :param name: the operation that got it.
        :param reason: its header ``Stripe-Rate-Limited-Reason``.
        """
        scope = scope_of(reason)
        if scope is None:
            return
        with self._lock:
            now = self._clock()
            if scope == "endpoint":
                decrease(self._endpoint(name), now)
                return
            # One stream alone never makes an account's 100 requests/s: to lower that number means
            # nothing until it is below what the endpoints in use can make together.
            used = [b for b in self._endpoints.values() if b.due > now - IN_USE_SECONDS]
            most = sum(rate_at(bucket, now) for bucket in used)
            decrease(self._account, now, most or float("inf"))

    def rates(self) -> dict[str, float]:
        """Return the present rate of each bucket; the account's has the name ``account``."""
        with self._lock:
            now = self._clock()
            found = {name: rate_at(bucket, now) for name, bucket in self._endpoints.items()}
            found["account"] = rate_at(self._account, now)
            return found

    def _endpoint(self, name: str) -> Bucket:
        if name not in self._endpoints:
            self._endpoints[name] = Bucket(self._endpoint_rate, self._endpoint_rate)
        return self._endpoints[name]

    def _wait(self, bucket: Callable[[], Bucket]) -> float:
        with self._lock:
            now = self._clock()
            seconds = book(bucket(), now) - now
        if seconds <= 0:
            return 0.0
        self._sleep(seconds)
        return seconds
