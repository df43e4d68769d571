"""Looking after installations: how they are, what happened to them, renewing, forgetting."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.cli_commands.output import (
    FAILED,
    REAUTHORIZE,
    Result,
    ask,
    command,
    user,
)
from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
)
from airflow_provider_stripe_app.oauth.health import ELSEWHERE, EXPIRED
from airflow_provider_stripe_app.oauth.health import REAUTHORIZE as LOST

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_stripe_app.oauth.status import InstallationStatus
    from airflow_provider_stripe_app.oauth.store import TokenStore


DEAD = frozenset({LOST, EXPIRED})
"""Health of an installation that a person has to install again."""

NOTHING = (
    "Nothing is installed. `airflow stripe-app add-app` makes a connection for your app, and "
    "`airflow stripe-app install-url` installs it in an account."
)


def _store() -> TokenStore:
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return TokenStore()


def installed(store: TokenStore, conn_id: str) -> InstallationStatus:
    """Return an installation.

    :param store: the token store.
    :param conn_id: its connection.
    :raises ReauthorizationRequired: if nothing is installed there.
    """
    one = store.status(conn_id)
    if one is None:
        raise not_installed(conn_id)
    return one


def not_installed(conn_id: str) -> ReauthorizationRequired:
    """Return the error for a connection without installation."""
    return ReauthorizationRequired(
        f"The app is not installed in connection {conn_id}: run `airflow stripe-app status` for "
        "those that are, or `airflow stripe-app install-url` to install it."
    )


@command
def status(args: Namespace) -> Result:
    """Show installations; the exit status says whether somebody has to do something."""
    from airflow_provider_stripe_app.oauth.checkup import checkup

    store, now = _store(), time.time()
    found = store.installations() if args.conn_id is None else [installed(store, args.conn_id)]
    report = checkup(found, now)
    shown = [
        _words(one, said, now) for one, said in zip(found, report["installations"], strict=True)
    ]
    if len(found) > 1:
        counts = ", ".join(f"{count} {word}" for word, count in report["counts"].items())
        shown.append(f"{len(found)} installations: {counts}.")
    text = "\n".join(shown) or NOTHING
    return Result(text, report, status_code(report))


def status_code(report: dict[str, Any]) -> int:
    """Return the exit status that a report stands for.

    :param report: from ``health.overview``.
    """
    words = {one["health"] for one in report["installations"]}
    if words & DEAD:
        return REAUTHORIZE
    return 0 if report["healthy"] else FAILED


def _words(one: InstallationStatus, said: dict[str, Any], now: float) -> str:
    from airflow_provider_stripe_app.oauth.words import mode_words, relative

    name = f" ({one.account_name})" if one.account_name else ""
    lines = [f"{one.conn_id}: {said['health']}", said["message"]]
    if step := _next_step(one, said["health"]):
        lines.append(f"By command line: {step}")
    lines.append(
        f"account {one.account_id}{name}, {mode_words(one.livemode)} mode, app {one.app_conn_id}"
    )
    refreshed = f"refreshed {relative(one.last_refreshed_at, now)}, generation {one.generation}"
    if said["health"] in DEAD:
        lines.append(refreshed)
    else:
        ends = "ended" if one.access_expires_at <= now else "ends"
        lines.append(
            f"access token {ends} {relative(one.access_expires_at, now)}, {refreshed}; without any "
            f"renewal the installation ends {relative(one.refresh_expires_at, now)}"
        )
    streams = said["streams"]
    if streams:
        newest = max(sync["at"] for sync in streams)
        lines.append(f"{len(streams)} streams synced, the last one at {newest}")
    lines += [
        f"{sync['stream']} failed at {sync['at']}: {sync['error']}"
        for sync in streams
        if not sync["ok"]
    ]
    return "\n  ".join(lines)


def _next_step(one: InstallationStatus, word: str) -> str:
    """Return the command that does what the sentence says, if there is one."""
    if word == ELSEWHERE:
        return f"airflow stripe-app take-over {one.conn_id}"
    if word in DEAD:
        return (
            f"airflow stripe-app install-url {one.app_conn_id} --installation-conn-id {one.conn_id}"
        )
    return ""


@command
def test(args: Namespace) -> Result:
    """Ask Stripe for something with an installation's token."""
    from airflow_provider_stripe_app.oauth.trial import ask_stripe
    from airflow_provider_stripe_app.oauth.words import mode_words

    store = _store()
    if store.status(args.conn_id) is None:
        return _test_key(args.conn_id)
    done = ask_stripe(args.conn_id, store)
    mode = mode_words(done.livemode)
    text = f"Stripe answers: connection {done.conn_id} reads {done.account_id} ({mode} mode)."
    return Result(text, asdict(done))


