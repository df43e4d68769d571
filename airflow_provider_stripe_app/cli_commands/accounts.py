"""The accounts that have an app, by Stripe's Install API: list, compare, adopt, uninstall."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.cli_commands.installing import installed_result
from airflow_provider_stripe_app.cli_commands.output import (
    FAILED,
    Result,
    ask,
    command,
    say,
    user,
)
from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_stripe_app.oauth.installs import KnownAccount
    from airflow_provider_stripe_app.oauth.reconcile import Reconciled


@command
def accounts(args: Namespace) -> Result:
    """List the accounts that have an app."""
    from airflow_provider_stripe_app.oauth.installs import Installs
    from airflow_provider_stripe_app.oauth.reconcile import reconcile_app
    from airflow_provider_stripe_app.oauth.words import iso, relative

    installs = Installs()
    known = installs.accounts(args.conn_id)
    if not known:
        reconcile_app(args.conn_id)
        known = installs.accounts(args.conn_id)
    data = {
        "app_conn_id": args.conn_id,
        "accounts": [{**asdict(one), "seen_at": iso(one.seen_at)} for one in known],
    }
    if not known:
        return Result(f"No account has the app of connection {args.conn_id}.", data)
    asked = relative(min(one.seen_at for one in known), time.time())
    lines = [_account_words(one) for one in known]
    lines.append(f"As Stripe said {asked}; ask it again with: airflow stripe-app reconcile")
    return Result("\n".join(lines), data)


def _account_words(one: KnownAccount) -> str:
    from airflow_provider_stripe_app.oauth.words import mode_words

    here = f"connection {one.conn_id}" if one.conn_id else "no connection here: adopt it"
    text = f"{one.account_id} ({mode_words(one.livemode)} mode): {one.status}, {here}"
    if one.permissions_pending:
        text += f"; waits for approval: {', '.join(one.permissions_pending)}"
    return text


@command
def reconcile(args: Namespace) -> Result:
    """Ask Stripe which accounts have the app, and write down what it says."""
    from airflow_provider_stripe_app.oauth.reconcile import reconcile_app
    from airflow_provider_stripe_app.oauth.store import TokenStore

    store = TokenStore()
    if args.conn_id is not None:
        done = reconcile_app(args.conn_id, store)
        return Result(_reconciled_words(done), {"apps": [asdict(done)]})
    names = sorted({one.app_conn_id for one in store.installations()})
    if not names:
        raise ConfigurationError("Nothing is installed: name the app's connection.")
    texts: list[str] = []
    data: list[dict[str, Any]] = []
    failed = False
    for name in names:
        try:
            done = reconcile_app(name, store)
        except StripeAppError as error:
            failed = True
            say(f"{name}: {error}")
            data.append({"app_conn_id": name, "error": str(error)})
            continue
        texts.append(_reconciled_words(done))
        data.append(asdict(done))
    return Result("\n".join(texts), {"apps": data}, FAILED if failed else 0)


def _reconciled_words(done: Reconciled) -> str:
    lines = [f"{done.app_conn_id}: Stripe lists {_count(done.accounts, 'account')}"]
    if done.updated:
        lines.append(f"installed here and there: {', '.join(done.updated)}")
    if done.missing:
        lines.append(
            f"not in Stripe's list: {', '.join(done.missing)} (see airflow stripe-app status)"
        )
    if done.unknown:
        lines.append(
            f"there and not here: {', '.join(done.unknown)} (see airflow stripe-app adopt)"
        )
    return "\n  ".join(lines)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


@command
def adopt(args: Namespace) -> Result:
    """Make an installation here of an account that has the app already."""
    from airflow_provider_stripe_app.oauth.installs import Installs

    conn_id = args.installation_conn_id or f"{args.conn_id}_{args.account}"
    ask(
        args,
        f"Ask Stripe for tokens of {args.account} and keep them in connection {conn_id}? (If "
        "another program uses this app in that account, it may lose its tokens.)",
    )
    return installed_result(
        Installs().adopt(args.conn_id, args.account, conn_id, user()), "Adopted"
    )


@command
def uninstall(args: Namespace) -> Result:
    """Uninstall the app from an account at Stripe, and forget it here."""
    from airflow_provider_stripe_app.oauth.installs import Installs
    from airflow_provider_stripe_app.oauth.store import TokenStore

    store = TokenStore()
    one = store.status(args.conn_id)
    if one is None:
        raise ConfigurationError(f"Connection {args.conn_id} holds no installation to uninstall.")
    name = f" ({one.account_name})" if one.account_name else ""
    ask(
        args,
        f"Uninstall the app from {one.account_id}{name} in Stripe and forget {one.conn_id} here? "
        "DAGs that use it fail from then on.",
    )
    Installs(store).uninstall(args.conn_id, user())
    data = {"conn_id": one.conn_id, "account_id": one.account_id, "uninstalled": True}
    return Result(f"Uninstalled from {one.account_id} in Stripe, and forgot {one.conn_id}.", data)
