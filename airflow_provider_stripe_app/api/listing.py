"""How a list of unknown size is read by several requests at once, with hardly more of them than its
pages.

Reading faster than page after page means cutting what is unread by time, without knowing where the
objects are. A cut costs at most one request: the part below it may be empty, or end with a page
that is not full. So every decision here is between a request and an idle moment:

* A remainder is cut only while fewer requests are under way than the rate and the latency of
  Stripe's answers take, and only so far as that each part is a fair share of the work left.
* Where to cut follows the density seen so far: that of the page just read, and that just below the
  remainder if a request has been there. A lower end not looked at yet may be as dense or empty, at
  any scale; cuts are spread over both guesses.
* There are never more cuts than pages known to exist, so a list of any shape takes at most twice
  the least number of requests, and one of a single page takes one.

Nothing here does I/O or looks at a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from airflow_provider_stripe_app.api.ranges import PAGE_SIZE, Range, after_page, without_cursor

FLOOR = 1_293_840_000
"""2011-01-01: where an open lower end is taken to be when cutting. Requests keep the open end."""

SMALLEST = 2.0
"""Expected pages below which a remainder is not cut: the request it costs saves no time."""

FAIR = 1.3
"""How much larger than an equal share of the work left a part may be."""

STEEP = 0.01
"""Part of the upper end's density below which the lower end's says nothing of what is between: so
steep a fall is an edge, which may be anywhere."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says about the range it was read from.

    :param count: number of objects on it.
    :param newest: when its first object was created, unix second; ``None`` if the page is empty or
        the objects do not say.
    :param oldest: the same for its last object.
    :param oldest_id: id of its last object.
    """

    count: int
    has_more: bool
    newest: int | None = None
    oldest: int | None = None
    oldest_id: str = ""


class Listing:
    """The unread ranges of one list.

    :param remaining: what is to be read.
    """

    def __init__(self, remaining: Iterable[Range]) -> None:
        self._waiting: dict[Range, float] = dict.fromkeys(remaining, math.inf)
        self._reading: dict[Range, float] = {}
        self._density_below: dict[int, float] = {}
        self._objects = 0
        self._cuts = 0

    @property
    def waiting(self) -> int:
        """Number of ranges that could be read from now."""
        return len(self._waiting)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to read."""
        return not self._waiting and not self._reading

    def take(self) -> Range:
        """Return the range to read a page from next: the one with most left."""
        wanted = max(self._waiting, key=self._waiting.__getitem__)
        self._reading[wanted] = self._waiting.pop(wanted)
        return wanted

    def cursor_deleted(self, before: Range) -> list[Range]:
        """Take note that Stripe knows the object no more after which a page was to begin.

        :param before: as returned by :meth:`take`.
        :return: what remains of it.
        """
        rest = without_cursor(before)
        self._waiting[rest] = self._reading.pop(before)
        return [rest]

    def read(self, before: Range, page: PageFacts, width: int) -> list[Range]:
        """Take note of a page.

        :param before: the range it was read from, as returned by :meth:`take`.
        :param width: number of requests that should be under way.
        :return: what remains of that range.
        """
        del self._reading[before]
        self._objects += page.count
        self._look_below(before, page)
        if not page.has_more or not page.count:
            return []
        cuts: list[int] = []
        left = math.inf
        if page.oldest is not None:
            below = None if before.gte is None else self._density_below.get(before.gte)
            rest = Remainder.of(before, page.oldest, page.newest, below)
            left = rest.pages
            cuts = rest.cuts(self._wanted_cuts(left, width))
        self._cuts += len(cuts)
        parts = after_page(
            before,
            oldest_created=page.oldest,
            oldest_id=page.oldest_id,
            has_more=True,
            cuts=cuts,
        )
        self._waiting.update((part, left / len(parts)) for part in parts)
        return parts

    def _look_below(self, before: Range, page: PageFacts) -> None:
        """Remember the density just below the boundary at which a range begins."""
        if before.lt is None or before.starting_after is not None:
            return
        lowest = FLOOR if before.gte is None else before.gte
        end = page.oldest if page.has_more and page.oldest is not None else lowest
        self._density_below[before.lt] = page.count / max(1, before.lt - end)

    def _wanted_cuts(self, left: float, width: int) -> int:
        idle = width - len(self._reading) - len(self._waiting) - 1
        # As many pages are known to exist: the full ones, and at least one more.
        affordable = (self._objects + PAGE_SIZE) // PAGE_SIZE - self._cuts
        if left < SMALLEST or idle <= 0 or affordable <= 0:
            return 0
        known = [
            one for one in (*self._reading.values(), *self._waiting.values()) if one < math.inf
        ]
        share = max(SMALLEST / 2, FAIR * (left + sum(known)) / width)
        return min(idle, affordable, math.ceil(left / share) - 1)


