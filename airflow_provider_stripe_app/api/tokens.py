"""How the client gets the bearer token it sends, without knowing where tokens live."""

from __future__ import annotations

from typing import Protocol


class TokenProvider(Protocol):
    """Hands out access tokens. Implementations are thread-safe."""

    def get(self) -> str:
        """Return a token believed to be live.

        :return: the bearer token to send.
        :raises StripeAppError: if there is none.
        """
        ...

    def replace(self, refused: str) -> str:
        """Return another token after Stripe answered 401 to ``refused``.

        :param refused: the token that Stripe refused.
        :return: a token that differs from ``refused``.
        :raises StripeAppError: if no other token can be had.
        """
        ...


class StaticToken:
    """A key that never changes, for example a restricted key (``rk_…``).

    :param token: the key.
    :param where: where it was put, for the error.
    """

    def __init__(self, token: str, where: str = "this connection") -> None:
        self._token = token
        self._where = where

    def get(self) -> str:
        """Return the key."""
        return self._token

    def replace(self, refused: str) -> str:
        """Raise: a restricted key that Stripe refuses cannot be renewed by a program."""
        from airflow_provider_stripe_app.exceptions import ReauthorizationRequired

        raise ReauthorizationRequired(
            f"Stripe refused the restricted key of {self._where} (HTTP 401). It was rolled, "
            "expired or revoked: create a new one in the Stripe Dashboard (Developers > API keys) "
            "and put it into the connection."
        )
