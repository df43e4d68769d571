"""Full loads: ``created`` ranges fetched by a pool of threads, merged by one writer, resumable
anywhere.

Each page carries its own progress (*range before → ranges after*), and the transaction that merges
its rows stores exactly that progress (EQUALITY §2). So a killed load goes on where its last commit
was.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_stripe_app.api.client import ParentPage
from airflow_provider_stripe_app.api.errors import ObjectMissing, StripeApiError
from airflow_provider_stripe_app.api.ranges import Range, after_page, without_cursor
from airflow_provider_stripe_app.api.split import ParentItem
from airflow_provider_stripe_app.sync.context import Context
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
from airflow_provider_stripe_app.sync.merge import Merger
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.progress import Progress
from airflow_provider_stripe_app.sync.state import StreamState
from airflow_provider_stripe_app.sync.versions import read_version
from airflow_provider_stripe_app.warehouse.base import TableChange, Transaction

log = logging.getLogger(__name__)

FLOOR = 1_293_840_000
"""2011-01-01: where an open lower end is taken to be when a range is halved. Requests keep the
open end."""

CALLS_AHEAD = 2
"""Requests that may wait for a thread, per worker."""


@dataclass(slots=True)
class LoadPage:
    """A fetched page on its way to the warehouse.

    :param before: the range it was read from.
    :param after: what of that range remains.
    :param waiting: whether children are still being fetched.
    :param sent_at: Stripe's time when it was sent, unix seconds.
    :param parents: objects with more children than are inlined.
    :param sets: their children, as far as they are read; ``None`` for a parent that was missing.
    """

    before: Range
    after: tuple[Range, ...]
    fetched: Fetched = field(default_factory=Fetched)
    waiting: bool = False
    sent_at: int = 0
    parents: dict[str, ParentItem] = field(default_factory=dict)
    sets: dict[str, ChildSet | None] = field(default_factory=dict)


def apply_pages(
    remaining: Sequence[Range], pages: Sequence[LoadPage]
) -> tuple[tuple[Range, ...], list[LoadPage], list[LoadPage]]:
    """Move progress over those pages whose range the stored state still knows.

    A page whose predecessor still waits for children has to wait as well.

    :return: (remaining ranges after them, pages to merge now, pages to keep).
    """
    left = list(remaining)
    ready = list(pages)
    merged: list[LoadPage] = []
    moved = True
    while moved:
        moved = False
        kept = []
        for page in ready:
            if not page.waiting and page.before in left:
                left.remove(page.before)
                left.extend(page.after)
                merged.append(page)
                moved = True
            else:
                kept.append(page)
        ready = kept
    return tuple(left), merged, ready


def share_done(remaining: Sequence[Range], now: int) -> float:
    """Return which share of the time from :data:`FLOOR` to ``now`` has been listed (0 to 1).

    A rough measure of progress: objects are rarely spread evenly over time.
    """
    left = 0
    for rng in remaining:
        end = rng.last_created or rng.lt or now
        left += max(0, end - max(rng.gte or FLOOR, FLOOR))
    return 1.0 - min(1.0, left / max(1, now - FLOOR))


class Job:
    """The load of one unit."""

    def __init__(self, unit: Unit, state: StreamState) -> None:
        self.unit = unit
        self.state = state
        self.frontier: deque[Range] = deque(state.remaining)
        self.in_flight = 0
        self.pages: list[LoadPage] = []
        self.rows_waiting = 0
        self.flushed_at = time.monotonic()
        self.error: Exception | None = None
        self.committing: Future[dict[str, TableChange]] | None = None

    @property
    def fetching(self) -> bool:
        """Whether pages are still to be fetched."""
        return self.error is None and bool(self.frontier or self.in_flight)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to fetch or to merge."""
        if self.committing is not None:
            return False
        if self.error is not None:
            return self.in_flight == 0
        return not self.state.remaining

    def wants_flush(self, rows: int, seconds: float) -> bool:
        """Tell whether the fetched pages should be merged now."""
        if not self.pages or self.committing is not None:
            return False
        old = time.monotonic() - self.flushed_at >= seconds
        return self.rows_waiting >= rows or old or not self.fetching


