"""Reading what is owed by listing the ``created`` ranges where most of it is.

A page brings a hundred objects for the price of one. Only what is owed is taken from it, exactly as
if it had been read by itself: the children of all others stay unread, and an owed object that the
list does not show is left to be read by itself (it was deleted, or its second was not the right
one).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.api.client import ParentPage
from airflow_provider_stripe_app.api.errors import ObjectMissing, StripeApiError
from airflow_provider_stripe_app.api.ranges import Range, after_page, without_cursor
from airflow_provider_stripe_app.sync.costs import Cheapest, Stretch, cheapest, cut
from airflow_provider_stripe_app.sync.fetch import (
    ChildSet,
    Fetched,
    child_set,
    complete,
    complete_by_page,
    is_whole,
    list_range,
    staged,
)
from airflow_provider_stripe_app.sync.versions import read_version

if TYPE_CHECKING:
    from airflow_provider_stripe_app.api.split import ParentItem
    from airflow_provider_stripe_app.sync.context import Context
    from airflow_provider_stripe_app.sync.options import Unit
    from airflow_provider_stripe_app.warehouse.base import OwedSecond, Transaction

LISTS_AT_ONCE = 16
"""Ranges listed side by side: what 25 requests a second take when an answer takes 0.6 s."""

PLAN_OBJECTS = 100_000
"""Owed objects that one plan is made for: bounds memory to some ten MB."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A plan for the owed objects of some seconds of creation.

    :param last: the latest of these seconds.
    :param parts: the ranges to list.
    """

    last: int
    plan: Cheapest
    parts: Sequence[Stretch]


def plan_dense(
    tx: Transaction, ctx: Context, unit: Unit, after: int, objects: int = PLAN_OBJECTS
) -> Dense | None:
    """Plan for the owed objects created later than a second; ``None`` when there are no more.

    :param objects: plan for about so many.
    """
    found = tx.owed_seconds(unit.stream, ctx.account_id, ctx.livemode, after, objects)
    seconds = _first(found, objects)
    if not seconds:
        return None
    plan = cheapest(seconds)
    return Dense(seconds[-1].created, plan, cut(seconds, plan.stretches, _side_by_side(ctx)))


def _side_by_side(ctx: Context) -> int:
    return min(ctx.options.workers, LISTS_AT_ONCE)


def _first(seconds: Sequence[OwedSecond], objects: int) -> Sequence[OwedSecond]:
    """Return the first seconds with about so many owed objects, at least one second."""
    total = 0
    for place, second in enumerate(seconds):
        total += second.owed
        if total >= objects:
            return seconds[: place + 1]
    return seconds


class Relist:
    """Lists ranges and takes what is owed out of them.

    :param pool: where requests are made.
    :param owed: ids of the objects that are owed in these ranges.
    """

    def __init__(
        self,
        ctx: Context,
        unit: Unit,
        pool: ThreadPoolExecutor,
        parts: Sequence[Stretch],
        owed: set[str],
    ) -> None:
        self._ctx = ctx
        self._unit = unit
        self._pool = pool
        self._waiting = deque(Range(p.first, p.last + 1) for p in parts)
        self._owed = owed
        self._error: StripeApiError | None = None
        self._over = False

    def batches(self) -> Iterator[Fetched]:
        """Yield what was read, some thousand objects at once.

        :raises StripeApiError: after everything that could be read was yielded.
        """
        running: set[Future[tuple[Fetched, list[Range]]]] = set()
        ready = Fetched()
        options = self._ctx.options
        try:
            while running or self._waiting:
                while self._waiting and len(running) < _side_by_side(self._ctx):
                    running.add(self._pool.submit(self._page, self._waiting.popleft()))
                done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    ready.extend(self._taken(future))
                self._ctx.renew()
                if len(ready.objects) >= options.batch_rows:
                    yield ready
                    ready = Fetched()
        finally:
            self._over = True  # whatever ends this early must not wait for all children of a page
            for future in running:
                future.cancel()
        yield ready
        if self._error is not None:
            raise self._error

    def _taken(self, future: Future[tuple[Fetched, list[Range]]]) -> Fetched:
        try:
            fetched, rest = future.result()
        except StripeApiError as error:
            self._error = self._error or error
            self._waiting.clear()
            return Fetched()
        if self._error is None:
            self._waiting.extendleft(rest)
        return fetched

    def _page(self, rng: Range) -> tuple[Fetched, list[Range]]:
        """Read the next page of a range; return what is owed on it, and what of the range is left.

        Runs in the pool.
        """
        client, unit = self._ctx.client, self._unit
        page = list_range(client, unit, rng, "relist")
        if page is None:
            return Fetched(), [without_cursor(rng)]
        return self._wanted(rng, page), _rest(rng, page)

    def _wanted(self, rng: Range, page: ParentPage) -> Fetched:
        client, unit = self._ctx.client, self._unit
        version = read_version(page.sent_at)
        out = Fetched()
        parents: dict[str, ParentItem] = {}
        for item in page.items:
            if item.id not in self._owed:
                continue
            if is_whole(unit, item):
                out.objects.append(staged(unit, item, version))
            else:
                parents[item.id] = item
        if len(parents) == 1:
            (item,) = parents.values()
            out.extend(complete(client, unit, item, page.sent_at))
        elif parents:
            sets = {object_id: self._children(object_id) for object_id in parents}
            again = list_range(client, unit, rng, "children")
            out.extend(complete_by_page(client, unit, parents, sets, again, page.sent_at))
        return out

    def _children(self, parent_id: str) -> ChildSet | None:
        if self._over:
            raise CancelledError
        try:
            return child_set(self._ctx.client, self._unit, parent_id)
        except ObjectMissing:
            return None  # the next look at the page says so


def _rest(rng: Range, page: ParentPage) -> list[Range]:
    if not page.items:
        return []
    last = page.items[-1]
    return after_page(rng, oldest_created=last.created, oldest_id=last.id, has_more=page.has_more)
