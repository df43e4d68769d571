"""Mending a lost grant by Stripe's Install API: list, reinstall, exchange the code (DESIGN §2.6).

An account whose owner has uninstalled the app is never touched: only an install that Stripe itself
lists as installed is installed again. What is tried how often is decided by ``refresh_rules``; this
module makes one try.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.oauth.installs_api import (
    INSTALLED,
    INSTALLING,
    Install,
    InstallsApi,
    InstallsRefused,
    InstallsTrouble,
)
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, Outcome, Trouble

REPEATS = 3
"""Calls of one kind within one try, while no answer comes."""
CODE_POLLS = 8
"""Looks at an install that is still installing."""


class Exchanger(Protocol):
    """What is needed of ``TokenEndpoint``."""

    def exchange(self, code: str) -> Outcome:
        """Exchange an authorization code."""
        ...


@dataclass(frozen=True)
class AppAccess:
    """What an app's connection lets the server do with the Install API.

    :param app_conn_id: the connection.
    :param app_id: ``app_…``.
    :param api: the Install API with the app's key.
    :param endpoint: the token endpoint with the app's key.
    :param livemode: the key's mode, ``None`` when its prefix does not tell.
    """

    app_conn_id: str
    app_id: str
    api: InstallsApi = field(repr=False)
    endpoint: Exchanger = field(repr=False)
    livemode: bool | None = None


@dataclass(frozen=True)
class Mended:
    """Stripe gave new tokens. They exist nowhere else until they are stored."""

    granted: Granted
    install: Install


@dataclass(frozen=True)
class NotMended:
    """No tokens were given.

    :param message: why, in words that fit behind "could not be mended: ".
    :param final: whether only a person can go on; else a later try may succeed.
    :param uninstalled: whether the account no longer has the app.
    """

    message: str
    final: bool
    uninstalled: bool = False
    request_id: str | None = None


class LeaseLost(StripeAppError):
    """Somebody else holds the installation's lease now."""


def mending_key(refresh_token: str, tries: int) -> str:
    """Return the ``Idempotency-Key`` of a try's reinstallation.

    Another one for each try: a repeated answer would bring back a code that is spent.

    :param refresh_token: the lost refresh token (or anything else that is this loss's own).
    :param tries: number of the try.
    """
    digest = hashlib.sha256(f"stripe-app-reinstall:{refresh_token}".encode()).hexdigest()
    return f"reinstall-{digest[:40]}-{tries}"


def mend(
    access: AppAccess,
    account_id: str,
    livemode: bool,
    key: str,
    *,
    still_ours: Callable[[], bool] = lambda: True,
    sleep: Callable[[float], None] = time.sleep,
) -> Mended | NotMended:
    """Get new tokens for an account that has the app installed.

    :param access: the app.
    :param account_id: ``acct_…``.
    :param livemode: the installation's mode.
    :param key: see :func:`mending_key`.
    :param still_ours: called before every step; whether the lease is still held.
    :param sleep: waits for seconds.
    :raises LeaseLost: if it is not; nothing more is done then.
    """

    def guard() -> None:
        if not still_ours():
            raise LeaseLost("Another process mends this installation.")

    guard()
    found = _installed(access, account_id, livemode)
    if isinstance(found, NotMended):
        return found
    for number in range(1, REPEATS + 1):
        guard()
        made = access.api.reinstall(
            access.app_id, account_id, channel=found.channel or "public", idempotency_key=key
        )
        if not isinstance(made, InstallsTrouble) or number == REPEATS:
            break
        sleep(0.5 * number)
    install = _with_code(access, made, guard, sleep) if isinstance(made, Install) else made
    if not isinstance(install, Install):
        return _refusal(install) if not isinstance(install, NotMended) else install
    return _exchanged(access, install, account_id, livemode, guard, sleep)


def _installed(access: AppAccess, account_id: str, livemode: bool) -> Install | NotMended:
    listed = access.api.list(access.app_id, account_id)
    if isinstance(listed, (InstallsRefused, InstallsTrouble)):
        return _refusal(listed)
    for one in listed:
        if one.livemode == livemode and one.status in {INSTALLED, INSTALLING}:
            return one
    return NotMended(f"account {account_id} has uninstalled the app", final=True, uninstalled=True)


def _with_code(
    access: AppAccess, install: Install, guard: Callable[[], None], sleep: Callable[[float], None]
) -> Install | NotMended | InstallsRefused | InstallsTrouble:
    """Wait for the code of an install that is still installing."""
    for number in range(CODE_POLLS):
        if install.auth_code is not None:
            return install
        if install.status != INSTALLING and number > 1:
            break
        sleep(min(0.25 * 2**number, 4.0))
        guard()
        again = access.api.retrieve(install.id)
        if isinstance(again, Install):
            install = again
        elif isinstance(again, InstallsRefused):
            return again
    if install.auth_code is not None:
        return install
    if install.status == INSTALLING:
        return NotMended("Stripe has not finished the reinstallation yet", final=False)
    return NotMended("Stripe reinstalled the app but gave no authorization code", final=True)


def _exchanged(
    access: AppAccess,
    install: Install,
    account_id: str,
    livemode: bool,
    guard: Callable[[], None],
    sleep: Callable[[float], None],
) -> Mended | NotMended:
    outcome: Outcome = Trouble("not asked", received=False)
    for number in range(1, REPEATS + 1):
        guard()
        outcome = access.endpoint.exchange(install.auth_code or "")
        if not isinstance(outcome, Trouble) or number == REPEATS:
            break
        sleep(0.5 * number)
    if not isinstance(outcome, Granted):
        # A code that was spent by an exchange without an answer, a key that was just rolled: the
        # next try gets another code.
        return NotMended(outcome.message, final=False, request_id=outcome.request_id)
    if outcome.account_id != account_id or outcome.livemode not in {livemode, None}:
        return NotMended("Stripe gave tokens of another account or mode", final=True)
    return Mended(outcome, install)


def _refusal(answer: InstallsRefused | InstallsTrouble) -> NotMended:
    refused = isinstance(answer, InstallsRefused)
    said = "Stripe's Install API refused" if refused else "Stripe's Install API did not answer"
    return NotMended(f"{said} ({answer.message})", final=refused, request_id=answer.request_id)
