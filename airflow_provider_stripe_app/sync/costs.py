"""The cheapest way to read what is owed: objects one by one, or ``created`` ranges of the list.

Reading one object costs one request whatever it is; listing a range costs one per hundred objects
of the range, owed or not. What the children of an owed object cost is the same either way, so they
are left out. The plan is exactly the cheapest one for the counts that it is given, in O(n):

Let *f(j)* be the least cost of the first *j* owed seconds. The last of them is read singly,
``f(j-1) + owed(j)``, or ends a range that began at some *i*, ``f(i-1) + ceil((t(j) - b(i)) / 100)``
with *b* and *t* the number of objects before and through a second. Write both as multiples of 100
and a rest, *t = 100 T + R* and *b = 100 B + r* with rests from 1 to 100 and from 0 to 99: the pages
are ``T - B`` and one more if ``r < R``. So of all beginnings with the same rest *r* only the one
with the least ``f(i-1) - B`` can matter, and these are 100 numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_stripe_app.api.ranges import PAGE_SIZE
from airflow_provider_stripe_app.warehouse.base import OwedSecond

FEWEST_PAGES = 10
"""Pages below which a range is not cut: each cut may cost a page that is not full."""

MOST_PAGES = 100
"""Pages after which a range is cut, so that little is read again after a crash."""

_NEVER = 1 << 60


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of the list that is read from end to end, ``first <= created <= last``.

    :param owed: how many objects in it are owed.
    :param pages: requests that it costs.
    """

    first: int
    last: int
    owed: int
    pages: int


@dataclass(frozen=True, slots=True)
class Cheapest:
    """The plan.

    :param stretches: the ranges to list, the earliest first.
    :param single: how many owed objects are cheaper to read one by one.
    """

    stretches: tuple[Stretch, ...]
    single: int

    @property
    def requests(self) -> int:
        """What it costs."""
        return self.single + sum(s.pages for s in self.stretches)


def pages(objects: int) -> int:
    """Return how many requests list some objects; an empty list costs one too."""
    return max(1, -(-objects // PAGE_SIZE))


def cheapest(seconds: Sequence[OwedSecond]) -> Cheapest:
    """Return the plan that costs the fewest requests.

    Where both cost the same, objects are read one by one: less is transferred.

    :param seconds: by ``created``, each second once.
    """
    began = _beginnings(seconds)
    stretches: list[Stretch] = []
    single, j = 0, len(seconds)
    while j:
        i = began[j]
        if i < 0:
            single += seconds[j - 1].owed
            j -= 1
        else:
            stretches.append(_stretch(seconds[i:j]))
            j = i
    return Cheapest(tuple(reversed(stretches)), single)


def _beginnings(seconds: Sequence[OwedSecond]) -> list[int]:
    """Return per number of seconds where the range that ends with the last one begins.

    ``-1`` where the last second is read singly.
    """
    least = [_NEVER] * PAGE_SIZE
    where = [-1] * PAGE_SIZE
    began = [-1]
    cost = 0
    for place, second in enumerate(seconds):
        whole, rest = divmod(second.before, PAGE_SIZE)
        if cost - whole < least[rest]:
            least[rest], where[rest] = cost - whole, place
        whole, rest = divmod(second.through - 1, PAGE_SIZE)
        best, start = _end(least, rest + 1)
        cost += second.owed
        if best + whole < cost:
            cost = best + whole
            began.append(where[start])
        else:
            began.append(-1)
    return began


def _end(least: list[int], rest: int) -> tuple[int, int]:
    """Return the least cost of a range that ends with a rest of 1 to 100, and its beginning's."""
    dear = min(least[:rest])
    cheap = min(least[rest:], default=_NEVER)
    if cheap <= dear + 1:
        return cheap, least.index(cheap, rest)
    return dear + 1, least.index(dear, 0, rest)


def _stretch(seconds: Sequence[OwedSecond]) -> Stretch:
    first, last = seconds[0], seconds[-1]
    owed = sum(s.owed for s in seconds)
    return Stretch(first.created, last.created, owed, pages(last.through - first.before))


def cut(seconds: Sequence[OwedSecond], stretches: Iterable[Stretch], workers: int) -> list[Stretch]:
    """Cut long stretches so that all workers have something to list at the same time.

    A cut falls where the page before it is nearly full, as far as there is a choice.

    :param seconds: what the plan was made from.
    :param workers: threads that list.
    """
    wanted = list(stretches)
    total = sum(s.pages for s in wanted)
    length = min(MOST_PAGES, max(FEWEST_PAGES, total // max(1, workers)))
    parts: list[Stretch] = []
    place = 0
    for stretch in wanted:
        while seconds[place].created < stretch.first:
            place += 1
        end = place
        while end < len(seconds) and seconds[end].created <= stretch.last:
            end += 1
        parts += _parts(seconds[place:end], length)
        place = end
    return parts


def _parts(seconds: Sequence[OwedSecond], length: int) -> list[Stretch]:
    parts: list[Stretch] = []
    begin, best, fill = 0, 0, -1
    place = 0
    while place < len(seconds):
        listed = seconds[place].through - seconds[begin].before
        over = pages(listed) > length + length // FEWEST_PAGES
        if over and fill >= 0:
            parts.append(_stretch(seconds[begin : best + 1]))
            begin, fill, place = best + 1, -1, best + 1
            continue
        full = (listed - 1) % PAGE_SIZE
        if pages(listed) >= length and full >= fill:
            best, fill = place, full
        place += 1
    parts.append(_stretch(seconds[begin:]))
    return parts
