"""Stripe App OAuth as Stripe does it (STRIPE.md §1), without HTTP.

What is only reported from the field, or inferred, is a switch in :class:`OAuthSwitches`, so that
the provider can be tested under both readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from airflow_provider_stripe_app.testing.api_keys import parse_basic
from airflow_provider_stripe_app.testing.installs import InstallRecord
from airflow_provider_stripe_app.testing.oauth_model import (
    AppRecord,
    AuthError,
    Consent,
    ErrorPage,
    Grant,
    OAuthSwitches,
    Redirect,
)
from airflow_provider_stripe_app.testing.token_server import TokenServer

__all__ = [
    "AppRecord",
    "AuthError",
    "Consent",
    "ErrorPage",
    "Grant",
    "InstallRecord",
    "OAuthServer",
    "OAuthSwitches",
    "Redirect",
    "parse_basic",
]


class OAuthServer(TokenServer):
    """Apps, consents, codes, tokens and keys of the simulated Stripe. Thread-safe.

    :param clock: Stripe's time.
    :param switches: how to behave; may be changed while running.
    :param rng: source of ids and tokens; a seeded one makes them repeatable.
    :param marketplace_url: scheme and host of the install links.
    :param lock: see :class:`.AppRegistry`.

    ``counts`` counts ``authorize``, ``denied``, ``exchange``, ``refresh``, ``replay``,
    ``spent_refresh``, ``reused_code``, ``invalid_grant``, ``failed``, ``refresh:<account>``;
    ``uninstall`` (through the Install API), ``owner_uninstall``, ``reinstall``,
    ``reinstall:<account>`` and ``kill_grant``.
    """

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
            return asked.back(code=self._consented(asked.app, account_id))

    def install_from_stripe(self, account_id: str, client_id: str) -> Redirect:
        """Install from the marketplace or Dashboard: a callback with a code but no state."""
        with self._lock:
            app = self._apps[client_id]
            consent = Consent(app, app.redirect_uris[0], None)
            return consent.back(code=self._consented(app, account_id))

    # -- installs

    def uninstall(self, account_id: str, client_id: str, *, by_owner: bool = True) -> None:
        """Uninstall the app from the account: codes, access and refresh tokens are dead at once.

        ``account.application.deauthorized`` and ``apps.install.deleted`` say so.

        :param by_owner: in the Dashboard, not through the Install API.
        """
        with self._lock:
            self._kill(account_id, client_id)
            for code in self._codes.values():
                installed = code.installation
                if (installed.account_id, installed.client_id) == (account_id, client_id):
                    code.used = True
            if self.install_of(account_id, client_id) is None:
                return
            self.counts["owner_uninstall" if by_owner else "uninstall"] += 1
            application = {"id": client_id, "object": "application", "name": None}
            live = self._apps[client_id].livemode
            self.notify("account.application.deauthorized", account_id, live, application, None)
            seconds = 0.0 if by_owner else self.switches.uninstall_seconds
            self._remove(account_id, client_id, seconds)

    def kill_grant(self, account_id: str, client_id: str) -> None:
        """Lose a grant while the app stays installed: its tokens are dead, its refresh token spent.

        So it is after a refresh whose answer was lost, when Stripe does not replay it.
        """
        with self._lock:
            self.counts["kill_grant"] += 1
            self._kill(account_id, client_id)

    def reinstall(
        self, app: AppRecord, account_id: str, challenge: str | None = None
    ) -> tuple[InstallRecord, str | None]:
        """Install an app again, as its developer may through the Install API.

        The install keeps what its owner had granted: a developer cannot grant more.

        :param challenge: PKCE challenge of the code.
        :return: the install and the code of the answer, see the switch ``install_auth_code``.
        """
        with self._lock:
            self.counts["reinstall"] += 1
            self.counts[f"reinstall:{account_id}"] += 1
            if self.switches.install_reinstall_revokes:
                self._kill(account_id, app.client_id)
            granted = self._grant_of(account_id, app.client_id)
            record = self._put(app, account_id, granted)
            given = self.switches.install_auth_code
            if given == "absent":
                return record, None
            later = self.switches.install_seconds if given == "later" else 0.0
            code = self._new_code(app, account_id, granted, challenge, later)
            if given == "given":
                return record, code
            record.status, record.settles = "installing", self._clock.now() + later
            record.auth_code = code
            return record, None

    def open_code(self, record: InstallRecord) -> str | None:
        """Return the code that an install's retrieval shows: once it is there and until used."""
        with self._lock:
            code = self._codes.get(record.auth_code or "")
            late = code is None or code.used or code.expires <= self._clock.now()
            return None if late or record.status != "installed" else record.auth_code

    def set_permissions(self, account_id: str, client_id: str, permissions: Iterable[str]) -> None:
        """Change what an installation was granted, for its living tokens too."""
        with self._lock:
            granted = frozenset(permissions)
            for refresh in self._living(account_id, client_id):
                refresh.installation.permissions = granted
            self._regrant(account_id, client_id, granted)

    # -- inside

    def _consented(self, app: AppRecord, account_id: str) -> str:
        """Install an app as its account's owner allowed, and return the code of the callback."""
        self._put(app, account_id, None)
        return self._new_code(app, account_id, app.permissions)
