"""Progress lines that a person can read."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from airflow_provider_stripe_app.sync.context import Context

log = logging.getLogger("airflow_provider_stripe_app.sync")


class Progress:
    """Logs every few seconds how far a run is.

    :param doing: what the run does, e.g. ``loading``.
    :param share: tells which share (0 to 1) is done, as far as that can be estimated.
    """

    def __init__(self, ctx: Context, doing: str, share: Callable[[], float] | None = None) -> None:
        self._ctx = ctx
        self._doing = doing
        self._share = share
        self._began = self._said = time.monotonic()
        self._objects: Counter[str] = Counter()
        self._last_objects = 0
        self._last_requests = ctx.client.requests.total()

    def seen(self, stream: str, objects: int) -> None:
        """Count fetched objects."""
        self._objects[stream] += objects

    def tick(self) -> None:
        """Log a line if the last one is old enough."""
        now = time.monotonic()
        elapsed = now - self._said
        if elapsed < self._ctx.options.progress_seconds:
            return
        objects, requests = self._objects.total(), self._ctx.client.requests.total()
        rate = (objects - self._last_objects) / elapsed
        log.info(
            "%s %s: %s; %.0f objects/s, %.1f requests/s%s",
            self._ctx.account_id,
            self._doing,
            ", ".join(f"{n} {c:,}" for n, c in sorted(self._objects.items())) or "nothing yet",
            rate,
            (requests - self._last_requests) / elapsed,
            self._estimate(now - self._began),
        )
        self._said, self._last_objects, self._last_requests = now, objects, requests

    def _estimate(self, elapsed: float) -> str:
        share = self._share() if self._share else 0.0
        if not 0.0 < share < 1.0:
            return ""
        return f", about {elapsed / share * (1 - share):.0f} s left"