@dataclass(frozen=True, slots=True)
class Remainder:
    """What of a range is unread below a page, and how its objects may be spread.

    :param top: unix second of the last object read.
    :param bottom: unix second of its lower end.
    :param per_page: seconds that the last page's objects span.
    :param below: objects per second just below its lower end, ``None`` if nobody has looked.
    """

    top: int
    bottom: int
    per_page: float
    below: float | None

    @classmethod
    def of(cls, before: Range, oldest: int, newest: int | None, below: float | None) -> Remainder:
        """Return what a page with these first and last seconds leaves of a range."""
        bottom = FLOOR if before.gte is None else before.gte
        upper = before.last_created if before.last_created is not None else newest
        spanned = 0 if upper is None else upper - oldest
        return cls(oldest, bottom, max(0.5, float(spanned)), below)

    @property
    def span(self) -> int:
        """Seconds from the lower end to the last object read."""
        return max(0, self.top - self.bottom)

    @property
    def pages(self) -> float:
        """Pages to be expected."""
        even = self.span / self.per_page
        ratio = self._ratio
        if ratio is None:
            return even * (1 + _mean_depth(even)) / 2
        return even if ratio == 1 else even * (ratio - 1) / math.log(ratio)

    @property
    def _ratio(self) -> float | None:
        """Density at the lower end as a part of that at the upper end, if it says anything."""
        if self.below is None:
            return None
        ratio = self.below * self.per_page / PAGE_SIZE
        if ratio < STEEP:
            return None
        return 1 if abs(ratio - 1) < 1e-3 else ratio

    def part_above(self, depth: float) -> float:
        """Return which part of the objects is expected above a depth.

        Between two ends the density is taken to rise or fall by equal ratios in equal times. Where
        only one is known, it may last to the other one, or end anywhere: after as many pages as
        well as after a hundred times as many.

        :param depth: 0 at the last object read, 1 at the lower end.
        """
        ratio = self._ratio
        if ratio is None:
            even = self.span / self.per_page
            return (depth + math.log1p(depth * even) / math.log1p(even)) / 2
        return depth if ratio == 1 else (math.pow(ratio, depth) - 1) / (ratio - 1)

    def cuts(self, wanted: int) -> list[int]:
        """Return up to so many cuts, newest first, that leave about the same number of objects in
        each part.

        A whole page within one second says that this second is to be read on its own.
        """
        if wanted <= 0 or not self.span:
            return []
        found = {self._second(part / (wanted + 1)) for part in range(1, wanted + 1)}
        if self.per_page < 1:
            found.add(self.top)
        return sorted(found, reverse=True)[:wanted]

    def _second(self, part: float) -> int:
        depth = _where(self.part_above, part)
        return max(self.bottom + 1, self.top - round(self.span * depth))


def _mean_depth(even: float) -> float:
    """Return how deep objects reach on average if every scale of depth is as likely.

    :param even: pages if they reach all the way.
    """
    return 1 / math.log1p(even) - 1 / even if even > 1e-3 else 0.5


def _where(rising: Callable[[float], float], wanted: float) -> float:
    """Return where between 0 and 1 a rising function takes a value."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return high
