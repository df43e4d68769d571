"""What the parts of a run share, and the single thread that writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.sync.budget import workers
from airflow_provider_stripe_app.sync.meter import Meter
from airflow_provider_stripe_app.sync.options import SyncOptions
from airflow_provider_stripe_app.sync.summary import RunSummary
from airflow_provider_stripe_app.warehouse.base import (
    Claim,
    LeaseHeld,
    RoomMade,
    StateKey,
    Transaction,
    Warehouse,
)

log = logging.getLogger(__name__)
T = TypeVar("T")


class LeaseTimeout(StripeAppError):
    """Another run kept the lease for longer than this run was willing to wait."""


@dataclass(slots=True)
class Context:
    """One run's surroundings.

    :param client: Stripe, as the account.
    :param account_id: ``acct_…``.
    :param livemode: live or test/sandbox data.
    :param summary: filled as the run goes.
    """

    client: StripeClient
    warehouse: Warehouse
    account_id: str
    livemode: bool
    options: SyncOptions
    summary: RunSummary
    claims: dict[str, Claim] = field(default_factory=dict)
    renewed_at: float = 0.0
    meter: Meter = field(init=False)
    _writer: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="stripe-merge")
    )
    _reader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="stripe-read")
    )

    def __post_init__(self) -> None:
        cap = self.options.max_requests
        self.meter = Meter(self.client, self.account_id, self.livemode, cap)
        self.options = replace(self.options, workers=workers(self.options.workers, cap))

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Run ``work`` in a transaction of its own, in the writer thread.

        Warehouse connections belong to one thread, and one writer at a time is all they allow.
        """

        def once() -> T:
            with self.warehouse.transaction() as tx:
                result = work(tx)
                # Last, so that no other run waits for it longer than a commit takes.
                requests = self.meter.write(tx)
            self.meter.committed(requests)
            return result

        def in_transaction() -> T:
            try:
                return once()
            except RoomMade as error:
                log.warning("%s; trying again with more memory", error)
                return once()

        return self._writer.submit(in_transaction)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction and wait for its result."""
        return self.submit(work).result()

    def read(self, request: Callable[[], T]) -> T:
        """Make a request and keep the leases alive meanwhile: its retries may outlast them."""
        return self.result(self._reader.submit(request))

    def result(self, future: Future[T]) -> T:
        """Return a future's result and keep the leases alive until it is there."""
        while not wait((future,), timeout=self.options.lease_ttl / 6).done:
            self.renew()
        return future.result()

    def key(self, stream: str) -> StateKey:
        """Return the state key of a stream of this account."""
        return StateKey(self.account_id, self.livemode, stream)

    def claim(self, *streams: str) -> list[Claim]:
        """Take the leases of some streams, all or none, waiting for another run to finish.

        :param streams: stream names, or the feed's.
        :raises LeaseTimeout: if one stays taken for ``options.lease_wait`` seconds.
        """
        options = self.options
        deadline = time.monotonic() + options.lease_wait
        said = 0.0

        def take(tx: Transaction) -> list[Claim]:
            return [
                tx.claim(self.key(s), options.owner, options.lease_ttl, options.run)
                for s in streams
            ]

        while True:
            try:
                claims = self.write(take)
            except LeaseHeld as held:
                now = time.monotonic()
                what = f"{' or '.join(streams)} of {self.account_id}"
                if now >= deadline:
                    raise LeaseTimeout(
                        f"Another run ({held.owner}) has been syncing {what} for "
                        f"{options.lease_wait:.0f} s. Let it finish, or set max_active_runs=1 on "
                        "the DAG; nothing was changed by this run."
                    ) from held
                if now - said > options.progress_seconds:
                    log.info("Waiting for %s, which is syncing %s", held.owner, what)
                    said = now
                self.renew()
                time.sleep(min(1.0, max(0.1, held.seconds_left)))
                continue
            self.claims.update(zip(streams, claims, strict=True))
            return claims

    def renew(self) -> None:
        """Renew all leases if a third of their time has passed."""
        now = time.monotonic()
        if now - self.renewed_at < self.options.lease_ttl / 3:
            return
        self.renewed_at = now
        claims = list(self.claims.values())

        def touch(tx: Transaction) -> None:
            for claim in claims:
                tx.advance(claim, None)

        self.write(touch)

    def release(self, *streams: str) -> None:
        """Give leases back; trouble in doing so must not hide the error that led here."""
        claims = [self.claims.pop(s) for s in streams if s in self.claims]
        if not claims:
            return
        try:
            self.write(lambda tx: _release(tx, claims))
        except Exception as error:
            log.warning("Could not give the leases back; they expire by themselves: %s", error)

    @contextmanager
    def open(self) -> Iterator[Context]:
        """Close the warehouse and give every lease back at the end, whatever happened."""
        self.renewed_at = time.monotonic()
        try:
            yield self
        finally:
            try:
                self.release(*list(self.claims))
                self._keep_requests()
                self._close()
            finally:
                self._reader.shutdown()
                self._writer.shutdown()

    def _keep_requests(self) -> None:
        """Write down what an error has left uncounted; trouble must not hide that error."""
        if not self.meter.unwritten:
            return
        try:
            self.write(lambda _: None)
        except Exception as error:
            log.warning("The last requests could not be counted: %s", error)

    def _close(self) -> None:
        try:
            self._writer.submit(self.warehouse.close).result()
        except Exception as error:  # the run's own outcome matters more
            log.warning("The warehouse could not be closed: %s", error)


def _release(tx: Transaction, claims: list[Claim]) -> None:
    for claim in claims:
        tx.release(claim)
