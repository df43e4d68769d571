"""Beginning what :mod:`.recheck` decides, for all streams of a run in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_stripe_app.sync.context import Context
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.sync.recheck import Look, chooses, look
from airflow_provider_stripe_app.sync.state import FeedState, StreamState
from airflow_provider_stripe_app.warehouse.base import Transaction


def begin_looks(
    ctx: Context, units: Sequence[Unit], states: Mapping[str, StreamState], feed: FeedState
) -> dict[str, StreamState]:
    """Make owed, and begin to list, what is due beside what events tell.

    :param units: streams that are followed.
    :return: the new states of those with something due; phase ``window`` where something is to be
        listed.
    """
    now, lag = feed.cursor + ctx.options.lag, ctx.options.lag
    counts = _counts(ctx, [u for u in units if chooses(u.stream, states[u.name], now)])
    looks = {
        unit.name: look(unit.stream, states[unit.name], feed, now, lag, counts.get(unit.name))
        for unit in units
    }
    due = [unit for unit in units if looks[unit.name].state != states[unit.name]]

    def begin(tx: Transaction) -> None:
        for unit in due:
            _begin(tx, ctx, unit, looks[unit.name], now)

    if due:
        ctx.write(begin)
    return {unit.name: looks[unit.name].state for unit in due}


def _counts(ctx: Context, units: Sequence[Unit]) -> dict[str, tuple[int, int]]:
    if not units:
        return {}

    def count(tx: Transaction) -> dict[str, tuple[int, int]]:
        return {u.name: tx.count_open(u.stream, ctx.account_id, ctx.livemode) for u in units}

    return ctx.write(count)


def _begin(tx: Transaction, ctx: Context, unit: Unit, found: Look, now: int) -> None:
    tx.advance(ctx.claims[unit.name], found.state.to_json())
    if found.owe:
        tx.owe_open(unit.stream, ctx.account_id, ctx.livemode, now)