def _test_key(conn_id: str) -> Result:
    """Try a connection without installation: an app's secret key, or a restricted key."""
    from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
    from airflow_provider_stripe_app.oauth.credentials import InstallationSettings, read_settings
    from airflow_provider_stripe_app.oauth.lookup import look_up

    connection = look_up(conn_id).connection
    if connection is None:
        raise ConfigurationError(f"There is no connection {conn_id}.")
    settings = read_settings(connection)
    if isinstance(settings, InstallationSettings):
        raise not_installed(conn_id)
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"  # as `airflow connections test` does
    works, message = StripeAppHook(conn_id).test_connection()
    if not works:
        raise StripeAppError(message)
    return Result(message, {"conn_id": conn_id, "message": message})


@command
def history(args: Namespace) -> Result:
    """Show what happened to an installation, the newest first."""
    from airflow_provider_stripe_app.oauth.words import iso

    if args.limit < 1:
        raise ConfigurationError("--limit must be at least 1.")
    lines = _store().history(args.conn_id, limit=args.limit)
    if not lines:
        raise ConfigurationError(
            f"Nothing ever happened in connection {args.conn_id}, as far as is known here (the "
            "history is kept for 90 days)."
        )
    data = [{**asdict(line), "at": iso(line.at)} for line in lines]
    return Result(
        "\n".join(_history_words(line) for line in data), {"conn_id": args.conn_id, "events": data}
    )


def _history_words(line: dict[str, Any]) -> str:
    facts = [
        line["reason"] or "",
        f"generation {line['generation']}" if line["generation"] is not None else "",
        line["detail"] or "",
        line["request_id"] or "",
    ]
    return "  ".join([line["at"], f"{line['event']:<11}", *(fact for fact in facts if fact)])


@command
def refresh(args: Namespace) -> Result:
    """Renew an installation's tokens now."""
    from airflow_provider_stripe_app.oauth.words import iso, relative

    grant = _store().renew(args.conn_id, reason="asked")
    ends = relative(grant.expires_at, time.time())
    data = {
        "conn_id": args.conn_id,
        "account_id": grant.account_id,
        "livemode": grant.livemode,
        "generation": grant.generation,
        "expires_at": iso(grant.expires_at),
    }
    return Result(f"Renewed {args.conn_id}: generation {grant.generation}, ends {ends}.", data)


@command
def take_over(args: Namespace) -> Result:
    """Let this deployment renew an installation that came with a copied metadata database."""
    from airflow_provider_stripe_app.oauth import config

    store, here = _store(), config.deployment_id()
    one = installed(store, args.conn_id)
    data = {"conn_id": one.conn_id, "deployment_id": here, "before": one.deployment_id}
    if one.deployment_id in {None, here}:
        text = f"{one.conn_id} belongs to this deployment ({here}); there is nothing to take over."
        return Result(text, {**data, "taken_over": False})
    ask(
        args,
        f"The tokens of {one.conn_id} belong to the deployment {one.deployment_id}. If that is "
        f"still running, it loses them as soon as {here} renews them. Is it gone, and shall this "
        "deployment take them over?",
    )
    store.take_over(one.conn_id, user())
    text = f"{one.conn_id} belongs to {here} now, before to {one.deployment_id}."
    return Result(text, {**data, "taken_over": True})


@command
def disconnect(args: Namespace) -> Result:
    """Forget an installation here."""
    store = _store()
    if store.status(args.conn_id) is None:
        raise ConfigurationError(f"Connection {args.conn_id} holds no installation to forget.")
    ask(args, f"Forget the tokens of {args.conn_id}? The app stays installed in Stripe.")
    store.forget(args.conn_id, by=user())
    return Result(f"Forgot {args.conn_id}.", {"conn_id": args.conn_id, "forgotten": True})


@command
def rotate_fernet(args: Namespace) -> Result:
    """Encrypt all tokens again with the first Fernet key."""
    from airflow_provider_stripe_app.oauth.rotation import rotate_keys

    count = rotate_keys()
    text = f"Encrypted the tokens of {count} installation(s) with the first Fernet key."
    return Result(text, {"installations": count})
