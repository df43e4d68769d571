"""Where money goes and who is behind it: balance, Connect, Issuing, Terminal, and reports."""

from __future__ import annotations

from airflow_provider_stripe_app.streams.listed import listed, paths
from airflow_provider_stripe_app.streams.model import OpenWhile

_BALANCE = "Balance and payouts"
_CONNECT = "Connect"
_ISSUING = "Issuing"
_TERMINAL = "Terminal"
_IDENTITY = "Identity and bank accounts"
_FILES = "Files and reports"

STREAMS = (
    listed(
        "balance_transactions",
        "balance_transaction",
        "balance",
        "balance_transactions",
        group=_BALANCE,
        creates=False,
        # Nothing else of one ever changes.
        open_while=OpenWhile(("status",), ("pending",), until=("available_on",)),
    ),
    listed("payouts", "payout", "payout", "payouts", group=_BALANCE),
    listed(
        "topups",
        "topup",
        "top_up",
        "topups",
        group=_BALANCE,
        updates=False,  # description and metadata
        open_while=OpenWhile(("status",), ("pending",)),
    ),
    listed("transfers", "transfer", "transfer", "transfers", group=_CONNECT),
    listed(
        "application_fees", "application_fee", "application_fee", "application_fees", group=_CONNECT
    ),
    listed(
        "accounts",
        "account",
        "connected_account",
        "accounts",
        group=_CONNECT,
        # Their events are the connected accounts' own, not in the platform's feed [infer].
        creates=False,
        updates=False,
        deletes=False,
        gone_code="account_invalid",
    ),
    listed(
        "issuing_authorizations",
        "issuing.authorization",
        "issuing_authorization",
        "issuing/authorizations",
        group=_ISSUING,
        # A whole card, and its whole holder: their changes are events of theirs.
        silent=paths("card"),
    ),
    listed(
        "issuing_cards",
        "issuing.card",
        "issuing_card",
        "issuing/cards",
        group=_ISSUING,
        silent=paths("cardholder"),
    ),
    listed(
        "issuing_cardholders",
        "issuing.cardholder",
        "issuing_cardholder",
        "issuing/cardholders",
        group=_ISSUING,
    ),
    listed(
        "issuing_disputes",
        "issuing.dispute",
        "issuing_dispute",
        "issuing/disputes",
        group=_ISSUING,
    ),
    listed(
        "issuing_transactions",
        "issuing.transaction",
        "issuing_transaction",
        "issuing/transactions",
        group=_ISSUING,
    ),
    listed(
        "issuing_personalization_designs",
        "issuing.personalization_design",
        "issuing_card",
        "issuing/personalization_designs",
        group=_ISSUING,
        creates=False,
        created_field=None,
    ),
    listed(
        "issuing_physical_bundles",
        "issuing.physical_bundle",
        "issuing_card",  # [infer]
        "issuing/physical_bundles",
        group=_ISSUING,
        creates=False,
        updates=False,
        created_field=None,
    ),
    listed(
        "treasury_financial_accounts",
        "treasury.financial_account",
        "financial_account",
        "treasury/financial_accounts",
        group=_BALANCE,
        updates=False,  # metadata and nickname
        silent=paths("balance"),  # [infer] every movement of money changes it
    ),
    listed(
        "terminal_configurations",
        "terminal.configuration",
        "terminal_configuration",
        "terminal/configurations",
        group=_TERMINAL,
        creates=False,
        updates=False,
        deletes=False,
        created_field=None,
    ),
    listed(
        "terminal_locations",
        "terminal.location",
        "terminal_location",
        "terminal/locations",
        group=_TERMINAL,
        creates=False,
        updates=False,
        deletes=False,
        created_field=None,
    ),
    listed(
        "terminal_readers",
        "terminal.reader",
        "terminal_reader",
        "terminal/readers",
        group=_TERMINAL,
        creates=False,
        updates=False,  # only what it is told to do is
        deletes=False,
        created_field=None,
        silent=paths("last_seen_at", "status"),  # [infer] as it goes on and off
    ),
    listed(
        "identity_verification_sessions",
        "identity.verification_session",
        "identity_verification_session",
        "identity/verification_sessions",
        group=_IDENTITY,
        updates=False,
        open_while=OpenWhile(("status",), ("requires_input", "processing")),
        volatile=paths("url"),  # used once, short-lived
        guessed_permission=True,
    ),
    listed(
        "identity_verification_reports",
        "identity.verification_report",
        "identity_verification_session",
        "identity/verification_reports",
        group=_IDENTITY,
        creates=False,
        guessed_permission=True,
    ),
    listed(
        "financial_connections_accounts",
        "financial_connections.account",
        "financial_connections_account",
        "financial_connections/accounts",
        group=_IDENTITY,
        created_field=None,
        guessed_permission=True,
    ),
    listed(
        "files",
        "file",
        "file",
        "files",
        group=_FILES,
        # Told are those that Stripe makes, not those that are uploaded; none when one expires.
        creates=False,
        deletes=False,
        silent=paths("links"),
    ),
    listed(
        "file_links",
        "file_link",
        "file",
        "file_links",
        group=_FILES,
        creates=False,
        updates=False,
        open_while=OpenWhile(("expired",), (False,)),
    ),
    listed(
        "reporting_report_runs",
        "reporting.report_run",
        "report_runs_and_report_types",
        "reporting/report_runs",
        group=_FILES,
        creates=False,  # told when it has succeeded or failed
    ),
    listed(
        "sigma_scheduled_query_runs",
        "scheduled_query_run",
        "sigma_scheduled_query_run",
        "sigma/scheduled_query_runs",
        group=_FILES,
        created_field=None,
        guessed_permission=True,
    ),
    listed(
        "climate_orders",
        "climate.order",
        "climate_order",
        "climate/orders",
        group=_BALANCE,
        updates=False,  # beneficiary and metadata
        created_field=None,
        open_while=OpenWhile(("status",), ("awaiting_funds", "confirmed", "open")),
        guessed_permission=True,
    ),
)
