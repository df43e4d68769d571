"""One rate budget for all processes and machines that read an account: a schedule in Redis.

The same buckets as :class:`~.rate_limit.RateLimiter` keeps in one process, moved by one Lua script
that runs in the server, by the server's clock: whoever asks gets the next free place of the account
and of the endpoint, wherever it runs (generic cell rate algorithm). A 429 lowers the rate of all.

Redis is an aid and no condition: while it does not answer, each process paces itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.api.rate_limit import (
    BURST_SECONDS,
    DECREASE,
    FLOOR,
    HEADROOM,
    IN_USE_SECONDS,
    RECOVERY_PER_SECOND,
    SETTLE_SECONDS,
    RateLimiter,
    scope_of,
)
from airflow_provider_stripe_app.exceptions import ConfigurationError

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

PREFIX = "stripe_app:rate"

TIMEOUT = 1.0
"""Seconds to connect to Redis and to wait for its answer; a place in the schedule is no more
worth than that."""

RETRY_SECONDS = 30.0
"""How long Redis is left alone after it did not answer."""

KEEP_SECONDS = 600
"""How long the buckets of an unused account are kept: longer than a rate needs to recover."""

# One hash for an account: fields rate, changed and due of each bucket. Numbers are stored with
# microseconds: Lua's own way to print them has 14 digits only.
_SCRIPT = """
local key, verb = KEYS[1], ARGV[1]
local burst, recovery, decrease = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local settle, floor, in_use = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local keep, account_rate, endpoint_rate = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function text(number) return string.format('%.6f', number) end

local function load(name)
  local found = redis.call('HMGET', key, name .. '|rate', name .. '|changed', name .. '|due')
  local ceiling = name == 'account' and account_rate or endpoint_rate
  local rate, changed = tonumber(found[1]) or ceiling, tonumber(found[2]) or 0
  if rate < ceiling then
    rate = math.min(ceiling, rate + (now - changed) * recovery * ceiling)
  end
  return math.min(rate, ceiling), changed, tonumber(found[3]) or 0
end

local function store(name, due, rate)
  redis.call('HSET', key, name .. '|due', text(due))
  if rate then
    redis.call('HSET', key, name .. '|rate', text(rate), name .. '|changed', text(now))
  end
  redis.call('EXPIRE', key, keep + math.ceil(math.max(0, due - now)))
end

local function endpoints_together()
  local sum, all = 0, redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local name = string.match(all[i], '^(.*)|due$')
    if name and name ~= 'account' and tonumber(all[i + 1]) > now - in_use then
      sum = sum + load(name)
    end
  end
  return sum
end

local answer = {}
for i = 11, #ARGV do
  local name = ARGV[i]
  local rate, changed, due = load(name)
  if verb == 'rates' then
    answer[i - 10] = text(rate)
  elseif verb == 'lower' then
    if now - changed >= settle then
      local together = name == 'account' and endpoints_together() or 0
      if together > 0 then rate = math.min(rate, together) end
      rate = math.max(floor, rate * decrease)
      store(name, math.max(due, now) + 1 / rate, rate)
    end
  else
    local start = math.max(due, now - burst)
    store(name, start + 1 / rate)
    answer = {i - 10, text(math.max(0, start - now))}
    if start > now then return answer end
  end
