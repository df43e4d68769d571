"""What a caller may choose for a run."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.sync.versions import LAG, OVERLAP

Mode = Literal["auto", "full", "incremental"]
MODES: tuple[Mode, ...] = ("auto", "full", "incremental")


@dataclass(frozen=True, slots=True)
class Unit:
    """A top-level stream with those of its child streams that are synced: they travel together."""

    stream: Stream
    children: tuple[Stream, ...] = ()

    @property
    def name(self) -> str:
        """Name of the top-level stream."""
        return self.stream.name

    @property
    def stream_inlined(self) -> str | None:
        """Key of the parent's JSON that holds the children, ``None`` when none are synced."""
        return self.children[0].inlined if self.children else None


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Options of one run.

    :param mode: ``auto`` loads what is new and follows changes of the rest, ``full`` lists
        everything again, ``incremental`` refuses to list.
    :param start_date: leave out objects created before this unix second; ``None`` for no limit.
    :param owner: who holds the leases; the same owner takes over its own lease at once (a retry).
    :param run: names the run, so that a retry of ``mode="full"`` resumes.
    :param group: names runs that belong together, such as the tasks of one DAG run: what one of
        them has just read of the change feed serves the others.
    :param workers: requests under way, at most; as many as rate and answer times take are made.
    :param batch_rows: rows merged in one transaction, about.
    :param batch_bytes: bytes of JSON merged in one transaction, about.
    :param queue_bytes: bytes of JSON that may wait for their transaction; then fetching stops.
    :param batch_seconds: longest time that fetched rows wait for their transaction.
    :param lag: seconds, see :data:`~.versions.LAG`.
    :param overlap: seconds, see :data:`~.versions.OVERLAP`.
    :param feed_interval: seconds between feed passes while a full load runs.
    :param lease_ttl: seconds until the lease of a dead run expires.
    :param lease_wait: seconds to wait for another run's lease before giving up.
    :param relist_days: longest time between two full lists of a stream with changes that no event
        tells of; ``None`` for never. Not in ``incremental`` mode.
    :param progress_seconds: seconds between two progress lines.
    :param read_budget: requests that the account may make in 30 days: a run that exceeds it says
        so. ``None`` for what Stripe allots to every account at least.
    :param max_requests: requests that the account may make on a UTC day, for whichever purpose and
        run: at the cap a run stops, keeps its place and says what is unfinished. The change feed is
        always read. ``None`` for any number.
    """

    mode: Mode = "auto"
    start_date: int | None = None
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    run: str = ""
    group: str = ""
    workers: int = 64
    batch_rows: int = 10_000
    batch_bytes: int = 16 * 2**20
    queue_bytes: int = 40 * 2**20
    batch_seconds: float = 5.0
    lag: int = LAG
    overlap: int = OVERLAP
    feed_interval: float = 300.0
    lease_ttl: float = 120.0
    lease_wait: float = 900.0
    relist_days: float | None = 7.0
    progress_seconds: float = 5.0
    read_budget: int | None = None
    max_requests: int | None = None
