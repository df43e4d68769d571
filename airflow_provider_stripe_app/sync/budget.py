"""How many requests an account's reads have cost, and how many more may: pure decisions.

Stripe allots an account 500 read requests per transaction over 30 days, and 10,000 at least
(STRIPE.md §2), shared with everything else that reads the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from airflow_provider_stripe_app.api.errors import StripeApiError

DAYS = 30
"""Over so many days Stripe counts."""

KEEP_DAYS = 60
"""Days for which requests are kept."""

FLOOR = 10_000
"""Reads in :data:`DAYS` that Stripe allots to every account."""

ALWAYS = frozenset({"events", "probe"})
"""Purposes that no cap stops: a change feed that is not read for 30 days has a gap."""

NEARLY = 0.8
"""Share of a budget from which on it is said that it is nearly used up."""

LARGEST_RESERVE = 0.5
"""Share of a cap that is kept for the change feed at most."""

LEAST_RESERVE = 0.05
"""Share of a cap that is kept for the change feed at least, however little it has needed."""

LEAST_CAP = 250
"""What a page of the list can need, with the children of its hundred objects, and the feed."""

PER_WORKER = 5_000
"""Requests of a cap for each worker: what is under way at the cap is thrown away, a page with all
its children each, and there is no hurry before the next day."""

Spent = Mapping[tuple[str, str], int]
"""(ISO day, purpose) → requests."""


class RequestCapReached(StripeApiError):
    """A cap stopped a request; nothing was sent."""


def day_of(second: int) -> str:
    """Return the UTC day of a unix second as ISO text."""
    return datetime.fromtimestamp(second, tz=timezone.utc).date().isoformat()


def day_before(day: str, days: int) -> str:
    """Return the day that many days earlier."""
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def on(spent: Spent, day: str, *, feed_only: bool = False) -> int:
    """Return how many requests were made on a day.

    :param feed_only: count those of the change feed only.
    """
    return sum(n for (d, p), n in spent.items() if d == day and (not feed_only or always(p)))


def always(purpose: str) -> bool:
    """Tell whether no cap stops requests of a purpose."""
    return purpose.partition(":")[0] in ALWAYS


def reserve(spent: Spent, today: str, cap: int) -> int:
    """Return how many requests of today are kept for the change feed.

    As many as it needed on the worst of the last seven days, less what it has had today; within
    :data:`LEAST_RESERVE` and :data:`LARGEST_RESERVE` of the cap.

    :param cap: requests a day.
    """
    week = [on(spent, day_before(today, back), feed_only=True) for back in range(1, 8)]
    need = min(max(*week, int(cap * LEAST_RESERVE)), int(cap * LARGEST_RESERVE))
    return max(0, need - on(spent, today, feed_only=True))


def workers(wanted: int, cap: int | None) -> int:
    """Return how many requests may be under way, so that a cap wastes 2 % of itself at most.

    :param wanted: without a cap.
    """
    return wanted if cap is None else min(wanted, max(1, cap // PER_WORKER))


def gets_nowhere(error: Exception, cap: int | None, made: int, *, moved: bool) -> bool:
    """Tell whether a load that a cap has stopped would be stopped there every day.

    :param made: requests of this run. With few of them it was only late in the day.
    :param moved: some of the list was finished.
    """
    stopped = isinstance(error, RequestCapReached) and not moved
    return stopped and cap is not None and made >= cap * (1 - LARGEST_RESERVE)


@dataclass(frozen=True, slots=True)
class Reads:
    """What an account's reads have cost in :data:`DAYS` days.

    :param spent: requests made by this provider into this warehouse.
    :param before: how many of them were made before this run.
    :param budget: how many there may be.
    :param configured: the budget is the user's, not :data:`FLOOR`.
    """

    spent: int
    before: int
    budget: int
    configured: bool

    @property
    def share(self) -> float:
        """Which part of the budget is spent; more than 1 is too much."""
        return self.spent / self.budget if self.budget else float("inf")

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "days": DAYS,
            "spent": self.spent,
            "budget": self.budget,
            "share": round(self.share, 4),
        }

    def warning(self) -> str:
        """Return what a person should know; empty if there is nothing.

        A budget of the user's own is warned of when it is nearly used up, and at every run that
        exceeds it; Stripe's floor once, by the run that crosses it.
        """
        told = f"{self.spent:,} requests in {DAYS} days"
        if not self.configured:
            if self.before <= self.budget < self.spent:
                return (
                    f"{told} are more than the {FLOOR:,} reads that Stripe allots to every account "
                    f"(500 for each transaction if that is more). Set read_budget to what this "
                    "account has, or max_requests_per_day to spread a long load over days."
                )
            return ""
        if self.share > 1:
            return (
                f"{told} are more than the read_budget of {self.budget:,}. Sync less often or "
                "fewer streams, or set max_requests_per_day."
            )
        if self.share >= NEARLY and self.before < NEARLY * self.budget:
            return f"{told} are {self.share:.0%} of the read_budget of {self.budget:,}."
        return ""


def reads(spent: Spent, today: str, own: int, budget: int | None) -> Reads:
    """Return what reads have cost up to now.

    :param spent: with what this run has made.
    :param own: requests made by this run.
    :param budget: the user's, ``None`` for :data:`FLOOR`.
    """
    since = day_before(today, DAYS - 1)
    total = sum(n for (day, _), n in spent.items() if since <= day <= today)
    return Reads(total, max(0, total - own), budget or FLOOR, configured=budget is not None)


def reached(account_id: str, cap: int, made: int, kept: int) -> RequestCapReached:
    """Return the error that stops a request.

    :param made: requests of today.
    :param kept: requests of today that are kept for the change feed.
    """
    return RequestCapReached(
        f"{account_id} has had {made:,} of its {cap:,} requests of today ({kept:,} are kept for "
        "the change feed): run again after midnight UTC, or raise max_requests_per_day."
    )
