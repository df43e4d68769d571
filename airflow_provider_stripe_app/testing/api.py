"""From a request to an answer: key, version, permission, limits, idempotency, then the endpoint.

The two halves :meth:`Api.admit` and :meth:`Api.perform` are apart so that a stall or a delay can
happen between the arrival of a request and its effect.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from random import Random

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.testing import expand, forms, lives, routes
from airflow_provider_stripe_app.testing.api_keys import mask
from airflow_provider_stripe_app.testing.endpoints import Call
from airflow_provider_stripe_app.testing.errors import (
    ApiError,
    invalid,
    permission_missing,
    rate_limited,
)
from airflow_provider_stripe_app.testing.events import Cause
from airflow_provider_stripe_app.testing.idempotency import IdempotencyKeys
from airflow_provider_stripe_app.testing.ledger import Ledger
from airflow_provider_stripe_app.testing.messages import Request, Response
from airflow_provider_stripe_app.testing.oauth import AuthError, Grant, OAuthServer
from airflow_provider_stripe_app.testing.rates import RateLimits
from airflow_provider_stripe_app.testing.wire import encode, pretty

_VERSION = re.compile(r"^(\d{4}-\d{2}-\d{2})(\.[a-z]+)?$")
_ACCOUNT = "GET /v1/accounts/{id}"
_ACCOUNT_ROUTES = ("GET /v1/account", _ACCOUNT)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that was let in.

    :param key: idempotency key to store the answer under.
    :param expand: what is to be expanded.
    """

    request: Request
    request_id: str
    grant: Grant
    route: routes.Route
    call: Call
    key: tuple[str, bool, str] | None
    expand: list[list[str]]


