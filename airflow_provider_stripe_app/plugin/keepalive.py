"""Renews tokens before anybody needs them, in one daemon thread per API server process.

One process of all replicas does the work: whoever holds the lease ``keepalive``. The others ask for
it with one small query a minute and take over when the holder is gone. The thread must never harm
the API server: it raises nothing, holds nothing and dies with the process.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
)
from airflow_provider_stripe_app.oauth import metrics
from airflow_provider_stripe_app.plugin.patience import Patience
from airflow_provider_stripe_app.plugin.workers import work_off

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.due import Ages, App, Candidate, Due
    from airflow_provider_stripe_app.oauth.store import TokenStore

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks."""

FIRST_AFTER = 10.0
"""Seconds that the API server gets for its own start."""

JOB = "keepalive"
LEASE = 180.0
"""Seconds after which another process takes the place of one that was not heard of."""

THREADS = 4
"""Renewals at once: one slow answer of Stripe does not hold the others."""

PACE = 0.25
"""Seconds that a thread takes for a renewal at least: four of them stay below 25 a second, which is
what Stripe allows an account's other calls; a limit of its token endpoint is not documented."""

APPS_EVERY = 600.0
"""Seconds between two looks for apps to be compared with Stripe's list."""

APP_LEASE = 3600.0
"""Seconds after which a comparison that failed is tried again."""


class Desk(Protocol):
    """What the thread reads and writes in the database.

    ``all_fresh`` tells whether every installation counts as in use.
    """

    all_fresh: bool

    def take(self, name: str, owner: str, seconds: float) -> bool:
        """Take a lease."""
        ...

    def done(self, name: str, owner: str) -> None:
        """Write down that the work was done."""
        ...

    def release(self, name: str, owner: str) -> None:
        """Give a lease back."""
        ...

    def candidates(self, now: float) -> Sequence[Candidate]:
        """Read what may be due."""
        ...

    def apps(self) -> Sequence[App]:
        """Read the apps."""
        ...

    def ages(self, now: float) -> Sequence[Ages]:
        """Read how old the tokens are."""
        ...

    def reconcile(self, app_conn_id: str) -> object:
        """Compare an app's installations with Stripe's list."""
        ...


