"""What events do not tell: new objects, changes of open ones, and everything now and then.

The catalogue says which of these a stream needs (:class:`~.streams.model.Stream`). All decisions
are pure and go by Stripe's clock; what has to be read is read by the means that are there: a list
of the newest objects is a small load, open objects are owed like those that an event names, and
listing everything again is a load. So an interruption costs nothing, and a run in which nothing is
due makes no request.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_stripe_app.api.ranges import PAGE_SIZE, Range
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.state import FeedState, StreamState
from airflow_provider_stripe_app.sync.versions import DAY

LOOK_EVERY = DAY
"""Seconds between two looks at the newest objects when nothing was heard, and at open ones."""

EARLIEST_RELIST = 5 / 7
"""Part of the time between two full lists after which the first streams begin: so they do not all
begin in the same run."""


def relist_due(stream: Stream, state: StreamState, now: int, days: float | None) -> bool:
    """Tell whether everything of a stream is to be listed again because no event tells enough.

    :param now: unix second by Stripe's clock.
    :param days: the longest time between two full lists; ``None`` for never.
    """
    if days is None or not stream.relisted or state.phase != "live":
        return False
    share = zlib.crc32(stream.name.encode()) / 2**32
    return now - state.load_id >= days * DAY * (1 - (1 - EARLIEST_RELIST) * share)


def newest_due(
    stream: Stream, state: StreamState, feed: FeedState, now: int, lag: int
) -> Range | None:
    """Return the range of newest objects to list, ``None`` if it is not due.

    It is due when something has happened in the account since, and once a day for what happens
    without any event. A list that has to be read whole, because its objects do not say how old
    they are, waits for the day.

    :param lag: seconds after which an event is visible, and its object in lists.
    """
    if stream.creates or state.phase != "live":
        return None
    last = state.load_id if state.newest_at is None else state.newest_at
    heard = stream.dated and feed.heard_at > last - lag
    if not heard and now - last < LOOK_EVERY:
        return None
    if not stream.dated:
        return Range(None, None)
    begin = last - stream.look_back
    return Range(begin if state.start_date is None else max(begin, state.start_date), None)


def open_due(stream: Stream, state: StreamState, now: int) -> bool:
    """Tell whether the open objects of a stream are to be looked at."""
    if stream.open_while is None or state.phase != "live":
        return False
    last = state.load_id if state.opened_at is None else state.opened_at
    return now - last >= LOOK_EVERY


@dataclass(frozen=True, slots=True)
class Look:
    """What a run looks at beside what events tell.

    :param state: the stream's state from now on.
    :param owe: make its open objects owed.
    """

    state: StreamState
    owe: bool = False


def look(
    stream: Stream,
    state: StreamState,
    feed: FeedState,
    now: int,
    lag: int,
    counts: tuple[int, int] | None = None,
) -> Look:
    """Decide what to look at in a run.

    :param counts: how many objects are open, and how many there are; only needed if
        :func:`chooses`.
    """
    newest = newest_due(stream, state, feed, now, lag)
    owe = open_due(stream, state, now)
    if owe and counts is not None and whole_list_is_cheaper(*counts):
        newest, owe = Range(state.start_date, None), False
        state = replace(state, opened_at=now)
    if owe:
        state = replace(state, opened_at=now)
    if newest is not None:
        state = replace(state, phase="window", remaining=(newest,), newest_at=now)
    return Look(state, owe)


def will_find(
    stream: Stream, state: StreamState, kind: str, fields: Collection[str], truth: Mapping[str, Any]
) -> bool:
    """Tell whether a difference is one that no event tells of and that a later run finds.

    :param kind: ``missing``, ``extra`` or ``different``.
    :param fields: paths of the fields that differ, with dots.
    :param truth: the object as Stripe has it.
    """
    if kind == "missing":
        created = truth.get(stream.created_field or "created")
        last = state.load_id if state.newest_at is None else state.newest_at
        young = not stream.dated or (
            isinstance(created, int) and created >= last - stream.look_back
        )
        return not stream.creates and young
    if kind == "extra":
        return not stream.deletes
    return not stream.updates or _was_open(stream, fields, truth)


def _was_open(stream: Stream, fields: Collection[str], truth: Mapping[str, Any]) -> bool:
    rule = stream.open_while
    if rule is None:
        return False
    now: Any = truth
    for key in rule.path:
        now = now.get(key) if isinstance(now, Mapping) else None
    return now in rule.values or ".".join(rule.path) in fields


def chooses(stream: Stream, state: StreamState, now: int) -> bool:
    """Tell whether due open objects may be read by listing everything: the list takes no range."""
    return stream.created_field is None and open_due(stream, state, now)


def whole_list_is_cheaper(opened: int, objects: int) -> bool:
    """Tell whether listing everything costs fewer requests than reading the open ones singly."""
    return opened > -(-objects // PAGE_SIZE)
