"""What each of Stripe's event types means for the streams (EQUALITY §3), as data.

Source: the descriptions at https://docs.stripe.com/api/events/types. An event is only a signal:
the effect says which object to look at, and whether the event's payload may stand for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_provider_stripe_app.streams.model import EventRule

UPSERTS: Mapping[str, str] = {
    "application_fees": "application_fee.created application_fee.refunded",
    "billing_credit_balance_transactions": "billing.credit_balance_transaction.created",
    "billing_credit_grants": "billing.credit_grant.created billing.credit_grant.updated",
    "billing_meters": "billing.meter.created billing.meter.deactivated billing.meter.reactivated "
    "billing.meter.updated",
    "billing_portal_configurations": "billing_portal.configuration.created "
    "billing_portal.configuration.updated",
    "charges": "charge.captured charge.expired charge.failed charge.pending charge.refunded "
    "charge.succeeded charge.updated",
    "checkout_sessions": "checkout.session.async_payment_failed "
    "checkout.session.async_payment_succeeded checkout.session.completed checkout.session.expired",
    "climate_orders": "climate.order.canceled climate.order.created climate.order.delayed "
    "climate.order.delivered climate.order.product_substituted",
    "coupons": "coupon.created coupon.updated",
    "credit_notes": "credit_note.created credit_note.updated credit_note.voided",
    "customers": "customer.created customer.updated",
    "disputes": "charge.dispute.closed charge.dispute.created charge.dispute.funds_reinstated "
    "charge.dispute.funds_withdrawn charge.dispute.updated",
    "early_fraud_warnings": "radar.early_fraud_warning.created radar.early_fraud_warning.updated",
    "files": "file.created",
    "financial_connections_accounts": "financial_connections.account.account_numbers_updated "
    "financial_connections.account.created financial_connections.account.deactivated "
    "financial_connections.account.disconnected "
    "financial_connections.account.expected_deactivation_date_updated "
    "financial_connections.account.reactivated "
    "financial_connections.account.refreshed_balance "
    "financial_connections.account.refreshed_ownership "
    "financial_connections.account.refreshed_transactions "
    "financial_connections.account.supported_payment_method_types_updated "
    "financial_connections.account.upcoming_account_number_expiry "
    "financial_connections.account.upcoming_deactivation",
    "identity_verification_sessions": "identity.verification_session.canceled "
    "identity.verification_session.created identity.verification_session.processing "
    "identity.verification_session.redacted identity.verification_session.requires_input "
    "identity.verification_session.verified",
    "invoice_items": "invoiceitem.created",
    "invoice_payments": "invoice_payment.paid",
    "invoices": "invoice.created invoice.finalization_failed invoice.finalized "
    "invoice.marked_uncollectible invoice.overdue invoice.overpaid invoice.paid "
    "invoice.payment_action_required invoice.payment_attempt_required invoice.payment_failed "
    "invoice.payment_succeeded invoice.sent invoice.updated invoice.voided invoice.will_be_due",
    "issuing_authorizations": "issuing_authorization.created issuing_authorization.updated",
    "issuing_cardholders": "issuing_cardholder.created issuing_cardholder.updated",
    "issuing_cards": "issuing_card.created issuing_card.updated",
    "issuing_disputes": "issuing_dispute.closed issuing_dispute.created "
    "issuing_dispute.funds_reinstated issuing_dispute.funds_rescinded issuing_dispute.submitted "
    "issuing_dispute.updated",
    "issuing_personalization_designs": "issuing_personalization_design.activated "
    "issuing_personalization_design.deactivated issuing_personalization_design.rejected "
    "issuing_personalization_design.updated",
    "issuing_transactions": "issuing_transaction.created "
    "issuing_transaction.purchase_details_receipt_updated issuing_transaction.updated",
    "payment_intents": "payment_intent.amount_capturable_updated payment_intent.canceled "
    "payment_intent.created payment_intent.partially_funded payment_intent.payment_failed "
    "payment_intent.processing payment_intent.requires_action payment_intent.succeeded",
    "payment_links": "payment_link.created payment_link.updated",
    # A detached one can still be read.
    "payment_methods": "payment_method.attached payment_method.automatically_updated "
    "payment_method.detached payment_method.updated",
    "payouts": "payout.canceled payout.created payout.failed payout.paid "
    "payout.reconciliation_completed payout.updated",
    "plans": "plan.created plan.updated",
    "prices": "price.created price.updated",
    "products": "product.created product.updated",
    "promotion_codes": "promotion_code.created promotion_code.updated",
    "quotes": "quote.accepted quote.canceled quote.created quote.finalized",
    "refunds": "charge.refund.updated refund.created refund.failed refund.updated",
    "reporting_report_runs": "reporting.report_run.failed reporting.report_run.succeeded",
    "reviews": "review.closed review.opened",
    "setup_intents": "setup_intent.canceled setup_intent.created setup_intent.requires_action "
    "setup_intent.setup_failed setup_intent.succeeded",
    "sigma_scheduled_query_runs": "sigma.scheduled_query_run.created",
    "subscription_schedules": "subscription_schedule.aborted subscription_schedule.canceled "
    "subscription_schedule.completed subscription_schedule.created subscription_schedule.expiring "
    "subscription_schedule.released subscription_schedule.updated",
    # `deleted` says that one is canceled: it can still be read.
    "subscriptions": "customer.subscription.created customer.subscription.deleted "
    "customer.subscription.paused customer.subscription.pending_update_applied "
    "customer.subscription.pending_update_expired customer.subscription.resumed "
    "customer.subscription.trial_will_end customer.subscription.updated",
    "tax_rates": "tax_rate.created tax_rate.updated",
    "terminal_readers": "terminal.reader.action_failed terminal.reader.action_succeeded "
    "terminal.reader.action_updated",
    "three_d_secure_authentications": "three_d_secure.authentication.canceled "
    "three_d_secure.authentication.challenge_started three_d_secure.authentication.errored "
    "three_d_secure.authentication.failed three_d_secure.authentication.requires_challenge "
    "three_d_secure.authentication.requires_submission three_d_secure.authentication.succeeded",
    "topups": "topup.canceled topup.created topup.failed topup.reversed topup.succeeded",
    "transfers": "transfer.created transfer.reversed transfer.updated",
    "treasury_financial_accounts": "treasury.financial_account.closed "
    "treasury.financial_account.created treasury.financial_account.features_status_updated",
}
"""Stream → event types whose ``data.object`` is an object of it, as it is now."""

_GONE: Mapping[str, str] = {
    "customer.deleted": "customers",
    "invoice.deleted": "invoices",  # only drafts can be deleted
    "invoiceitem.deleted": "invoice_items",
}
"""Event type → stream of what is gone for good: Stripe makes these ids and uses none twice."""

_REFETCH: Mapping[str, str] = {
    "coupon.deleted": "coupons",
    "plan.deleted": "plans",
    "price.deleted": "prices",  # a plan of a chosen id is a price of that id too
    "product.deleted": "products",
}
"""Event type → stream of what is deleted and may have come back: people choose these ids."""


def _touch(stream: str, *path: str) -> EventRule:
    return EventRule(stream, "touch_parent", path)


_ITS_CHARGE = (_touch("charges", "charge"),)
_ITS_CUSTOMER = (_touch("customers", "customer"),)
_ITS_INVOICE = (_touch("invoices", "invoice"),)
_ITS_SUBSCRIPTION = (_touch("subscriptions", "subscription"),)
_ITS_ISSUING_TRANSACTION = (_touch("issuing_transactions", "transaction"),)
_ITS_REPORT = (_touch("identity_verification_reports", "last_verification_report"),)
_REVIEWED = (*_ITS_CHARGE, _touch("payment_intents", "payment_intent"))

# A discount names what it hangs on; the others are null. It is part of each of these objects.
_DISCOUNT = (*_ITS_CUSTOMER, *_ITS_SUBSCRIPTION, *_ITS_INVOICE)

TOUCHES: Mapping[str, tuple[EventRule, ...]] = {
    "application_fee.refund.updated": (_touch("application_fees", "fee"),),
    "billing.alert.triggered": (_touch("billing_alerts", "alert"),),
    # A charge has its dispute's and review's marks and the sum of its refunds.
    "charge.dispute.closed": _ITS_CHARGE,
    "charge.dispute.created": _ITS_CHARGE,
    "charge.dispute.funds_reinstated": _ITS_CHARGE,
    "charge.dispute.funds_withdrawn": _ITS_CHARGE,
    "charge.refund.updated": _ITS_CHARGE,
    "refund.created": _ITS_CHARGE,
    "refund.failed": _ITS_CHARGE,
    "refund.updated": _ITS_CHARGE,
    "review.closed": _REVIEWED,
    "review.opened": _REVIEWED,
    "customer.discount.created": _DISCOUNT,
    "customer.discount.updated": _DISCOUNT,
    "customer.discount.deleted": _DISCOUNT,  # about the discount: what it hung on lives on
    # The customer's `default_source` follows its sources.
    "customer.source.created": _ITS_CUSTOMER,
    "customer.source.updated": _ITS_CUSTOMER,
    "customer.source.deleted": _ITS_CUSTOMER,
    # Names of the same events in old API versions; accounts that never upgraded still send them.
    "customer.bank_account.created": _ITS_CUSTOMER,
    "customer.bank_account.updated": _ITS_CUSTOMER,
    "customer.bank_account.deleted": _ITS_CUSTOMER,
    "customer.card.created": _ITS_CUSTOMER,
    "customer.card.updated": _ITS_CUSTOMER,
    "customer.card.deleted": _ITS_CUSTOMER,
    # A schedule takes hold of a subscription (`subscription.schedule`) or lets go of it. What it
    # does to it besides arrives as customer.subscription.updated.
    "subscription_schedule.created": _ITS_SUBSCRIPTION,
    "subscription_schedule.canceled": _ITS_SUBSCRIPTION,
    "subscription_schedule.aborted": _ITS_SUBSCRIPTION,
    "subscription_schedule.completed": _ITS_SUBSCRIPTION,
    "subscription_schedule.released": (
        *_ITS_SUBSCRIPTION,
        _touch("subscriptions", "released_subscription"),
    ),
    # Both have `invoice` null until they are put on one; then its lines or amounts change.
    "invoiceitem.created": _ITS_INVOICE,
    "invoiceitem.deleted": _ITS_INVOICE,
    "credit_note.created": _ITS_INVOICE,
    "credit_note.updated": _ITS_INVOICE,
    "credit_note.voided": _ITS_INVOICE,
    "identity.verification_session.redacted": _ITS_REPORT,
    "identity.verification_session.requires_input": _ITS_REPORT,
    "identity.verification_session.verified": _ITS_REPORT,
    "issuing_dispute.closed": _ITS_ISSUING_TRANSACTION,
    "issuing_dispute.created": _ITS_ISSUING_TRANSACTION,
    "issuing_dispute.submitted": _ITS_ISSUING_TRANSACTION,
    # An authorization lists its transactions.
    "issuing_transaction.created": (_touch("issuing_authorizations", "authorization"),),
    "issuing_transaction.updated": (_touch("issuing_authorizations", "authorization"),),
}
"""Event type → the objects that the event's own object is a part of."""

