"""One pass over ``/v1/events`` that serves all streams of an account (EQUALITY §2, §4).

Events come newest first, so nothing may be called seen before the whole window is. Obligations are
committed as they come (they are idempotent), the cursor moves once, in the transaction that stores
the last of them. The pass reads behind its cursor, because an event can become visible after its
``created``; what is read twice is closed at once by the version of the row that it led to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from airflow_provider_stripe_app.api.client import EventPage
from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.api.events import EventItem
from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.budget import KEEP_DAYS, day_before, day_of
from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.reduce import Reducer
from airflow_provider_stripe_app.sync.state import FEED, Coverage, FeedState
from airflow_provider_stripe_app.sync.versions import DEEP_SWEEP_EVERY, GAP_LIMIT
from airflow_provider_stripe_app.warehouse.base import Claim, Obligation, Transaction

log = logging.getLogger(__name__)

FLUSH_OBJECTS = 5_000
"""Objects held in memory before their obligations are committed."""

SHARED_FOR = 60.0
"""Seconds for which a pass serves other runs of its group: tasks of a DAG run start that far apart.
"""

DEEP_SWEEP_MARGIN = 3_600
"""Seconds by which two deep sweeps overlap."""


class FeedGap(StripeAppError):
    """The feed's window begins before the oldest event that Stripe still keeps."""

    def __init__(self, silent_days: float) -> None:
        super().__init__(
            f"The last sync is {silent_days:.1f} days old and Stripe keeps events for 30 days"
        )


@dataclass(frozen=True, slots=True)
class Window:
    """What one pass reads.

    :param gte: unix second at which it begins.
    :param deep: it is a daily deep sweep.
    """

    gte: int
    deep: bool


def window(state: FeedState, now: int, overlap: int) -> Window:
    """Return where the next pass begins.

    :param state: the feed's state.
    :param now: unix second by Stripe's clock, or the newest one known.
    :param overlap: seconds to read behind the cursor.
    """
    gte = state.cursor - overlap
    if now - state.swept_at >= DEEP_SWEEP_EVERY:
        deep = max(state.swept_at - DEEP_SWEEP_MARGIN, now - GAP_LIMIT + DEEP_SWEEP_MARGIN)
        return Window(min(gte, deep), deep=True)
    return Window(gte, deep=False)


def has_gap(state: FeedState, now: int, overlap: int) -> bool:
    """Tell whether events may have been cut off before they were read (by Stripe's clock)."""
    return state.cursor - overlap < now - GAP_LIMIT


@dataclass(slots=True)
class Pass:
    """A finished pass whose last obligations and cursor are still to be committed.

    :param now: unix second, by Stripe's clock, at which the pass began.
    """

    state: FeedState
    now: int
    rest: list[Obligation]


