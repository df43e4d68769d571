"""Full loads: lists read by several requests at once, merged by one writer, resumable anywhere.

Each page carries its own progress (*range before → ranges after*), and the transaction that merges
its rows stores exactly that progress (EQUALITY §2). So a killed load goes on where its last commit
was.

Two threads share the work, so that neither waits for the other: one sends requests and takes pages
in, the run's own hands them to the writer, renews leases and lets the change feed run. Between them
is a queue that is bounded in bytes; only when it is full does fetching stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from airflow_provider_stripe_app.api.client import ParentPage
from airflow_provider_stripe_app.api.errors import ObjectMissing, StripeApiError
from airflow_provider_stripe_app.api.ranges import Range
from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.fetch import (
    ChildSet,
    Fetched,
    child_set,
    complete,
    complete_by_page,
    is_whole,
    list_range,
    sliced,
)
from airflow_provider_stripe_app.sync.lanes import Call, Lanes
from airflow_provider_stripe_app.sync.merge import Merger
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.pages import (
    Job,
    LoadPage,
    facts,
    share_done,
    size_of,
)
from airflow_provider_stripe_app.sync.progress import Progress
from airflow_provider_stripe_app.sync.state import StreamState
from airflow_provider_stripe_app.sync.versions import read_version
from airflow_provider_stripe_app.warehouse.base import TableChange, Transaction

__all__ = ["Job", "Loader"]

T = TypeVar("T")

IDLE_SECONDS = 0.5
"""Longest time without a look at leases, the change feed and batches that are old enough."""


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
        self._progress = Progress(ctx, "loading", self._share)
        self._lock = threading.Lock()  # of the jobs
        self._news = threading.Event()
        self._stopped = False
        self._broken: BaseException | None = None
        self._committing: Future[dict[str, TableChange]] | None = None

    def run(self) -> None:
        """Load until every job is finished or has failed; a job's error is left in ``job.error``.

        :raises StaleWriter: if another run has taken a lease over.
        :raises WarehouseError: if the warehouse fails.
        """
        with self._fetching() as lanes:
            while True:
                with self._lock:
                    self._flush(lanes)
                    if all(job.finished for job in self._jobs):
                        return
                self._ctx.renew()
                self._between()
                self._progress.tick()
                self._news.wait(IDLE_SECONDS)
                self._news.clear()
                if self._broken is not None:
                    raise self._broken

    def _share(self) -> float:
        shares = [share_done(j.state.remaining, j.state.load_id) for j in self._jobs]
        return sum(shares) / len(shares)

    @contextmanager
    def _fetching(self) -> Iterator[Lanes]:
        """Fetch in threads of its own for as long as this lasts."""
        workers = self._ctx.options.workers
        pool = ThreadPoolExecutor(workers, thread_name_prefix="stripe-list")
        lanes = Lanes(pool, self._ctx.client, workers)
        pump = threading.Thread(target=self._pump, args=(lanes,), name="stripe-pump", daemon=True)
        try:
            pump.start()
            yield lanes
        finally:
            self._stopped = True
            lanes.wake()
            pump.join()
            pool.shutdown(cancel_futures=True)

    # -- fetching, in the pump's thread

    def _pump(self, lanes: Lanes) -> None:
        try:
            while not self._stopped:
                with self._lock:
                    self._send(lanes)
                finished = lanes.finished(IDLE_SECONDS)
                with self._lock:
                    for done, future in finished:
                        done(future)
                self._news.set()
        except BaseException as error:
            self._broken = error  # raised by the run's own thread
            self._news.set()

    def _send(self, lanes: Lanes) -> None:
        """Let requests go, a stream after the other so that all get their share."""
        lanes.fill()
        options = self._ctx.options
        if sum(job.held for job in self._jobs) >= options.queue_bytes:
            return
        open_jobs = [job for job in self._jobs if job.error is None]
        open_jobs.sort(key=lambda job: job.in_flight)  # else the last ones starve in a crowd
        while open_jobs:
            open_jobs = [job for job in open_jobs if self._send_list(lanes, job)]

    def _send_list(self, lanes: Lanes, job: Job) -> bool:
        """Ask for one more page of a job's list if there is one, and room for it."""
        if not job.listing.waiting or not lanes.room(job.list_operation):
            return False
        rng = job.listing.take()
        work = partial(list_range, self._ctx.client, job.unit, rng, "list")
        self._go(lanes, job.list_operation, job, work, partial(self._listed, lanes, job, rng))
        lanes.fill()
        return True

    def _go(
        self,
        lanes: Lanes,
        operation: str,
        job: Job,
        work: Callable[[], T],
        done: Callable[[T], None],
    ) -> None:
        """Make a call for a job, which fails with the first call that does.

        :param done: gets what the call returned, in the pump's thread.
        """
        job.in_flight += 1

        def landed(future: Future[T]) -> None:
            job.in_flight -= 1
            try:
                result = future.result()
                if job.error is None:
                    done(result)
            except StripeApiError as error:
                job.error = job.error or error
                job.in_flight -= lanes.drop(job)

        lanes.put(operation, Call(job, work, landed))

    def _listed(self, lanes: Lanes, job: Job, rng: Range, page: ParentPage | None) -> None:
        if page is None:
            job.add(LoadPage(rng, tuple(job.listing.cursor_deleted(rng))))
            return
        ranged = job.unit.stream.created_field is not None
        after = job.listing.read(rng, facts(page, ranged), lanes.width(job.list_operation))
        kept = LoadPage(
            rng, tuple(after), sent_at=page.sent_at, rows=len(page.items), size=size_of(page)
        )
        version = read_version(page.sent_at)
        for item in page.items:
            if is_whole(job.unit, item):
                kept.fetched.objects.append(sliced(job.unit, item, version))
            else:
                kept.parents[item.id] = item
        job.add(kept)
        self._progress.seen(job.unit.name, len(page.items))
        if kept.parents:
            kept.waiting = True
            self._fetch_children(lanes, job, kept)

    def _fetch_children(self, lanes: Lanes, job: Job, page: LoadPage) -> None:
        """Fetch what a page does not inline; the page waits for it."""
        client, unit = self._ctx.client, job.unit
        if len(page.parents) == 1:
            (item,) = page.parents.values()
            work = partial(complete, client, unit, item, page.sent_at)
            self._go(lanes, job.child_operation, job, work, partial(self._completed, job, page))
            return
        for object_id in page.parents:
            read = partial(self._children, unit, object_id)
            done = partial(self._children_read, lanes, job, page, object_id)
            self._go(lanes, job.child_operation, job, read, done)

    def _children(self, unit: Unit, object_id: str) -> ChildSet | None:
        try:
            return child_set(self._ctx.client, unit, object_id)
        except ObjectMissing:
            return None  # the next look at the page says so

    def _children_read(
        self, lanes: Lanes, job: Job, page: LoadPage, object_id: str, read: ChildSet | None
    ) -> None:
        """Look at a page once more when the last of its children are read."""
        page.sets[object_id] = read
        job.grow(page, 0 if read is None else sum(len(row.raw) for row in read.rows))
        if len(page.sets) == len(page.parents):
            work = partial(self._look_again, job.unit, page)
            self._go(lanes, job.list_operation, job, work, partial(self._completed, job, page))

    def _look_again(self, unit: Unit, page: LoadPage) -> Fetched:
        again = list_range(self._ctx.client, unit, page.before, "children")
        return complete_by_page(
            self._ctx.client, unit, page.parents, page.sets, again, page.sent_at
        )

    def _completed(self, job: Job, page: LoadPage, fetched: Fetched) -> None:
        page.fetched.extend(fetched)
        page.waiting = False

    # -- loading, in the run's own thread and the writer's

    def _flush(self, lanes: Lanes) -> None:
        """Count what has been committed, and hand over what is due, in one transaction at a time.

        Many small streams are merged together: a transaction costs more than a few rows do.
        """
        if self._committing is not None:
            if not self._committing.done():
                return
            self._merger.count(self._committing.result())
            self._committing = None
            for job in self._jobs:
                job.merged()
            lanes.wake()
        options = self._ctx.options
        held = sum(job.held for job in self._jobs)
        pressed = held * 2 >= options.queue_bytes
        due = [
            job
            for job in self._jobs
            if job.wants_flush(
                options, pressed=pressed and job.waiting_bytes * 2 * len(self._jobs) >= held
            )
        ]
        room = options.batch_bytes
        parts: list[tuple[Job, StreamState, Fetched]] = []
        for job in sorted(due, key=lambda one: one.flushed_at):
            if room > 0 and (part := job.take(options.batch_rows, room)):
                room -= job.merging_bytes
                parts.append((job, job.state, part))
        if parts:
            parts.sort(key=lambda part: part[0].unit.name)
            self._committing = self._ctx.submit(self._commit(parts))
            self._committing.add_done_callback(lambda _: self._news.set())

    def _commit(self, parts: Sequence[tuple[Job, StreamState, Fetched]]) -> Work:
        def work(tx: Transaction) -> dict[str, TableChange]:
            changes: dict[str, TableChange] = {}
            for job, state, fetched in parts:
                tx.advance(self._ctx.claims[job.unit.name], state.to_json())
                changes |= self._merger.merge(tx, job.unit, fetched, load_id=state.load_id)
            return changes

        return work


Work = Callable[[Transaction], dict[str, TableChange]]
