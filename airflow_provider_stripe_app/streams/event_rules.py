"""What each of Stripe's event types means for the streams (EQUALITY §3), as data.

Source: the descriptions at https://docs.stripe.com/api/events/types. An event is only a signal:
the effect says which object to look at, and whether the event's payload may stand for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_stripe_app.streams.model import EventRule
from airflow_provider_stripe_app.streams.schema_generated import EVENT_TYPES

CUSTOMERS = "customers"
INVOICES = "invoices"
SUBSCRIPTIONS = "subscriptions"

_CUSTOMER = EventRule(CUSTOMERS, "upsert")
_INVOICE = EventRule(INVOICES, "upsert")
_SUBSCRIPTION = EventRule(SUBSCRIPTIONS, "upsert")

_ITS_CUSTOMER = EventRule(CUSTOMERS, "touch_parent", ("customer",))
_ITS_INVOICE = EventRule(INVOICES, "touch_parent", ("invoice",))
_ITS_SUBSCRIPTION = EventRule(SUBSCRIPTIONS, "touch_parent", ("subscription",))

# A discount names what it hangs on; the others are null. It is part of each of these objects.
_DISCOUNT = (_ITS_CUSTOMER, _ITS_SUBSCRIPTION, _ITS_INVOICE)

EVENT_RULES: Mapping[str, tuple[EventRule, ...]] = {
    "customer.created": (_CUSTOMER,),
    "customer.updated": (_CUSTOMER,),
    "customer.deleted": (EventRule(CUSTOMERS, "gone"),),
    "customer.discount.created": _DISCOUNT,
    "customer.discount.updated": _DISCOUNT,
    "customer.discount.deleted": _DISCOUNT,  # about the discount: what it hung on lives on
    # The customer's `default_source` follows its sources; `expiring` only warns.
    "customer.source.created": (_ITS_CUSTOMER,),
    "customer.source.updated": (_ITS_CUSTOMER,),
    "customer.source.deleted": (_ITS_CUSTOMER,),
    "customer.source.expiring": (EventRule(CUSTOMERS, "ignore", ("customer",)),),
    # Names of the same events in old API versions; accounts that never upgraded still send them.
    "customer.bank_account.created": (_ITS_CUSTOMER,),
    "customer.bank_account.updated": (_ITS_CUSTOMER,),
    "customer.bank_account.deleted": (_ITS_CUSTOMER,),
    "customer.card.created": (_ITS_CUSTOMER,),
    "customer.card.updated": (_ITS_CUSTOMER,),
    "customer.card.deleted": (_ITS_CUSTOMER,),
    # `tax_ids` and `cash_balance` are in a customer only when expanded, which a sync never does.
    "customer.tax_id.created": (EventRule(CUSTOMERS, "ignore", ("customer",)),),
    "customer.tax_id.updated": (EventRule(CUSTOMERS, "ignore", ("customer",)),),
    "customer.tax_id.deleted": (EventRule(CUSTOMERS, "ignore", ("customer",)),),
    "customer_cash_balance_transaction.created": (EventRule(CUSTOMERS, "ignore", ("customer",)),),
    "customer.subscription.created": (_SUBSCRIPTION,),
    "customer.subscription.updated": (_SUBSCRIPTION,),
    "customer.subscription.paused": (_SUBSCRIPTION,),
    "customer.subscription.resumed": (_SUBSCRIPTION,),
    "customer.subscription.pending_update_applied": (_SUBSCRIPTION,),
    "customer.subscription.pending_update_expired": (_SUBSCRIPTION,),
    "customer.subscription.trial_will_end": (_SUBSCRIPTION,),
    "customer.subscription.deleted": (_SUBSCRIPTION,),  # canceled: it can still be read
    # A schedule takes hold of a subscription (`subscription.schedule`) or lets go of it.
    "subscription_schedule.created": (_ITS_SUBSCRIPTION,),
    "subscription_schedule.canceled": (_ITS_SUBSCRIPTION,),
    "subscription_schedule.aborted": (_ITS_SUBSCRIPTION,),
    "subscription_schedule.completed": (_ITS_SUBSCRIPTION,),
    "subscription_schedule.released": (
        _ITS_SUBSCRIPTION,
        EventRule(SUBSCRIPTIONS, "touch_parent", ("released_subscription",)),
    ),
    # What a schedule does to its subscription arrives as customer.subscription.updated.
    "subscription_schedule.updated": (EventRule(SUBSCRIPTIONS, "ignore", ("subscription",)),),
    "subscription_schedule.expiring": (EventRule(SUBSCRIPTIONS, "ignore", ("subscription",)),),
    "invoice.created": (_INVOICE,),
    "invoice.updated": (_INVOICE,),
    "invoice.finalized": (_INVOICE,),
    "invoice.finalization_failed": (_INVOICE,),
    "invoice.marked_uncollectible": (_INVOICE,),
    "invoice.overdue": (_INVOICE,),
    "invoice.overpaid": (_INVOICE,),
    "invoice.paid": (_INVOICE,),
    "invoice.payment_action_required": (_INVOICE,),
    "invoice.payment_attempt_required": (_INVOICE,),
    "invoice.payment_failed": (_INVOICE,),
    "invoice.payment_succeeded": (_INVOICE,),
    "invoice.sent": (_INVOICE,),
    "invoice.voided": (_INVOICE,),
    "invoice.will_be_due": (_INVOICE,),
    "invoice.deleted": (EventRule(INVOICES, "gone"),),  # only drafts can be deleted
    "invoice.upcoming": (EventRule(INVOICES, "ignore"),),  # a preview: it has no real id
    # Both have `invoice` null until they are put on one; then its lines or amounts change.
    "invoiceitem.created": (_ITS_INVOICE,),
    "invoiceitem.deleted": (_ITS_INVOICE,),
    "credit_note.created": (_ITS_INVOICE,),
    "credit_note.updated": (_ITS_INVOICE,),
    "credit_note.voided": (_ITS_INVOICE,),
    # Arrives with the invoice.paid or invoice.updated of the same payment.
    "invoice_payment.paid": (EventRule(INVOICES, "ignore", ("invoice",)),),
}
"""Event type → rules, one for each stream that it concerns.

An ``id_path`` whose value is null or absent means that this event does not concern the stream.
"""


def rules_for(event_type: str) -> tuple[EventRule, ...] | None:
    """Return what an event type means for the streams.

    :param event_type: ``type`` of an event.
    :return: its rules; empty for a type of other objects; ``None`` for a type that the pinned API
        version does not know, which is to be counted and reported, never guessed (EQUALITY §3).
    """
    rules = EVENT_RULES.get(event_type)
    if rules is None and event_type in EVENT_TYPES:
        return ()
    return rules
