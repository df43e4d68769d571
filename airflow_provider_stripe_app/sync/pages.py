"""Pages on their way to the warehouse, and how progress moves with them (EQUALITY §2)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_stripe_app.api.client import ParentPage
from airflow_provider_stripe_app.api.listing import FLOOR, Listing, PageFacts
from airflow_provider_stripe_app.api.ranges import Range
from airflow_provider_stripe_app.api.rate_limit import operation
from airflow_provider_stripe_app.api.split import ParentItem
from airflow_provider_stripe_app.sync.fetch import ChildSet, Fetched
from airflow_provider_stripe_app.sync.options import SyncOptions, Unit
from airflow_provider_stripe_app.sync.state import LISTED, StreamState


@dataclass(slots=True)
class LoadPage:
    """A fetched page on its way to the warehouse.

    :param before: the range it was read from.
    :param after: what of that range remains.
    :param waiting: whether children are still being fetched.
    :param sent_at: Stripe's time when it was sent, unix seconds.
    :param rows: objects on it.
    :param size: bytes of memory that it takes, about.
    :param parents: objects with more children than are inlined.
    :param sets: their children, as far as they are read; ``None`` for a parent that was missing.
    """

    before: Range
    after: tuple[Range, ...]
    fetched: Fetched = field(default_factory=Fetched)
    waiting: bool = False
    sent_at: int = 0
    rows: int = 0
    size: int = 0
    parents: dict[str, ParentItem] = field(default_factory=dict)
    sets: dict[str, ChildSet | None] = field(default_factory=dict)


def facts(page: ParentPage, ranged: bool = True) -> PageFacts:
    """Return what a page says about the range it was read from.

    :param ranged: the list can be asked for a range, so that what remains of it can be cut.
    """
    if not page.items:
        return PageFacts(0, page.has_more)
    newest, oldest = page.items[0], page.items[-1]
    if not ranged:
        return PageFacts(len(page.items), page.has_more, None, None, oldest.id)
    return PageFacts(len(page.items), page.has_more, newest.created, oldest.created, oldest.id)


def size_of(page: ParentPage) -> int:
    """Return about how many bytes of memory a page takes; children are slices of its objects."""
    return sum(len(item.sent) for item in page.items)


def apply_pages(
    remaining: Sequence[Range], pages: Sequence[LoadPage]
) -> tuple[tuple[Range, ...], list[LoadPage], list[LoadPage]]:
    """Move progress over those pages whose range the stored state still knows.

    A page whose predecessor still waits for children has to wait as well.

    :return: (remaining ranges after them, pages to merge now, pages to keep).
    """
    left = list(remaining)
    ready = list(pages)
    merged: list[LoadPage] = []
    moved = True
    while moved:
        moved = False
        kept = []
        for page in ready:
            if not page.waiting and page.before in left:
                left.remove(page.before)
                left.extend(page.after)
                merged.append(page)
                moved = True
            else:
                kept.append(page)
        ready = kept
    return tuple(left), merged, ready


def enough(pages: Sequence[LoadPage], rows: int, room: int) -> list[LoadPage]:
    """Return the first pages, as many as hold so many rows or bytes; at least one if there is one.

    :param pages: each behind those that its progress needs.
    """
    out = []
    for page in pages:
        if rows <= 0 or room <= 0:
            break
        out.append(page)
        rows -= page.rows
        room -= page.size
    return out


def share_done(remaining: Sequence[Range], now: int) -> float:
    """Return which share of the time from :data:`FLOOR` to ``now`` has been listed (0 to 1).

    A rough measure of progress: objects are rarely spread evenly over time.
    """
    left = 0
    for rng in remaining:
        end = rng.last_created or rng.lt or now
        left += max(0, end - max(rng.gte or FLOOR, FLOOR))
    return 1.0 - min(1.0, left / max(1, now - FLOOR))


class Job:
    """The load of one unit."""

    def __init__(self, unit: Unit, state: StreamState) -> None:
        self.unit = unit
        self.state = state
        self.listing = Listing(state.remaining)
        self.list_operation = operation("GET", unit.stream.path)
        self.in_flight = 0
        self.pages: list[LoadPage] = []
        self.waiting_rows = 0
        self.waiting_bytes = 0
        self.merging_bytes = 0
        self.flushed_at = time.monotonic()
        self.error: Exception | None = None
        self.merging = False

    @property
    def child_operation(self) -> str:
        """The operation that reads the children of one parent."""
        return operation("GET", self.unit.children[0].path)

    @property
    def held(self) -> int:
        """Bytes of memory that its pages take, about, until they are committed."""
        if self.error is not None:
            return self.merging_bytes  # the rest is thrown away
        return self.waiting_bytes + self.merging_bytes

    @property
    def fetching(self) -> bool:
        """Whether pages are still to be fetched."""
        return self.error is None and bool(self.in_flight or not self.listing.finished)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to fetch or to merge."""
        if self.merging:
            return False
        if self.error is not None:
            return self.in_flight == 0
        return not self.state.remaining

    def wants_flush(self, options: SyncOptions, *, pressed: bool) -> bool:
        """Tell whether the fetched pages should be merged now.

        :param pressed: memory is scarce.
        """
        if not self.pages or self.merging:
            return False
        return (
            pressed
            or self.waiting_rows >= options.batch_rows
            or self.waiting_bytes >= options.batch_bytes
            or time.monotonic() - self.flushed_at >= options.batch_seconds
            or not self.fetching
        )

    def add(self, page: LoadPage) -> None:
        """Hold one more page."""
        self.pages.append(page)
        self.waiting_rows += page.rows
        self.waiting_bytes += page.size

    def grow(self, page: LoadPage, size: int) -> None:
        """Count bytes that a page takes besides."""
        page.size += size
        self.waiting_bytes += size

    def take(self, rows: int, room: int) -> Fetched | None:
        """Begin to merge pages that are ready, and move the state with them.

        :param rows: objects after which it is enough, about.
        :param room: the same in bytes.
        :return: their objects; ``None`` if no page is ready.
        """
        self.flushed_at = time.monotonic()
        ready = enough(apply_pages(self.state.remaining, self.pages)[1], rows, room)
        if not ready:
            return None
        remaining = apply_pages(self.state.remaining, ready)[0]
        phase = self.state.phase if remaining else LISTED[self.state.phase]
        self.state = replace(self.state, remaining=remaining, phase=phase)
        taken = {id(page) for page in ready}
        self.pages = [page for page in self.pages if id(page) not in taken]
        self.waiting_rows = sum(page.rows for page in self.pages)
        self.waiting_bytes = sum(page.size for page in self.pages)
        self.merging, self.merging_bytes = True, sum(page.size for page in ready)
        out = Fetched()
        for page in ready:
            out.extend(page.fetched)
        return out

    def merged(self) -> None:
        """Take note that what was taken is committed."""
        self.merging, self.merging_bytes = False, 0
