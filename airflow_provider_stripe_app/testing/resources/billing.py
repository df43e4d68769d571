"""What is billed and sold, beside what the API writes: as data, one row each."""

from __future__ import annotations

from airflow_provider_stripe_app.testing.resources.model import move, row

BILLING = (
    row(
        "invoiceitem",
        "invoiceitems",
        "invoice",
        "ii_",
        label="invoiceitem",
        plural="invoice_items",
        created_field="date",
        deletion="gone",
        # Put on an invoice: no event says so.
        moves=(move("invoice: null > *", sets="invoice=@invoice", name="invoiced"),),
        values="amount=~amount net_amount=$amount currency=~currency customer=@customer "
        "description=~sentence? discountable=true metadata=~metadata quantity=1 "
        "quantity_decimal=~text:1 period.start=+0d period.end=+30d proration=false",
    ),
    row(
        "invoice_payment",
        "invoice_payments",
        "invoice",
        "inpay_",
        born="",
        moves=(
            move(
                "open > paid",
                "invoice_payment.paid",
                "amount_paid=$amount_requested status_transitions.paid_at=+0d",
            ),
            move("open > canceled", sets="status_transitions.canceled_at=+0d"),
        ),
        values="amount_requested=~amount amount_paid=$amount_requested currency=~currency "
        "invoice=@invoice is_default=true status=open|paid|paid payment.type=payment_intent "
        "payment.payment_intent=@payment_intent",
    ),
    row(
        "invoice_rendering_template",
        "invoice_rendering_templates",
        "invoice",
        "inrtem_",
        moves=(move("active > archived"), move("archived > active")),
        values="nickname=~word status=active version=1 metadata=~metadata",
    ),
    row(
        "subscription_schedule",
        "subscription_schedules",
        "subscription",
        "sub_sched_",
        moves=(
            move("not_started > active", "subscription_schedule.updated"),
            move("active > completed", "subscription_schedule.completed", "completed_at=+0d"),
            move(
                "not_started active > canceled",
                "subscription_schedule.canceled",
                "canceled_at=+0d",
            ),
            move(
                "not_started active > released",
                "subscription_schedule.released",
                "released_at=+0d released_subscription=$subscription subscription=null",
            ),
        ),
        values="customer=@customer end_behavior=release|cancel metadata=~metadata "
        "status=not_started|active|active subscription=@subscription? "
        "billing_mode.type=classic default_settings.billing_cycle_anchor=automatic",
    ),
    row(
        "credit_note",
        "credit_notes",
        "credit_note",
        "cn_",
        children_key="lines",
        child="credit_note_line_item",
        moves=(move("issued > void", "credit_note.voided", "voided_at=+0d"),),
        values="amount=~amount subtotal=$amount total=$amount currency=~currency "
        "customer=@customer invoice=@invoice memo=~sentence? metadata=~metadata "
        "number=~text:CN-~small pdf=~text:https://pay.stripe.com/credit_notes/simulated/pdf "
        "status=issued type=pre_payment|post_payment reason=duplicate|order_change|null "
        "lines=list/lines",
    ),
    row(
        "quote",
        "quotes",
        "quote",
        "qt_",
        moves=(
            move("draft > open", "quote.finalized", "status_transitions.finalized_at=+0d"),
            move("open > accepted", "quote.accepted", "status_transitions.accepted_at=+0d"),
            move("draft open > canceled", "quote.canceled", "status_transitions.canceled_at=+0d"),
        ),
        changed="",
        values="amount_subtotal=~amount amount_total=$amount_subtotal currency=~currency "
        "customer=@customer description=~sentence? expires_at=+30d metadata=~metadata "
        "collection_method=charge_automatically|send_invoice status=draft|draft|open",
    ),
    row(
        "plan",
        "plans",
        "plan",
        "",
        deletion="gone",
        chosen_ids=True,
        values="active=true amount=~amount amount_decimal=~text:$amount "
        "billing_scheme=per_unit currency=~currency interval=day|week|month|year "
        "interval_count=1 metadata=~metadata nickname=~word? product=@product usage_type=licensed",
    ),
    row(
        "coupon",
        "coupons",
        "coupon",
        "",
        deletion="gone",
        chosen_ids=True,
        moves=(move("valid: true > false", name="expired"),),
        timers={"redeem_by": "expired"},
        drifts=("times_redeemed",),
        values="duration=once|forever|repeating name=~word percent_off=~percent "
        "metadata=~metadata valid=true",
    ),
    row(
        "promotion_code",
        "promotion_codes",
        "promotion_code",
        "promo_",
        moves=(
            move("active: true > false", "promotion_code.updated", name="deactivated"),
            move("active: false > true", "promotion_code.updated", name="activated"),
            move("active: true > false", name="expired"),
        ),
        timers={"expires_at": "expired"},
        drifts=("times_redeemed",),
        filters={"coupon": "promotion.coupon"},
        values="active=true code=~hex customer=@customer? metadata=~metadata "
        "promotion.type=coupon promotion.coupon=@coupon",
    ),
    row(
        "tax_rate",
        "tax_rates",
        "tax_rate",
        "txr_",
        moves=(move("active: true > false", "tax_rate.updated", name="archived"),),
        values="active=true country=DE|US|JP display_name=VAT|Tax|消費税 inclusive=false|true "
        "percentage=~percent effective_percentage=$percentage jurisdiction=$country "
        "metadata=~metadata rate_type=percentage tax_type=vat|sales_tax|jct",
    ),
    row(
        "tax_id",
        "tax_ids",
        "tax_settings",
        "txi_",
        deletion="gone",
        moves=(
            move("verification.status: pending > verified"),
            move("verification.status: pending > unverified"),
        ),
        values="country=DE|FR type=eu_vat value=~text:DE123456789 owner.type=self "
        "verification.status=pending|verified",
    ),
    row(
        "tax.registration",
        "tax/registrations",
        "tax_settings",
        "taxreg_",
        moves=(move("scheduled > active"), move("active > expired", sets="expires_at=+0d")),
        values="active_from=+0d country=DE|US|IE status=active|active|scheduled",
    ),
    row(
        "product_catalog.trial_offer",
        "product_catalog/trial_offers",
        "product",
        "trialoffer_",
        plural="trial_offers",
        moves=(move("active: true > false", name="archived"),),
        filters={"prices": "price"},
        values="active=true nickname=~word price=@price duration.type=relative "
        "end_behavior.type=transition",
    ),
    row(
        "entitlements.feature",
        "entitlements/features",
        "entitlement",
        "feat_",
        moves=(move("active: true > false", name="archived"),),
        values="active=true lookup_key=~hex name=~word metadata=~metadata",
    ),
    row(
        "billing.meter",
        "billing/meters",
        "billing_meter",
        "mtr_",
        moves=(
            move(
                "active > inactive",
                "billing.meter.deactivated",
                "status_transitions.deactivated_at=+0d updated=+0d",
            ),
            move("inactive > active", "billing.meter.reactivated", "updated=+0d"),
        ),
        edits="display_name",
        values="display_name=~word event_name=~hex status=active updated=+0d "
        "customer_mapping.event_payload_key=stripe_customer_id customer_mapping.type=by_id "
        "default_aggregation.formula=sum|count value_settings.event_payload_key=value",
    ),
    row(
        "billing.alert",
        "billing/alerts",
        "billing_meter",
        "alrt_",
        born="",
        moves=(move("active > inactive"), move("inactive > active"), move("active > archived")),
        filters={"meter": "usage_threshold.meter"},
        values="alert_type=usage_threshold status=active title=~word "
        "usage_threshold.gte=~amount usage_threshold.meter=@billing.meter "
        "usage_threshold.recurrence=one_time",
    ),
    row(
        "billing.credit_grant",
        "billing/credit_grants",
        "billing_credit_grant",
        "credgr_",
        moves=(
            move("voided_at: null > *", "billing.credit_grant.updated", "voided_at=+0d", "voided"),
        ),
        values="category=paid|promotional customer=@customer metadata=~metadata name=~word "
        "priority=~small updated=+0d amount.type=monetary amount.monetary.currency=usd "
        "amount.monetary.value=~amount",
    ),
    row(
        "billing.credit_balance_transaction",
        "billing/credit_balance_transactions",
        "billing_credit_grant",
        "cbtxn_",
        values="credit_grant=@billing.credit_grant effective_at=+0d type=credit|debit",
    ),
    row(
        "billing.feedback_option",
        "billing/feedback_options",
        "subscription",
        "fdbko_",
        moves=(move("active > inactive"), move("inactive > active")),
        edits="description",
        values="description=~sentence status=active",
    ),
    row(
        "billing_portal.configuration",
        "billing_portal/configurations",
        "customer_portal",
        "bpc_",
        moves=(
            move(
                "active: true > false",
                "billing_portal.configuration.updated",
                "updated=+0d",
                "deactivated",
            ),
        ),
        values="active=true is_default=false metadata=~metadata name=~word updated=+0d",
    ),
)
