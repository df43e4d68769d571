"""Handing fetched rows to the warehouse, and counting what it did with them."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.fetch import Fetched
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.warehouse.base import Batch, TableChange, Transaction


class Merger:
    """Merges the rows of a run's account."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def merge(
        self, tx: Transaction, unit: Unit, fetched: Fetched, *, load_id: int | None = None
    ) -> dict[str, TableChange]:
        """Merge rows, their children and what stays owed, in the caller's transaction.

        Without rows it still makes the tables.

        :param load_id: mark the rows as seen by this full load.
        :return: table → what changed; give it to :meth:`count` once committed.
        """
        ctx = self._ctx
        objects = fetched.newest()
        children = {
            c.name: [row for one in objects for row in one.children.get(c.name, ())]
            for c in unit.children
        }
        rows = [one.row for one in objects]
        batch = Batch(unit.stream, ctx.account_id, ctx.livemode, rows, children, load_id)
        changes = tx.merge(batch, {c.name: c for c in unit.children})
        if fetched.owed:
            tx.owe(ctx.account_id, ctx.livemode, fetched.owed)
        return changes

    def count(self, changes: Mapping[str, TableChange]) -> None:
        """Add committed changes to the run's summary."""
        for table, change in changes.items():
            self._ctx.summary.table(table).add(change)
