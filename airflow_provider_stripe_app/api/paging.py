"""Follows a list page by page, even when the object a page ends with is deleted meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_stripe_app.api.answer import Page, PageOf
from airflow_provider_stripe_app.api.errors import CursorDeleted
from airflow_provider_stripe_app.api.split import Item


def follow(fetch: Callable[[dict[str, Any]], Page], params: Mapping[str, Any]) -> Iterator[Page]:
    """Yield the pages of a list, one in memory at a time.

    After a deleted cursor it begins again at that object's second and drops what it has yielded
    already (EQUALITY §5); only the ids of that second are kept for it.

    :param fetch: returns the page for some query parameters.
    :param params: the query parameters of the first page.
    :raises CursorDeleted: if that happens in a list whose objects have no ``created``.
    """
    wanted = dict(params)
    last: Item | None = None
    second: set[str] = set()  # ids yielded of the last object's second
    while True:
        try:
            page = fetch(wanted)
        except CursorDeleted:
            if last is None or last.created is None:
                raise  # the caller's own cursor, or nothing to go on by
            wanted = from_second(wanted, last.created)
            continue
        fresh = [item for item in page.items if item.id not in second]
        yield PageOf(fresh, page.has_more, page.sent_at, page.date)
        if not page.has_more or not page.items:
            return
        for item in page.items:
            if last is None or item.created != last.created:
                second.clear()
            second.add(item.id)
            last = item
        wanted = {**wanted, "starting_after": page.items[-1].id}


def from_second(params: Mapping[str, Any], created: int) -> dict[str, Any]:
    """Return query parameters that begin again at a second; a lower bound stays as it was.

    :param params: with ``starting_after`` and perhaps bounds, written ``created[gte]`` or nested.
    :param created: unix second of the object that is gone.
    """
    dropped = ("starting_after", "created", "created[lt]", "created[lte]")
    kept = {name: value for name, value in params.items() if name not in dropped}
    bounds = params.get("created")
    if isinstance(bounds, Mapping):
        kept.update({f"created[{n}]": v for n, v in bounds.items() if n in ("gt", "gte")})
    elif bounds is not None:
        kept["created[gte]"] = bounds  # an exact second
    return {**kept, "created[lte]": created}