class Feed:
    """Reads the feed of one account.

    A pass that another run has finished since this one last looked is as good as an own one: what
    it saw is owed to all streams, and its cursor is up to when they are complete.

    ``blind`` names the streams whose permission was found missing: Stripe may hide their events
    without a word [infer], so they are not covered any more.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._passes = 0
        self.blind: dict[str, PermissionMissing] = {}

    def look(self, state: FeedState | None, *, used: bool) -> None:
        """Take note of where the feed stands: only a pass that is finished from now on will do.

        Or the last one, if it was one of this run's group and has just ended.

        :param state: as stored.
        :param used: the streams are as far as that pass already.
        """
        if state is None:
            return
        young = 0 <= time.time() - state.ended_at < SHARED_FOR
        mine = bool(self._ctx.options.group) and state.group == self._ctx.options.group
        self._passes = state.passes - (1 if mine and young and not used else 0)

    def run_unless_others_did(self) -> FeedState:
        """Do one pass, or wait for another run's and use that.

        :raises FeedGap: as :meth:`run`.
        """
        return self._run({}, fresh=False, share=True)

    def run(self, register: Mapping[str, int | None], *, fresh: bool = False) -> FeedState:
        """Do one pass and register streams that are to be loaded.

        :param register: stream → start date (unix second or ``None``) for streams whose full load
            begins now; the feed keeps obligations for them from this pass on.
        :param fresh: forget what the feed had, because there is a gap; every stream not registered
            here will be loaded in full by the next run that wants it.
        :return: the feed's state as committed.
        :raises FeedGap: if events have been lost; nothing was moved.
        """
        return self._run(register, fresh=fresh, share=False)

    def _run(self, register: Mapping[str, int | None], *, fresh: bool, share: bool) -> FeedState:
        ctx = self._ctx
        [claim] = ctx.claim(FEED)
        try:
            stored = FeedState.from_json(claim.state) if claim.state else None
            if share and stored is not None and stored.passes > self._passes:
                log.info("%s: another run has just read the events", ctx.account_id)
                ctx.release(FEED)
                self._passes = stored.passes
                return stored
            done = self._read(claim, stored) if stored and not fresh else self._begin()
            state = self._finished(done, register, stored)
            ctx.write(partial(self._commit, claim=claim, state=state, done=done, owed=done.rest))
        except BaseException:
            ctx.release(FEED)
            raise
        del ctx.claims[FEED]
        self._passes = state.passes
        return state

    def _finished(
        self, done: Pass, register: Mapping[str, int | None], before: FeedState | None
    ) -> FeedState:
        new = {n: Coverage(done.now, start) for n, start in register.items()}
        return replace(
            done.state,
            streams={**done.state.streams, **new},
            passes=(before.passes if before else 0) + 1,
            group=self._ctx.options.group,
            ended_at=time.time(),
        )

    def _begin(self) -> Pass:
        page = self._events({"limit": 1})
        cursor = page.sent_at - self._ctx.options.lag
        return Pass(FeedState(cursor=cursor, swept_at=page.sent_at), page.sent_at, [])

    def _read(self, claim: Claim, old: FeedState) -> Pass:
        options = self._ctx.options
        reducer = Reducer(STREAMS, old.streams, lag=options.lag)
        # Stripe's time is not known before the first answer; the worker's clock is not asked (§1).
        first = self._events(
            {"limit": 100, "created[gte]": window(old, old.cursor, options.overlap).gte}
        )
        now = first.sent_at
        if has_gap(old, now, options.overlap):
            raise FeedGap((now - old.cursor) / 86_400)
        upto = now - options.lag
        wanted = window(old, now, options.overlap)
        last_date = now
        for events, date in self._pages(first, wanted):
            reducer.add(e for e in events if e.created <= upto)
            last_date = date
            if len(reducer.owed) >= FLUSH_OBJECTS:
                some = reducer.take()
                self._ctx.write(partial(self._commit, claim=claim, owed=some))
            self._ctx.renew()
        if has_gap(old, last_date, options.overlap):
            raise FeedGap((last_date - old.cursor) / 86_400)
        if reducer.unknown:
            self._ctx.summary.unknown_events.update(reducer.unknown)
        heard_at = max(old.heard_at, reducer.heard_at)
        state = replace(old, cursor=max(old.cursor, upto), heard_at=heard_at)
        if wanted.deep:
            self.blind = self._blind(old.streams)
            seen = {n: c for n, c in old.streams.items() if n not in self.blind}
            state = replace(state, swept_at=now, streams=seen)
        return Pass(state, now, reducer.take())

    def _blind(self, covered: Iterable[str]) -> dict[str, PermissionMissing]:
        """Ask for one object of each covered stream, to know that its events are not hidden.

        A stream whose newest objects are listed every day is asked by that already.

        Asked once for each deep sweep: what was hidden and shown again between two sweeps is read
        by the second one; what is hidden during a sweep is found here, and re-listed later.
        """
        missing = {}
        for stream in (STREAMS[name] for name in covered if name in STREAMS):
            if not stream.creates:
                continue
            try:
                self._ctx.read(partial(self._probe, stream))
            except PermissionMissing as error:
                missing[stream.name] = error
        return missing

    def _probe(self, stream: Stream) -> None:
        self._ctx.client.list_page(
            stream.path,
            {**stream.params, "limit": 1},
            purpose=f"probe:{stream.name}",
            permission=stream.permission,
        )

    def _events(self, params: Mapping[str, object]) -> EventPage:
        return self._ctx.read(partial(self._ctx.client.events_page, params, purpose="events"))

    def _pages(self, first: EventPage, wanted: Window) -> Iterator[tuple[list[EventItem], int]]:
        page = first
        yield page.items, page.date
        params: dict[str, object] = {"limit": 100, "created[gte]": wanted.gte}
        # A deep sweep begins earlier than the first page asked for, so that page's end is not its
        # end.
        more = page.has_more or wanted.deep
        while more:
            if page.items:
                params["starting_after"] = page.items[-1].id
            page = self._events(params)
            yield page.items, page.date
            more = page.has_more and bool(page.items)

    def _commit(
        self,
        tx: Transaction,
        claim: Claim,
        owed: list[Obligation],
        state: FeedState | None = None,
        done: Pass | None = None,
    ) -> None:
        """Store what is owed; with a state, the pass is over and gives its lease back."""
        ctx = self._ctx
        tx.advance(claim, state.to_json() if state else None)
        if state is not None:
            tx.release(claim)
        if done is not None and done.state.swept_at == done.now:
            # Once a day, and never two at a time: the lease is held until the commit.
            today = day_of(done.now)
            tx.tidy_requests(ctx.account_id, ctx.livemode, day_before(today, KEEP_DAYS - 1), today)
        if owed:
            tx.owe(ctx.account_id, ctx.livemode, owed)
            for name in sorted({o.stream for o in owed}):
                tx.settle(STREAMS[name], ctx.account_id, ctx.livemode)
