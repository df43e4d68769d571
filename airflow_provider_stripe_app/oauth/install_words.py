"""What people are told when an installation does not come about, or needs their word."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, Refused, Trouble, WrongKey


class InstallError(StripeAppError):
    """An installation did not come about. The message is for the page and never holds a secret."""


@dataclass(frozen=True)
class Holder:
    """Whose tokens a connection holds, or would hold.

    :param account_id: ``acct_…``.
    :param livemode: live or test.
    """

    account_id: str
    livemode: bool

    def words(self, *, with_mode: bool) -> str:
        """Return the account, and its mode where that is what differs."""
        return f"{self.account_id} in {_mode(self.livemode)} mode" if with_mode else self.account_id


class DifferentAccount(InstallError):
    """Another account or mode is installed where this grant would go; a person has to confirm.

    :param handle: what :meth:`Installer.confirm` wants.
    :param old: what is installed; None if it was disconnected meanwhile.
    :param new: who consented.
    :param conn_id: the installation's connection.
    """

    def __init__(self, handle: str, old: Holder | None, new: Holder, conn_id: str) -> None:
        modes = old is not None and old.livemode != new.livemode
        self.handle = handle
        self.old_account = "nothing" if old is None else old.words(with_mode=modes)
        self.new_account = new.words(with_mode=modes)
        self.conn_id = conn_id
        super().__init__(
            f"Connection {conn_id} is installed in {self.old_account}, but {self.new_account} "
            f"consented now. DAGs that use {conn_id} would read {self.new_account} from their next "
            "run on."
        )


def check_mode(granted: Granted, key_livemode: bool | None, app_conn_id: str) -> None:
    """Raise if the grant is incomplete or of another mode than the app's key.

    :raises InstallError: saying which is which.
    """
    if granted.account_id is None or granted.livemode is None:
        raise InstallError(
            "Stripe's answer does not say which account installed the app, so it was not "
            "accepted. Press Install again; if it stays so, report it with the API server's log."
        )
    if key_livemode is not None and granted.livemode != key_livemode:
        raise InstallError(
            f"The app was installed in {_mode(granted.livemode)} mode, but the key of connection "
            f"{app_conn_id} is a {_mode(key_livemode)} key: use the install link and the key of "
            "one mode."
        )


def explain(outcome: Refused | WrongKey | Trouble, app_conn_id: str) -> str:
    """Return the sentence for an exchange that gave no grant."""
    if isinstance(outcome, WrongKey):
        return (
            f"{outcome.message}. The secret key of connection {app_conn_id} must be the app "
            "developer's key of the same mode (live, test, or the app's managed sandbox) as the "
            "install link."
        )
    if isinstance(outcome, Refused):
        return (
            f"Stripe did not accept the code ({outcome.message}). A code works once and for 5 "
            "minutes, with the secret key of the same mode: press Install again."
        )
    return (
        f"Stripe could not be reached to finish the installation ({outcome.message}). Nothing was "
        "changed: press Install again in a moment."
    )


def word(error: str) -> str:
    """Return an OAuth error code fit for a sentence; anything else is not repeated."""
    fine = 0 < len(error) <= 60 and error.replace("_", "").isalnum() and error.isascii()
    return repr(error) if fine else "with an error"


def _mode(livemode: bool) -> str:
    return "live" if livemode else "test"
