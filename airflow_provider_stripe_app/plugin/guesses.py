"""Wrong broker tokens: how many come from where, and what is mended because of them.

A right token is never held up by this, whoever else sends wrong ones from the same address or for
the same connection: it is compared first, and only a failure is counted. So this keeps nobody from
guessing (256 random bits do); it keeps a flood from writing to the log and to the database, makes
it visible, and tells a worker that has the wrong token to be slow.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

ALLOWED = 30
"""Failures of one address, or for one connection, in one window of one process."""

WINDOW = 60.0
"""Seconds."""

KEYS = 2048
"""Addresses and connections that are remembered at most, each; the oldest are forgotten."""


@dataclass
class _Window:
    since: float
    count: int = 0


class _Counter:
    """Counts by key, with bounded memory. Not thread-safe by itself."""

    def __init__(self, keys: int) -> None:
        self._keys = keys
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, key: str, now: float) -> int:
        """Count one more and return how many the running window has."""
        window = self._windows.get(key)
        if window is None or now - window.since >= WINDOW:
            self._windows.pop(key, None)
            window = self._windows[key] = _Window(now)
            while len(self._windows) > self._keys:
                self._windows.popitem(last=False)
        window.count += 1
        return window.count


class FailureLimit:
    """Tells when one address, or one connection, has had too many wrong tokens in this process.

    :param allowed: failures per window.
    :param keys: addresses and connections that are remembered, each.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        allowed: int = ALLOWED,
        keys: int = KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = allowed
        self._clock = clock
        self._lock = threading.Lock()
        self._addresses = _Counter(keys)
        self._connections = _Counter(keys)

    def too_many(self, address: str, conn_id: str) -> bool:
        """Count a failure and return whether it is one too many.

        Whether the connection exists plays no part, so the answer does not tell.

        :param address: who asked; an IPv6 host counts with its whole /64 network.
        :param conn_id: what was asked for.
        """
        network = network_of(address)
        with self._lock:
            now = self._clock()
            counts = (self._addresses.add(network, now), self._connections.add(conn_id, now))
        if self._allowed + 1 in counts:
            log.warning(
                "More than %d requests with a wrong broker_token within %d s: the last for "
                "connection %r from %s. If it is one of your workers, its connection does not say "
                "what the installation was given: open the Stripe App page.",
                self._allowed,
                WINDOW,
                conn_id[:80],
                network,
            )
        return max(counts) > self._allowed


def network_of(address: str) -> str:
    """Return what requests of one origin have in common."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Mender:
    """Puts our keys back into connections, apart from the answer that made it necessary.

    How long an answer takes, or the next one, would else tell whether a connection is an
    installation's. A worker reads its connection again after 0.35 s at the earliest.

    :param mend: brings one connection up to date; must not raise.
    :param most: connections that wait at most.
    :param pause: waits a moment before those that came meanwhile are mended.
    """

    def __init__(
        self,
        mend: Callable[[str], None],
        most: int = 256,
        pause: Callable[[], None] = lambda: time.sleep(random.uniform(0.05, 0.2)),  # noqa: S311
    ) -> None:
        self._mend = mend
        self._most = most
        self._pause = pause
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._running = False

    def later(self, conn_id: str) -> None:
        """Mend a connection soon; nothing if it waits already or too many do.

        :param conn_id: the connection, which need not exist.
        """
        with self._lock:
            if conn_id not in self._waiting and len(self._waiting) >= self._most:
                return
            self._waiting[conn_id] = None
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._work, name="stripe-app-mender", daemon=True).start()

    def _work(self) -> None:
        self._pause()
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                conn_id, _ = self._waiting.popitem(last=False)
            self._mend(conn_id)
