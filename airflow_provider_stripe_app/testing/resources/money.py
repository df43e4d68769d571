"""Where money goes and who is behind it, and what is kept of it: as data, one row each."""

from __future__ import annotations

from airflow_provider_stripe_app.testing.resources.model import move, row

MONEY = (
    row(
        "balance_transaction",
        "balance_transactions",
        "balance",
        "txn_",
        # Silently, when its time has come.
        moves=(move("pending > available"),),
        timers={"available_on": "available"},
        filters={"payout": "source"},
        values="amount=~amount available_on=+2d|+5d|+7d balance_type=payments currency=~currency "
        "description=~sentence? fee=~small net=$amount reporting_category=charge|refund|payout "
        "source=@charge? status=pending type=charge|refund|payout|adjustment",
    ),
    row(
        "payout",
        "payouts",
        "payout",
        "po_",
        moves=(
            move("pending > in_transit", "payout.updated"),
            move("pending in_transit > paid", "payout.paid"),
            move("pending in_transit > failed", "payout.failed", "failure_code=account_closed"),
            move("pending > canceled", "payout.canceled"),
            move(
                "reconciliation_status: in_progress > completed",
                "payout.reconciliation_completed",
                name="reconciled",
            ),
        ),
        timers={"arrival_date": "paid"},
        values="amount=~amount arrival_date=+2d|+3d automatic=true balance_transaction="
        "@balance_transaction? currency=~currency metadata=~metadata method=standard|instant "
        "reconciliation_status=in_progress source_type=card status=pending type=bank_account",
    ),
    row(
        "topup",
        "topups",
        "top_up",
        "tu_",
        moves=(
            move("pending > succeeded", "topup.succeeded"),
            move("pending > failed", "topup.failed", "failure_code=insufficient_funds"),
            move("pending > canceled", "topup.canceled"),
            move("succeeded > reversed", "topup.reversed"),
        ),
        values="amount=~amount currency=~currency description=~sentence? metadata=~metadata "
        "expected_availability_date=+5d status=pending|succeeded",
    ),
    row(
        "transfer",
        "transfers",
        "transfer",
        "tr_",
        moves=(
            move(
                "reversed: false > true",
                "transfer.reversed",
                "amount_reversed=$amount",
                "reversed",
            ),
        ),
        values="amount=~amount currency=~currency description=~sentence? destination=@account "
        "metadata=~metadata source_type=card reversed=false transfer_group=~word? "
        "reversals=list/reversals",
    ),
    row(
        "application_fee",
        "application_fees",
        "application_fee",
        "fee_",
        moves=(
            move(
                "refunded: false > true",
                "application_fee.refunded",
                "amount_refunded=$amount",
                "refunded",
            ),
        ),
        values="account=@account amount=~amount application=~text:ca_simulated charge=@charge "
        "currency=~currency refunded=false refunds=list/refunds",
    ),
    row(
        "account",
        "accounts",
        "connected_account",
        "acct_",
        # Their events are the connected accounts' own, not in the platform's feed.
        born="",
        changed="",
        deletion="gone",
        values="individual=- business_type=company charges_enabled=true country=US|DE|JP "
        "default_currency=usd|eur|jpy details_submitted=true email=~email metadata=~metadata "
        "payouts_enabled=true type=express|standard|custom",
    ),
    row(
        "issuing.authorization",
        "issuing/authorizations",
        "issuing_authorization",
        "iauth_",
        event="issuing_authorization",
        moves=(
            move("pending > closed", "issuing_authorization.updated"),
            move("pending > reversed", "issuing_authorization.updated", "amount=0"),
        ),
        values="amount=~amount approved=true authorization_method=chip|online card=&issuing.card "
        "cardholder=$card.cardholder.id currency=~currency merchant_amount=$amount "
        "merchant_currency=$currency metadata=~metadata status=pending|closed "
        "merchant_data.category=taxicabs_limousines merchant_data.network_id=~hex",
    ),
    row(
        "issuing.card",
        "issuing/cards",
        "issuing_card",
        "ic_",
        event="issuing_card",
        moves=(
            move("inactive > active", "issuing_card.updated"),
            move("active > inactive", "issuing_card.updated"),
            move("active inactive > canceled", "issuing_card.updated"),
        ),
        values="brand=Visa cardholder=&issuing.cardholder currency=~currency exp_month=~small "
        "exp_year=2028|2029 last4=~text:0042|~text:4242 metadata=~metadata status=active|inactive "
        "type=virtual|physical",
    ),
    row(
        "issuing.cardholder",
        "issuing/cardholders",
        "issuing_cardholder",
        "ich_",
        event="issuing_cardholder",
        moves=(
            move("active > inactive", "issuing_cardholder.updated"),
            move("inactive > active", "issuing_cardholder.updated"),
        ),
        values="email=~email metadata=~metadata name=~name status=active type=individual|company "
        "billing.address.city=Berlin|Tokyo billing.address.country=DE|JP",
    ),
    row(
        "issuing.dispute",
        "issuing/disputes",
        "issuing_dispute",
        "idp_",
        event="issuing_dispute",
        moves=(
            move("unsubmitted > submitted", "issuing_dispute.submitted"),
            move("submitted > won", "issuing_dispute.closed issuing_dispute.funds_reinstated"),
            move("submitted > lost", "issuing_dispute.closed"),
            move("unsubmitted > expired", "issuing_dispute.closed"),
        ),
        values="amount=~amount currency=~currency metadata=~metadata status=unsubmitted|submitted "
        "transaction=@issuing.transaction evidence.reason=canceled|fraudulent",
    ),
    row(
        "issuing.transaction",
        "issuing/transactions",
        "issuing_transaction",
        "ipi_",
        event="issuing_transaction",
        values="amount=~amount authorization=@issuing.authorization? card=@issuing.card "
        "cardholder=@issuing.cardholder currency=~currency merchant_amount=$amount "
        "merchant_currency=$currency metadata=~metadata type=capture|refund "
        "merchant_data.category=bakeries merchant_data.network_id=~hex",
    ),
    row(
        "issuing.personalization_design",
        "issuing/personalization_designs",
        "issuing_card",
        "ipd_",
        event="issuing_personalization_design",
        moves=(
            move("review > active", "issuing_personalization_design.activated"),
            move("active > inactive", "issuing_personalization_design.deactivated"),
            move("review > rejected", "issuing_personalization_design.rejected"),
        ),
        values="lookup_key=~hex metadata=~metadata name=~word status=review|active "
        "physical_bundle=@issuing.physical_bundle preferences.is_default=false",
    ),
    row(
        "issuing.physical_bundle",
        "issuing/physical_bundles",
        "issuing_card",
        "ics_",
        moves=(move("active > inactive"), move("inactive > active")),
        values="name=~word status=active type=standard|custom features.card_logo=optional",
    ),
    row(
        "treasury.financial_account",
        "treasury/financial_accounts",
        "financial_account",
        "fa_",
        moves=(move("open > closed", "treasury.financial_account.closed"),),
        changed="",
        drifts=("balance.cash.usd",),
        values="country=US metadata=~metadata nickname=~word? status=open "
        "supported_currencies=~list:usd balance.cash.usd=~amount",
    ),
    row(
        "terminal.configuration",
        "terminal/configurations",
        "terminal_configuration",
        "tmc_",
        deletion="tombstone",
        edits="name",
        values="is_account_default=false name=~word",
    ),
    row(
        "terminal.location",
        "terminal/locations",
        "terminal_location",
        "tml_",
        deletion="tombstone",
        values="display_name=~word metadata=~metadata address.city=Dublin|Köln "
        "address.country=IE|DE",
    ),
    row(
        "terminal.reader",
        "terminal/readers",
        "terminal_reader",
        "tmr_",
        deletion="tombstone",
        changed="",
        moves=(move("online > offline"), move("offline > online")),
        drifts=("last_seen_at",),
        values="device_type=simulated_wisepos_e label=~word last_seen_at=+0d metadata=~metadata "
        "location=@terminal.location serial_number=~hex status=online|offline",
    ),
    row(
        "identity.verification_session",
        "identity/verification_sessions",
        "identity_verification_session",
        "vs_",
        changed="",
        moves=(
            move("requires_input > processing", "identity.verification_session.processing"),
            move(
                "processing > verified",
                "identity.verification_session.verified",
                "last_verification_report=@identity.verification_report url=null",
            ),
            move("processing > requires_input", "identity.verification_session.requires_input"),
            move("requires_input > canceled", "identity.verification_session.canceled"),
        ),
        values="client_secret=~hex metadata=~metadata status=requires_input|processing|verified "
        "type=document url=~text:https://verify.stripe.com/start/simulated",
    ),
    row(
        "identity.verification_report",
        "identity/verification_reports",
        "identity_verification_session",
        "vr_",
        values="type=document|id_number verification_session=@identity.verification_session "
        "document.status=verified|unverified",
    ),
    row(
        "financial_connections.account",
        "financial_connections/accounts",
        "financial_connections_account",
        "fca_",
        moves=(
            move("active > inactive", "financial_connections.account.deactivated"),
            move("inactive > active", "financial_connections.account.reactivated"),
            move("active inactive > disconnected", "financial_connections.account.disconnected"),
        ),
        values="category=cash display_name=~word institution_name=~text:Bank last4=~text:6789 "
        "status=active subcategory=checking|savings account_holder.type=customer "
        "account_holder.customer=@customer",
    ),
    row(
        "file",
        "files",
        "file",
        "file_",
        # Told are those that Stripe makes, not those that are uploaded.
        born={
            "purpose=finance_report_run": ("file.created",),
            "purpose=sigma_scheduled_query": ("file.created",),
        },
        values="filename=~text:evidence.pdf purpose=dispute_evidence|identity_document|"
        "finance_report_run size=~amount type=pdf|csv title=~word? "
        "url=~text:https://files.stripe.com/v1/files/simulated/contents",
    ),
    row(
        "file_link",
        "file_links",
        "file",
        "link_",
        moves=(move("expired: false > true", name="expired"),),
        timers={"expires_at": "expired"},
        values="expired=false file=@file metadata=~metadata "
        "url=~text:https://files.stripe.com/links/simulated",
    ),
    row(
        "reporting.report_run",
        "reporting/report_runs",
        "report_runs_and_report_types",
        "frr_",
        born="",
        moves=(
            move("pending > succeeded", "reporting.report_run.succeeded", "succeeded_at=+0d"),
            move("pending > failed", "reporting.report_run.failed"),
        ),
        values="report_type=balance.summary.1|payouts.summary.1 status=pending|succeeded "
        "parameters.interval_start=-30d parameters.interval_end=+0d",
    ),
    row(
        "scheduled_query_run",
        "sigma/scheduled_query_runs",
        "sigma_scheduled_query_run",
        "sqr_",
        event="sigma.scheduled_query_run",
        values="data_load_time=-1d result_available_until=+30d sql=~text:select status=completed "
        "title=~word",
    ),
    row(
        "climate.order",
        "climate/orders",
        "climate_order",
        "climorder_",
        changed="",
        moves=(
            move("awaiting_funds > open"),
            move("open > delivered", "climate.order.delivered", "delivered_at=+0d"),
            move(
                "awaiting_funds open confirmed > canceled",
                "climate.order.canceled",
                "canceled_at=+0d",
            ),
        ),
        values="amount_total=~amount amount_subtotal=$amount_total currency=usd "
        "expected_delivery_year=2028|2029 metadata=~metadata metric_tons=~text:1.5 "
        "product=~text:climsku_simulated status=awaiting_funds|open",
    ),
)
