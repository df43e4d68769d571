"""All parts of the simulated Stripe put together, still without HTTP."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from airflow_provider_stripe_app.testing import consent, routes
from airflow_provider_stripe_app.testing.api import Admission, Api
from airflow_provider_stripe_app.testing.arrivals import Arrivals, outcome_of
from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.faults import Fault, Faults
from airflow_provider_stripe_app.testing.ledger import Ledger
from airflow_provider_stripe_app.testing.messages import LoggedRequest, Request, Response
from airflow_provider_stripe_app.testing.oauth import OAuthServer
from airflow_provider_stripe_app.testing.switches import Switches
from airflow_provider_stripe_app.testing.wire import JsonObject, encode

LOG_LENGTH = 100_000
_CODE = re.compile(r"((?:^|&)(?:code|state|client_secret|refresh_token|key)=)[^&]*")


@dataclass(slots=True)
class Exchange:
    """A request between its arrival and its answer.

    :param arrived: unix seconds of real time.
    :param wait: seconds until it is carried out.
    :param admission: set while it is still to be carried out.
    :param response: its answer, once there is one.
    """

    request: Request
    request_id: str
    fault: Fault | None
    arrived: float = 0.0
    wait: float = 0.0
    admission: Admission | None = None
    response: Response | None = None


class Service:
    """Answers requests.

    :param seed: of everything that is left to chance.
    :param control: answers ``/_sim/`` requests.
    """

    def __init__(
        self,
        clock: SimClock,
        switches: Switches,
        seed: int,
        control: Callable[[Request], Response],
    ) -> None:
        self.clock = clock
        self.switches = switches
        self.control = control
        self.ledger = Ledger(clock, switches, Random(f"{seed}-objects"))
        # one lock for both, since a request holds the ledger's and a consent emits events
        self.oauth = OAuthServer(clock, switches, Random(f"{seed}-oauth"), lock=self.ledger.lock)
        self.oauth.notify = self._emit
        self.faults = Faults(Random(f"{seed}-faults"))
        self.api = Api(self.ledger, self.oauth, Random(f"{seed}-requests"))
        self.log: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        self.arrivals = Arrivals()
        self.counts: Counter[str] = Counter()
        self.accounts: list[str] = []
        self._rng = Random(f"{seed}-latency")

    def _emit(
        self,
        type_: str,
        account_id: str,
        livemode: bool,
        object_: JsonObject,
        previous: JsonObject | None,
    ) -> None:
        """Tell an account what happened to an installation."""
        space = self.ledger.space(account_id, livemode)
        self.ledger.emit(space, type_, encode(object_), previous)

    def begin(self, request: Request, fault: Fault | None) -> Exchange:
        """Take a request in: refuse it, fail it before its effect, or get it ready."""
        exchange = Exchange(request, self.api.request_id(), fault, time.time())
        if self._is_api(request) and self.switches.latency[1] > 0:
            exchange.wait = self._rng.uniform(*self.switches.latency)
        if fault is not None and fault.when == "before" and fault.action != "stall":
            answer = fault.response() if fault.action != "reset" else Response(0, b"")
            exchange.response = self.api.fault(answer, request, exchange.request_id)
        elif self._is_api(request):
            admitted = self.api.admit(request, exchange.request_id)
            if isinstance(admitted, Response):
                exchange.response = admitted
            else:
                exchange.admission = admitted
                account = admitted.grant.account_id, admitted.grant.livemode
                self.api.in_flight[account] += 1
        return exchange

    def carry_out(self, exchange: Exchange) -> Response:
        """Answer a request that was taken in, with the effect it has."""
        request, fault = exchange.request, exchange.fault
        admission = exchange.admission
        response = exchange.response
        if admission is not None:
            account = admission.grant.account_id, admission.grant.livemode
            self.api.in_flight[account] -= 1
            response = self.api.perform(admission)
        elif response is None:
            response = self._other(request, exchange.request_id)
        if fault is not None and fault.when == "after" and _answers(fault):
            response = self.api.fault(fault.response(), request, exchange.request_id)
            if admission is not None:
                self.api.override(admission, response)
        self._write_log(exchange, response)
        return response

    def _other(self, request: Request, request_id: str) -> Response:
        """Answer what is not part of the API: OAuth and unknown paths."""
        if request.path == consent.TOKEN and request.method == "POST":
            return consent.token(self.oauth, request, request_id)
        if consent.AUTHORIZE.match(request.path) and request.method in ("GET", "POST"):
            return consent.page(self.oauth, request, self.accounts)
        return Response(404, b"Not found", (), "text/plain")

    def _is_api(self, request: Request) -> bool:
        return request.path.startswith("/v1/") and request.path != consent.TOKEN

    def _write_log(self, exchange: Exchange, response: Response) -> None:
        request = exchange.request
        bearer = request.bearer
        key_id = hashlib.sha256(bearer.encode()).hexdigest()[:12] if bearer else None
        grant = exchange.admission.grant if exchange.admission else None
        account = grant.account_id if grant else self.api.account_of(request)
        secret = request.path.startswith("/oauth/")
        query = _CODE.sub(r"\1***", request.query) if secret else request.query
        self.log.append(
            LoggedRequest(
                self.clock.now(),
                request.method,
                f"{request.path}?{query}" if query else request.path,
                account,
                response.status,
                key_id,
                exchange.request_id,
                len(response.body),
                exchange.fault.action if exchange.fault else None,
            )
        )
        lost = exchange.fault is not None and exchange.fault.action in ("reset", "truncate")
        outcome = "lost" if lost else outcome_of(response)
        self.arrivals.count(exchange.arrived, account, self._operation(exchange), outcome)
        self.counts["requests"] += 1
        self.counts[f"status:{response.status}"] += 1

    def _operation(self, exchange: Exchange) -> str:
        if exchange.admission is not None:
            return exchange.admission.route.operation
        method, path = exchange.request.method, exchange.request.path
        found = (
            routes.find(method, path.removeprefix("/v1/"))
            if self._is_api(exchange.request)
            else None
        )
        return found[0].operation if found else f"{method} {path}"

    def requests(self, pattern: str | None = None) -> list[LoggedRequest]:
        """Return the logged requests whose method, path and query match a regular expression."""
        lines = list(self.log.copy())
        if pattern is None:
            return lines
        wanted = re.compile(pattern)
        return [line for line in lines if wanted.search(f"{line.method} {line.target}")]


def _answers(fault: Fault) -> bool:
    return fault.action in ("status", "rate_limit", "lock_timeout", "conflict")
