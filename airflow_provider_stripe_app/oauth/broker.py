"""The task's side: a live access token without touching the metadata database.

While the copy in the connection is fresh there is no request at all. When it is not, or Stripe
refused it, the connection is read again, because the server may have written a newer copy; else the
broker in an API server is asked, with the connection's ``broker_token`` and a fingerprint of the
refused token. A process that may use the metadata database (``airflow dags test``, CLI, API server)
goes to the token store directly.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_stripe_app.api.tokens import StaticToken, TokenProvider
from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant, fingerprint
from airflow_provider_stripe_app.oauth.broker_client import (
    BrokerClient,
    Busy,
    Given,
    Unauthorized,
    Unreachable,
)
from airflow_provider_stripe_app.oauth.credentials import (
    AppSettings,
    ConnectionLike,
    EmptyConnection,
    InstallationSettings,
    RestrictedKeySettings,
    Settings,
    read_settings,
)
from airflow_provider_stripe_app.oauth.database import may_use_metadata_db

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.store import TokenStore

log = logging.getLogger(__name__)
PATIENCE = 90.0
"""Seconds a task tries to get a token before it fails; the keep-alive may bring one meanwhile."""
REFUSALS = 3
"""How often the broker may refuse what the connection says before the task fails."""


class Store(Protocol):
    """What is needed of ``TokenStore`` where the database may be used."""

    def live_token(self, conn_id: str, refused_fingerprint: str | None = None) -> AccessGrant:
        """Return a live token."""
        ...


def token_provider(conn_id: str) -> TokenProvider:
    """Return what hands out tokens for a connection of type ``stripe_app``.

    :param conn_id: an installation's connection, or one with a restricted key.
    :raises ConfigurationError: if the connection is neither.
    """
    try:
        settings = read_settings(_read_connection(conn_id))
    except EmptyConnection:  # the broker may give it back what it lost
        return BrokerTokens(conn_id)
    if isinstance(settings, RestrictedKeySettings):
        _mask(settings.key)
        return StaticToken(settings.key, f"connection {conn_id}")
    return BrokerTokens(conn_id, known=settings)


class BrokerTokens:
    """Access tokens of one installation; implements ``TokenProvider``. Thread-safe.

    :param conn_id: the installation's connection.
    :param read_connection: reads it again; by default Airflow's ``BaseHook.get_connection``.
    :param client: talks to the broker.
    :param direct: the token store, ``None`` where the database may not be used; found out by
        default.
    :param clock: unix seconds.
    :param sleep: waits for seconds.
    :param patience: seconds to keep trying.
    :param known: what the connection said a moment ago.
    """

    def __init__(
        self,
        conn_id: str,
        *,
        read_connection: Callable[[str], ConnectionLike] | None = None,
        client: BrokerClient | None = None,
        direct: Callable[[], Store | None] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        patience: float = PATIENCE,
        known: Settings | None = None,
    ) -> None:
        self.conn_id = conn_id
        self._read_connection = read_connection or _read_connection
        self._client = client or BrokerClient()
        self._direct = direct or store_if_allowed
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._known = known if isinstance(known, InstallationSettings) else None
        self._lock = threading.Lock()
        self._grant: AccessGrant | None = None
        self._dead_generation = 0
        self._failure: tuple[float, StripeAppError] | None = None

    def get(self) -> str:
        """Return a token with some life left.

        :raises ReauthorizationRequired: if the app has to be installed (again).
        :raises ConfigurationError: if connection or options are wrong.
        :raises TokenUnavailable: if no broker answers in time.
        """
        return self.grant().access_token

    def replace(self, refused: str) -> str:
        """Return another token after Stripe answered 401 to ``refused``.

        Of many threads with the same refused token one asks; the others get its answer.

        :param refused: the token that Stripe refused.
        :raises StripeAppError: as ``get``.
        """
        return self.grant(refused=fingerprint(refused)).access_token

    def grant(self, refused: str | None = None) -> AccessGrant:
        """Return the token with what is known of it.

        :param refused: fingerprint of a token that Stripe refused.
        :raises StripeAppError: as ``get``.
        """
        arrived = time.monotonic()
        with self._lock:
            grant = self._grant
            if grant is not None and grant.fingerprint == refused:
                self._dead_generation = max(self._dead_generation, grant.generation)
            if grant is None or not self._usable(grant, refused):
                if self._failure is not None and self._failure[0] > arrived:
                    # Failed for another thread while this one waited: do not wait as long again.
                    raise type(self._failure[1])(str(self._failure[1]))
                try:
                    grant = self._find(refused)
                except StripeAppError as error:
                    self._failure = (time.monotonic(), error)
                    raise
                _mask(grant.access_token)  # before anybody can log a request with it
                self._grant = grant
            return grant

    def _usable(self, grant: AccessGrant | None, refused: str | None) -> bool:
        if grant is None or grant.fingerprint == refused:
            return False
        return grant.fresh(self._clock(), config.worker_margin())

    def _find(self, refused: str | None) -> AccessGrant:
        store = self._direct()
        if store is not None:
            return store.live_token(self.conn_id, refused)
        deadline = time.monotonic() + self._patience
        pause = 0.5
        refusals = 0
        while True:
            settings, problem = self._settings()
            if settings.copy is not None and self._usable_copy(settings.copy, refused):
                return settings.copy
            answer = self._client.ask(self.conn_id, settings.broker_token, refused)
            if isinstance(answer, Given):
                return answer.grant
            if isinstance(answer, Unauthorized):
                refusals += 1
            # A refusal makes the server put its keys into the connection again, which a form or a
            # script may have taken out, and may take out once more.
            if refusals == REFUSALS:
                raise problem or self._refused()
            if problem is not None and not isinstance(answer, Unauthorized):
                # Perhaps it lost its keys, and nobody was there to give them back.
                raise TokenUnavailable(f"{problem} ({self._unavailable(answer)})")
            if time.monotonic() + pause > deadline:
                raise self._unavailable(answer)
            self._sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311
            pause = min(pause * 1.7, 10.0)

    def _usable_copy(self, copy: AccessGrant, refused: str | None) -> bool:
        """Tell whether a copy may be tried; a form can bring an older one back over a newer one."""
        older = refused is not None and copy.generation <= self._dead_generation
        return not older and self._usable(copy, refused)

    def _settings(self) -> tuple[InstallationSettings, StripeAppError | None]:
        """Return what the connection says, and what to raise unless the broker can mend it."""
        try:
            settings = self._read()
        except EmptyConnection as empty:
            return self._without_keys(), ReauthorizationRequired(f"{empty} {self._hidden()}")
        if isinstance(settings, AppSettings):
            return self._without_keys(), ReauthorizationRequired(
                f"Connection {self.conn_id} describes a Stripe App that is not installed yet: open "
                f"the page Stripe App in Airflow (/stripe-app/) and press Install. {self._hidden()}"
            )
        if isinstance(settings, RestrictedKeySettings):
            raise ConfigurationError(
                f"Connection {self.conn_id} holds a restricted key now: clear and run the task "
                "again."
            )
        if not settings.broker_token:
            return settings, ReauthorizationRequired(
                f"The Stripe App is not installed for connection {self.conn_id}: open the page "
                f"Stripe App in Airflow (/stripe-app/) and press Install. {self._hidden()}"
            )
        return settings, None

    def _read(self) -> Settings:
        """Read the connection, or return what it said last.

        While an API server restarts or has no database, Airflow gives no connection either, and
        calls it undefined: that passes, and the broker is asked with what is known.
        """
        try:
            connection = self._read_connection(self.conn_id)
        except PermissionError:  # Airflow's own word for "you may not"
            raise
        except Exception as error:
            if self._known is None:
                raise
            log.warning(
                "Cannot read connection %s again (%s); going on with what it said before.",
                self.conn_id,
                type(error).__name__,
            )
            return self._known
        settings = read_settings(connection)
        if isinstance(settings, InstallationSettings) and settings.broker_token:
            self._known = settings
        return settings

    def _without_keys(self) -> InstallationSettings:
        return InstallationSettings(conn_id=self.conn_id, app_conn_id=self.conn_id)

    def _refused(self) -> ConfigurationError:
        return ConfigurationError(
            f"The API server refused the broker_token of connection {self.conn_id}: it is not the "
            "one that the installation was given. Open the page Stripe App in Airflow "
            f"(/stripe-app/) and press Install or Reauthorize. {self._hidden()}"
        )

    def _hidden(self) -> str:
        """Return what else it may be: only the row in the database can be kept up to date."""
        variable = f"AIRFLOW_CONN_{self.conn_id.upper()}"
        if variable in os.environ:
            return (
                f"(Here the environment variable {variable} hides the connection in Airflow's "
                "database, which the provider keeps up to date: remove the variable.)"
            )
        return (
            f"(If it is installed there, an environment variable {variable} or a secrets backend "
            "hides the connection in Airflow's database, which the provider keeps up to date: "
            "remove it there.)"
        )

    def _unavailable(self, answer: Busy | Unauthorized | Unreachable) -> TokenUnavailable:
        if isinstance(answer, Busy):
            return TokenUnavailable(
                f"The API server has no live token for connection {self.conn_id}: {answer.message}"
            )
        if isinstance(answer, Unauthorized):
            return TokenUnavailable(
                f"The API server refused the broker_token of connection {self.conn_id} once, and "
                "there was no time left to ask with the one that it wrote there since: run the "
                "task again."
            )
        tried = ", ".join(answer.tried)
        return TokenUnavailable(
            f"The token of connection {self.conn_id} has to be renewed, but no API server with the "
            f"Stripe App plugin answers at {tried}: set option [stripe_app] broker_url to the "
            "address under which workers reach the API server."
        )


def answer_token_request(body: object) -> tuple[int, dict[str, Any]]:
    """Answer a worker's request in the API server; see ``broker_server``.

    :param body: the decoded JSON body.
    :return: HTTP status and JSON body.
    """
    from airflow_provider_stripe_app.oauth import broker_server  # needs the database, tasks do not

    return broker_server.answer_token_request(body)


def _read_connection(conn_id: str) -> ConnectionLike:
    """Read a connection as tasks, triggers and ``dags test`` may."""
    from airflow.providers.common.compat.sdk import BaseHook

    conn: ConnectionLike = BaseHook.get_connection(conn_id)
    return conn


def _mask(token: str) -> None:
    from airflow.sdk.log import mask_secret  # common-compat has it from 1.21 on

    mask_secret(token)


def store_if_allowed() -> TokenStore | None:
    """Return the token store where this process may use the metadata database."""
    if not may_use_metadata_db():
        return None
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return TokenStore()
