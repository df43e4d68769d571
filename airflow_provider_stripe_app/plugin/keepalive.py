"""Renews tokens before anybody needs them, in one daemon thread per API server process.

All processes look, and the store's lease lets one of them renew each installation. The thread must
never harm the API server: it raises nothing, holds nothing and dies with the process.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.store import InstallationStatus, TokenStore

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks."""

FIRST_AFTER = 10.0
"""Seconds that the API server gets for its own start."""

IN_USE = 2 * 3600.0
"""Seconds since a task asked for a token, during which the installation counts as in use."""

EARLY = 900.0
"""Seconds of life below which a token in use is renewed: workers that reach no broker find a fresh
copy in their connection."""

IDLE = 7 * 86400.0
"""Seconds after which an idle installation is touched; its refresh token lives a year."""

WARN_DAYS = (1, 7, 30)
"""Days before the end of a refresh token at which it is said (DESIGN §2.5)."""


@dataclass(frozen=True)
class Due:
    """One installation to renew.

    :param conn_id: its connection.
    :param why: ``in use`` when tasks need it, ``idle`` when it is only kept from dying.
    """

    conn_id: str
    why: Literal["in use", "idle"]


def due(installations: Iterable[InstallationStatus], now: float) -> list[Due]:
    """Return what has to be renewed now.

    :param installations: what the store says.
    :param now: unix seconds.
    """
    found = []
    for one in installations:
        if one.status != ACTIVE:
            continue
        in_use = one.last_used_at is not None and now - one.last_used_at < IN_USE
        if in_use and one.access_expires_at - now < EARLY:
            found.append(Due(one.conn_id, "in use"))
        elif now - one.last_refreshed_at > IDLE:
            found.append(Due(one.conn_id, "idle"))
    return found


def ending(installations: Iterable[InstallationStatus], now: float) -> list[tuple[str, int]]:
    """Return the installations that end within 30, 7 or 1 days, with the smallest of these.

    :param installations: what the store says.
    :param now: unix seconds.
    """
    found = []
    for one in installations:
        left = (one.refresh_expires_at - now) / 86400
        days = next((days for days in WARN_DAYS if left <= days), None)
        if one.status == ACTIVE and days is not None:
            found.append((one.conn_id, days))
    return found


class KeepAlive:
    """The thread.

    :param store: makes the store, in the thread; nothing touches the database before that.
    :param enabled: whether ``[stripe_app] keepalive`` is on.
    :param clock: unix seconds.
    :param every: seconds between two looks.
    :param first_after: seconds before the first one.
    """

    def __init__(
        self,
        store: Callable[[], TokenStore],
        enabled: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.time,
        every: float = EVERY,
        first_after: float = FIRST_AFTER,
    ) -> None:
        self._store = store
        self._enabled = enabled
        self._clock = clock
        self._every = every
        self._first_after = first_after
        self._stop = threading.Event()
        self._said: dict[str, float] = {}

    def start(self) -> None:
        """Start the thread and return at once."""
        threading.Thread(target=self._run, name="stripe-app-keepalive", daemon=True).start()

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        self._stop.set()

    def look(self) -> int:
        """Look once and renew what is due.

        :return: how many installations were renewed.
        :raises StripeAppError: if the store cannot be used at all.
        """
        store = self._store()
        now = self._clock()
        installations = store.installations()
        for conn_id, days in ending(installations, now):
            self._say(
                f"Stripe ends the installation of connection {conn_id} within {days} day(s), "
                "because it could not be renewed: reauthorize it on the Stripe App page."
            )
        renewed = 0
        for one in due(installations, now):
            if self._stop.is_set():
                break
            try:
                if one.why == "in use":
                    store.live_token(one.conn_id, min_remaining=EARLY, wait_seconds=0)
                else:
                    store.renew(one.conn_id)
                renewed += 1
            except StripeAppError as error:
                self._say(f"Connection {one.conn_id} was not renewed: {error}")
        return renewed

    def _run(self) -> None:
        # Processes that start together must not look together.
        pause = self._first_after * random.uniform(1, 2)  # noqa: S311
        while not self._stop.wait(pause):
            pause = self._every * random.uniform(0.8, 1.2)  # noqa: S311
            try:
                if self._enabled():
                    self.look()
            except StripeAppError as error:
                self._say(f"Stripe App keep-alive: {error}")
            except Exception as error:
                self._say(f"Stripe App keep-alive failed ({type(error).__name__}); it goes on.")

    def _say(self, text: str) -> None:
        """Warn, but not with the same words more often than once an hour."""
        now = time.monotonic()
        if now - self._said.get(text, float("-inf")) >= 3600:
            self._said = {t: at for t, at in self._said.items() if now - at < 3600}
            self._said[text] = now
            log.warning("%s", text)


@contextmanager
def running() -> Iterator[None]:
    """Keep tokens alive while the API server runs. Never raises, never blocks."""
    keeper: KeepAlive | None = None
    try:
        keeper = KeepAlive(_default_store, _enabled)
        keeper.start()
    except Exception:
        log.exception(
            "The Stripe App keep-alive could not be started; tasks renew tokens themselves."
        )
    try:
        yield
    finally:
        if keeper is not None:
            keeper.stop()


def _default_store() -> TokenStore:
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return TokenStore()


def _enabled() -> bool:
    from airflow_provider_stripe_app.oauth import config

    return config.keepalive()
