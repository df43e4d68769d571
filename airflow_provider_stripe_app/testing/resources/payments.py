"""Payments, what they are made with and what guards them: as data, one row each."""

from __future__ import annotations

from airflow_provider_stripe_app.testing.resources.model import move, row

_INTENT = "requires_payment_method requires_confirmation requires_action processing"

PAYMENTS = (
    row(
        "charge",
        "charges",
        "charge",
        "ch_",
        born={
            "status=succeeded": ("charge.succeeded",),
            "status=pending": ("charge.pending",),
            "status=failed": ("charge.failed",),
        },
        moves=(
            move("pending > succeeded", "charge.succeeded", "paid=true"),
            move("pending > failed", "charge.failed", "paid=false"),
            move(
                "captured: false > true",
                "charge.captured",
                "amount_captured=$amount",
                name="captured",
            ),
            move(
                "refunded: false > true",
                "charge.refunded",
                "amount_refunded=$amount",
                name="refunded",
            ),
        ),
        values="amount=~amount amount_captured=$amount captured=true currency=~currency "
        "status=succeeded|succeeded|succeeded|pending|failed paid=true customer=@customer? "
        "payment_intent=@payment_intent? payment_method=@payment_method description=~sentence? "
        "billing_details.name=~name billing_details.email=~email metadata=~metadata "
        "outcome.type=authorized outcome.risk_level=normal|elevated outcome.risk_score=~small "
        "receipt_url=~text:https://pay.stripe.com/receipts/simulated balance_transaction="
        "@balance_transaction? payment_method_details.type=card "
        "payment_method_details.card.brand=visa|mastercard "
        "payment_method_details.card.last4=~text:4242",
    ),
    row(
        "refund",
        "refunds",
        "charge",
        "re_",
        changed="refund.updated charge.refund.updated",
        moves=(
            move("pending > succeeded", "refund.updated charge.refund.updated"),
            move("pending requires_action > failed", "refund.failed"),
            move("pending requires_action > canceled", "refund.updated charge.refund.updated"),
        ),
        values="amount=~amount charge=@charge currency=~currency metadata=~metadata "
        "payment_intent=@payment_intent? status=succeeded|succeeded|pending "
        "reason=duplicate|fraudulent|requested_by_customer|null",
    ),
    row(
        "payment_intent",
        "payment_intents",
        "payment_intent",
        "pi_",
        moves=(
            move(
                "requires_payment_method requires_confirmation > requires_action",
                "payment_intent.requires_action",
            ),
            move(
                "requires_payment_method requires_confirmation requires_action > processing",
                "payment_intent.processing",
            ),
            move(
                "processing requires_action requires_capture > succeeded",
                "payment_intent.succeeded",
                "amount_received=$amount amount_capturable=0 latest_charge=@charge",
            ),
            move(
                "requires_confirmation requires_action > requires_capture",
                "payment_intent.amount_capturable_updated",
                "amount_capturable=$amount",
            ),
            move(
                "processing > requires_payment_method",
                "payment_intent.payment_failed",
                "last_payment_error.type=card_error last_payment_error.code=card_declined",
            ),
            move(
                f"{_INTENT} requires_capture > canceled",
                "payment_intent.canceled",
                "canceled_at=+0d cancellation_reason=abandoned",
            ),
        ),
        values="amount=~amount currency=~currency customer=@customer? "
        "capture_method=automatic confirmation_method=automatic description=~sentence? "
        "client_secret=~hex metadata=~metadata payment_method=@payment_method? "
        "payment_method_types=~list:card status=requires_payment_method|requires_confirmation|"
        "requires_action|processing|succeeded|succeeded|canceled",
    ),
    row(
        "setup_intent",
        "setup_intents",
        "setup_intent",
        "seti_",
        moves=(
            move(
                "requires_payment_method requires_confirmation > requires_action",
                "setup_intent.requires_action",
            ),
            move("requires_payment_method requires_confirmation requires_action > processing"),
            move("processing requires_action > succeeded", "setup_intent.succeeded"),
            move("processing > requires_payment_method", "setup_intent.setup_failed"),
            move(
                "requires_payment_method requires_confirmation requires_action > canceled",
                "setup_intent.canceled",
                "cancellation_reason=abandoned",
            ),
        ),
        values="customer=@customer? description=~sentence? client_secret=~hex metadata=~metadata "
        "payment_method=@payment_method? payment_method_types=~list:card usage=off_session "
        "status=requires_payment_method|requires_confirmation|requires_action|succeeded|canceled",
    ),
    row(
        "payment_method",
        "payment_methods",
        "payment_method",
        "pm_",
        born="",
        changed="payment_method.updated",
        moves=(
            move("customer: null > *", "payment_method.attached", "customer=@customer", "attached"),
            move("customer: * > null", "payment_method.detached", name="detached"),
            move(
                "type: card > card",
                "payment_method.automatically_updated",
                "card.exp_year=2031|2032|2033|2034",
                "automatically_updated",
            ),
        ),
        values="allow_redisplay=always|unspecified customer=@customer? metadata=~metadata "
        "type=card billing_details.name=~name card.brand=visa|mastercard card.last4=~text:4242 "
        "card.exp_month=~small card.exp_year=2027|2028|2029|2030 card.fingerprint=~hex",
    ),
    row(
        "payment_record",
        "payment_records",
        "payment_records",
        "pr_",
        values="amount.currency=usd amount.value=~amount amount_requested.currency=usd "
        "amount_requested.value=$amount.value metadata=~metadata reported_by=self|stripe "
        "customer_presence=on_session|off_session processor_details.type=custom",
    ),
    row(
        "payment_method_configuration",
        "payment_method_configurations",
        "payment_method_configurations",
        "pmc_",
        moves=(
            move("active: true > false", name="deactivated"),
            move("active: false > true", name="activated"),
        ),
        edits="name",
        values="active=true is_default=false name=~word card.available=true",
    ),
    row(
        "payment_method_domain",
        "payment_method_domains",
        "payment_method_domain",
        "pmd_",
        moves=(
            move("enabled: true > false", name="disabled"),
            move("enabled: false > true", name="enabled"),
        ),
        values="domain_name=~text:shop.example.com enabled=true apple_pay.status=active|inactive "
        "google_pay.status=active link.status=active paypal.status=active klarna.status=active "
        "amazon_pay.status=active",
    ),
    row(
        "checkout.session",
        "checkout/sessions",
        "checkout_session",
        "cs_test_",
        born="",
        moves=(
            move("open > complete", "checkout.session.completed", "payment_status=paid url=null"),
            move("open > expired", "checkout.session.expired", "url=null"),
        ),
        timers={"expires_at": "expired"},
        values="amount_subtotal=~amount amount_total=$amount_subtotal currency=~currency "
        "customer=@customer? expires_at=+1d metadata=~metadata mode=payment|subscription|setup "
        "payment_status=unpaid status=open success_url=~text:https://example.com/ok "
        "payment_method_types=~list:card url=~text:https://checkout.stripe.com/c/pay/simulated",
    ),
    row(
        "payment_link",
        "payment_links",
        "payment_links",
        "plink_",
        moves=(
            move("active: true > false", "payment_link.updated", name="deactivated"),
            move("active: false > true", "payment_link.updated", name="activated"),
        ),
        drifts=("restrictions.completed_sessions.count",),
        values="active=true currency=~currency metadata=~metadata submit_type=auto "
        "billing_address_collection=auto customer_creation=if_required "
        "payment_method_collection=always url=~text:https://buy.stripe.com/simulated "
        "restrictions.completed_sessions.limit=~amount",
    ),
    row(
        "shipping_rate",
        "shipping_rates",
        "shipping_rate",
        "shr_",
        moves=(
            move("active: true > false", name="archived"),
            move("active: false > true", name="activated"),
        ),
        filters={"currency": "fixed_amount.currency"},
        values="active=true display_name=Ground|Express metadata=~metadata type=fixed_amount "
        "fixed_amount.amount=~amount fixed_amount.currency=~currency",
    ),
    row(
        "dispute",
        "disputes",
        "dispute",
        "du_",
        event="charge.dispute",
        moves=(
            move("needs_response > under_review", "charge.dispute.updated"),
            move(
                "needs_response under_review > won",
                "charge.dispute.closed charge.dispute.funds_reinstated",
            ),
            move("needs_response under_review > lost", "charge.dispute.closed"),
            move("evidence_details.past_due: false > true", name="past_due"),
        ),
        timers={"evidence_details.due_by": "past_due"},
        values="amount=~amount charge=@charge currency=~currency metadata=~metadata "
        "payment_intent=@payment_intent? reason=fraudulent|general|product_not_received "
        "status=needs_response|under_review|lost|won is_charge_refundable=false "
        "evidence_details.due_by=+9d evidence.customer_name=~name?",
    ),
    row(
        "radar.early_fraud_warning",
        "radar/early_fraud_warnings",
        "charge",
        "issfr_",
        plural="early_fraud_warnings",
        moves=(
            move("actionable: true > false", "radar.early_fraud_warning.updated", name="handled"),
        ),
        values="actionable=true|true|false charge=@charge payment_intent=@payment_intent? "
        "fraud_type=misc|made_with_stolen_card|unauthorized_use_of_card",
    ),
    row(
        "review",
        "reviews",
        "review",
        "prv_",
        born="review.opened",
        moves=(
            move(
                "open: true > false",
                "review.closed",
                "closed_reason=approved|refunded|refunded_as_fraud reason=$closed_reason",
                "closed",
            ),
        ),
        hidden=("open", False),
        values="charge=@charge payment_intent=@payment_intent? open=true opened_reason=rule|manual "
        "reason=$opened_reason ip_address=~text:192.0.2.1",
    ),
    row(
        "radar.value_list",
        "radar/value_lists",
        "radar_value_list",
        "rsl_",
        deletion="gone",
        values="alias=~hex created_by=~email item_type=email|string|country metadata=~metadata "
        "name=~word list_items=list/items",
    ),
    row(
        "three_d_secure.authentication",
        "three_d_secure/authentications",
        "three_d_secure_authentication",
        "tdsa_",
        moves=(
            move(
                "requires_submission > requires_challenge",
                "three_d_secure.authentication.requires_challenge",
            ),
            move(
                "requires_submission requires_challenge > succeeded",
                "three_d_secure.authentication.succeeded",
            ),
            move(
                "requires_submission requires_challenge > failed",
                "three_d_secure.authentication.failed",
            ),
            move(
                "requires_submission requires_challenge > canceled",
                "three_d_secure.authentication.canceled",
            ),
        ),
        edits="",
        values="amount=~amount currency=~currency directory_server=visa|mastercard "
        "message_category=payment_authentication metadata=~metadata payment_method=@payment_method "
        "status=requires_submission|requires_challenge|succeeded channel.type=browser",
    ),
    row(
        "forwarding.request",
        "forwarding/requests",
        "forwarding_request",
        "fwdreq_",
        edits="",
        values="metadata=~metadata payment_method=@payment_method "
        "url=~text:https://psp.example.com/v1 request_details.http_method=POST",
    ),
)
