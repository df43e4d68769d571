"""One audit: list Stripe, compare, look again at what is suspicious, mend what differs.

An audit holds no lease while it lists; a sync may run beside it. What looks wrong is looked at
again on both sides, then a lag is waited for, so that every event which could explain it is
visible, and only what no sync will change by itself is called a difference (EQUALITY §9). Mending
takes the streams' leases from the second look on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from airflow_provider_stripe_app.api.client import EventPage, StripeClient
from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.audit.inspect import Inspector, found_later
from airflow_provider_stripe_app.sync.audit.options import AuditOptions
from airflow_provider_stripe_app.sync.audit.result import AuditResult, TableAudit
from airflow_provider_stripe_app.sync.audit.spool import Look, Spool, spool
from airflow_provider_stripe_app.sync.audit.verdict import (
    Fate,
    Finding,
    cheaper_to_list,
    fate,
    is_due,
)
from airflow_provider_stripe_app.sync.audit.walk import Listed, Walk, fetch_each, gone
from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.feed import FLUSH_OBJECTS, has_gap
from airflow_provider_stripe_app.sync.fetch import Whole
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.plan import plan
from airflow_provider_stripe_app.sync.reduce import Reducer
from airflow_provider_stripe_app.sync.run import units_of, with_covered
from airflow_provider_stripe_app.sync.state import FEED, FeedState, StreamState
from airflow_provider_stripe_app.sync.summary import RunSummary
from airflow_provider_stripe_app.warehouse.base import Obligation, Transaction, Warehouse

log = logging.getLogger("airflow_provider_stripe_app.sync")

ROUNDS = 3
"""How often an object that a sync keeps writing is looked at before it is left to that sync."""

LOOK_BATCH = 500
"""Objects read again one by one, or decided upon, in one transaction."""

LIST_BATCH = 2_000
"""Objects looked at again in one transaction when everything is listed again."""

LIVING_PAGE = 10_000
"""Ids read from a table at once."""


class NotComparable(StripeAppError):
    """A stream's table does not promise to equal Stripe yet, so there is nothing to hold it to."""


def run_audit(
    client: StripeClient,
    warehouse: Warehouse,
    *,
    account_id: str,
    livemode: bool,
    streams: Sequence[Stream] | None = None,
    options: AuditOptions | None = None,
) -> AuditResult:
    """Compare tables with Stripe.

    :param client: Stripe, as the account.
    :param warehouse: where the tables are; closed at the end.
    :param streams: what to compare, with all children that are synced; ``None`` for everything
        that is synced into this warehouse.
    :return: what was found, and mended.
    :raises NotComparable: if a stream was never synced, or its next sync lists everything again.
    :raises LeaseTimeout: if a sync runs for too long while rows are to be mended; nothing was.
    :raises StripeAppError: if Stripe or the warehouse fail.
    """
    options = options or AuditOptions()
    began, before = time.monotonic(), client.requests.copy()
    result = AuditResult(account_id, livemode)
    summary = RunSummary(account_id, livemode)
    ctx = Context(client, warehouse, account_id, livemode, options.for_sync(), summary)
    with ctx.open(), spool() as memory:
        Audit(ctx, options, memory, result).run(streams)
    result.requests = dict(client.requests - before)
    reads = ctx.meter.reads(options.read_budget)
    if warning := reads.warning():
        log.warning("%s: %s", account_id, warning)
    result.reads = reads.as_dict()
    result.seconds = time.monotonic() - began
    for name, table in result.tables.items():
        table.seconds = result.seconds
        table.requests = sum(
            n for purpose, n in result.requests.items() if purpose.partition(":")[2] == name
        )
    return result