class KeepAlive:
    """The thread.

    :param store: makes the store, in the thread; nothing touches the database before that.
    :param enabled: whether ``[stripe_app] keepalive`` is on.
    :param desk: the database; by default the real one.
    :param clock: unix seconds.
    :param every: seconds between two looks.
    :param first_after: seconds before the first one.
    :param pace: seconds that a thread takes for a renewal at least.
    """

    def __init__(
        self,
        store: Callable[[], TokenStore],
        enabled: Callable[[], bool],
        *,
        desk: Callable[[], Desk] | None = None,
        clock: Callable[[], float] = time.time,
        every: float = EVERY,
        first_after: float = FIRST_AFTER,
        pace: float = PACE,
    ) -> None:
        self.owner = uuid.uuid4().hex
        self._store = store
        self._enabled = enabled
        self._desk = desk or _Database
        self._clock = clock
        self._every = every
        self._first_after = first_after
        self._pace = pace
        self._stop = threading.Event()
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()
        self._holds = False
        self._patience = Patience()
        self._apps_at = float("-inf")
        self._reconciling: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread and return at once."""
        threading.Thread(target=self._run, name="stripe-app-keepalive", daemon=True).start()

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        self._stop.set()

    def look(self) -> int:
        """Look once and see to what is due, if no other process does.

        :return: how many installations were renewed or mended.
        :raises StripeAppError: if the database cannot be used at all.
        """
        from airflow_provider_stripe_app.oauth import due

        desk = self._desk()
        self._holds = desk.take(JOB, self.owner, LEASE)
        if not self._holds:
            return 0
        begun, now = time.monotonic(), self._clock()
        candidates = desk.candidates(now)
        self._warn(due.ending(candidates, now))
        work = self._patience.begin(due.due(candidates, now, all_fresh=desk.all_fresh))
        self._start_reconciling(desk)
        renewed: list[str] = []
        if work:
            store = self._store()
            work_off(
                [functools.partial(self._see_to, store, one, renewed) for one in work],
                threads=THREADS,
                stop=self._stop,
                pace=self._pace,
                meanwhile=lambda: self._hold(desk),
                every=LEASE / 4,
            )
        for app in self._patience.waiting:
            self._say(f"Renewals of app {app} failed one after the other: the rest waits a minute.")
        metrics.looked(time.monotonic() - begun, len(work))
        _tell_ages(desk.ages(now), now)
        return len(renewed)

    def _hold(self, desk: Desk) -> None:
        """Keep the lease while a long look goes on; losing it costs nothing but work done twice."""
        try:
            desk.take(JOB, self.owner, LEASE)
        except StripeAppError as error:
            self._say(f"Stripe App keep-alive: {error}")

    def _see_to(self, store: TokenStore, one: Due, renewed: list[str]) -> bool:
        """Renew or mend an installation; return whether it was tried."""
        if not self._patience.may_try(one):
            return False
        try:
            if one.why == "idle":
                store.renew(one.conn_id)
            else:
                store.live_token(one.conn_id, min_remaining=one.margin, wait_seconds=0)
            renewed.append(one.conn_id)
            self._patience.succeeded(one)
        except StripeAppError as error:
            alone = isinstance(error, ReauthorizationRequired)
            self._patience.failed(one, apps_fault=not alone)
            self._say(f"Connection {one.conn_id} was not renewed: {error}")
        except Exception as error:
            self._patience.failed(one, apps_fault=False)
            self._say(f"Connection {one.conn_id} was not renewed ({type(error).__name__}).")
        return True

    def _start_reconciling(self, desk: Desk) -> None:
        """Compare the apps that are due with Stripe's lists, beside the renewals: a list of
        thousands of accounts takes long, and no token should wait for it.
        """
        from airflow_provider_stripe_app.oauth import due

        busy = self._reconciling is not None and self._reconciling.is_alive()
        if busy or time.monotonic() - self._apps_at < APPS_EVERY:
            return
        self._apps_at = time.monotonic()
        apps = due.reconcile_due(desk.apps(), self._clock())
        if apps:
            self._reconciling = threading.Thread(
                target=self._reconcile_all,
                args=(desk, apps),
                name="stripe-app-reconcile",
                daemon=True,
            )
            self._reconciling.start()

    def _reconcile_all(self, desk: Desk, apps: Iterable[str]) -> None:
        for app in apps:
            if not self._stop.is_set():
                self._reconcile(desk, app)

    def _reconcile(self, desk: Desk, app_conn_id: str) -> None:
        """Compare an app with Stripe's list; a failure keeps the lease, so it rests for an hour."""
        from airflow_provider_stripe_app.oauth.due import RECONCILE

        name, outcome = f"{RECONCILE}{app_conn_id}", "done"
        try:
            if not desk.take(name, self.owner, APP_LEASE):
                return
            outcome = self._compared(desk, app_conn_id)
            desk.done(name, self.owner)
        except Exception as error:
            outcome = "failed"
            self._say_uncompared(app_conn_id, error)
        metrics.reconciled(outcome)

    def _compared(self, desk: Desk, app_conn_id: str) -> str:
        try:
            desk.reconcile(app_conn_id)
        except ConfigurationError as error:  # a person has to act: tomorrow is soon enough
            self._say_uncompared(app_conn_id, error)
            return "not_set_up"
        return "done"

    def _say_uncompared(self, app_conn_id: str, error: Exception) -> None:
        why = str(error) if isinstance(error, StripeAppError) else type(error).__name__
        self._say(
            f"The installations of app {app_conn_id} were not compared with Stripe's list: {why}",
            every=86400,
        )

    def _warn(self, ending: Iterable[tuple[str, int]]) -> None:
        for conn_id, days in ending:
            self._say(
                f"Stripe ends the installation of connection {conn_id} within {days} day(s), "
                "because it could not be renewed: reauthorize it on the Stripe App page."
            )

    def _run(self) -> None:
        # Processes that start together must not look together.
        pause = self._first_after * random.uniform(1, 2)  # noqa: S311
        while not self._stop.wait(pause):
            pause = self._every * random.uniform(0.8, 1.2)  # noqa: S311
            try:
                self._recover()
                if self._enabled():
                    self.look()
            except StripeAppError as error:
                metrics.look_failed()
                self._say(f"Stripe App keep-alive: {error}")
            except Exception as error:
                metrics.look_failed()
                self._say(f"Stripe App keep-alive failed ({type(error).__name__}); it goes on.")
        self._leave()

    def _recover(self) -> None:
        """Store tokens that wait on disk: in every process, for its disk may be no other's, and
        whatever the option says.
        """
        try:
            self._store().recover_all()
        except StripeAppError as error:
            self._say(f"Tokens that wait on this machine's disk were not stored: {error}")

    def _leave(self) -> None:
        """Let another process take over at once; this one may be gone before it is written."""
        try:
            if self._holds:
                self._desk().release(JOB, self.owner)
        except Exception as error:
            log.debug("The keep-alive's lease was not given back (%s)", type(error).__name__)

    def _say(self, text: str, *, every: float = 3600.0) -> None:
        """Warn, but not with the same words more often than once an hour or as said."""
        now = time.monotonic()
        with self._lock:
            if self._said.get(text, float("-inf")) > now:
                return
            self._said = {words: until for words, until in self._said.items() if until > now}
            self._said[text] = now + every
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


class _Database:
    """The real desk; Airflow's metadata database."""

    def __init__(self) -> None:
        from airflow_provider_stripe_app.oauth import config, due, jobs

        self._due, self._jobs = due, jobs
        self._deployment = config.deployment_id()
        self.all_fresh = config.keep_all_fresh()

    def take(self, name: str, owner: str, seconds: float) -> bool:
        return self._jobs.take(name, owner, seconds, time.time())

    def done(self, name: str, owner: str) -> None:
        self._jobs.done(name, owner, time.time())

    def release(self, name: str, owner: str) -> None:
        self._jobs.release(name, owner)

    def candidates(self, now: float) -> Sequence[Candidate]:
        return self._due.read(now, self._deployment, all_fresh=self.all_fresh)

    def apps(self) -> Sequence[App]:
        return self._due.apps()

    def ages(self, now: float) -> Sequence[Ages]:
        return self._due.ages(now)

    def reconcile(self, app_conn_id: str) -> object:
        from airflow_provider_stripe_app.oauth.reconcile import reconcile_app

        return reconcile_app(app_conn_id)


def _tell_ages(ages: Sequence[Ages], now: float) -> None:
    """Send the ages of the tokens that live as metrics."""
    from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE, LOST

    numbers = {ACTIVE: 0, LOST: 0} | {one.status: one.number for one in ages}
    for status, number in numbers.items():
        metrics.installations(status, number)
    for one in ages:
        if one.status == ACTIVE:
            metrics.ages(
                None if one.refreshed_at is None else now - one.refreshed_at,
                None if one.first_ends_at is None else one.first_ends_at - now,
                None if one.refresh_ends_at is None else one.refresh_ends_at - now,
            )


def _default_store() -> TokenStore:
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return TokenStore()


def _enabled() -> bool:
    from airflow_provider_stripe_app.oauth import config

    return config.keepalive()
