"""A list as Stripe answers it, and a load of it in simulated time: thousands of loads a second."""

from __future__ import annotations

import bisect
import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airflow_provider_stripe_app.api.listing import Listing, PageFacts
from airflow_provider_stripe_app.api.ranges import PAGE_SIZE, Range, query

NOW = 1_800_000_000
DAY = 86_400
YEARS = 3_650 * DAY


class ListModel:
    """Objects by creation time; ids are their places, newest first.

    :param created: unix seconds.
    """

    def __init__(self, created: Sequence[int]) -> None:
        self.created = sorted(created, reverse=True)
        self._keys = [-second for second in self.created]

    def page(self, wanted: Range) -> tuple[list[int], bool]:
        """Return the places of a page's objects, and ``has_more``."""
        params = query(wanted)
        first = 0
        if "created[lt]" in params:
            first = bisect.bisect_right(self._keys, -int(params["created[lt]"]))
        if "starting_after" in params:
            first = max(first, int(params["starting_after"]) + 1)
        last = len(self._keys)
        if "created[gte]" in params:
            last = bisect.bisect_right(self._keys, -int(params["created[gte]"]))
        return list(range(first, min(first + PAGE_SIZE, last))), first + PAGE_SIZE < last

    def facts(self, places: list[int], has_more: bool) -> PageFacts:
        """Return what the engine is told about a page."""
        if not places:
            return PageFacts(0, has_more)
        newest, oldest = self.created[places[0]], self.created[places[-1]]
        return PageFacts(len(places), has_more, newest, oldest, str(places[-1]))


@dataclass
class Loaded:
    """How a load went.

    :param sent: when each request was sent, in seconds.
    :param seconds: when the last answer was there.
    """

    least: int
    seen: list[int] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    empty: int = 0
    seconds: float = 0.0

    def used(self, rate: float) -> float:
        """Return the part of the allowed requests used from the second second to the last."""
        last = self.sent[-1]
        return sum(1 for at in self.sent if at >= 1.0) / (rate * (last - 1.0))


def load(
    created: Sequence[int],
    *,
    latency: tuple[float, float],
    rate: float = 25.0,
    width: int | None = None,
    start: Sequence[Range] = (Range(None, None),),
    seed: int = 1,
) -> Loaded:
    """List everything, with requests spaced evenly at 98 % of a rate and answers of some latency.

    :param latency: fewest and most seconds to an answer.
    :param width: requests under way; by default what rate and latency take.
    """
    rng = random.Random(seed)
    model, listing = ListModel(created), Listing(start)
    out = Loaded(max(1, math.ceil(len(model.created) / PAGE_SIZE)))
    if width is None:
        width = math.ceil(rate * (sum(latency) / 2 + (latency[1] - latency[0]) / 2)) + 1
    flying: list[tuple[float, int, Range]] = []
    due = 0.0
    while not listing.finished:
        while listing.waiting and len(flying) < width:
            at = max(out.seconds, due)
            due = max(due, out.seconds - 0.1) + 1 / (0.98 * rate)
            out.sent.append(at)
            heapq.heappush(flying, (at + rng.uniform(*latency), len(out.sent), listing.take()))
        out.seconds, _, before = heapq.heappop(flying)
        places, has_more = model.page(before)
        out.seen += places
        out.empty += not places
        listing.read(before, model.facts(places, has_more), width)
    out.sent.sort()
    return out


def _minute(n: int, rng: random.Random) -> list[int]:
    return [NOW - 3_600 + rng.randrange(60) for _ in range(n)]


def _evenly(n: int, rng: random.Random) -> list[int]:
    return [NOW - i * YEARS // n for i in range(n)]


def _daily(n: int, rng: random.Random) -> list[int]:
    return [NOW - i * DAY for i in range(min(n, 3_650))]


def _one_day(n: int, rng: random.Random) -> list[int]:
    daily = _daily(n // 10, rng)
    return daily + [NOW - 500 * DAY + rng.randrange(DAY) for _ in range(n - len(daily))]


def _seconds(n: int, rng: random.Random) -> list[int]:
    seconds = [NOW - rng.randrange(300 * DAY) for _ in range(20)]
    return [rng.choice(seconds) for _ in range(n)]


def _one_second(n: int, rng: random.Random) -> list[int]:
    return [NOW - 3_600] * n


def _growth(n: int, rng: random.Random) -> list[int]:
    return [NOW - 60 - int(3 * 365 * DAY * rng.random() ** 2) for _ in range(n)]


def _renewals(n: int, rng: random.Random) -> list[int]:
    def one() -> int:
        if rng.random() < 0.8:
            return NOW - 30 * DAY * rng.randrange(36) - rng.randrange(3_600)
        return NOW - rng.randrange(1_080 * DAY)

    return [one() for _ in range(n)]


def _old_burst(n: int, rng: random.Random) -> list[int]:
    few = [NOW - i for i in range(min(n, 101))]
    return few + [NOW - 12 * YEARS // 10 + rng.randrange(1_000) for _ in range(n - len(few))]


SHAPES: dict[str, Callable[[int, random.Random], list[int]]] = {
    "one minute": _minute,
    "evenly over ten years": _evenly,
    "one a day": _daily,
    "nearly all on one day": _one_day,
    "in twenty seconds of 300 days": _seconds,
    "one second": _one_second,
    "a growing business": _growth,
    "monthly renewals": _renewals,
    "an old burst": _old_burst,
}


def fractal(n: int, rng: random.Random, lean: float) -> list[int]:
    """Objects that cluster at every scale; each half of a time holds its own random part.

    :param lean: probability of the fuller half, 0.5 for an even spread.
    """
    fuller: dict[tuple[int, int], bool] = {}
    out = []
    for _ in range(n):
        place, depth = 0, 0
        while depth < 28:
            older = fuller.setdefault((depth, place), rng.random() < 0.5)
            place = 2 * place + (older == (rng.random() < lean))
            depth += 1
        out.append(NOW - 1 - place)
    return out