end
return answer
"""


def connect(url: str) -> Redis:
    """Return a client for a Redis server; nothing is sent yet.

    :param url: ``redis://``, ``rediss://`` or ``unix://``, see
        https://redis.readthedocs.io/en/stable/connections.html.
    :raises ConfigurationError: if it is no such address, or the package ``redis`` is missing.
    """
    try:
        import redis
    except ImportError:
        raise ConfigurationError(
            "Option [stripe_app] rate_limit_url is set, but the package redis is not installed "
            "here: install airflow-provider-stripe-app[redis] on all workers."
        ) from None
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            decode_responses=True,
            health_check_interval=30,
        )
    except (ValueError, TypeError):
        # The error's own words may quote a part of the password.
        raise ConfigurationError(
            "Option [stripe_app] rate_limit_url is not an address like redis://host:6379/0: give "
            "scheme, host and port, and write special characters of a password as %xx."
        ) from None


class SharedRateLimiter:
    """Paces the requests of one account in step with all others that use the same Redis.

    Thread-safe; a :class:`~.rate_limit.Pacer`.

    :param redis: see :func:`connect`; answers must be text.
    :param account: names the budget: whoever gives the same name shares it. No secret.
    :param account_rate: requests per second that Stripe allows the account.
    :param endpoint_rate: requests per second that Stripe allows each operation.
    :param headroom: part of both that is used.
    :param alone: paces while Redis does not answer; by default a limiter with the same rates.
    :param clock: monotonic seconds.
    :param sleep: waits for seconds.
    """

    def __init__(
        self,
        redis: Redis,
        account: str,
        account_rate: float = 100.0,
        endpoint_rate: float = 25.0,
        *,
        headroom: float = HEADROOM,
        alone: RateLimiter | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._alone = alone or RateLimiter(
            account_rate, endpoint_rate, headroom=headroom, clock=clock, sleep=sleep
        )
        self._script = redis.register_script(_SCRIPT)
        self._account = account
        self._account_rate = account_rate * headroom
        self._endpoint_rate = endpoint_rate * headroom
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._down_until = float("-inf")
        self._warned = False
        self.waited = 0.0

    def acquire(self, name: str) -> float:
        """Wait until a request of an operation may be sent.

        The endpoint comes first and the account second, as in
        :meth:`~.rate_limit.RateLimiter.acquire`; mostly in one call.

        :param name: see :func:`~.rate_limit.operation`.
        :return: seconds waited.
        """
        self._used.add(name)
        buckets = (name, "account")
        waited, taken = 0.0, 0
        while taken < len(buckets):
            answer = self._ask("book", buckets[taken:])
            if answer is None:
                return waited + self._alone.acquire(name)
            taken += int(answer[0])
            seconds = float(answer[1])
            if seconds > 0:
                self._sleep(seconds)
                waited += seconds
        if waited:
            with self._lock:
                self.waited += waited
        return waited

    def throttled(self, name: str, reason: str | None) -> None:
        """Take note of a 429, for everybody.

        :param name: the operation that got it.
        :param reason: its header ``Stripe-Rate-Limited-Reason``.
        """
        scope = scope_of(reason)
        if scope is None:
            return
        self._alone.throttled(name, reason)  # it may be needed at any moment
        self._ask("lower", ("account" if scope == "account" else name,))

    def rates(self) -> Mapping[str, float]:
        """Return the present rate of each bucket used here; the account's is ``account``."""
        names = (*sorted(self._used), "account")
        answer = self._ask("rates", names)
        if answer is None:
            return self._alone.rates()
        return {name: float(rate) for name, rate in zip(names, answer, strict=True)}

    def _ask(self, verb: str, buckets: Sequence[str]) -> list[Any] | None:
        """Run the script; ``None`` while Redis does not answer."""
        if self._clock() < self._down_until:
            return None
        from redis.exceptions import RedisError

        try:
            answer: list[Any] = self._script(
                keys=[f"{PREFIX}:{self._account}"],
                args=[
                    verb,
                    BURST_SECONDS,
                    RECOVERY_PER_SECOND,
                    DECREASE,
                    SETTLE_SECONDS,
                    FLOOR,
                    IN_USE_SECONDS,
                    KEEP_SECONDS,
                    self._account_rate,
                    self._endpoint_rate,
                    *buckets,
                ],
            )
        except (RedisError, OSError) as error:
            self._unreachable(error)
            return None
        return answer

    def _unreachable(self, error: Exception) -> None:
        with self._lock:
            self._down_until = self._clock() + RETRY_SECONDS
            if self._warned:
                return
            self._warned = True
        log.warning(
            "The Redis server of option [stripe_app] rate_limit_url does not answer (%s). This "
            "task paces its requests by itself and tries again every %.0f s: tasks on the same "
            "account may get 429s from Stripe meanwhile, which slows them down and costs nothing "
            "else.",
            type(error).__name__,
            RETRY_SECONDS,
        )
