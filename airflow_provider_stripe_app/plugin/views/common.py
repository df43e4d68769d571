"""Small things that every page shows: moments, modes, people."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_stripe_app.oauth.words import iso, relative


@dataclass(frozen=True)
class Moment:
    """A moment in words and exactly.

    :param words: e.g. ``in 48 minutes``; ``never`` for None.
    :param exact: ISO 8601 in UTC, empty for never.
    """

    words: str
    exact: str = ""


def moment(at: float | None, now: float) -> Moment:
    """Return a moment as pages show it.

    :param at: unix seconds, None for never.
    :param now: unix seconds.
    """
    return Moment(relative(at, now), iso(at) or "")


@dataclass(frozen=True)
class Mode:
    """Live or sandbox, as a badge.

    :param word: empty if it is not known.
    :param css: class of the badge.
    """

    word: str
    css: str


NO_MODE = Mode("", "")


def mode(livemode: bool | None) -> Mode:
    """Return the badge of a mode."""
    if livemode is None:
        return NO_MODE
    return Mode("live", "live") if livemode else Mode("sandbox", "sandbox")


def person(user: str | None) -> str:
    """Return who did something, without the prefix that says where they were known.

    :param user: ``airflow:<id>`` for the pages, ``cli:<name>`` for the command line.
    """
    if not user:
        return "unknown"
    kind, colon, name = user.partition(":")
    if colon and kind == "airflow":
        return name
    if colon and kind == "cli":
        return f"{name} (command line)"
    return user


def channel_words(channel: str | None) -> str:
    """Return how an app came to an account: Stripe's channel in the Dashboard's words."""
    text = channel or ""
    return {"testing": "external test", "public": "published"}.get(text, text.replace("_", " "))


def plural(count: int, word: str) -> str:
    """Return ``1 stream`` or ``3 streams``."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


def plain(text: str | None) -> str:
    """Return text of others without what nobody sees: control characters, and those that turn the
    direction of the text around them. Joiners stay, some scripts need them.

    :param text: for example the name that an account gave itself.
    """
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text or "").strip()
