"""Encryption of tokens at rest with Airflow's Fernet key.

A sealed text says how it was sealed. Without that, a deployment whose Fernet key got lost would
send ciphertext to Stripe as a refresh token, be told ``invalid_grant`` and give up a good grant.
"""

from __future__ import annotations

import logging

from airflow.models.crypto import get_fernet

from airflow_provider_stripe_app.exceptions import ConfigurationError

log = logging.getLogger(__name__)
_ENCRYPTED = "fernet:"
_PLAIN = "plain:"


def check_encryption(livemode: bool) -> None:
    """Refuse to keep live tokens unencrypted; warn about test tokens.

    :param livemode: whether the tokens are live ones.
    :raises ConfigurationError: for live tokens without a Fernet key.
    """
    if get_fernet().is_encrypted:
        return
    if livemode:
        raise ConfigurationError(
            "Option [core] fernet_key is empty, so live tokens would be stored as plain text: set "
            "a Fernet key (the same in every component), restart Airflow and install the app again."
        )
    log.warning("Option [core] fernet_key is empty: the test mode tokens are stored as plain text.")


def seal(text: str) -> str:
    """Return a text encrypted with the first Fernet key, marked plain when there is no key."""
    fernet = get_fernet()
    data = fernet.encrypt(text.encode()).decode()
    return f"{_ENCRYPTED if fernet.is_encrypted else _PLAIN}{data}"


def unseal(sealed: str) -> str:
    """Return the text that ``seal`` was given.

    :raises ConfigurationError: if the Fernet key is missing or is another one.
    """
    if sealed.startswith(_PLAIN):
        return sealed.removeprefix(_PLAIN)
    fernet = get_fernet()
    if fernet.is_encrypted and sealed.startswith(_ENCRYPTED):
        from cryptography.fernet import InvalidToken

        try:
            return fernet.decrypt(sealed.removeprefix(_ENCRYPTED).encode()).decode()
        except InvalidToken:
            pass
    raise ConfigurationError(
        "The stored Stripe tokens cannot be decrypted: option [core] fernet_key is not the one "
        "they were stored with. Put the old key behind the new one, separated by a comma."
    ) from None