IGNORED: Mapping[str, str] = {
    "about the installation of apps, or the account itself": "account.application.authorized "
    "account.application.deauthorized account.updated apps.install.created apps.install.deleted "
    "apps.install.updated balance_settings.updated tax.settings.updated",
    "about parts of accounts, which have no list without one": "account.external_account.created "
    "account.external_account.deleted account.external_account.updated capability.updated "
    "person.created person.deleted person.updated",
    "about a balance, which is a sum": "balance.available cash_balance.funds_available",
    "about parts of a customer that are in it only when expanded": "customer.tax_id.created "
    "customer.tax_id.deleted customer.tax_id.updated customer_cash_balance_transaction.created "
    "entitlements.active_entitlement_summary.updated",
    "a warning: nothing has changed": "customer.source.expiring",
    "a preview without a real id": "invoice.upcoming",
    "a question to answer: `created` follows": "issuing_authorization.request",
    "about what lasts for a visit": "billing_portal.session.created",
    "about what Stripe offers to all": "climate.product.created climate.product.pricing_updated "
    "reporting.report_type.updated",
    "about what has no list": "mandate.updated "
    "financial_connections.authorization.expected_deactivation_date_updated "
    "financial_connections.authorization.upcoming_deactivation "
    "reserve.hold.created reserve.hold.updated reserve.plan.created reserve.plan.disabled "
    "reserve.plan.expired reserve.plan.updated reserve.release.created source.canceled "
    "source.chargeable source.failed source.mandate_notification "
    "source.refund_attributes_required source.transaction.created source.transaction.updated",
    "about what is listed for one card only": "issuing_token.created issuing_token.updated",
    "about test clocks, whose objects are left out": "test_helpers.test_clock.advancing "
    "test_helpers.test_clock.created test_helpers.test_clock.deleted "
    "test_helpers.test_clock.internal_failure test_helpers.test_clock.ready",
    "about what is listed for one financial account only": "treasury.credit_reversal.created "
    "treasury.credit_reversal.posted treasury.debit_reversal.completed "
    "treasury.debit_reversal.created treasury.debit_reversal.initial_credit_granted "
    "treasury.inbound_transfer.canceled treasury.inbound_transfer.created "
    "treasury.inbound_transfer.failed treasury.inbound_transfer.succeeded "
    "treasury.outbound_payment.canceled treasury.outbound_payment.created "
    "treasury.outbound_payment.expected_arrival_date_updated treasury.outbound_payment.failed "
    "treasury.outbound_payment.posted treasury.outbound_payment.returned "
    "treasury.outbound_payment.tracking_details_updated treasury.outbound_transfer.canceled "
    "treasury.outbound_transfer.created treasury.outbound_transfer.expected_arrival_date_updated "
    "treasury.outbound_transfer.failed treasury.outbound_transfer.posted "
    "treasury.outbound_transfer.returned treasury.outbound_transfer.tracking_details_updated "
    "treasury.received_credit.created treasury.received_credit.failed "
    "treasury.received_credit.succeeded treasury.received_debit.created",
}
"""Why event types concern no stream → those types."""


