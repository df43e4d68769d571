"""From an Airflow connection of type ``stripe_app`` to a client that acts as the account."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError

if TYPE_CHECKING:
    from airflow_provider_stripe_app.api.client import Answer, Page, StripeClient
    from airflow_provider_stripe_app.api.rate_limit import Pacer
    from airflow_provider_stripe_app.api.tokens import TokenProvider
    from airflow_provider_stripe_app.oauth.credentials import InstallationSettings, Settings

ACCOUNT_PERMISSION = "connected_account_read"
_ACCOUNT_ID = re.compile(r"\bacct_\w+")


class StripeAppHook(BaseHook):
    """Talks to Stripe as the account that installed the app, or with a restricted key.

    Nothing is read or sent before the first use. Tokens are renewed by themselves, requests keep
    the rate that Stripe allows, and share the hook's connections; a hook may be used by many
    threads.

    :param stripe_app_conn_id: an installation's connection, or one with a restricted key.
    :param account_rate: requests per second that Stripe allows the account; by default 100 in live
        mode and 25 in a sandbox.
    :param endpoint_rate: requests per second that Stripe allows each endpoint.
    :param rate_share: part of the account's rate that this hook may use, for several tasks on one
        account. It does not count where ``[stripe_app] rate_limit_url`` is set: there all of them
        share the whole.
    """

    conn_name_attr = "stripe_app_conn_id"
    default_conn_name = "stripe_app_default"
    conn_type = "stripe_app"
    hook_name = "Stripe App"

    def __init__(
        self,
        stripe_app_conn_id: str = default_conn_name,
        *,
        account_rate: float | None = None,
        endpoint_rate: float = 25.0,
        rate_share: float = 1.0,
    ) -> None:
        super().__init__()
        self.stripe_app_conn_id = stripe_app_conn_id
        self._account_rate = account_rate
        self._endpoint_rate = endpoint_rate
        self._rate_share = rate_share
        self._lock = RLock()

    def get_conn(self) -> StripeClient:
        """Return the client, the same at every call.

        :raises ConfigurationError: if the connection or an option is wrong.
        :raises ReauthorizationRequired: if the app is not installed any more.
        :raises TokenUnavailable: if no token can be had right now.
        """
        with self._lock:  # two clients would mean two budgets
            return self._client

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Answer:
        """Send one request; see :meth:`.StripeClient.request`.

        :param method: ``GET``, ``POST`` or ``DELETE``.
        :param path: for example ``/v1/customers/cus_1``.
        :param params: query parameters.
        :param body: form parameters.
        :param options: more of :meth:`.StripeClient.request`, for example ``idempotency_key``.
        """
        return self.get_conn().request(method, path, params, body, **options)

    def iterate(
        self, path: str, params: Mapping[str, Any] | None = None, **options: Any
    ) -> Iterator[Page]:
        """Yield the pages of a list one after the other; see :meth:`.StripeClient.iterate`.

        :param path: a list endpoint, for example ``/v1/customers``.
        :param params: query parameters.
        """
        return self.get_conn().iterate(path, params, **options)

    def account(self) -> dict[str, Any]:
        """Return the Stripe account (https://docs.stripe.com/api/accounts/object).

        :raises PermissionMissing: if the app or key may not read it.
        """
        answer = self.get_conn().request(
            "GET", "/v1/account", purpose="account", permission=ACCOUNT_PERMISSION
        )
        found: dict[str, Any] = answer.json()
        return found

    def identity(self) -> tuple[str, bool]:
        """Return the account's id and whether its data is live.

        An installation knows both. A restricted key's mode is in its prefix, its account comes from
        ``account`` in the connection's extra, else from Stripe.

        :raises ConfigurationError: if a restricted key's account cannot be found out.
        """
        with self._lock:
            return self._account_id, self._livemode

    def test_connection(self) -> tuple[bool, str]:
        """Try the connection, for the button in Airflow's connection form.

        :return: whether it works, and a sentence that says what was found or what to do.
        """
        from airflow_provider_stripe_app.oauth.credentials import (
            AppSettings,
            InstallationSettings,
        )

        try:
            settings = self._settings
            if isinstance(settings, AppSettings):
                return self._test_app(settings)
            if isinstance(settings, InstallationSettings) and self._is_stand_in():
                return self._test_copy(settings)
            account_id, livemode = self.identity()
            self._reach_stripe()
        except StripeAppError as error:
            return False, str(error)
        except Exception as error:  # the form shows the sentence, whatever it is
            return False, f"Connection {self.stripe_app_conn_id}: {type(error).__name__}: {error}"
        return True, f"Connected to {account_id} ({_mode(livemode)} mode)."

    # -- inside

    @cached_property
    def _settings(self) -> Settings:
        from airflow_provider_stripe_app.oauth.credentials import read_settings

        return read_settings(self.get_connection(self.stripe_app_conn_id))

    @cached_property
    def _tokens(self) -> TokenProvider:
        from airflow_provider_stripe_app.oauth.broker import token_provider

        return token_provider(self.stripe_app_conn_id)

    @cached_property
    def _client(self) -> StripeClient:
        from airflow_provider_stripe_app.api.client import StripeClient
        from airflow_provider_stripe_app.oauth import config

        return StripeClient(self._tokens, api_base=config.api_base(), limiter=self._pacer())

    def _pacer(self) -> Pacer:
        from airflow_provider_stripe_app.api.rate_limit import RateLimiter
        from airflow_provider_stripe_app.oauth import config

        if not 0 < self._rate_share <= 1:
            raise ConfigurationError(
                f"rate_share is a part of the account's rate: above 0 and at most 1, not "
                f"{self._rate_share!r}."
            )
        allowed = self._account_rate or (100.0 if self._livemode else 25.0)
        url = config.rate_limit_url()
        if not url:
            return RateLimiter(allowed * self._rate_share, self._endpoint_rate)
        from airflow_provider_stripe_app.api.shared_rate import SharedRateLimiter, connect

        return SharedRateLimiter(connect(url), self._budget(), allowed, self._endpoint_rate)

    def _budget(self) -> str:
        """Name the account's budget without a request to Stripe: the client is not there yet."""
        from airflow_provider_stripe_app.oauth.broker import BrokerTokens

        mode = _mode(self._livemode)
        if isinstance(self._tokens, BrokerTokens):
            return f"{self._tokens.grant().account_id}:{mode}"
        stated = self._stated_account()
        # Connections with the same key share a budget all the same.
        key = hashlib.sha256(self._tokens.get().encode()).hexdigest()[:16]
        return f"{stated or f'key-{key}'}:{mode}"

    @cached_property
    def _livemode(self) -> bool:
        from airflow_provider_stripe_app.oauth.broker import BrokerTokens

        if isinstance(self._tokens, BrokerTokens):
            return self._tokens.grant().livemode
        livemode = getattr(self._settings, "livemode", None)
        if livemode is None:
            raise ConfigurationError(
                f"The key of connection {self.stripe_app_conn_id} does not say whether it is live: "
                "paste a restricted key that begins with rk_live_ or rk_test_."
            )
        return bool(livemode)

    @cached_property
    def _account_id(self) -> str:
        from airflow_provider_stripe_app.oauth.broker import BrokerTokens

        if isinstance(self._tokens, BrokerTokens):
            return self._tokens.grant().account_id
        return self._stated_account() or self._asked_account()

    def _stated_account(self) -> str | None:
        from airflow_provider_stripe_app.oauth.credentials import read_extra

        stated = read_extra(self.get_connection(self.stripe_app_conn_id)).get("account")
        return stated.strip() or None if isinstance(stated, str) else None

    def _asked_account(self) -> str:
        from airflow_provider_stripe_app.api.errors import PermissionMissing

        try:
            return str(self.account()["id"])
        except PermissionMissing as error:
            # Stripe's sentence names the account: "… for this endpoint on account 'acct_…'"
            # [field].
            named = _ACCOUNT_ID.search(str(error))
            if named:
                return named[0]
            raise ConfigurationError(
                f"The restricted key of connection {self.stripe_app_conn_id} may not read its own "
                f"account: give it the permission {ACCOUNT_PERMISSION} in the Stripe Dashboard, or "
                'put the account\'s id into the connection\'s extra: {"account": "acct_…"}.'
            ) from error

    def _reach_stripe(self) -> None:
        from airflow_provider_stripe_app.api.errors import PermissionMissing

        try:
            self.account()
        except PermissionMissing:
            return  # Stripe knows the token; whether streams may be read is theirs to say

    def _is_stand_in(self) -> bool:
        """Tell whether Airflow's form tests a stand-in: it gives the connection a random id."""
        from airflow_provider_stripe_app.oauth.broker import store_if_allowed

        store = store_if_allowed()
        return store is not None and store.status(self.stripe_app_conn_id) is None

    def _test_copy(self, settings: InstallationSettings) -> tuple[bool, str]:
        """Try the copy of the access token, all that a stand-in has; nothing is renewed."""
        from airflow_provider_stripe_app.api.client import StripeClient
        from airflow_provider_stripe_app.api.errors import PermissionMissing, Unauthorized
        from airflow_provider_stripe_app.oauth import config

        copy = settings.copy
        if copy is None or not copy.fresh(time.time(), 0):
            return False, (
                "The connection holds no fresh access token, and only the page Stripe App can "
                "renew one: press Test there."
            )
        client = StripeClient(_OneToken(copy.access_token), api_base=config.api_base())
        try:
            client.request("GET", "/v1/account")
        except PermissionMissing:
            pass  # Stripe knows the token; whether streams may be read is theirs to say
        except Unauthorized:
            return False, (
                "Stripe refuses the copy of the access token that the connection holds. It may "
                "have been renewed meanwhile: press Test on the page Stripe App."
            )
        finally:
            client.close()
        return True, f"Connected to {copy.account_id} ({_mode(copy.livemode)} mode)."

    def _test_app(self, settings: Any) -> tuple[bool, str]:
        """Try an app's secret key: before anybody installed it, that is all there is."""
        from airflow_provider_stripe_app.api.client import StripeClient
        from airflow_provider_stripe_app.api.errors import Unauthorized
        from airflow_provider_stripe_app.oauth import config

        client = StripeClient(_OneToken(settings.secret_key), api_base=config.api_base())
        try:
            account_id = client.request("GET", "/v1/account").json()["id"]
        except Unauthorized:
            return False, (
                f"Stripe does not accept the secret key of connection {self.stripe_app_conn_id}: "
                "copy it again from the Stripe Dashboard (Developers > API keys)."
            )
        finally:
            client.close()
        return True, (
            f"Stripe accepts the app's secret key ({account_id}, {_mode(settings.livemode)} mode). "
            "No account has installed the app through this connection yet: open the page Stripe "
            "App in Airflow and press Install."
        )


class _OneToken:
    """A key or token that is tried once and never renewed."""

    def __init__(self, key: str) -> None:
        self._key = key

    def get(self) -> str:
        return self._key

    def replace(self, refused: str) -> str:
        return refused  # refused again: Unauthorized


def _mode(livemode: bool | None) -> str:
    return {True: "live", False: "test", None: "unknown"}[livemode]
