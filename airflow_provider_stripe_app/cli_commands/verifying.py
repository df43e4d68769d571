"""Comparing tables with Stripe, and mending them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.cli_commands.output import FAILED, Result, command, user
from airflow_provider_stripe_app.exceptions import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace


@contextmanager
def _connections_of_the_database() -> Iterator[None]:
    """Let hooks find connections in the metadata database, as ``airflow connections test`` does.

    :raises ConfigurationError: if there is no connection of a name that is looked for.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    name = "_AIRFLOW_PROCESS_CONTEXT"
    before = os.environ.get(name)
    os.environ[name] = "server"
    try:
        yield
    except AirflowNotFoundException as error:
        raise ConfigurationError(f"{str(error).rstrip('.')}: create the connection.") from None
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@command
def verify(args: Namespace) -> Result:
    """Say which rows differ from Stripe; the exit status is 1 if some do and stay so."""
    from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
    from airflow_provider_stripe_app.hooks.warehouse import warehouse_from_connection
    from airflow_provider_stripe_app.streams.catalog import resolve_streams
    from airflow_provider_stripe_app.sync.audit.options import AuditOptions
    from airflow_provider_stripe_app.sync.audit.run import run_audit

    names = [name.strip() for name in args.streams.split(",") if name.strip()]
    with _connections_of_the_database():
        warehouse = warehouse_from_connection(args.warehouse_conn_id, args.schema)
        hook = StripeAppHook(args.conn_id)
        account_id, livemode = hook.identity()
        result = run_audit(
            hook.get_conn(),
            warehouse,
            account_id=account_id,
            livemode=livemode,
            streams=resolve_streams(names) if names else None,
            options=AuditOptions(
                repair=args.repair,
                examples=args.examples,
                lease_wait=args.lease_wait,
                run=user(),
            ),
        )
    status = FAILED if result.unrepaired else 0
    return Result("\n".join(result.lines(shown=args.examples)), result.as_dict(), status)
