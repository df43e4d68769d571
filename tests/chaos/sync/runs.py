"""Runs of the sync as they happen to people: killed, overlapping, with other streams and keys."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.api.tokens import StaticToken, TokenProvider
from airflow_provider_stripe_app.api.transport import pooled_session
from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.sync.context import LeaseTimeout
from airflow_provider_stripe_app.sync.run import CoverageLost
from airflow_provider_stripe_app.sync.summary import RunSummary, SyncFailed
from airflow_provider_stripe_app.warehouse.base import StaleWriter, WarehouseError
from tests.chaos.sync.figures import TALLY
from tests.integration.sync_lab import Lab

PATIENCE = RetryPolicy(attempts=40, rate_attempts=60, base=0.002, cap=0.02)


LEASE = 0.5
"""Seconds until the lease of a killed run ends: another owner waits for so long."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it, the transaction is never committed."""


class Fate:
    """When a run dies: at a request or a statement, and from then on at each of both.

    :param dies_at: the step at which it does, from 1; 0 for never.
    """

    def __init__(self, dies_at: int = 0) -> None:
        self.dies_at, self.steps, self.dead = dies_at, 0, False
        self.trail: list[str] = []
        self._lock = threading.Lock()

    def step(self, label: str) -> None:
        """Count a step.

        :raises Killed: if this one, or an earlier one, is the last.
        """
        with self._lock:
            self.steps += 1
            self.trail.append(label)
            self.dead = self.dead or self.steps == self.dies_at
        if self.dead:
            raise Killed(label)

    def session(self) -> requests.Session:
        """Return a session whose requests are steps: once before each, once after."""
        session = pooled_session()
        send: Callable[..., requests.Response] = session.request

        def request(method: str, url: str, **rest: Any) -> requests.Response:
            self.step(f"send {url}")
            answer = send(method, url, **rest)
            self.step(f"answer {url}")
            return answer

        session.request = request  # type: ignore[method-assign,assignment]
        return session


@contextmanager
def release(version: str) -> Iterator[None]:
    """Be an earlier release of this provider: everything but the simulated Stripe pins a version.

    :param version: that the release pins.
    """
    inside = "airflow_provider_stripe_app."
    modules = [
        module
        for name, module in sys.modules.items()
        if name.startswith(inside)
        and not name.startswith(f"{inside}testing")
        and getattr(module, "API_VERSION", None) == API_VERSION
    ]
    assert len(modules) > 4
    try:
        for module in modules:
            module.API_VERSION = version  # type: ignore[attr-defined]
        yield
    finally:
        for module in modules:
            module.API_VERSION = API_VERSION  # type: ignore[attr-defined]


class RollingKeys:
    """Tokens that die: after some requests Stripe refuses the key, and there is another one.

    :param lives: requests for which a key lives.
    """

    def __init__(self, lab: Lab, lives: int) -> None:
        self._lab, self._lives = lab, lives
        self._lock = threading.Lock()
        self._key = lab.sim.secret_key(lab.account)
        self._left = lives

    def get(self) -> str:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._lab.sim.oauth.revoke_key(self._key)
            return self._key

    def replace(self, refused: str) -> str:
        with self._lock:
            if refused == self._key:
                self._key = self._lab.sim.secret_key(self._lab.account)
                self._left = self._lives
            return self._key


