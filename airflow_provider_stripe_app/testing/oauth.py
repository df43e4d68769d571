"""Stripe App OAuth as Stripe does it (STRIPE.md §1), without HTTP.

What is only reported from the field, or inferred, is a switch in :class:`OAuthSwitches`, so that
the provider can be tested under both readings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from airflow_provider_stripe_app.testing.api_keys import ApiKeys, mask, parse_basic
from airflow_provider_stripe_app.testing.oauth_model import (
    AppRecord,
    AuthError,
    Clock,
    Consent,
    ErrorPage,
    Grant,
    Installation,
    OAuthSwitches,
    Redirect,
    api_error,
    oauth_error,
    trouble,
)

__all__ = [
    "AppRecord",
    "AuthError",
    "Consent",
    "ErrorPage",
    "Grant",
    "OAuthServer",
    "OAuthSwitches",
    "Redirect",
    "parse_basic",
]

TokenAnswer = tuple[int, dict[str, str], dict[str, object]]
_FIELDS = {
    "authorization_code": {"grant_type", "code"},
    "refresh_token": {"grant_type", "refresh_token"},
}


@dataclass(slots=True)
class _Code:
    installation: Installation
    expires: float
    used: bool = False


@dataclass(slots=True)
class _Refresh:
    installation: Installation
    expires: float
    access_token: str
    spent: bool = False


class OAuthServer(ApiKeys):
    """Apps, consents, codes, tokens and keys of the simulated Stripe. Thread-safe.

    :param clock: Stripe's time.
    :param switches: how to behave; may be changed while running.
    :param rng: source of ids and tokens; a seeded one makes them repeatable.
    :param marketplace_url: scheme and host of the install links.

    ``counts`` counts ``authorize``, ``denied``, ``exchange``, ``refresh``, ``replay``,
    ``spent_refresh``, ``reused_code``, ``invalid_grant``, ``failed`` and ``refresh:<account>``.
    """

    def __init__(
        self,
        clock: Clock,
        switches: OAuthSwitches | None = None,
        rng: Random | None = None,
        marketplace_url: str = "https://marketplace.stripe.com",
    ) -> None:
        super().__init__(clock, switches or OAuthSwitches(), rng or Random())
        self.marketplace_url = marketplace_url
        self.counts: Counter[str] = Counter()
        self._apps: dict[str, AppRecord] = {}
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._answers: dict[tuple[str, str], tuple[dict[str, str], int, dict[str, object]]] = {}
        self._failures: list[tuple[int, bool]] = []

    # -- apps and keys

    def register_app(
        self,
        *,
        redirect_uris: Iterable[str],
        permissions: Iterable[str],
        livemode: bool = False,
        channel: str | None = "chnlink_",
        developer_account: str = "acct_simdeveloper",
    ) -> AppRecord:
        """Upload an app for one environment.

        :param channel: ``None`` for a published app; ``chnlink_`` makes a new external test link.
        """
        with self._lock:
            app = AppRecord(
                client_id=self._random("ca_", 32),
                secret_key=self.register_key("secret", developer_account, livemode=livemode),
                permissions=frozenset(permissions),
                redirect_uris=tuple(redirect_uris),
                livemode=livemode,
                developer_account=developer_account,
                channel=self._random("chnlink_", 16) if channel == "chnlink_" else channel,
                marketplace_url=self.marketplace_url,
            )
            self._apps[app.client_id] = app
            return app

    def app(self, client_id: str) -> AppRecord:
        """Return an app as it is now; ``KeyError`` if there is none."""
        return self._apps[client_id]

    def apps(self) -> list[AppRecord]:
        """Return all apps."""
        return list(self._apps.values())

    def release(self, client_id: str, permissions: Iterable[str]) -> AppRecord:
        """Publish a new app version; see the switch ``frozen_permissions`` for older consents."""
        with self._lock:
            old, granted = self._apps[client_id], frozenset(permissions)
            new = self._apps[client_id] = replace(old, permissions=granted, version=old.version + 1)
            self.follow_app(client_id, granted)
            return new

    # -- consent

    def consent(self, path: str, query: Mapping[str, str]) -> Consent | ErrorPage:
        """Check an authorize request before the consent page is shown.

        :param path: path of the link, ``/oauth/v2/authorize`` or ``/oauth/v2/chnlink_…/authorize``.
        """
        app = self._apps.get(query.get("client_id", ""))
        if app is None or path != app.authorize_path:
            return ErrorPage(400, "The provided OAuth link is invalid")
        uri = query.get("redirect_uri", app.redirect_uris[0])
        if self.switches.check_redirect_uri and uri not in app.redirect_uris:
            return ErrorPage(
                400,
                "Invalid redirect URI. The redirect URI must exactly match one of the URIs in the "
                "app manifest's allowed_redirect_uris",
            )
        if app.livemode and not uri.startswith("https://"):
            return ErrorPage(400, "Invalid redirect URI. Livemode redirect URIs must be HTTPS")
        return Consent(app, uri, query.get("state"))

    def authorize(
        self,
        query: Mapping[str, str],
        account_id: str,
        decision: Literal["allow", "deny"],
        *,
        path: str | None = None,
    ) -> Redirect | ErrorPage:
        """Answer the consent page's form.

        :param account_id: the account whose owner decides.
        :param path: of the link that was opened; ``None`` takes the right one.
        """
        with self._lock:
            app = self._apps.get(query.get("client_id", ""))
            asked = self.consent(path or (app.authorize_path if app else ""), query)
            if isinstance(asked, ErrorPage):
                return asked
            self.counts["authorize"] += 1
            if decision == "deny":
                self.counts["denied"] += 1
                return asked.back(
                    error="access_denied", error_description="The user denied your request"
                )
            return asked.back(code=self._new_code(asked.app, account_id))

    def install_from_stripe(self, account_id: str, client_id: str) -> Redirect:
        """Install from the marketplace or Dashboard: a callback with a code but no state."""
        with self._lock:
            app = self._apps[client_id]
            consent = Consent(app, app.redirect_uris[0], None)
            return consent.back(code=self._new_code(app, account_id))

    def uninstall(self, account_id: str, client_id: str) -> None:
        """Uninstall the app from the account: codes, access and refresh tokens are dead at once."""
        with self._lock:
            self._end_tokens(account_id, client_id, grace=0.0)
            self.revoke_app(account_id, client_id)
            for code in self._codes.values():
                installed = code.installation
                if (installed.account_id, installed.client_id) == (account_id, client_id):
                    code.used = True

    # -- tokens

    def token(
        self,
        basic_user: str | None,
        form: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        basic_password: str = "",
    ) -> TokenAnswer:
        """Answer ``POST /v1/oauth/token``.

        :param basic_user: user name of HTTP Basic: the developer's secret key.
        :param form: the decoded body.
        :param headers: request headers, any case.
        :param basic_password: must be empty.
        :return: status, extra response headers, JSON body.
        """
        with self._lock:
            refusal = self._refuse_client(basic_user, basic_password) or self._refuse_form(form)
            if refusal:
                return refusal.status, {}, refusal.body
            assert basic_user is not None  # noqa: S101 - _refuse_client refused None
            lower = {name.lower(): value for name, value in headers.items()}
            key = lower.get("idempotency-key", "")
            if not key or not self.switches.token_idempotency:
                status, body = self._grant(basic_user, form)
                return status, {}, body
            slot = (basic_user, key)
            if slot in self._answers:
                return self._replay(slot, form)
            status, body = self._grant(basic_user, form)
            self._answers[slot] = (dict(form), status, body)
            return status, {}, body

    def fail_next(self, *, status: int = 500, effect: bool = False, count: int = 1) -> None:
        """Make the next token requests fail.

        :param effect: roll the tokens before failing: the outcome of a 5xx is unknown [doc].
        """
        with self._lock:
            self._failures.extend([(status, effect)] * count)

    def set_permissions(self, account_id: str, client_id: str, permissions: Iterable[str]) -> None:
        """Change what an installation was granted, for its living tokens too."""
        with self._lock:
            for refresh in self._living(account_id, client_id):
                refresh.installation.permissions = frozenset(permissions)

    def current_tokens(self, account_id: str, client_id: str) -> tuple[str, str] | None:
        """Return (access, refresh) token of the newest generation, ``None`` if not installed."""
        with self._lock:
            living = self._living(account_id, client_id)
            if not living:
                return None
            token = next(t for t, r in self._refresh.items() if r is living[-1])
            return living[-1].access_token, token

    # -- inside

    def _new_code(self, app: AppRecord, account_id: str) -> str:
        code = self._random("ac_", 32)
        installation = Installation(account_id, app.client_id, app.permissions)
        self._codes[code] = _Code(installation, self._clock.now() + self.switches.code_seconds)
        return code

    def _refuse_client(self, user: str | None, password: str) -> AuthError | None:
        if not user:
            return api_error(
                401, "You did not provide an API key. Use HTTP Basic with your secret key as user."
            )
        if password:
            return api_error(401, "The password of HTTP Basic must be empty.")
        who = self.authenticate(user)
        if isinstance(who, AuthError):
            return who
        if who.kind != "secret":
            return api_error(401, f"Invalid API Key provided: {mask(user)}")
        return None

    def _refuse_form(self, form: Mapping[str, str]) -> AuthError | None:
        grant_type = form.get("grant_type")
        if not grant_type:
            return oauth_error("invalid_request", "No grant type specified")
        if grant_type not in _FIELDS:
            return oauth_error("unsupported_grant_type", f"Unsupported grant type: {grant_type}")
        for name in sorted(_FIELDS[grant_type]):
            if not form.get(name):
                return oauth_error("invalid_request", f"Missing required parameter: {name}")
        unknown = sorted(set(form) - _FIELDS[grant_type])
        if unknown and self.switches.strict_token_body:
            return oauth_error("invalid_request", f"Received unknown parameter: {unknown[0]}")
        return None

    def _replay(self, slot: tuple[str, str], form: Mapping[str, str]) -> TokenAnswer:
        stored_form, status, body = self._answers[slot]
        if stored_form != dict(form):
            error = {
                "type": "idempotency_error",
                "message": "Keys for idempotent requests can only be used with the same parameters "
                "they were first used with.",
            }
            return 400, {}, {"error": error}
        self.counts["replay"] += 1
        return status, {"Idempotent-Replayed": "true"}, body

    def _grant(self, secret_key: str, form: Mapping[str, str]) -> tuple[int, dict[str, object]]:
        status, effect = self._failures.pop(0) if self._failures else (0, True)
        if not effect:
            self.counts["failed"] += 1
            return status, trouble()
        if form["grant_type"] == "authorization_code":
            answer = self._exchange(secret_key, form["code"])
        else:
            answer = self._roll(secret_key, form["refresh_token"])
        if status:
            self.counts["failed"] += 1
            return status, trouble()
        return answer

    def _exchange(self, secret_key: str, value: str) -> tuple[int, dict[str, object]]:
        code = self._codes.get(value)
        if code is None:
            return self._invalid_grant(f"Authorization code does not exist: {value}")
        app = self._apps[code.installation.client_id]
        if app.secret_key != secret_key:
            return self._invalid_grant("Authorization code provided does not belong to you")
        if code.used:
            self.counts["reused_code"] += 1
            if self.switches.reused_code_revokes:
                self._end_tokens(code.installation.account_id, app.client_id, grace=0.0)
                self.revoke_app(code.installation.account_id, app.client_id)
            return self._invalid_grant(f"This authorization code has already been used: {value}")
        if code.expires <= self._clock.now():
            return self._invalid_grant(f"Authorization code expired: {value}")
        code.used = True
        if not self.switches.reinstall_keeps_old_tokens:
            grace = self.switches.revoke_after_refresh
            self._end_tokens(code.installation.account_id, app.client_id, grace=grace)
        self.counts["exchange"] += 1
        return 200, self._issue(app, code.installation, "stripe_user_id")

    def _roll(self, secret_key: str, value: str) -> tuple[int, dict[str, object]]:
        old = self._refresh.get(value)
        if old is None:
            return self._invalid_grant("Refresh token does not exist")
        app = self._apps[old.installation.client_id]
        if app.secret_key != secret_key:
            return self._invalid_grant("Refresh token provided does not belong to you")
        if old.spent:
            self.counts["spent_refresh"] += 1
            return self._invalid_grant("Refresh token is not the latest: it has already been used")
        if old.expires <= self._clock.now():
            return self._invalid_grant("Refresh token has expired")
        old.spent = True
        self.end_after(old.access_token, self.switches.revoke_after_refresh)
        self.counts["refresh"] += 1
        self.counts[f"refresh:{old.installation.account_id}"] += 1
        return 200, self._issue(app, old.installation, self.switches.account_field)

    def _issue(self, app: AppRecord, installed: Installation, name: str) -> dict[str, object]:
        grant = Grant(
            installed.account_id, app.livemode, installed.permissions, "access_token", app.client_id
        )
        access, refresh = self.issue(grant, installed), self._random("rt_", 48)
        expires = self._clock.now() + self.switches.refresh_token_seconds
        self._refresh[refresh] = _Refresh(installed, expires, access)
        answer: dict[str, object] = {
            "access_token": access,
            "livemode": app.livemode,
            "refresh_token": refresh,
            "scope": "stripe_apps",
            "stripe_publishable_key": self.publishable_key(installed.account_id, app.livemode),
            name: installed.account_id,
            "token_type": "bearer",
        }
        if self.switches.expires_in:
            answer["expires_in"] = int(self.switches.access_token_seconds)
        return answer

    def _living(self, account_id: str, client_id: str) -> list[_Refresh]:
        return [
            refresh
            for refresh in self._refresh.values()
            if not refresh.spent
            and refresh.installation.account_id == account_id
            and refresh.installation.client_id == client_id
        ]

    def _end_tokens(self, account_id: str, client_id: str, *, grace: float | None) -> None:
        for refresh in self._living(account_id, client_id):
            refresh.spent = True
            self.end_after(refresh.access_token, grace)

    def _invalid_grant(self, description: str) -> tuple[int, dict[str, object]]:
        self.counts["invalid_grant"] += 1
        said = description if self.switches.invalid_grant_words == "stated" else ""
        return 400, oauth_error("invalid_grant", said).body
