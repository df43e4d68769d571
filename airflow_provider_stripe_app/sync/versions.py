"""Which version of an object wins (EQUALITY §1), as integers that every warehouse can compare.

A version is ``t * 10 + rank``: ``t`` in unix seconds of Stripe's clock, rank 2 for a list row or a
refetch (``t`` = second of sending the request), rank 1 for an event payload or a deletion event
(``t = event.created + LAG``). A row is overwritten only by a strictly greater version.
"""

from __future__ import annotations

LAG = 10
"""Seconds: how late an event may become visible, plus how stale a list may be, plus clock
error, plus 1."""

OVERLAP = 60
"""Seconds that each feed pass re-reads behind its cursor, for events that became visible late."""

DAY = 86_400
DEEP_SWEEP_EVERY = DAY
"""Seconds between two sweeps that re-read everything since the previous one, for very late
events."""

GAP_LIMIT = 29 * DAY
"""Seconds: Stripe keeps events for 30 days; a feed whose window begins earlier than this has a
gap."""


def read_version(sent_at: int) -> int:
    """Return the version of an object that a list or a GET returned.

    :param sent_at: unix second, by Stripe's clock, at which the request was sent.
    """
    return sent_at * 10 + 2


def event_version(closes_at: int) -> int:
    """Return the version of an event's payload or of a deletion event.

    :param closes_at: ``event.created + LAG`` in unix seconds.
    """
    return closes_at * 10 + 1
