"""The token endpoint of the simulated Stripe: codes and refresh tokens, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from threading import RLock

from airflow_provider_stripe_app.testing.api_keys import mask
from airflow_provider_stripe_app.testing.installs import AppRegistry
from airflow_provider_stripe_app.testing.oauth_model import (
    AppRecord,
    AuthError,
    Clock,
    Code,
    Grant,
    Installation,
    OAuthSwitches,
    Refresh,
    api_error,
    oauth_error,
    trouble,
)
from airflow_provider_stripe_app.testing.token_form import proves, refuse_form

TokenAnswer = tuple[int, dict[str, str], dict[str, object]]


class TokenServer(AppRegistry):
    """Authorization codes, access and refresh tokens. Thread-safe; see :class:`.OAuthServer`."""

    def __init__(
        self,
        clock: Clock,
        switches: OAuthSwitches | None = None,
        rng: Random | None = None,
        marketplace_url: str = "https://marketplace.stripe.com",
        lock: RLock | None = None,
    ) -> None:
        super().__init__(clock, switches or OAuthSwitches(), rng or Random(), marketplace_url, lock)
        self._codes: dict[str, Code] = {}
        self._refresh: dict[str, Refresh] = {}
        self._answers: dict[tuple[str, str], tuple[dict[str, str], int, dict[str, object]]] = {}
        self._failures: list[tuple[int, bool]] = []

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
            refusal = self._refuse_client(basic_user, basic_password) or refuse_form(
                form, strict=self.switches.strict_token_body
            )
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

    def current_tokens(self, account_id: str, client_id: str) -> tuple[str, str] | None:
        """Return (access, refresh) token of the newest generation, ``None`` if not installed."""
        with self._lock:
            living = self._living(account_id, client_id)
            if not living:
                return None
            token = next(t for t, r in self._refresh.items() if r is living[-1])
            return living[-1].access_token, token

    # -- inside

    def _new_code(
        self,
        app: AppRecord,
        account_id: str,
        granted: frozenset[str],
        challenge: str | None = None,
        later: float = 0.0,
    ) -> str:
        code = self._random("ac_", 32)
        expires = self._clock.now() + later + self.switches.code_seconds
        installation = Installation(account_id, app.client_id, granted)
        self._codes[code] = Code(installation, expires, challenge)
        return code

    def _kill(self, account_id: str, client_id: str) -> None:
        self._end_tokens(account_id, client_id, grace=0.0)
        self.revoke_app(account_id, client_id)

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
            answer = self._exchange(secret_key, form["code"], form.get("code_verifier"))
        else:
            answer = self._roll(secret_key, form["refresh_token"])
        if status:
            self.counts["failed"] += 1
            return status, trouble()
        return answer

    def _exchange(
        self, secret_key: str, value: str, verifier: str | None
    ) -> tuple[int, dict[str, object]]:
        refusal = self._refuse_code(secret_key, value, verifier)
        if refusal is not None:
            return refusal
        code = self._codes[value]
        app = self._apps[code.installation.client_id]
        code.used = True
        if not self.switches.reinstall_keeps_old_tokens:
            grace = self.switches.revoke_after_refresh
            self._end_tokens(code.installation.account_id, app.client_id, grace=grace)
        self.counts["exchange"] += 1
        return 200, self._issue(app, code.installation, "stripe_user_id")

    def _refuse_code(
        self, secret_key: str, value: str, verifier: str | None
    ) -> tuple[int, dict[str, object]] | None:
        code = self._codes.get(value)
        if code is None:
            return self._invalid_grant(f"Authorization code does not exist: {value}")
        app = self._apps[code.installation.client_id]
        if app.secret_key != secret_key:
            return self._invalid_grant("Authorization code provided does not belong to you")
        if code.used:
            self.counts["reused_code"] += 1
            if self.switches.reused_code_revokes:
                self._kill(code.installation.account_id, app.client_id)
            return self._invalid_grant(f"This authorization code has already been used: {value}")
        if code.expires <= self._clock.now():
            return self._invalid_grant(f"Authorization code expired: {value}")
        return self._refuse_verifier(code, verifier)

    def _refuse_verifier(
        self, code: Code, verifier: str | None
    ) -> tuple[int, dict[str, object]] | None:
        if code.challenge is not None and not proves(verifier or "", code.challenge):
            return self._invalid_grant("The code verifier does not match the code challenge")
        if code.challenge is None and verifier is not None and self.switches.strict_token_body:
            refused = oauth_error("invalid_request", "Received unknown parameter: code_verifier")
            return refused.status, refused.body
        return None

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
        self._refresh[refresh] = Refresh(installed, expires, access)
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

    def _living(self, account_id: str, client_id: str) -> list[Refresh]:
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
