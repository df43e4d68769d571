"""Holding objects against their rows, and mending rows, in one transaction of the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from airflow_provider_stripe_app.api.split import text_of
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.audit.spool import Look
from airflow_provider_stripe_app.sync.audit.verdict import Finding, differences, judge
from airflow_provider_stripe_app.sync.audit.walk import gone
from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.fetch import Fetched, Whole
from airflow_provider_stripe_app.sync.merge import Merger
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.recheck import will_find
from airflow_provider_stripe_app.sync.state import StreamState
from airflow_provider_stripe_app.sync.versions import read_version
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    StagedChild,
    StagedRow,
    StoredRow,
    Transaction,
)
from airflow_provider_stripe_app.warehouse.columns import safe_copy

FUTURE = 60
"""Seconds: a row whose version is this far ahead of Stripe's clock would win for ever."""


class Inspector:
    """Compares and mends the rows of one account."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._merger = Merger(ctx)

    # -- comparing

    def check(
        self, tx: Transaction, unit: Unit, wholes: Sequence[Whole], sent_at: int
    ) -> list[Finding]:
        """Return what is wrong with the rows of living objects and of their children.

        :param sent_at: unix second by Stripe's clock, of the newest request.
        """
        newest = read_version(sent_at + FUTURE)
        rows = [whole.row for whole in wholes if whole.row.deleted_at is None]
        found = self._check(tx, unit.stream, rows, newest)
        for child in unit.children:
            of_child = [c for whole in wholes for c in whole.children.get(child.name, ())]
            found += self._check(tx, child, of_child, newest)
        return found

    def _check(
        self,
        tx: Transaction,
        stream: Stream,
        rows: Sequence[StagedRow | StagedChild],
        newest: int,
    ) -> list[Finding]:
        truth = {row.id: row for row in rows}
        stored = self._compare(tx, stream, list(truth.values()), newest)
        # The same JSON in other words (a signed link, another spelling): its columns were not
        # looked at yet.
        same = [
            replace(truth[id_], raw=row.raw, typed_from=safe_copy(row.raw))
            for id_, row in stored.items()
            if row is not None
            and row.raw != text_of(truth[id_].raw)
            and not any(differences(stream, row.raw, text_of(truth[id_].raw)))
        ]
        for id_, again in self._compare(tx, stream, same, newest).items():
            if again is not None:
                stored[id_] = again
        findings = (
            judge(stream, id_, _parent_of(truth[id_]), row, text_of(truth[id_].raw))
            for id_, row in stored.items()
        )
        return [finding for finding in findings if finding is not None]

    def _compare(
        self,
        tx: Transaction,
        stream: Stream,
        rows: Sequence[StagedRow | StagedChild],
        newest: int,
    ) -> dict[str, StoredRow | None]:
        ctx = self._ctx
        return tx.compare(stream, ctx.account_id, ctx.livemode, rows, newest)

    def look(
        self, tx: Transaction, unit: Unit, wholes: Sequence[Whole], sent_at: int
    ) -> list[tuple[Look, list[Finding]]]:
        """Return everything that is wrong with some objects, rows too many among it."""
        ids = [whole.row.id for whole in wholes]
        # First: a sync may commit between these statements, and must not go unnoticed.
        marks = tx.marks(unit.stream, self._ctx.account_id, self._ctx.livemode, ids)
        found: dict[str, list[Finding]] = {id_: [] for id_ in ids}
        for finding in self.check(tx, unit, wholes, sent_at):
            found[finding.parent].append(finding)
        for whole in wholes:
            id_ = whole.row.id
            if whole.row.deleted_at is not None and marks[id_].living:
                found[id_].append(Finding(unit.name, id_, id_, "extra"))
        for child in unit.children:
            for finding in self._extra_children(tx, child, wholes):
                found[finding.parent].append(finding)
        return [(Look(w.row.id, marks[w.row.id].version, w), found[w.row.id]) for w in wholes]

    def _extra_children(
        self, tx: Transaction, child: Stream, wholes: Iterable[Whole]
    ) -> list[Finding]:
        sets = {w.row.id: {c.id for c in w.children.get(child.name, ())} for w in wholes}
        return [
            Finding(child.name, id_, parent, "extra")
            for id_, parent in tx.children_of(child, self._ctx.account_id, list(sets))
            if id_ not in sets[parent]
        ]

    # -- mending

    def repair(
        self, tx: Transaction, unit: Unit, looks: Sequence[tuple[Look, Sequence[Finding]]]
    ) -> list[Finding]:
        """Write objects as Stripe has them, by the same merge as a sync.

        :param looks: whose rows are as they were when they were looked at, under the lease.
        :return: those of the findings that are right now.
        """
        findings = [finding for _, found in looks for finding in found]
        living = [look.whole for look, _ in looks if look.whole.row.deleted_at is None]
        newest = max((look.whole.row.version for look, _ in looks), default=0)
        self.bury(tx, unit, [f for f in findings if f.kind == "extra"], newest // 10)
        if living:
            self._reopen(tx, unit, living, findings)
            # Objects of one stream share a batch: its children's parents must be in it.
            self._merger.merge(tx, unit, Fetched(list(living)))
        wholes = [look.whole for look, _ in looks]
        left = {
            (f.table, f.id) for _, found in self.look(tx, unit, wholes, newest // 10) for f in found
        }
        return [f for f in findings if (f.table, f.id) not in left]

    def bury(self, tx: Transaction, unit: Unit, extra: Sequence[Finding], at: int) -> None:
        """Make tombstones of rows that Stripe has no object for.

        :param at: unix second by Stripe's clock at which it had none.
        """
        ctx = self._ctx
        for stream in (unit.stream, *unit.children):
            ids = [f.id for f in extra if f.table == stream.name]
            if ids:
                tx.reopen(stream, ctx.account_id, ids, rewrite=False)
                rows = [gone(stream, id_, at).row for id_ in ids]
                tx.merge(Batch(stream, ctx.account_id, ctx.livemode, rows), {})

    def _reopen(
        self,
        tx: Transaction,
        unit: Unit,
        living: Sequence[Whole],
        findings: Sequence[Finding],
    ) -> None:
        """Go around the guard: what is merged next is written whatever version the rows claim."""
        account = self._ctx.account_id
        wrong = {(f.table, f.id) for f in findings if f.kind != "extra"}
        parents = [whole.row.id for whole in living]
        rewrite = [id_ for id_ in parents if (unit.name, id_) in wrong]
        tx.reopen(unit.stream, account, rewrite, rewrite=True)
        tx.reopen(unit.stream, account, sorted({*parents} - {*rewrite}), rewrite=False)
        for child in unit.children:
            ids = [c.id for whole in living for c in whole.children.get(child.name, ())]
            rewrite = [id_ for id_ in ids if (child.name, id_) in wrong]
            tx.reopen(child, account, rewrite, rewrite=True)
            tx.reopen(child, account, sorted({*ids} - {*rewrite}), rewrite=False)


def found_later(
    unit: Unit, states: Mapping[str, StreamState], whole: Whole, findings: Sequence[Finding]
) -> list[Finding]:
    """Return those findings that no event tells of, but a later run finds by itself.

    :param whole: the object as Stripe has it.
    """
    own = [f for f in findings if f.table == unit.name and f.heals]
    if not own:
        return []
    truth = msgspec.json.decode(whole.row.typed_from or whole.row.raw)
    state = states[unit.name]
    return [f for f in own if will_find(unit.stream, state, f.kind, f.fields, truth)]


def _parent_of(row: StagedRow | StagedChild) -> str:
    return row.parent_id if isinstance(row, StagedChild) else row.id