class Runs:
    """Makes runs.

    :param streams: what the whole of the runs is about; single ones may take some of it.
    :param starts: start dates (unix seconds) that runs may ask for; empty for none.
    """

    def __init__(
        self, lab: Lab, rng: random.Random, streams: Sequence[str], starts: Sequence[int]
    ) -> None:
        self.lab, self._random, self._streams = lab, rng, list(streams)
        self._starts = list(starts)
        self.asked: set[int | None] = set()
        self.blinded = False

    def client(self, fate: Fate | None = None, tokens: TokenProvider | None = None) -> StripeClient:
        """Return a client that hardly waits between its many tries."""
        session = (fate or Fate()).session()
        return StripeClient(
            tokens or StaticToken(self.lab.key),
            api_base=self.lab.sim.url,
            retry=PATIENCE,
            session=session,
        )

    def one(self, fate: Fate, **options: Any) -> RunSummary | None:
        """Make one run; ``None`` if it was killed."""
        warehouse: Any = self.lab.warehouse()
        warehouse.fault = fate.step
        tokens = options.pop("tokens", None)
        streams = options.pop("streams", None) or self._some()
        TALLY["runs"] += 1
        self.asked.add(options.get("start_date"))
        try:
            return self.lab.sync(
                streams, client=self.client(fate, tokens), warehouse=warehouse, **options
            )
        except Killed:
            TALLY["runs killed"] += 1
            return None

    def usual(self) -> str:
        """Make a run that may be killed; return it in words."""
        fate, options = self._fate(), self._options()
        self.one(fate, **options)
        return f"run {options} {'killed' if fate.dead else 'ended'} at step {fate.steps}"

    def with_dying_tokens(self) -> str:
        """Make a run whose token dies every few requests."""
        # More than are under way at once: one call may have two tokens replaced, not many.
        lives = self._random.choice([20, 60])
        options = {**self._options(), "workers": 3}
        self.one(self._fate(), tokens=RollingKeys(self.lab, lives), **options)
        return f"run with tokens for {lives} requests"

    def with_less_permission(self) -> str:
        """Make a run that may not read some streams, or loses that right on the way."""
        wanted = ["customer_read", "invoice_read", "subscription_read", "event_read"]
        wanted += [self.permission(name) for name in self._streams]
        lost = self._random.choice([p for p in wanted if p != "event_read"])
        key = self.lab.sim.restricted_key(None, self.lab.account)
        rest = sorted({p for p in wanted if p != lost})
        nth = self._random.choice([0, 1, 3, 6])
        self.blinded = True  # Stripe hides the events of what may not be read

        def take(_: object = None) -> None:
            self.lab.sim.oauth.set_key_permissions(key, rest)

        if nth:
            self.lab.sim.before("/v1/", take, nth=nth)
        else:
            take()
        try:
            self.one(self._fate(), tokens=StaticToken(key), **self._options())
        except SyncFailed as failed:
            for error in failed.errors.values():
                if not isinstance(error, PermissionMissing | CoverageLost):
                    raise
        return f"run without {lost} from request {nth} on"

    def overlapping(self) -> str:
        """Make two runs at once, of different owners; the second waits or fails clearly."""
        problems: list[BaseException] = []
        fates = (self._fate(), self._fate())
        options = [{**self._options(), "owner": f"run {n}", "lease_wait": 20.0} for n in range(2)]

        def run(n: int) -> None:
            try:
                self.one(fates[n], **options[n])
            except BaseException as error:
                if self._is_clear(error):
                    TALLY["runs overtaken or kept waiting"] += 1
                else:
                    problems.append(error)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if problems:
            raise problems[0]
        return f"two runs {options}"

    def _is_clear(self, error: BaseException) -> bool:
        """Tell whether a run ended because of another one, and said so."""
        if isinstance(error, SyncFailed):
            return all(isinstance(e, CoverageLost) for e in error.errors.values())
        # Threads of one process share DuckDB's file; it lets one of two transactions fail.
        shared = self.lab.kind == "duckdb" and isinstance(error, WarehouseError)
        return isinstance(error, StaleWriter | LeaseTimeout) or (shared and "onflict" in str(error))

    def of_the_last_release(self, version: str) -> str:
        """Make a run of an earlier release, which pinned another version of Stripe's API."""
        with release(version):
            self.one(self._fate(), **self._options())
        return f"run of the release of {version}"

    @staticmethod
    def permission(stream: str) -> str:
        from airflow_provider_stripe_app.streams.catalog import STREAMS

        return STREAMS[stream].permission

    def _fate(self) -> Fate:
        return Fate(self._random.choice([0, 0, self._random.randint(1, 120)]))

    def _some(self) -> list[str]:
        if self._random.random() < 0.6:
            return self._streams
        return self._random.sample(self._streams, self._random.randint(1, len(self._streams)))

    def _options(self) -> dict[str, Any]:
        pick = self._random.choice
        start = pick(self._starts) if self._starts else None
        return {
            "streams": self._some(),
            "mode": pick(["auto"] * 7 + ["full"]),
            "start_date": start,
            "batch_rows": pick([10, 100, 5000]),
            "workers": pick([1, 3, 8]),
            "run": pick(["", "retried"]),
            "lease_ttl": LEASE,
        }
