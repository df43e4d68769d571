"""One run: plan, follow the change feed, load, confirm, work off (DESIGN §4).

Nothing in here knows Airflow. A run may be killed at any point; the next one goes on from the last
commit. It may overlap with another one; leases and fences decide who writes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import PermissionMissing, StripeApiError
from airflow_provider_stripe_app.api.ranges import Range
from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.budget import RequestCapReached, gets_nowhere
from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.feed import Feed, FeedGap
from airflow_provider_stripe_app.sync.fetch import Fetched
from airflow_provider_stripe_app.sync.load import Job, Loader
from airflow_provider_stripe_app.sync.looks import begin_looks
from airflow_provider_stripe_app.sync.merge import Merger
from airflow_provider_stripe_app.sync.options import SyncOptions, Unit
from airflow_provider_stripe_app.sync.plan import Plan, plan
from airflow_provider_stripe_app.sync.state import ANY_RUN, FEED, FeedState, StreamState
from airflow_provider_stripe_app.sync.summary import RunSummary, SyncFailed
from airflow_provider_stripe_app.sync.workoff import WorkOff
from airflow_provider_stripe_app.warehouse.base import Transaction, Warehouse

log = logging.getLogger("airflow_provider_stripe_app.sync")


def units_of(streams: Sequence[Stream]) -> list[Unit]:
    """Group streams into units: each top-level stream with its selected children, sorted by name.

    The order is the order of claiming leases; equal for all runs, so that two runs cannot block
    each other.
    """
    tops = sorted((s for s in streams if s.parent is None), key=lambda s: s.name)
    return [Unit(t, tuple(c for c in streams if c.parent == t.name)) for t in tops]


def with_covered(unit: Unit, state: StreamState | None) -> Unit:
    """Return the unit with the children that its table is already synced with, wanted now or not.

    A parent merged without them would leave them behind while the state says that they are
    complete.
    """
    names = [c.name for c in unit.children]
    more = [
        STREAMS[n] for n in (state.children if state else ()) if n in STREAMS and n not in names
    ]
    return Unit(unit.stream, (*unit.children, *more)) if more else unit


def run_sync(
    client: StripeClient,
    warehouse: Warehouse,
    *,
    account_id: str,
    livemode: bool,
    streams: Sequence[Stream],
    options: SyncOptions,
) -> RunSummary:
    """Make the tables of some streams equal to Stripe.

    :param client: Stripe, as the account.
    :param warehouse: where the tables are; closed at the end.
    :param streams: what to sync; a child needs its parent among them.
    :return: what was done.
    :raises SyncFailed: if some streams failed (the others were finished first).
    :raises StripeAppError: if the run could not go on at all; what was committed stays.
    """
    summary = RunSummary(account_id, livemode)
    for stream in streams:
        summary.table(stream.name)  # in this order in the log and the XCom, whatever is done first
    ctx = Context(client, warehouse, account_id, livemode, options, summary)
    with ctx.open():
        Run(ctx, units_of(streams)).run()
    reads = ctx.meter.reads(options.read_budget)
    if warning := reads.warning():
        log.warning("%s: %s", account_id, warning)
    summary.reads = reads.as_dict()
    summary.requests = dict(client.requests)
    summary.throttled = dict(client.throttled)
    if summary.errors:
        raise SyncFailed(summary.errors, summary)
    return summary


class CoverageLost(StripeAppError):
    """Another run has taken a stream out of the change feed while this one was loading it."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"Another run found the permission for {stream} missing, or the change feed cut off, "
            "while this run was going on, so changes may be missing. The next run lists everything "
            "again."
        )


