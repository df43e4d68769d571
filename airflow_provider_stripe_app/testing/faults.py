"""Failures on demand: which request they hit and what they do."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any, Literal

from airflow_provider_stripe_app.testing.errors import ApiError, lock_timeout, rate_limited
from airflow_provider_stripe_app.testing.messages import Request, Response
from airflow_provider_stripe_app.testing.wire import encode

Action = Literal["status", "rate_limit", "lock_timeout", "conflict", "reset", "stall", "truncate"]
ACTIONS = ("status", "rate_limit", "lock_timeout", "conflict", "reset", "stall", "truncate")
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass
class Fault:
    """A rule: requests that match it fail in one way.

    :param action: ``status`` (answer ``status``), ``rate_limit`` (429 with ``reason``) or
        ``lock_timeout`` (429 without a reason), ``conflict`` (409), ``reset`` (RST), ``stall`` (go
        on after ``seconds``), ``truncate`` (half of the body under the whole Content-Length).
    :param path: regular expression searched in path and query.
    :param method: only this one; empty for all.
    :param nth: only the n-th matching request, from 1.
    :param every: every n-th matching request.
    :param count: at most so often.
    :param probability: chance of each matching request.
    :param when: ``before`` the request has any effect, or ``after`` it. (A truncated answer is
        always after.)
    :param body: of ``status``: ``json``, ``html`` or ``none``.
    :param should_retry: value of ``Stripe-Should-Retry``, ``None`` for no such header.
    :param keep: of ``truncate``: which part of the body is sent.
    """

    action: Action
    path: str = ""
    method: str = ""
    nth: int | None = None
    every: int | None = None
    count: int | None = None
    probability: float = 1.0
    when: Literal["before", "after"] = "before"
    status: int = 500
    body: Literal["json", "html", "none"] = "json"
    reason: str = "endpoint-rate"
    seconds: float = 0.0
    should_retry: bool | None = None
    keep: float = 0.5
    id: int = 0
    seen: int = field(default=0, compare=False)
    fired: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"There is no fault action {self.action!r}; use one of {ACTIONS}")
        if self.action == "truncate":
            self.when = "after"
        self._pattern = re.compile(self.path)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fault:
        """Build a rule from JSON.

        :raises ValueError: for unknown names or a missing action.
        """
        known = {f.name for f in dataclasses.fields(cls)} - {"id", "seen", "fired"}
        unknown = sorted(set(values) - known)
        if unknown or "action" not in values:
            raise ValueError(f"A fault has an action and may have {sorted(known)}, not {unknown}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return dataclasses.asdict(self)

    def matches(self, request: Request) -> bool:
        """Tell whether a request is one that the rule is about."""
        if self.method and self.method.upper() != request.method:
            return False
        return bool(self._pattern.search(request.target))

    def response(self) -> Response:
        """Return the answer of the actions that answer."""
        if self.action == "rate_limit":
            return _from_error(rate_limited(self.reason))
        if self.action == "lock_timeout":
            return _from_error(lock_timeout())
        if self.action == "conflict":
            text = "There is currently another in-progress request using this Idempotency Key."
            error = ApiError(409, text, type="idempotency_error", code="idempotency_key_in_use")
            return _from_error(error)
        headers: tuple[tuple[str, str], ...] = ()
        if self.should_retry is not None:
            headers = (("Stripe-Should-Retry", "true" if self.should_retry else "false"),)
        if self.body == "html":
            return Response(self.status, _HTML, headers, "text/html")
        if self.body == "none":
            return Response(self.status, b"", headers, "text/plain")
        error = ApiError(self.status, "An unknown error occurred", type="api_error")
        return Response(self.status, encode(error.body("req_fault")), headers)


@dataclass
class Hook:
    """A callable that runs when the n-th request of a path arrives or was answered."""

    path: str
    run: Callable[[Request], object]
    method: str = ""
    nth: int | None = None
    when: Literal["before", "after"] = "before"
    seen: int = 0

    def __post_init__(self) -> None:
        if self.when not in ("before", "after"):
            raise ValueError(f"A hook runs before or after a request, not {self.when!r}")
        self._pattern = re.compile(self.path)

    def due(self, request: Request) -> bool:
        """Count a request and tell whether the hook is to run for it."""
        if self.method and self.method.upper() != request.method:
            return False
        if not self._pattern.search(request.target):
            return False
        self.seen += 1
        return self.nth is None or self.seen == self.nth


class Faults:
    """All rules and hooks. Thread-safe.

    :param rng: decides where a probability is given.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._lock = Lock()
        self._rules: list[Fault] = []
        self._hooks: list[Hook] = []
        self._next = 1

    def add(self, fault: Fault) -> Fault:
        """Put a rule into force and give it an id."""
        with self._lock:
            fault.id = self._next
            self._next += 1
            self._rules.append(fault)
            return fault

    def add_hook(self, hook: Hook) -> Hook:
        """Put a hook into force."""
        with self._lock:
            self._hooks.append(hook)
            return hook

    def remove(self, fault_id: int | None = None) -> int:
        """Lift one rule, or all rules and hooks.

        :return: how many rules were lifted.
        """
        with self._lock:
            kept = [] if fault_id is None else [r for r in self._rules if r.id != fault_id]
            lifted = len(self._rules) - len(kept)
            self._rules = kept
            if fault_id is None:
                self._hooks = []
            return lifted

    def rules(self) -> list[Fault]:
        """Return the rules in force, with how often they matched and fired."""
        return list(self._rules)

    def draw(self, request: Request) -> Fault | None:
        """Return the first rule that hits a request; counts matches."""
        if not self._rules:
            return None
        with self._lock:
            hit = None
            for rule in self._rules:
                if rule.matches(request):
                    rule.seen += 1
                    if hit is None and self._fires(rule):
                        rule.fired += 1
                        hit = rule
            return hit

    def hooks(self, request: Request, when: str) -> list[Hook]:
        """Return the hooks that are to run now."""
        if not self._hooks:
            return []
        with self._lock:
            return [hook for hook in self._hooks if hook.when == when and hook.due(request)]

    def _fires(self, rule: Fault) -> bool:
        if rule.count is not None and rule.fired >= rule.count:
            return False
        if rule.nth is not None and rule.seen != rule.nth:
            return False
        if rule.every is not None and rule.seen % rule.every:
            return False
        return rule.probability >= 1.0 or self._rng.random() < rule.probability


def _from_error(error: ApiError) -> Response:
    return Response(error.status, encode(error.body("req_fault")), tuple(error.headers.items()))
