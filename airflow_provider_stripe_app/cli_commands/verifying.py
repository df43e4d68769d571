"""Comparing tables with Stripe, and mending them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_stripe_app.cli_commands.connections import connections_of_the_database
from airflow_provider_stripe_app.cli_commands.output import FAILED, Result, command, user

if TYPE_CHECKING:
    from argparse import Namespace


@command
def verify(args: Namespace) -> Result:
    """Say which rows differ from Stripe; the exit status is 1 if some do and stay so."""
    from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
    from airflow_provider_stripe_app.hooks.warehouse import warehouse_from_connection
    from airflow_provider_stripe_app.streams.catalog import resolve_streams
    from airflow_provider_stripe_app.sync.audit.options import AuditOptions
    from airflow_provider_stripe_app.sync.audit.run import run_audit

    names = [name.strip() for name in args.streams.split(",") if name.strip()]
    with connections_of_the_database():
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
