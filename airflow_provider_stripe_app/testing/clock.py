"""The simulation's own time: real time plus an offset, or frozen."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate


class SimClock:
    """A clock that tests can move. Thread-safe.

    :param at: unix seconds to start from; real time when ``None``.
    """

    def __init__(self, at: float | None = None) -> None:
        self._lock = threading.Lock()
        self._offset = 0.0 if at is None else at - time.time()
        self._frozen: float | None = None
        self._date: tuple[int, bytes] = (0, b"")

    def now(self) -> float:
        """Return the simulation's time in unix seconds."""
        frozen = self._frozen
        return time.time() + self._offset if frozen is None else frozen

    def advance(self, seconds: float) -> float:
        """Move the clock.

        :param seconds: how far; negative moves it back.
        :return: the new time in unix seconds.
        """
        with self._lock:
            if self._frozen is None:
                self._offset += seconds
            else:
                self._frozen += seconds
        return self.now()

    def freeze(self, at: float | None = None) -> float:
        """Stop the clock; only :meth:`advance` moves it from here on.

        :param at: unix seconds to stop at; the present when ``None``.
        :return: the time at which it stands.
        """
        with self._lock:
            self._frozen = self.now() if at is None else at
            return self._frozen

    def unfreeze(self) -> float:
        """Let the clock run again from where it stands.

        :return: the time in unix seconds.
        """
        with self._lock:
            if self._frozen is not None:
                self._offset = self._frozen - time.time()
                self._frozen = None
        return self.now()

    def reset(self) -> None:
        """Go back to real time."""
        with self._lock:
            self._offset, self._frozen = 0.0, None

    @property
    def frozen(self) -> bool:
        """Whether the clock stands still."""
        return self._frozen is not None

    def http_date(self) -> bytes:
        """Return the time as an HTTP ``Date`` header value (RFC 9110, whole seconds, floored)."""
        second = int(self.now())
        cached = self._date
        if cached[0] != second:
            cached = (second, formatdate(second, usegmt=True).encode())
            self._date = cached
        return cached[1]