def _own_rules() -> Iterator[tuple[str, EventRule]]:
    for stream, types in UPSERTS.items():
        yield from ((event_type, EventRule(stream, "upsert")) for event_type in types.split())
    yield from ((event_type, EventRule(stream, "gone")) for event_type, stream in _GONE.items())
    for event_type, stream in _REFETCH.items():
        yield event_type, EventRule(stream, "refetch")


def _all_rules() -> dict[str, tuple[EventRule, ...]]:
    rules: dict[str, tuple[EventRule, ...]] = {
        event_type: () for types in IGNORED.values() for event_type in types.split()
    }
    for event_type, rule in _own_rules():
        rules[event_type] = (*rules.get(event_type, ()), rule)
    for event_type, touched in TOUCHES.items():
        rules[event_type] = (*rules.get(event_type, ()), *touched)
    return rules


EVENT_RULES: Mapping[str, tuple[EventRule, ...]] = _all_rules()
"""Event type → rules, one for each stream that it concerns; none for those of :data:`IGNORED`.

An ``id_path`` whose value is null or absent means that this event does not concern the stream.
"""


def rules_for(event_type: str) -> tuple[EventRule, ...] | None:
    """Return what an event type means for the streams.

    :param event_type: ``type`` of an event.
    :return: its rules; empty for a type of other objects; ``None`` for a type that the pinned API
        version does not know, which is to be counted and reported, never guessed (EQUALITY §3).
    """
    return EVENT_RULES.get(event_type)
