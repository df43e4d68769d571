"""When the keep-alive stops asking: an app whose renewals fail one after the other.

With a thousand accounts, a Stripe that does not answer would keep a look busy for hours, and a key
that was rolled would be refused a thousand times a minute. A few failures in a row tell as much.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.due import Due

IN_A_ROW = 4
"""Failures of one app without a success between them, after which the rest of it waits."""


class Patience:
    """Failures of one look, and which installations failed before. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._row: Counter[str] = Counter()
        self._failed: set[str] = set()
        self.waiting: Counter[str] = Counter()

    def begin(self, work: Iterable[Due]) -> list[Due]:
        """Begin a look: return its work, with those last that failed before.

        They must not use up the patience for ever that the others need.
        """
        ordered = list(work)
        with self._lock:
            self._row.clear()
            self.waiting = Counter()
            self._failed &= {one.conn_id for one in ordered}
            ordered.sort(key=lambda one: one.conn_id in self._failed)
        return ordered

    def may_try(self, one: Due) -> bool:
        """Tell whether an installation is to be tried in this look; if not, it is counted."""
        with self._lock:
            enough = self._row[one.app_conn_id] >= IN_A_ROW
            if enough:
                self.waiting[one.app_conn_id] += 1
            return not enough

    def succeeded(self, one: Due) -> None:
        """Note a renewal."""
        with self._lock:
            self._row[one.app_conn_id] = 0
            self._failed.discard(one.conn_id)

    def failed(self, one: Due, *, apps_fault: bool) -> None:
        """Note a failure.

        :param one: the installation.
        :param apps_fault: whether others of its app may fail for the same reason.
        """
        with self._lock:
            self._failed.add(one.conn_id)
            if apps_fault:
                self._row[one.app_conn_id] += 1