class Api:
    """The ``/v1`` endpoints.

    :param rng: source of request ids.
    """

    def __init__(self, ledger: Ledger, oauth: OAuthServer, rng: Random) -> None:
        self.ledger = ledger
        self.oauth = oauth
        self.rates = RateLimits(ledger.switches)
        self.keys = IdempotencyKeys()
        self.counts: Counter[str] = Counter()
        self.in_flight: Counter[tuple[str, bool]] = Counter()
        self._rng = rng

    def request_id(self) -> str:
        """Return a new ``Request-Id``."""
        return f"req_{self._rng.getrandbits(72):018x}"

    def admit(self, request: Request, request_id: str) -> Admission | Response:
        """Let a request in, or answer it with what is wrong.

        Takes a token of the rate limits and opens the idempotency key.
        """
        grant = self.oauth.authenticate(request.bearer)
        if isinstance(grant, AuthError):
            self.counts[f"refused:{grant.status}"] += 1
            return self._finish(
                Response(grant.status, encode(grant.body)), request, request_id, None
            )
        try:
            return self._admit(request, request_id, grant)
        except ApiError as error:
            return self._error(error, request, request_id)

    def perform(self, admission: Admission) -> Response:
        """Carry out an admitted request and store its answer under its idempotency key."""
        request, request_id = admission.request, admission.request_id
        with self.ledger.lock:
            lives.settle(self.ledger, admission.call.space)
            try:
                body = self._expanded(admission, admission.route.handler(admission.call))
                answer = self._finish(Response(200, body), request, request_id, admission.call)
            except ApiError as error:
                # "If incoming parameters fail validation, we don't save the idempotent result"
                # (https://docs.stripe.com/api/idempotent_requests)
                self.abandon(admission)
                return self._error(error, request, request_id)
            except BaseException:
                self.abandon(admission)
                raise
        self.counts[admission.route.operation] += 1
        self.override(admission, answer)
        return answer

    def _expanded(self, admission: Admission, body: bytes) -> bytes:
        if not admission.expand:
            return body
        grant = admission.grant
        return expand.expand(
            body,
            admission.expand,
            admission.call.space,
            lambda resource: grant.allows(f"{resource.permission}_read"),
            admission.call.version,
        )

    def override(self, admission: Admission, answer: Response) -> None:
        """Store an answer under the idempotency key of a request that was carried out."""
        if admission.key is not None and self.keys.known(admission.key):
            self.keys.finish(admission.key, answer.status, answer.headers, answer.body)

    def abandon(self, admission: Admission) -> None:
        """Forget a request that was let in but will not be carried out."""
        if admission.key is not None:
            self.keys.abandon(admission.key)

    def fault(self, response: Response, request: Request, request_id: str) -> Response:
        """Give an injected answer the usual headers."""
        return self._finish(response, request, request_id, None)

    def account_of(self, request: Request) -> str | None:
        """Return the account that a request's key belongs to."""
        grant = self.oauth.authenticate(request.bearer)
        return None if isinstance(grant, AuthError) else grant.account_id

    def _admit(self, request: Request, request_id: str, grant: Grant) -> Admission | Response:
        version = self._version(request)
        found = routes.find(request.method, request.path.removeprefix("/v1/"))
        if found is None or self._is_hidden(found[0], version):
            raise ApiError(
                404,
                f"Unrecognized request URL ({request.method}: {request.path}). Please see "
                "https://stripe.com/docs or we can help at https://support.stripe.com/.",
            )
        route, ids = found
        acting = self._acting(request, grant, route, ids)
        reason = self.rates.refuse(grant.account_id, grant.livemode, route.operation)
        limit = self.ledger.switches.concurrency_limit
        if reason is None and limit and self.in_flight[_account(grant)] >= limit:
            reason = "global-concurrency"
        if reason is not None:
            self.counts[f"429:{reason}"] += 1
            raise rate_limited(reason if self.ledger.switches.rate_limit_reason else None)
        self._check_permission(request, grant, route)
        params = forms.parse(self._params(request))
        app = grant.kind == "access_token"
        wanted = expand.paths(params, refused=app and self.ledger.switches.expand_refused)
        key = self._open_key(request, request_id, grant, acting)
        if isinstance(key, Response):
            return key
        cause = Cause(request_id, key[2] if key else None)
        space = self.ledger.space(acting, grant.livemode)
        bearer = request.bearer or ""
        call = Call(
            self.ledger, space, grant, request.path, ids, params, version, cause, self.oauth, bearer
        )
        return Admission(request, request_id, grant, route, call, key, wanted)

    def _version(self, request: Request) -> str:
        switches = self.ledger.switches
        version = request.headers.get("stripe-version")
        if version is None:
            if switches.require_version:
                raise invalid("Missing Stripe-Version header.")
            return switches.default_api_version
        match = _VERSION.match(version)
        if match is None or match.group(1) > API_VERSION[:10]:
            raise invalid(f"Invalid Stripe API version: {version}")
        return version

    def _is_hidden(self, route: routes.Route, version: str) -> bool:
        unknown = route.is_install_api and self.ledger.switches.install_api == "unknown"
        return unknown or version[:10] < route.since

    def _acting(
        self, request: Request, grant: Grant, route: routes.Route, ids: tuple[str, ...]
    ) -> str:
        """Return the account that a request acts on: the key's own, or that of ``Stripe-Account``.

        An app's access token acts on its account only [doc]; on the Install API a developer's key
        reaches the accounts that have its app.
        """
        named = request.headers.get("stripe-account")
        others = [*([named] if named else []), *(ids if route.operation == _ACCOUNT else ())]
        space = self.ledger.space(grant.account_id, grant.livemode)
        connected = space.collections.get("account")
        for account_id in others:
            if account_id == grant.account_id:
                continue
            if connected is not None and account_id in connected.by_id:
                continue
            bearer = request.bearer or ""
            if route.is_install_api and self.oauth.reaches(bearer, grant, account_id):
                continue
            raise ApiError(
                403,
                f"The provided key '{mask(bearer)}' does not have access to "
                f"account '{account_id}' (or that account does not exist). Application access "
                "may have been revoked.",
                code="account_invalid",
            )
        return named or grant.account_id

    def _check_permission(self, request: Request, grant: Grant, route: routes.Route) -> None:
        permission = route.permission
        free = not self.ledger.switches.account_needs_permission
        if permission is None or (free and route.operation in _ACCOUNT_ROUTES):
            return
        refused = route.is_install_api and self.ledger.switches.install_api == "refused"
        if refused or not grant.allows(permission):
            self.counts[f"403:{permission}"] += 1
            raise permission_missing(
                permission,
                grant.account_id,
                mask(request.bearer or ""),
                app=grant.kind == "access_token",
                answer=self.ledger.switches.permission_answer,
            )

    def _params(self, request: Request) -> str:
        if request.method != "POST":
            return request.query
        kind = request.headers.get("content-type", "application/x-www-form-urlencoded")
        if request.body and not kind.startswith("application/x-www-form-urlencoded"):
            raise invalid(
                f"Invalid request (check that your POST content type is "
                f"application/x-www-form-urlencoded, not {kind})."
            )
        return request.body.decode("utf-8", "replace")

    def _open_key(
        self, request: Request, request_id: str, grant: Grant, acting: str
    ) -> tuple[str, bool, str] | Response | None:
        text = request.headers.get("idempotency-key")
        if not text or request.method == "GET":
            return None
        if len(text) > 255:
            raise invalid("Idempotency keys must be at most 255 characters long.")
        key = (acting, grant.livemode, text)
        print_ = hashlib.sha256(
            b"\0".join((request.method.encode(), request.target.encode(), request.body))
        ).hexdigest()
        stored = self.keys.begin(key, print_, self.ledger.clock.now())
        if stored is None:
            return key
        self.counts["replayed"] += 1
        status, headers, body = stored
        kept = [header for header in headers if header[0] != "Request-Id"]
        original = dict(headers).get("Request-Id", "")
        mine = (("Request-Id", request_id), ("Original-Request", original))
        return Response(status, body, (*kept, *mine, ("Idempotent-Replayed", "true")))

    def _error(self, error: ApiError, request: Request, request_id: str) -> Response:
        response = Response(
            error.status, encode(error.body(request_id)), tuple(error.headers.items())
        )
        return self._finish(response, request, request_id, None)

    def _finish(
        self, response: Response, request: Request, request_id: str, call: Call | None
    ) -> Response:
        switches = self.ledger.switches
        version = call.version if call else request.headers.get("stripe-version")
        headers = [*response.headers, ("Request-Id", request_id)]
        headers.append(("Stripe-Version", version or switches.default_api_version))
        key = request.headers.get("idempotency-key")
        if key and request.method != "GET":
            headers.append(("Idempotency-Key", key))
        if request.headers.get("stripe-account"):
            headers.append(("Stripe-Account", request.headers["stripe-account"]))
        if response.status == 401:
            headers.append(("WWW-Authenticate", 'Bearer realm="Stripe"'))
        body = response.body
        if switches.pretty_json and response.content_type == "application/json" and body:
            body = pretty(body)
        return replace(response, body=body, headers=tuple(headers))


def _account(grant: Grant) -> tuple[str, bool]:
    return grant.account_id, grant.livemode
