"""Creating an app's connection: ``airflow connections add`` wants the secret key as an argument."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.cli_commands.output import Result, command, read_input
from airflow_provider_stripe_app.exceptions import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow.models import Connection
    from sqlalchemy.orm import Session

KEY_VARIABLE = "STRIPE_APP_SECRET_KEY"


@command
def add_app(args: Namespace) -> Result:
    """Create or correct the connection of an app."""
    from airflow.models import Connection

    from airflow_provider_stripe_app.oauth.credentials import CONN_TYPE, read_app, read_app_id
    from airflow_provider_stripe_app.oauth.database import transaction
    from airflow_provider_stripe_app.oauth.install_target import check_name

    check_name(args.conn_id)
    key = read_input(args.secret_key_file, KEY_VARIABLE, "Paste the app's secret key").strip()
    wanted = Connection(
        conn_id=args.conn_id,
        conn_type=CONN_TYPE,
        login=args.install_link.strip(),
        password=key,
        extra=json.dumps({"app_id": args.app_id.strip()} if args.app_id else {}),
    )
    settings = read_app(wanted)
    if args.app_id:
        read_app_id(wanted)
    transaction(lambda session: _save(session, wanted, force=args.force))
    mode = {True: "live mode", False: "test mode", None: "mode unknown"}[settings.livemode]
    return Result(
        f"Connection {args.conn_id} holds the app {settings.link.client_id} ({mode}). Next: "
        f"airflow stripe-app install-url {args.conn_id} --installation-conn-id NAME, with the name "
        "that DAGs shall use.",
        {
            "conn_id": args.conn_id,
            "client_id": settings.link.client_id,
            "livemode": settings.livemode,
            "app_id": args.app_id,
        },
    )


def _save(session: Session, wanted: Connection, *, force: bool) -> None:
    """Store a connection, or what it says of the app in one that exists."""
    from airflow.models import Connection
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.credentials import read_extra

    found = session.scalar(select(Connection).where(Connection.conn_id == wanted.conn_id))
    if found is None:
        # A copy, for a transaction may be tried again.
        session.add(
            Connection(
                conn_id=wanted.conn_id,
                conn_type=wanted.conn_type,
                login=wanted.login,
                password=wanted.password,
                extra=wanted.extra,
            )
        )
        return
    if found.conn_type != wanted.conn_type:
        raise ConfigurationError(
            f"Connection {wanted.conn_id} exists and is of type {found.conn_type!r}, not Stripe "
            "App: choose another name."
        )
    if not force:
        raise ConfigurationError(
            f"Connection {wanted.conn_id} exists: add --force to replace its install link and "
            "secret key. (Installations and their tokens stay.)"
        )
    found.login = wanted.login
    found.set_password(wanted.password)
    found.set_extra(json.dumps({**read_extra(found), **read_extra(wanted)}))
