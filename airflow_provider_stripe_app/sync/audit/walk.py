"""Reading what Stripe has: everything by ``created`` ranges side by side, or single objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import msgspec

from airflow_provider_stripe_app.api.client import ParentPage
from airflow_provider_stripe_app.api.errors import ObjectMissing
from airflow_provider_stripe_app.api.listing import Listing
from airflow_provider_stripe_app.api.ranges import Range
from airflow_provider_stripe_app.api.rate_limit import operation
from airflow_provider_stripe_app.api.split import ParentItem
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.fetch import (
    Whole,
    child_set,
    complete,
    is_whole,
    list_range,
    refetch,
    staged,
)
from airflow_provider_stripe_app.sync.lanes import Call, Lanes
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.pages import facts
from airflow_provider_stripe_app.sync.progress import Progress
from airflow_provider_stripe_app.sync.reduce import is_left_out
from airflow_provider_stripe_app.sync.versions import read_version
from airflow_provider_stripe_app.warehouse.base import StagedRow

LONGEST_ID = 500
"""Characters of the longest id that people can choose (coupons), about."""

Only = Callable[[Unit, Sequence[str]], set[str]]


@dataclass(frozen=True, slots=True)
class Listed:
    """Some objects as Stripe lists them.

    :param sent_at: unix second by Stripe's clock at which the newest of the requests was sent.
    """

    unit: Unit
    wholes: list[Whole]
    sent_at: int


@dataclass(slots=True)
class _Job:
    unit: Unit
    listing: Listing
    pending: int = 0
    ready: list[Whole] = field(default_factory=list)
    sent_at: int = 0

    @property
    def exhausted(self) -> bool:
        return self.listing.finished and not self.pending

    @property
    def list_operation(self) -> str:
        return operation("GET", self.unit.stream.path)


class Walk:
    """Lists units side by side, under one rate budget.

    :param units: with the unix second before which objects are left out.
    :param batch_rows: objects handed out at once, about.
    :param only: for a second look: returns which of some ids are wanted. A parent and its children
        are read in one quiet moment then; the first look needs none, since what is wrong there is
        looked at again.
    """

    def __init__(
        self,
        ctx: Context,
        units: Sequence[tuple[Unit, int | None]],
        batch_rows: int,
        only: Only | None = None,
    ) -> None:
        self._ctx = ctx
        self._jobs = [_Job(unit, Listing([Range(start, None)])) for unit, start in units]
        self._batch_rows = batch_rows
        self._only = only
        self._progress = Progress(ctx, "verifying")

    def batches(self) -> Iterator[Listed]:
        """Yield everything; an object may come twice.

        :raises StripeApiError: if a request fails for good.
        """
        workers = self._ctx.options.workers
        pool = ThreadPoolExecutor(workers, thread_name_prefix="stripe-audit")
        lanes = Lanes(pool, self._ctx.client, workers)
        try:
            while not all(job.exhausted for job in self._jobs):
                self._send(lanes)
                for done, future in lanes.finished(0.5):
                    done(future)
                self._ctx.renew()
                self._progress.tick()
                for job in self._jobs:
                    full = len(job.ready) >= self._batch_rows
                    if job.ready and (full or job.exhausted):
                        wholes, job.ready = job.ready, []
                        yield Listed(job.unit, wholes, job.sent_at)
        finally:
            pool.shutdown(cancel_futures=True)

    def _send(self, lanes: Lanes) -> None:
        lanes.fill()
        jobs = self._jobs
        while jobs:
            jobs = [job for job in jobs if self._send_list(lanes, job)]

    def _send_list(self, lanes: Lanes, job: _Job) -> bool:
        if not job.listing.waiting or not lanes.room(job.list_operation):
            return False
        rng = job.listing.take()
        work = partial(list_range, self._ctx.client, job.unit, rng, "audit")
        lanes.put(job.list_operation, Call(job, work, partial(self._listed, lanes, job, rng)))
        lanes.fill()
        return True

    def _listed(
        self, lanes: Lanes, job: _Job, rng: Range, future: Future[ParentPage | None]
    ) -> None:
        page = future.result()
        if page is None:
            job.listing.cursor_deleted(rng)
            return
        ranged = job.unit.stream.created_field is not None
        job.listing.read(rng, facts(page, ranged), lanes.width(job.list_operation))
        job.sent_at = max(job.sent_at, page.sent_at)
        ids = [item.id for item in page.items]
        wanted = None if self._only is None else self._only(job.unit, ids)
        for item in page.items:
            if wanted is not None and item.id not in wanted:
                continue
            if is_whole(job.unit, item):
                job.ready.append(staged(job.unit, item, read_version(page.sent_at)))
            else:
                work = partial(self._detail, job.unit, item, page.sent_at)
                children = operation("GET", job.unit.children[0].path)
                lanes.put(children, Call(job, work, partial(self._detailed, job)))
                job.pending += 1
        self._progress.seen(job.unit.name, len(page.items))

    def _detailed(self, job: _Job, future: Future[list[Whole]]) -> None:
        job.pending -= 1
        job.ready += future.result()

    def _detail(self, unit: Unit, item: ParentItem, sent_at: int) -> list[Whole]:
        """Read the children of a parent that has more than are inlined."""
        client = self._ctx.client
        if self._only is not None:
            return complete(client, unit, item, sent_at).objects
        try:
            read = child_set(client, unit, item.id)
        except ObjectMissing:
            return []  # deleted just now: its row, if there is one, is looked at again
        row = StagedRow(item.id, item.raw, read_version(sent_at), item.typed_from)
        return [Whole(row, {unit.children[0].name: read.rows})]


def fetch_each(
    ctx: Context, unit: Unit, ids: Sequence[str], start_date: int | None, now: int
) -> list[Whole]:
    """Read objects one by one; what is gone, or does not belong into the table, is a tombstone.

    :param now: unix second by Stripe's clock at which an id that cannot be Stripe's is known to be
        none.
    """
    with ThreadPoolExecutor(ctx.options.workers, thread_name_prefix="stripe-recheck") as pool:
        futures = {
            id_: pool.submit(refetch, ctx.client, unit, id_, "recheck")
            for id_ in ids
            if _can_be_asked_for(id_)
        }
        try:
            read = {id_: ctx.result(future).newest()[0] for id_, future in futures.items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return [
        _inside(unit.stream, read[id_], start_date) if id_ in read else gone(unit.stream, id_, now)
        for id_ in ids
    ]


def _can_be_asked_for(object_id: str) -> bool:
    """Tell whether a path can name an id: people choose some, and hands can write anything."""
    return (
        object_id not in ("", ".", "..")
        and len(object_id) <= LONGEST_ID
        and object_id.isprintable()
    )


def _inside(stream: Stream, whole: Whole, start_date: int | None) -> Whole:
    row = whole.row
    if row.deleted_at is None:
        data = msgspec.json.decode(row.typed_from or row.raw)
        if is_left_out(data, start_date):
            return gone(stream, row.id, row.version // 10)
    return whole


def gone(stream: Stream, object_id: str, at: int) -> Whole:
    """Return what says that Stripe has no such object.

    :param object_id: any text: somebody may have made the row by hand.
    :param at: unix second by Stripe's clock at which it was missed.
    """
    raw = json.dumps({"id": object_id, "object": stream.object, "deleted": True})
    return Whole(StagedRow(object_id, raw, read_version(at), None, at))
