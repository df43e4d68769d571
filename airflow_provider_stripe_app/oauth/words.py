"""Times and modes in words, for pages and the command line alike."""

from __future__ import annotations

from datetime import datetime, timezone

DAY = 86400.0

NOT_MENDED = "; it could not be mended by itself: "
"""What joins the reason of a loss and why the Install API did not mend it, in ``last_error``."""


def duration(seconds: float) -> str:
    """Return a length of time in words, e.g. ``48 minutes``.

    :param seconds: not negative.
    """
    for size, word in ((DAY, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second")):
        count = int(seconds // size)
        if count >= 2 or (count == 1 and word != "second"):
            return f"{count} {word}" + ("s" if count > 1 else "")
    return "a moment"


def relative(moment: float | None, now: float) -> str:
    """Return a moment in words: ``in 48 minutes``, ``3 hours ago`` or ``never``.

    :param moment: unix seconds, None for never.
    :param now: unix seconds.
    """
    if moment is None:
        return "never"
    return f"in {duration(moment - now)}" if moment > now else f"{duration(now - moment)} ago"


def iso(moment: float | None) -> str | None:
    """Return a moment as ISO 8601 in UTC to the second, e.g. ``2026-11-24T13:19:00Z``.

    :param moment: unix seconds; None for never, and then None is returned.
    """
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def mode_words(livemode: bool | None) -> str:
    """Return ``live``, ``test`` or nothing if it is not known."""
    return "" if livemode is None else ("live" if livemode else "test")
