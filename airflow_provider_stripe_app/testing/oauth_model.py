"""The words of the simulated Stripe's OAuth: switches, apps, consents, grants, refusals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

KeyKind = Literal["access_token", "restricted", "secret", "publishable"]


class Clock(Protocol):
    """Tells Stripe's time."""

    def now(self) -> float:
        """Return unix seconds."""
        ...


@dataclass
class OAuthSwitches:
    """Where Stripe's behaviour is a matter of configuration, of reports or of guesses.

    :param code_seconds: how long an authorization code can be exchanged [doc: 5 minutes].
    :param access_token_seconds: how long an access token lives [doc: 1 hour].
    :param refresh_token_seconds: how long a refresh token lives [doc: 1 year].
    :param revoke_after_refresh: seconds after a refresh until the previous access token is refused;
        ``None`` lets it live until it expires [field, once: it dies within seconds].
    :param token_idempotency: replay stored token answers by ``Idempotency-Key``, 500s too [infer].
    :param expires_in: whether token answers carry ``expires_in`` [doc: they do not].
    :param account_field: what the refresh answer calls the account [``account_id``: field, once].
    :param check_redirect_uri: whether ``redirect_uri`` must be one the app registered [doc].
    :param strict_token_body: refuse ``client_id``, ``redirect_uri`` … in the token body [doc]; a
        ``code_verifier`` too, but for a code that was asked for with a ``code_challenge`` [infer].
    :param reused_code_revokes: a code used twice kills the tokens made with it [infer].
    :param reinstall_keeps_old_tokens: tokens of an earlier consent outlive a new exchange [infer].
    :param revoked_answer: what a revoked (not merely expired) access token is told [infer].
    :param expired_answer: what an expired one is told [``api_key_expired``: field].
    :param invalid_grant_words: whether ``invalid_grant`` says why; its sentences are [field].
    :param frozen_permissions: a consent keeps its permissions when the app gets others [field].

    The Install API (``/v1/apps/installs``), which nobody of us could try on live Stripe:

    :param install_api: whether it ``works``, is ``refused`` with 403, as to a restricted key or a
        developer who is not approved, or is an ``unknown`` URL, as in older API versions [infer].
    :param install_auth_code: whether a developer's reinstall is answered with an ``auth_code``:
        ``given``, ``absent`` (null for ever), or ``later``: the install is ``installing`` at first,
        and some moments later its retrieval shows the code until that is exchanged [infer].
    :param install_seconds: how long such an install stays ``installing``.
    :param install_reinstall_revokes: a reinstall ends the tokens of before at once, not only the
        exchange of its code [infer].
    :param install_after_uninstall: a developer may install its app again, with the permissions it
        had, where the owner uninstalled it; otherwise 403, as for any foreign account [infer].
    :param uninstall_seconds: how long an uninstalled install is still shown, as ``uninstalling``.
    """

    code_seconds: float = 300.0
    access_token_seconds: float = 3600.0
    refresh_token_seconds: float = 365 * 86400.0
    revoke_after_refresh: float | None = 5.0
    token_idempotency: bool = True
    expires_in: bool = False
    account_field: Literal["stripe_user_id", "account_id"] = "stripe_user_id"
    check_redirect_uri: bool = True
    strict_token_body: bool = True
    reused_code_revokes: bool = False
    reinstall_keeps_old_tokens: bool = False
    revoked_answer: Literal["expired", "invalid"] = "expired"
    expired_answer: Literal["expired", "invalid"] = "expired"
    invalid_grant_words: Literal["stated", "none"] = "stated"
    frozen_permissions: bool = True
    install_api: Literal["works", "refused", "unknown"] = "works"
    install_auth_code: Literal["given", "absent", "later"] = "given"
    install_seconds: float = 2.0
    install_reinstall_revokes: bool = False
    install_after_uninstall: bool = False
    uninstall_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AppRecord:
    """One environment (live or test) of an app: each has its own client id, link and developer key.

    :param channel: ``chnlink_…`` of an external test, ``None`` for a published app.
    :param redirect_uris: the first is the default.
    :param permissions: what the newest version asks for.
    :param app_id: ``app_…``; the environments of one app have the same.
    """

    client_id: str
    secret_key: str = field(repr=False)
    permissions: frozenset[str]
    redirect_uris: tuple[str, ...]
    livemode: bool
    developer_account: str
    channel: str | None = None
    version: int = 1
    marketplace_url: str = "https://marketplace.stripe.com"
    app_id: str = ""

    @property
    def install_channel(self) -> str:
        """The ``channel`` of its installs: ``testing`` for an external test, else ``public``."""
        return "testing" if self.channel else "public"

    @property
    def authorize_path(self) -> str:
        """The path of this app's install link."""
        return f"/oauth/v2/{self.channel}/authorize" if self.channel else "/oauth/v2/authorize"

    @property
    def install_link(self) -> str:
        """The link that a user pastes whole."""
        query = urlencode({"client_id": self.client_id})
        return f"{self.marketplace_url}{self.authorize_path}?{query}"


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the browser there."""

    location: str


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """Show the message; there is nowhere safe to redirect to."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Consent:
    """A valid authorize request, waiting for the account owner's decision."""

    app: AppRecord
    redirect_uri: str
    state: str | None

    def back(self, **params: str) -> Redirect:
        """Return to the redirect URI with ``params`` and the state, if one was sent."""
        if self.state is not None:
            params["state"] = self.state
        parts = urlsplit(self.redirect_uri)
        query = "&".join(p for p in (parts.query, urlencode(params)) if p)
        return Redirect(urlunsplit(parts._replace(query=query)))


@dataclass(frozen=True, slots=True)
class Grant:
    """What a bearer may do.

    :param permissions: permission names, ``None`` for everything.
    :param client_id: the app, for an access token.
    """

    account_id: str
    livemode: bool
    permissions: frozenset[str] | None
    kind: KeyKind
    client_id: str | None = None

    def allows(self, permission: str) -> bool:
        """Tell whether ``permission`` was granted; a ``_write`` includes its ``_read`` [doc]."""
        if self.permissions is None or permission in self.permissions:
            return True
        return permission.endswith("_read") and f"{permission[:-5]}_write" in self.permissions


@dataclass(frozen=True, slots=True)
class AuthError:
    """Why a bearer was refused: HTTP status and JSON body."""

    status: int
    body: dict[str, object]


@dataclass(slots=True)
class Installation:
    """One account that consented; its permissions are frozen at consent [field]."""

    account_id: str
    client_id: str
    permissions: frozenset[str]


@dataclass(slots=True)
class Code:
    """An authorization code.

    :param challenge: PKCE: base64url of the SHA-256 of the verifier that its exchange must bring.
    """

    installation: Installation
    expires: float
    challenge: str | None = None
    used: bool = False


@dataclass(slots=True)
class Refresh:
    """A refresh token and the access token that was given with it."""

    installation: Installation
    expires: float
    access_token: str
    spent: bool = False


def api_error(status: int, message: str, code: str | None = None) -> AuthError:
    """Build an error as the API words it."""
    error = {"type": "invalid_request_error", "message": message}
    if code:
        error["code"] = code
    return AuthError(status, {"error": error})


def oauth_error(error: str, description: str) -> AuthError:
    """Build an error as the token endpoint words it; an empty description is left out."""
    body: dict[str, object] = {"error": error}
    if description:
        body["error_description"] = description
    return AuthError(400, body)


def trouble() -> dict[str, object]:
    """Build the body of a 5xx."""
    return {"error": {"type": "api_error", "message": "An unknown error occurred"}}