class Loader:
    """Loads several units at once under one rate budget.

    :param ctx: the run.
    :param jobs: what to load.
    :param between: called often, so that the feed runs beside a long load.
    """

    def __init__(self, ctx: Context, jobs: Sequence[Job], between: Callable[[], None]) -> None:
        self._ctx = ctx
        self._jobs = list(jobs)
        self._between = between
        self._merger = Merger(ctx)
        self._lists: dict[Future[ParentPage | None], tuple[Job, Range]] = {}
        self._units: dict[Future[Fetched], tuple[Job, LoadPage]] = {}
        self._sets: dict[Future[ChildSet | None], tuple[Job, LoadPage, str]] = {}
        self._progress = Progress(ctx, "loading", self._share)

    def run(self) -> None:
        """Load until every job is finished or has failed; a job's error is left in ``job.error``.

        :raises StaleWriter: if another run has taken a lease over.
        :raises WarehouseError: if the warehouse fails.
        """
        options = self._ctx.options
        pool = ThreadPoolExecutor(options.workers, thread_name_prefix="stripe-list")
        try:
            while not all(job.finished for job in self._jobs):
                self._submit(pool)
                self._collect(pool)
                self._flush()
                self._ctx.renew()
                self._between()
                self._progress.tick()
        finally:
            pool.shutdown(cancel_futures=True)

    def _share(self) -> float:
        shares = [share_done(j.state.remaining, j.state.load_id) for j in self._jobs]
        return sum(shares) / len(shares)

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        """Give ranges to idle workers, a stream after the other so that all get their share."""
        options = self._ctx.options
        limit = options.workers * CALLS_AHEAD
        busy = len(self._lists) + len(self._units) + len(self._sets)
        moved = True
        while moved:
            moved = False
            for job in self._jobs:
                if (
                    job.error is None
                    and job.frontier
                    and busy < limit
                    and job.rows_waiting < options.batch_rows
                ):
                    rng = job.frontier.popleft()
                    self._lists[
                        pool.submit(list_range, self._ctx.client, job.unit, rng, "list")
                    ] = (job, rng)
                    job.in_flight += 1
                    busy += 1
                    moved = True

    def _collect(self, pool: ThreadPoolExecutor) -> None:
        futures: list[Future[Any]] = [*self._lists, *self._units, *self._sets]
        futures += [j.committing for j in self._jobs if j.committing]
        if not futures:
            return
        done, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            if future in self._lists:
                self._listed(pool, future)
            elif future in self._units:
                self._unit_done(future)
            elif future in self._sets:
                self._set_done(pool, future)
        for job in self._jobs:
            if job.committing is not None and job.committing.done():
                self._merger.count(job.committing.result())
                job.committing = None

    def _listed(self, pool: ThreadPoolExecutor, future: Future[ParentPage | None]) -> None:
        job, rng = self._lists.pop(future)
        job.in_flight -= 1
        try:
            page = future.result()
            after = [without_cursor(rng)] if page is None else self._remainder(job, rng, page)
        except StripeApiError as error:
            self._failed(job, error)
            return
        if page is None:
            job.pages.append(LoadPage(rng, tuple(after)))
        else:
            self._keep(pool, job, LoadPage(rng, tuple(after)), page)
        job.frontier.extend(after)

    def _failed(self, job: Job, error: StripeApiError) -> None:
        """Give a job up: what waits for a thread is not sent any more."""
        job.error = job.error or error
        waiting: tuple[dict[Future[Any], Any], ...] = (self._lists, self._units, self._sets)
        for futures in waiting:
            for future in [f for f, about in futures.items() if about[0] is job and f.cancel()]:
                del futures[future]
                job.in_flight -= 1

    def _remainder(self, job: Job, rng: Range, page: ParentPage) -> list[Range]:
        if not page.items:
            return []
        last = page.items[-1]
        if last.created is None:
            raise StripeApiError(f"{job.unit.name}: Stripe returned an object without `created`")
        idle = len(self._lists) + len(job.frontier) < self._ctx.options.workers
        return after_page(
            rng,
            oldest_created=last.created,
            oldest_id=last.id,
            has_more=page.has_more,
            cuts=_halves(rng, last.created) if idle else (),
        )

    def _keep(self, pool: ThreadPoolExecutor, job: Job, kept: LoadPage, page: ParentPage) -> None:
        version = read_version(page.sent_at)
        kept.sent_at = page.sent_at
        for item in page.items:
            if is_whole(job.unit, item):
                kept.fetched.objects.append(staged(job.unit, item, version))
            else:
                kept.parents[item.id] = item
        kept.waiting = bool(kept.parents)
        if len(kept.parents) == 1:
            (item,) = kept.parents.values()
            future = pool.submit(complete, self._ctx.client, job.unit, item, page.sent_at)
            self._wait_for(future, job, kept)
        else:
            for object_id in kept.parents:
                self._sets[pool.submit(self._children, job.unit, object_id)] = (
                    job,
                    kept,
                    object_id,
                )
                job.in_flight += 1
        job.pages.append(kept)
        job.rows_waiting += len(page.items)
        self._progress.seen(job.unit.name, len(page.items))

    def _wait_for(self, future: Future[Fetched], job: Job, page: LoadPage) -> None:
        self._units[future] = (job, page)
        job.in_flight += 1

    def _children(self, unit: Unit, object_id: str) -> ChildSet | None:
        try:
            return child_set(self._ctx.client, unit, object_id)
        except ObjectMissing:
            return None  # the next look at the page says so

    def _set_done(self, pool: ThreadPoolExecutor, future: Future[ChildSet | None]) -> None:
        """Look at a page once more when the last of its children are read."""
        job, page, object_id = self._sets.pop(future)
        job.in_flight -= 1
        try:
            page.sets[object_id] = future.result()
        except StripeApiError as error:
            self._failed(job, error)
            return
        if job.error is None and len(page.sets) == len(page.parents):
            self._wait_for(pool.submit(self._look_again, job.unit, page), job, page)

    def _look_again(self, unit: Unit, page: LoadPage) -> Fetched:
        again = list_range(self._ctx.client, unit, page.before, "children")
        return complete_by_page(
            self._ctx.client, unit, page.parents, page.sets, again, page.sent_at
        )

    def _unit_done(self, future: Future[Fetched]) -> None:
        job, page = self._units.pop(future)
        job.in_flight -= 1
        try:
            page.fetched.extend(future.result())
            page.waiting = False
        except StripeApiError as error:
            self._failed(job, error)

    def _flush(self) -> None:
        options = self._ctx.options
        for job in self._jobs:
            if not job.wants_flush(options.batch_rows, options.batch_seconds):
                continue
            remaining, ready, job.pages = apply_pages(job.state.remaining, job.pages)
            job.flushed_at = time.monotonic()
            if not ready:
                continue
            job.state = replace(
                job.state, remaining=remaining, phase="load" if remaining else "sweep"
            )
            job.rows_waiting = sum(len(p.fetched.objects) for p in job.pages)
            job.committing = self._ctx.submit(self._commit(job, job.state, ready))

    def _commit(self, job: Job, state: StreamState, pages: Sequence[LoadPage]) -> Work:
        fetched = Fetched()
        for page in pages:
            fetched.extend(page.fetched)
        claim = self._ctx.claims[job.unit.name]

        def work(tx: Transaction) -> dict[str, TableChange]:
            tx.advance(claim, state.to_json())
            return self._merger.merge(tx, job.unit, fetched, load_id=state.load_id)

        return work


Work = Callable[[Transaction], dict[str, TableChange]]


def _halves(rng: Range, oldest: int) -> tuple[int, ...]:
    lowest = FLOOR if rng.gte is None else rng.gte
    return ((lowest + oldest + 1) // 2,) if oldest > lowest else ()
