"""Which part of a list is still to be read: ``created`` ranges that can be cut (DESIGN §4).

Lists come newest first. A page that says ``has_more`` leaves a remainder of unknown density, which
can be cut by time so that several requests read it at once; :mod:`.listing` decides where. Ranges
are plain data, so that a killed load goes on where its last commit was. Objects may be read twice,
never not at all: repeats are dropped by id downstream (EQUALITY §5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

PAGE_SIZE = 100
"""The most that Stripe returns at once (https://docs.stripe.com/api/pagination)."""


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a list that is still to be read, ``gte <= created < lt``.

    :param gte: unix second, ``None`` for no lower bound.
    :param lt: unix second, ``None`` for no upper bound: the newest range is open, since objects
        created meanwhile must not fall between it and the change feed.
    :param starting_after: id of the last object read; ``None`` at the beginning.
    :param last_created: when that object was created, for the case that it gets deleted.
    """

    gte: int | None
    lt: int | None
    starting_after: str | None = None
    last_created: int | None = None

    def to_json(self) -> dict[str, int | str]:
        """Return what is set, ready for :func:`json.dumps`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Range:
        """Read :meth:`to_json`'s answer; keys of a newer writer are ignored."""
        return cls(**{f.name: data.get(f.name) for f in fields(cls)})


def query(wanted: Range) -> dict[str, int | str]:
    """Return the query parameters that read the next page of a range."""
    params: dict[str, int | str] = {"limit": PAGE_SIZE}
    if wanted.gte is not None:
        params["created[gte]"] = wanted.gte
    if wanted.lt is not None:
        params["created[lt]"] = wanted.lt
    if wanted.starting_after is not None:
        params["starting_after"] = wanted.starting_after
    return params


def after_page(
    before: Range,
    *,
    oldest_created: int | None,
    oldest_id: str,
    has_more: bool,
    cuts: Sequence[int] = (),
) -> list[Range]:
    """Return what of a range remains after a page of it was read.

    The object the cursor stands on and others of its second stay in the uppermost part, which goes
    on behind the cursor.

    :param before: the range the page was read from.
    :param oldest_created: when the page's last object was created, unix second; ``None`` in a list
        whose objects do not say.
    :param oldest_id: its id.
    :param has_more: what the page said.
    :param cuts: unix seconds, newest first, at which the remainder is cut; each is the lower bound
        of the part above it. None may be newer than ``oldest_created``.
    :return: no range, or one more than there are cuts, newest first.
    """
    if not has_more:
        return []
    parts: list[Range] = []
    rest = replace(before, starting_after=oldest_id, last_created=oldest_created)
    for cut in cuts:
        parts.append(replace(rest, gte=cut))
        rest = Range(before.gte, cut)
    return [*parts, rest]


def without_cursor(before: Range) -> Range:
    """Return the range to go on with after Stripe said that the cursor's object was deleted.

    It begins again at the cursor's second (``created[lte]``, written as ``lt`` of the next one), so
    objects of that second come twice.
    """
    if before.last_created is None:
        return Range(before.gte, before.lt)
    return Range(before.gte, before.last_created + 1)