class Audit:
    """The steps of one audit, in their order."""

    def __init__(
        self, ctx: Context, options: AuditOptions, memory: Spool, result: AuditResult
    ) -> None:
        self._ctx = ctx
        self._options = options
        self._memory = memory
        self._result = result
        self._inspector = Inspector(ctx)
        self._units: list[Unit] = []
        self._states: dict[str, StreamState] = {}
        self._now = 0

    def run(self, streams: Sequence[Stream] | None) -> None:
        """Do everything; what was found is in the result."""
        self._plan(streams)
        self._list()
        self._find_extra()
        for left in reversed(range(ROUNDS)):
            suspects = [u for u in self._units if self._memory.suspects(u.name)]
            if self._options.repair:
                self._take_leases([*suspects, *self._with_strays()])
            if not suspects:
                break
            for unit in suspects:
                self._look_again(unit)
            if any(self._memory.hopes(unit.name) for unit in suspects):
                self._read_events()
            for unit in suspects:
                self._decide(unit, last=left == 0)
        self._bury_strays()
        self._count()

    # -- what can be compared

    def _plan(self, streams: Sequence[Stream] | None) -> None:
        states, feed = self._stored()
        if streams is None:
            streams = [STREAMS[n] for n in states if n in STREAMS]
            if not streams:
                raise NotComparable(
                    f"Nothing of {self._ctx.account_id} has been synced into this warehouse: sync "
                    "first."
                )
        units = units_of(streams)
        for unit in units:
            self._refuse(unit, states.get(unit.name), feed)
        self._states = {u.name: states[u.name] for u in units}
        self._units = [with_covered(u, states[u.name]) for u in units]

    def _stored(self) -> tuple[dict[str, StreamState], FeedState | None]:
        ctx = self._ctx
        texts = ctx.write(lambda tx: tx.states(ctx.account_id, ctx.livemode))
        feed = texts.pop(FEED, None)
        states = {name: StreamState.from_json(text) for name, text in texts.items()}
        return states, FeedState.from_json(feed) if feed else None

    def _refuse(self, unit: Unit, state: StreamState | None, feed: FeedState | None) -> None:
        start = state.start_date if state else None
        # That everything is listed again now and then makes nothing incomparable.
        options = replace(self._ctx.options, start_date=start, relist_days=None)
        planned = plan(unit, state, feed, options)
        listing_newest = state is not None and state.phase == "window" and not planned.reason
        if planned.action == "follow" or listing_newest:
            return
        reason = planned.reason or "its first load is not finished"
        raise NotComparable(
            f"{unit.name} of {self._ctx.account_id} cannot be compared with Stripe, because the "
            f"next sync lists it anew ({reason}): run the sync first."
        )

    # -- the first look

    def _list(self) -> None:
        """Compare everything that Stripe lists; warehouse and Stripe work at the same time."""
        starts = [(u, self._states[u.name].start_date) for u in self._units]
        pending: tuple[Listed, Future[list[Finding]]] | None = None
        for listed in Walk(self._ctx, starts, self._options.batch_rows).batches():
            work = partial(self._check, listed=listed)
            if pending is not None:
                self._note(*pending)
            pending = listed, self._ctx.submit(work)
        if pending is not None:
            self._note(*pending)

    def _check(self, tx: Transaction, listed: Listed) -> list[Finding]:
        return self._inspector.check(tx, listed.unit, listed.wholes, listed.sent_at)

    def _note(self, listed: Listed, future: Future[list[Finding]]) -> None:
        unit, memory = listed.unit, self._memory
        findings = self._ctx.result(future)
        living = [w for w in listed.wholes if w.row.deleted_at is None]
        memory.see(unit.name, (w.row.id for w in living))
        for child in unit.children:
            memory.see(child.name, (c.id for w in living for c in w.children[child.name]))
        harmless = [f for f in findings if f.kind == "silent" and not self._options.repair]
        memory.find(unit.name, harmless)
        told = {(f.table, f.id) for f in harmless}
        memory.suspect(unit.name, {f.parent for f in findings if (f.table, f.id) not in told})
        self._now = max(self._now, listed.sent_at)

    def _find_extra(self) -> None:
        """Find living rows whose ids Stripe has not listed."""
        for unit in self._units:
            for stream in (unit.stream, *unit.children):
                after = ""
                while page := self._ctx.write(partial(self._living, stream=stream, after=after)):
                    self._note_extra(unit, stream, dict(page))
                    after = page[-1][0]
                    self._ctx.renew()

    def _living(self, tx: Transaction, stream: Stream, after: str) -> list[tuple[str, str | None]]:
        ctx = self._ctx
        return tx.living(stream, ctx.account_id, ctx.livemode, after, LIVING_PAGE)

    def _note_extra(self, unit: Unit, stream: Stream, rows: dict[str, str | None]) -> None:
        top = stream.parent is None
        for id_ in self._memory.unseen(stream.name, rows):
            parent = id_ if top else rows[id_]
            if parent:
                self._memory.suspect(unit.name, [parent])
            else:
                stray = Finding(stream.name, id_, "", "extra", heals=False)
                self._memory.find(unit.name, [stray])

    # -- the second look

    def _take_leases(self, units: Sequence[Unit]) -> None:
        names = sorted({u.name for u in units} - self._ctx.claims.keys())
        if not names:
            return
        self._ctx.claim(*names)
        states, feed = self._stored()
        for unit in self._units:  # a sync may have been at work until just now
            self._refuse(unit, states.get(unit.name), feed)

    def _look_again(self, unit: Unit) -> None:
        for wholes in self._again(unit):
            sent_at = max(w.row.version for w in wholes) // 10
            self._now = max(self._now, sent_at)
            look = partial(self._inspector.look, unit=unit, wholes=wholes, sent_at=sent_at)
            looked = self._ctx.write(look)
            self._memory.keep(unit.name, [(one, self._believed(f)) for one, f in looked])
            self._ctx.renew()

    def _believed(self, findings: Sequence[Finding]) -> list[Finding]:
        """Leave out rows that are too many for one parent because they belong to another one."""
        return [
            f
            for f in findings
            if f.kind != "extra" or f.id == f.parent or self._memory.unseen(f.table, [f.id])
        ]

    def _again(self, unit: Unit) -> Iterator[list[Whole]]:
        """Read the suspects again, by the cheaper plan."""
        memory, start = self._memory, self._states[unit.name].start_date
        if cheaper_to_list(memory.suspects(unit.name), memory.seen(unit.name)):

            def suspected(unit: Unit, ids: Sequence[str]) -> set[str]:
                return memory.suspected(unit.name, ids)

            began = self._now
            walk = Walk(self._ctx, [(unit, start)], LIST_BATCH, suspected)
            for listed in walk.batches():
                yield listed.wholes
            while missed := memory.next_suspects(unit.name, LOOK_BATCH):
                yield [gone(unit.stream, id_, began) for id_ in missed]
        while ids := memory.next_suspects(unit.name, LOOK_BATCH):
            yield fetch_each(self._ctx, unit, ids, start, self._now)

    # -- the verdict

    def _read_events(self) -> None:
        """Read what the change feed has still to read, once everything seen so far is visible."""
        ctx, options = self._ctx, self._options
        _, feed = self._stored()
        if feed is None:
            raise NotComparable("The change feed's state is gone: run the sync first.")
        params: dict[str, object] = {"limit": 100, "created[gte]": feed.cursor - options.overlap}
        page = self._events(params)
        while page.sent_at < self._now + options.lag:
            behind = self._now + options.lag - page.sent_at
            ctx.read(partial(options.sleep, float(behind)))
            page = self._events(params)
        if has_gap(feed, page.sent_at, options.overlap):
            raise NotComparable(
                f"{ctx.account_id}: the last sync is {(page.sent_at - feed.cursor) / 86_400:.1f} "
                "days old and Stripe keeps events for 30 days, so nothing tells an error from a "
                "change that was not synced: run the sync first."
            )
        reducer = Reducer(STREAMS, feed.streams, lag=options.lag)
        while True:
            reducer.add(page.items)
            if len(reducer.owed) >= FLUSH_OBJECTS or not page.has_more or not page.items:
                self._memory.remember_events(reducer.take())
            if not page.has_more or not page.items:
                return
            ctx.renew()
            page = self._events({**params, "starting_after": page.items[-1].id})

    def _events(self, params: dict[str, object]) -> EventPage:
        return self._ctx.read(partial(self._ctx.client.events_page, params, purpose="events"))

    def _decide(self, unit: Unit, *, last: bool) -> None:
        """Say of each finding what it is, and mend it if that is wanted.

        :param last: leave to the sync what it keeps writing.
        """
        memory = self._memory
        while looks := memory.take_looks(unit.name, LOOK_BATCH):
            events = {look.id: memory.event(unit.name, look.id) for look, _ in looks}
            decide = partial(self._decide_some, unit=unit, looks=looks, events=events)
            fates, done = self._ctx.write(decide)
            for look, findings in looks:
                if fates[look.id] == "moved" and not last:
                    memory.drop(findings)
                    memory.suspect(unit.name, [look.id])
                else:
                    memory.mark("due", self._due(unit, look, findings, fates[look.id]))
            memory.mark("repaired", done)
            self._ctx.renew()

    def _due(self, unit: Unit, look: Look, found: Sequence[Finding], of: Fate) -> list[Finding]:
        untold = [] if self._options.repair else found_later(unit, self._states, look.whole, found)
        return [f for f in found if is_due(f, of) or f in untold]

    def _decide_some(
        self,
        tx: Transaction,
        unit: Unit,
        looks: Sequence[tuple[Look, list[Finding]]],
        events: Mapping[str, Obligation | None],
    ) -> tuple[dict[str, Fate], list[Finding]]:
        """Return the fate of each object, and what is mended."""
        ctx = self._ctx
        if self._options.repair:
            tx.advance(ctx.claims[unit.name], None)
        ids = [look.id for look, _ in looks]
        marks = tx.marks(unit.stream, ctx.account_id, ctx.livemode, ids)
        fates = {look.id: fate(look.version, marks[look.id], events[look.id]) for look, _ in looks}
        mend = [
            (look, wrong)
            for look, found in looks
            if (wrong := [f for f in found if not is_due(f, fates[look.id])])
        ]
        repair = self._options.repair and mend
        return fates, self._inspector.repair(tx, unit, mend) if repair else []

    # -- rows that belong to nothing

    def _with_strays(self) -> list[Unit]:
        return [unit for unit in self._units if self._memory.strays(unit.name)]

    def _bury_strays(self) -> None:
        if not self._options.repair:
            return
        for unit in self._with_strays():
            while found := self._memory.strays(unit.name):

                def work(tx: Transaction, unit: Unit = unit, found: list[Finding] = found) -> None:
                    tx.advance(self._ctx.claims[unit.name], None)
                    self._inspector.bury(tx, unit, found, self._now)

                self._ctx.write(work)
                self._memory.mark("repaired", found)

    # -- the result

    def _count(self) -> None:
        for unit in self._units:
            for stream in (unit.stream, *unit.children):
                self._result.tables[stream.name] = self._table(stream.name)

    def _table(self, name: str) -> TableAudit:
        table = TableAudit(checked=self._memory.seen(name))
        wrong = 0
        for (kind, due, repaired), number in self._memory.counts(name).items():
            if kind != "extra":
                wrong += number
            if due:
                table.not_yet_due += number
            else:
                setattr(table, kind, getattr(table, kind) + number)
                table.unrepaired += 0 if repaired or kind == "silent" else number
            table.repaired += number if repaired else 0
        table.equal = max(0, table.checked - wrong)
        table.examples = self._memory.examples(name, self._options.examples)
        return table