class Run:
    """The steps of one run, in their order."""

    def __init__(self, ctx: Context, units: Sequence[Unit]) -> None:
        self._ctx = ctx
        self._units = list(units)
        self._feed = Feed(ctx)
        self._states: dict[str, StreamState] = {}
        self._began = time.monotonic()
        self._fed_at = 0.0
        self._begun: list[Future[None]] = []

    def run(self) -> None:
        """Do everything; errors of single streams are left in the summary."""
        plans = self._plan()
        feed = self._start(plans)
        if self._ctx.options.max_requests is not None:
            # First, so that what a load uses up of the cap does not keep the others from it.
            for unit in self._units:
                if plans[unit.name].action == "follow" and unit.name not in self._feed.blind:
                    self._work_off(unit, feed)
        loads = [u for u in self._units if plans[u.name].action != "follow"]
        looks = self._look_further(feed, [u for u in self._units if u not in loads])
        if loads or looks:
            self._load([*loads, *looks])
        if loads:
            self._look_at_feed()
            self._sweep(loads)
            feed = self._feed.run_unless_others_did()
        self._fail_uncovered(feed)
        self._work_off_all(feed)
        self._finish(feed)

    def _plan(self) -> dict[str, Plan]:
        ctx = self._ctx
        claims = ctx.claim(*(unit.name for unit in self._units))
        stored = {c.key.stream: StreamState.from_json(c.state) if c.state else None for c in claims}
        self._units = [with_covered(u, stored[u.name]) for u in self._units]
        feed = self._look_at_feed(stored)
        plans = {u.name: plan(u, stored[u.name], feed, ctx.options) for u in self._units}
        self._states = {n: s for n, s in stored.items() if s is not None}
        self._refuse_load_if_incremental(plans)
        return plans

    def _look_at_feed(
        self, stored: Mapping[str, StreamState | None] | None = None
    ) -> FeedState | None:
        ctx = self._ctx
        text = ctx.write(lambda tx: tx.states(ctx.account_id, ctx.livemode)).get(FEED)
        feed = FeedState.from_json(text) if text else None
        used = (
            feed is None
            or stored is None
            or any(
                state is not None and state.complete_to == feed.cursor for state in stored.values()
            )
        )
        self._feed.look(feed, used=used)
        return feed

    def _refuse_load_if_incremental(self, plans: Mapping[str, Plan]) -> None:
        wrong = [f"{n} ({p.reason})" for n, p in plans.items() if p.action == "load"]
        if wrong and self._ctx.options.mode == "incremental":
            raise ConfigurationError(
                f"mode='incremental' cannot sync {', '.join(wrong)}: everything has to be listed. "
                "Use mode='auto' (or 'full'); nothing was changed."
            )

    def _start(self, plans: dict[str, Plan]) -> FeedState:
        """Run the feed, register what is to be loaded and store the loads' first state."""
        loads = {n: p.start_date for n, p in plans.items() if p.action == "load"}
        try:
            feed = self._feed.run(loads) if loads else self._feed.run_unless_others_did()
        except FeedGap as gap:
            plans.update(
                {n: Plan("load", str(gap), self._stored_start(n, p)) for n, p in plans.items()}
            )
            self._refuse_load_if_incremental(plans)
            log.warning(
                "%s: %s, so changes may have been missed. Everything is listed again now: %s",
                self._ctx.account_id,
                gap,
                ", ".join(plans),
            )
            loads = {n: p.start_date for n, p in plans.items()}
            feed = self._feed.run(loads, fresh=True)
        else:
            feed = self._follow_or_load(plans, feed)
        self._fed_at = time.monotonic()
        self._begin(plans, feed)
        return feed

    def _follow_or_load(self, plans: dict[str, Plan], feed: FeedState) -> FeedState:
        """Plan again where another run has taken a stream out of the feed since we planned.

        It may have found a gap and begun the feed anew, or found a permission missing.
        """
        again = {
            u.name: plan(u, self._states[u.name], feed, self._ctx.options)
            for u in self._units
            if plans[u.name].action != "load" and u.name not in self._feed.blind
        }
        loads = {n: p.start_date for n, p in again.items() if p.action == "load"}
        if not loads:
            return feed
        plans.update(again)
        self._refuse_load_if_incremental(plans)
        return self._feed.run(loads)

    def _stored_start(self, name: str, planned: Plan) -> int | None:
        state = self._states.get(name)
        return state.start_date if state and planned.action != "load" else planned.start_date

    def _begin(self, plans: Mapping[str, Plan], feed: FeedState) -> None:
        begun = []
        for unit in self._units:
            planned = plans[unit.name]
            if planned.action != "load":
                continue
            log.info(
                "%s: listing everything of %s: %s", self._ctx.account_id, unit.name, planned.reason
            )
            state = StreamState(
                api_version=API_VERSION,
                phase="load",
                load_id=feed.streams[unit.name].since,
                load_run=self._ctx.options.run,
                remaining=(Range(gte=planned.start_date, lt=None),),
                children=tuple(c.name for c in unit.children),
                start_date=planned.start_date,
            )
            begun.append((unit, state))
        # The tables are made while the first pages are fetched; pages are merged after that, since
        # there is one writer.
        if begun:
            self._begun.append(self._store_later(begun))

    def _look_further(self, feed: FeedState, units: Sequence[Unit]) -> list[Unit]:
        """Begin what is due beside what events tell; return the units with something to list."""
        units = [u for u in units if u.name not in {*self._feed.blind, *self._stopped}]
        begun = begin_looks(self._ctx, units, self._states, feed)
        self._states.update(begun)
        return [u for u in units if u.name in begun and begun[u.name].phase == "window"]

    def _load(self, units: Sequence[Unit]) -> None:
        jobs = [Job(u, self._states[u.name]) for u in units]
        Loader(self._ctx, jobs, self._beside_load).run()
        for begun in self._begun:
            begun.result()
        made = sum(self._ctx.meter.own.values())
        for job in jobs:
            name, cap = job.unit.name, self._ctx.options.max_requests
            moved = job.state.remaining != self._states[name].remaining
            self._states[name] = job.state
            if job.error is not None and gets_nowhere(job.error, cap, made, moved=moved):
                job.error = ConfigurationError(
                    f"{cap:,} requests a day are less than one page of {name} needs with all its "
                    "children, so its load gets nowhere: raise max_requests_per_day."
                )
            if job.error is not None:
                self._failed(job.unit, job.error)

    def _beside_load(self) -> None:
        for begun in [future for future in self._begun if future.done()]:
            self._begun.remove(begun)
            begun.result()
        if time.monotonic() - self._fed_at >= self._ctx.options.feed_interval:
            self._feed.run_unless_others_did()
            self._fed_at = time.monotonic()

    def _sweep(self, units: Sequence[Unit]) -> None:
        """Confirm what the finished loads have not listed."""
        swept = [
            u
            for u in units
            if u.name not in self._stopped and self._states[u.name].phase == "sweep"
        ]
        incomplete = self._ctx.write(partial(self._with_unseen, units=swept))
        for unit in incomplete:
            try:
                WorkOff(self._ctx, unit, self._states[unit.name]).unseen()
            except StripeApiError as error:
                self._failed(unit, error)
        live = [
            (u, replace(self._states[u.name], phase="live", load_run=""))
            for u in swept
            if u.name not in self._stopped
        ]
        if live:
            self._store_later(live).result()

    def _with_unseen(self, tx: Transaction, units: Sequence[Unit]) -> list[Unit]:
        return [u for u in units if WorkOff(self._ctx, u, self._states[u.name]).has_unseen(tx)]

    def _work_off_all(self, feed: FeedState) -> None:
        ctx = self._ctx
        owing = ctx.write(lambda tx: tx.owing(ctx.account_id, ctx.livemode))
        for unit in self._healthy():
            if unit.name in owing:
                self._work_off(unit, feed)
            else:
                state = self._states[unit.name]
                self._states[unit.name] = replace(state, complete_to=feed.cursor)

    def _work_off(self, unit: Unit, feed: FeedState) -> None:
        summary = self._ctx.summary.table(unit.name)
        state = self._states[unit.name]
        try:
            summary.owed = WorkOff(self._ctx, unit, state).obligations()
        except StripeApiError as error:
            self._failed(unit, error)
            return
        if summary.owed:
            log.info("%s: %d objects stay owed for the next run", unit.name, summary.owed)
        else:
            self._states[unit.name] = replace(state, complete_to=feed.cursor)

    def _finish(self, feed: FeedState) -> None:
        summary, requests = self._ctx.summary, self._ctx.client.requests
        self._ctx.write(self._store_and_release)
        self._ctx.claims.clear()
        for unit in self._units:
            for name in (unit.name, *(c.name for c in unit.children)):
                table = summary.table(name)
                table.seconds = time.monotonic() - self._began
            made = sum(n for p, n in requests.items() if p.partition(":")[2] == unit.name)
            summary.table(unit.name).requests = made
        if not self._stopped:
            summary.complete_to = feed.cursor

    def _store_and_release(self, tx: Transaction) -> None:
        for unit in self._units:
            claim = self._ctx.claims[unit.name]
            tx.advance(claim, self._states[unit.name].to_json())
            tx.release(claim)

    def _healthy(self) -> list[Unit]:
        return [u for u in self._units if u.name not in self._stopped]

    @property
    def _stopped(self) -> set[str]:
        return {*self._ctx.summary.errors, *self._ctx.summary.unfinished}

    def _fail_uncovered(self, feed: FeedState) -> None:
        for unit in self._healthy():
            coverage = feed.streams.get(unit.name)
            if unit.name in self._feed.blind:
                self._failed(unit, self._feed.blind[unit.name])
            elif coverage is None or coverage.since > self._states[unit.name].load_id:
                self._failed(unit, CoverageLost(unit.name))

    def _failed(self, unit: Unit, error: Exception) -> None:
        if isinstance(error, RequestCapReached):
            self._unfinished(unit, error)
            return
        log.error("%s: %s", unit.name, error)
        self._ctx.summary.errors[unit.name] = error
        if isinstance(error, PermissionMissing):
            # What the feed showed while the permission was missing cannot be relied upon (EQUALITY
            # §2).
            state = self._states[unit.name]
            self._store(unit, replace(state, relist="its permission was missing for a while"))

    def _unfinished(self, unit: Unit, reached: RequestCapReached) -> None:
        """Leave a stream as it is for a later run, which need not be a retry of this one."""
        log.warning("%s is not finished: %s", unit.name, reached)
        self._ctx.summary.unfinished[unit.name] = str(reached)
        state = self._states[unit.name]
        if state.phase in {"load", "sweep"}:
            self._states[unit.name] = replace(state, load_run=ANY_RUN)

    def _store(self, unit: Unit, state: StreamState) -> None:
        """Store a state; the tables exist from a load's first state on, empty or not."""
        self._store_later([(unit, state)]).result()

    def _store_later(self, states: Sequence[tuple[Unit, StreamState]]) -> Future[None]:
        def work(tx: Transaction) -> None:
            for unit, state in states:
                tx.advance(self._ctx.claims[unit.name], state.to_json())
                if state.phase == "load":
                    Merger(self._ctx).merge(tx, unit, Fetched())

        self._states.update((unit.name, state) for unit, state in states)
        return self._ctx.submit(work)
