"""What has to be done for a stream: a pure decision over its state, the feed's and the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.sync.options import SyncOptions, Unit
from airflow_provider_stripe_app.sync.recheck import relist_due
from airflow_provider_stripe_app.sync.state import ANY_RUN, FeedState, StreamState

Action = Literal["load", "resume", "follow"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one unit.

    :param action: list everything, go on with a load, or follow events.
    :param reason: why everything has to be listed, for people.
    :param start_date: unix second before which objects are left out.
    """

    action: Action
    reason: str = ""
    start_date: int | None = None


def plan(
    unit: Unit, state: StreamState | None, feed: FeedState | None, options: SyncOptions
) -> Plan:
    """Decide what to do for one unit.

    :param state: what is stored for the stream, ``None`` for a stream never synced.
    :param feed: the account's feed, ``None`` if there is none yet.
    """
    if state is None:
        return Plan("load", "first sync", options.start_date)
    start_date = _earlier(state.start_date, options.start_date)
    reason = _why_relist(unit, state, feed, options, start_date)
    if reason:
        return Plan("load", reason, start_date)
    return Plan("follow" if state.phase == "live" else "resume", "", state.start_date)


def _why_relist(
    unit: Unit,
    state: StreamState,
    feed: FeedState | None,
    options: SyncOptions,
    start_date: int | None,
) -> str:
    coverage = feed.streams.get(unit.name) if feed else None
    missing = [c.name for c in unit.children if c.name not in state.children]
    now = feed.cursor + options.lag if feed else 0
    again = options.mode == "auto" and relist_due(unit.stream, state, now, options.relist_days)
    resumable = state.phase != "live" and state.load_run in {ANY_RUN, options.run or ANY_RUN}
    reasons = (
        (options.mode == "full" and not resumable, "mode is full"),
        (bool(state.relist), state.relist),
        (
            state.api_version != API_VERSION,
            f"its rows have Stripe version {state.api_version}, this provider uses {API_VERSION}",
        ),
        (bool(missing), f"{', '.join(missing)} was not part of the earlier loads"),
        (start_date != state.start_date, "start_date moved back"),
        (
            coverage is None or coverage.since > state.load_id,
            "the change feed has not covered it without a gap",
        ),
        (
            again,
            f"no event tells of all its changes, so it is every {options.relist_days} days",
        ),
    )
    return next((text for holds, text in reasons if holds), "")


def _earlier(stored: int | None, asked: int | None) -> int | None:
    """Return the earlier start date; ``None`` is the beginning of time.

    A later one than stored is not honoured: the table already promises more.
    """
    if stored is None or asked is None:
        return None
    return min(stored, asked)
