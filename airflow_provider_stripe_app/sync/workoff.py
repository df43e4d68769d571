"""Working off what the change feed says is owed, and confirming rows that a full load has not seen.

An obligation goes only in the transaction that merges a version which closes it (EQUALITY §2).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import msgspec

from airflow_provider_stripe_app.api.errors import PermissionMissing, StripeApiError
from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.fetch import Fetched, from_payload, refetch, tombstone
from airflow_provider_stripe_app.sync.merge import Merger
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.progress import Progress
from airflow_provider_stripe_app.sync.reduce import is_left_out
from airflow_provider_stripe_app.sync.relist import Relist, plan_dense
from airflow_provider_stripe_app.sync.state import StreamState
from airflow_provider_stripe_app.sync.versions import read_version
from airflow_provider_stripe_app.warehouse.base import Obligation, TableChange, Transaction

log = logging.getLogger(__name__)

DUE_LIMIT = 2_000
"""Obligations taken up at once."""

CONFIRM_LIMIT = 500
"""Rows confirmed by GET in one transaction."""

MANY_ERRORS = 10
"""Failed refetches of one round after which no more are sent: it is an outage, not an object."""

FEWEST_TO_PLAN = 10
"""Objects owed from which on it is counted whether listing is cheaper than reading each."""

STUCK_ROUNDS = 5
"""Rounds of one second in which a refetch may be too early to close what is owed."""


@dataclass(slots=True)
class Refetched:
    """What a round of refetches brought.

    :param left_out: ids of objects that do not belong into the table.
    :param read_at: unix second by Stripe's clock at which the last of those was read.
    :param error: the first error; what was fetched before and beside it is used all the same.
    """

    fetched: Fetched = field(default_factory=Fetched)
    left_out: list[str] = field(default_factory=list)
    read_at: int = 0
    error: StripeApiError | None = None


class WorkOff:
    """Brings one unit's tables up to what the feed has seen."""

    def __init__(self, ctx: Context, unit: Unit, state: StreamState) -> None:
        self._ctx = ctx
        self._unit = unit
        self._state = state
        self._merger = Merger(ctx)
        self._progress = Progress(ctx, "catching up")
        self._looked_at = (0, "")  # the last obligation that might have cost nothing

    def obligations(self) -> int:
        """Fetch and merge everything owed.

        :return: how many obligations could not be closed yet; the next run does it.
        :raises StripeApiError: after everything that could be merged was.
        """
        if not self._ctx.write(self._due):
            return 0
        # A load that went on meanwhile has closed most of it: nothing of that is fetched.
        self._merge_and_settle(Fetched())
        stuck = 0
        with ThreadPoolExecutor(self._ctx.options.workers, "stripe-refetch") as pool:
            self._take_free()
            self._list_dense(pool)
            while True:
                self._take_free()
                due = self._ctx.write(self._due)
                if not due:
                    return 0
                if stuck >= STUCK_ROUNDS:
                    return len(due)
                got = self._refetch(pool, [owed.id for owed in due], "refetch")
                closed = self._merge_and_settle(got.fetched, got.left_out)
                if got.error is not None:
                    raise got.error
                if closed == 0:
                    # The refetch was sent in a second that does not close the event's yet.
                    stuck += 1
                    time.sleep(1.0)
                self._progress.tick()

    def unseen(self) -> None:
        """Confirm by GET the rows that the finished full load has not listed (EQUALITY §3).

        :raises StripeApiError: after everything that could be merged was.
        """
        load_id = self._state.load_id
        with ThreadPoolExecutor(self._ctx.options.workers, "stripe-confirm") as pool:
            while ids := self._ctx.write(lambda tx: self._unseen(tx, load_id)):
                got = self._refetch(pool, ids, "confirm")
                # A table that is older than its state can hold what does not belong into it.
                got.fetched.objects += [
                    tombstone(self._unit.stream, i, read_version(got.read_at), got.read_at)
                    for i in got.left_out
                ]
                self._commit(got.fetched, load_id)
                if got.error is not None:
                    raise got.error
                self._progress.tick()

    def has_unseen(self, tx: Transaction) -> bool:
        """Tell whether there are rows that the finished full load has not listed."""
        return bool(self._unseen(tx, self._state.load_id, limit=1))

    def _unseen(self, tx: Transaction, load_id: int, limit: int = CONFIRM_LIMIT) -> list[str]:
        ctx = self._ctx
        # What was merged in the load's first second, before its first page, counts as unseen too.
        before = (load_id + 1) * 10
        return tx.unseen(self._unit.stream, ctx.account_id, ctx.livemode, load_id, before, limit)

    def _due(self, tx: Transaction) -> list[Obligation]:
        return tx.due(self._ctx.account_id, self._ctx.livemode, self._unit.name, DUE_LIMIT)

    def _take_free(self) -> None:
        """Merge what payloads and deletions say, of the obligations not looked at so far.

        A payload that is merged and closes nothing met another one of the same second, and one
        without all its children cannot be merged: both stay owed, to be read.
        """
        ctx, unit = self._ctx, self._unit
        while due := ctx.write(self._free):
            self._looked_at = (due[-1].closes_at, due[-1].id)
            told = (from_payload(unit, owed, ctx.options.lag) for owed in due)
            if objects := [one for one in told if one is not None]:
                self._merge_and_settle(Fetched(objects))
            self._progress.tick()

    def _free(self, tx: Transaction) -> list[Obligation]:
        ctx = self._ctx
        return tx.due(
            ctx.account_id, ctx.livemode, self._unit.name, DUE_LIMIT, free_after=self._looked_at
        )

    def _list_dense(self, pool: ThreadPoolExecutor) -> None:
        """List the ranges where that is cheaper than reading each owed object.

        :raises StripeApiError: after everything that could be merged was.
        """
        ctx, unit = self._ctx, self._unit
        if len(ctx.write(self._due)) < FEWEST_TO_PLAN:
            return
        # Older objects do not belong into the table.
        after = -1 if self._state.start_date is None else self._state.start_date - 1
        while dense := ctx.write(partial(plan_dense, ctx=ctx, unit=unit, after=after)):
            first, after = after + 1, dense.last
            log.info(
                "%s: of the objects owed, %d are read from %d pages of the list and %d by "
                "themselves",
                unit.name,
                sum(part.owed for part in dense.parts),
                sum(part.pages for part in dense.parts),
                dense.plan.single,
            )
            if dense.parts:
                owed = ctx.write(partial(self._owed_between, first=first, last=after))
                self._merge_all(Relist(ctx, unit, pool, dense.parts, owed).batches())

    def _owed_between(self, tx: Transaction, first: int, last: int) -> set[str]:
        ctx = self._ctx
        return tx.owed_ids(self._unit.stream, ctx.account_id, ctx.livemode, first, last)

    def _merge_all(self, batches: Iterable[Fetched]) -> None:
        """Merge batches while the next ones are being read."""
        pending: Future[tuple[dict[str, TableChange], int]] | None = None
        try:
            for fetched in batches:
                self._progress.seen(self._unit.name, len(fetched.objects))
                if pending is not None:
                    self._merger.count(self._ctx.result(pending)[0])
                pending = self._ctx.submit(self._merging(fetched))
                self._progress.tick()
        finally:
            if pending is not None:
                self._merger.count(self._ctx.result(pending)[0])

    def _refetch(self, pool: ThreadPoolExecutor, ids: Iterable[str], purpose: str) -> Refetched:
        out = Refetched()
        client, unit = self._ctx.client, self._unit
        futures = {i: pool.submit(refetch, client, unit, i, purpose) for i in dict.fromkeys(ids)}
        errors = 0
        try:
            for object_id, future in futures.items():
                try:
                    self._take(object_id, self._ctx.result(future), out)
                except StripeApiError as error:
                    out.error = out.error or error
                    errors += 1
                    if errors == MANY_ERRORS or isinstance(error, PermissionMissing):
                        _cancel(futures.values())
                except CancelledError:
                    continue
                self._ctx.renew()
        finally:
            _cancel(futures.values())  # whatever ends this early must not wait for thousands
        return out

    def _take(self, object_id: str, got: Fetched, out: Refetched) -> None:
        row = got.objects[0].row
        data = msgspec.json.decode(row.typed_from or row.raw)
        if row.deleted_at is None and is_left_out(data, self._state.start_date):
            out.left_out.append(object_id)
            out.read_at = max(out.read_at, row.version // 10)
        else:
            out.fetched.extend(got)
        self._progress.seen(self._unit.name, 1)

    def _merge_and_settle(self, fetched: Fetched, left_out: Sequence[str] = ()) -> int:
        """Merge, and delete what is owed no more.

        :param left_out: ids of objects that do not belong into the table.
        :return: how many obligations were closed.
        """
        changes, closed = self._ctx.write(self._merging(fetched, left_out))
        self._merger.count(changes)
        return closed

    def _merging(
        self, fetched: Fetched, left_out: Sequence[str] = ()
    ) -> Callable[[Transaction], tuple[dict[str, TableChange], int]]:
        ctx, unit = self._ctx, self._unit
        claim = ctx.claims[unit.name]

        def work(tx: Transaction) -> tuple[dict[str, TableChange], int]:
            tx.advance(claim, None)
            changes = self._merger.merge(tx, unit, fetched) if fetched.objects else {}
            return changes, tx.settle(unit.stream, ctx.account_id, ctx.livemode, left_out)

        return work

    def _commit(self, fetched: Fetched, load_id: int) -> None:
        claim = self._ctx.claims[self._unit.name]

        def work(tx: Transaction) -> dict[str, TableChange]:
            tx.advance(claim, None)
            return self._merger.merge(tx, self._unit, fetched, load_id=load_id)

        self._merger.count(self._ctx.write(work))


def _cancel(futures: Iterable[Future[Fetched]]) -> None:
    for future in futures:
        future.cancel()
