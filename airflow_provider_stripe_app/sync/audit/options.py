"""What a caller may choose for an audit."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_stripe_app.sync.options import SyncOptions
from airflow_provider_stripe_app.sync.versions import LAG, OVERLAP


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Options of one audit.

    :param repair: mend what differs.
    :param examples: ids named per table and kind.
    :param owner: who holds the leases while mending.
    :param run: free text for people.
    :param workers: requests under way at once, at most.
    :param batch_rows: objects compared in one transaction, about.
    :param lag: seconds, see :data:`~airflow_provider_stripe_app.sync.versions.LAG`.
    :param overlap: seconds, see :data:`~airflow_provider_stripe_app.sync.versions.OVERLAP`.
    :param lease_ttl: seconds until the lease of a dead run expires.
    :param lease_wait: seconds to wait for a running sync before mending is given up.
    :param progress_seconds: seconds between two progress lines.
    :param read_budget: see :class:`~airflow_provider_stripe_app.sync.options.SyncOptions`.
    :param max_requests: as above; an audit that reaches it has to be begun again.
    :param sleep: waits for seconds (tests).
    """

    repair: bool = False
    examples: int = 20
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    run: str = ""
    workers: int = 64
    batch_rows: int = 5_000
    lag: int = LAG
    overlap: int = OVERLAP
    lease_ttl: float = 120.0
    lease_wait: float = 900.0
    progress_seconds: float = 5.0
    read_budget: int | None = None
    max_requests: int | None = None
    sleep: Callable[[float], None] = time.sleep

    def for_sync(self) -> SyncOptions:
        """Return these options as a sync knows them."""
        return SyncOptions(
            owner=self.owner,
            run=self.run,
            workers=self.workers,
            lag=self.lag,
            overlap=self.overlap,
            lease_ttl=self.lease_ttl,
            lease_wait=self.lease_wait,
            progress_seconds=self.progress_seconds,
            read_budget=self.read_budget,
            max_requests=self.max_requests,
        )
