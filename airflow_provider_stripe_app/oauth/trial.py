"""Trying an installation: Stripe answers its token, and tasks read it where we keep it."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_stripe_app.exceptions import ReauthorizationRequired
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.access_grant import fingerprint
from airflow_provider_stripe_app.oauth.store import TokenStore
from airflow_provider_stripe_app.oauth.unread import refuse_unread


@dataclass(frozen=True)
class Tried:
    """An installation that works."""

    conn_id: str
    account_id: str
    livemode: bool


class _StoreTokens:
    """Tokens of one installation straight from the store; one that Stripe refuses is renewed."""

    def __init__(self, store: TokenStore, conn_id: str) -> None:
        self._store = store
        self._conn_id = conn_id

    def get(self) -> str:
        return self._store.live_token(self._conn_id).access_token

    def replace(self, refused: str) -> str:
        return self._store.live_token(self._conn_id, fingerprint(refused)).access_token


def ask_stripe(conn_id: str, store: TokenStore | None = None) -> Tried:
    """Raise unless Stripe answers the installation's token.

    Events are asked for, because ``event_read`` is the one permission that every manifest has.

    :param conn_id: the installation's connection.
    :param store: the token store.
    :raises StripeAppError: saying what is wrong.
    """
    from airflow_provider_stripe_app.api.client import StripeClient

    store = store or TokenStore()
    one = store.status(conn_id)
    if one is None:
        raise ReauthorizationRequired(
            f"The Stripe App is not installed for connection {conn_id}: open the page Stripe App "
            "in Airflow (/stripe-app/) and press Install, or run `airflow stripe-app install-url`."
        )
    refuse_unread(one)
    client = StripeClient(_StoreTokens(store, conn_id), api_base=config.api_base())
    try:
        client.request("GET", "/v1/events", {"limit": "1"}, purpose="test")
    finally:
        client.close()
    return Tried(conn_id, one.account_id, one.livemode)
