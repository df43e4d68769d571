"""Customers, what they buy and what they are billed for.

Which events Stripe has, which lists take ``created`` and which fields are there is what the
annotations of the ``stripe`` package say; what a comment calls [infer] nobody could check.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_stripe_app.streams.listed import inlined, listed, paths
from airflow_provider_stripe_app.streams.model import OpenWhile

_GROUP = "Billing"
_CATALOGUE = "Products and prices"

_EMBEDDED_IN_ITEM = ("plan", "price", "tax_rates")
"""Whole objects in a subscription item. [infer] When one is edited (a price's metadata), its own
event (``price.updated``) is the only one: the subscription is not said to have changed."""

_CUSTOMERS = listed(
    "customers",
    "customer",
    "customer",
    "customers",
    group=_GROUP,
    # [infer] Counts up when an invoice is finalized; no event type is described for that.
    silent=paths("next_invoice_sequence"),
)

_INVOICES = listed(
    "invoices",
    "invoice",
    "invoice",
    "invoices",
    group=_GROUP,
    # Signed links, made anew at every read (EQUALITY §9).
    volatile=paths("hosted_invoice_url", "invoice_pdf"),
    # [doc] Until an invoice is finalized these mirror the customer, whose change is the only
    # event. [infer] `webhooks_delivered_at` is set after invoice.created went out. Whole tax
    # rates: an edit of one is an event of the rate, not of the invoice.
    silent=paths(
        "customer_address",
        "customer_email",
        "customer_name",
        "customer_phone",
        "customer_shipping",
        "customer_tax_exempt",
        "customer_tax_ids",
        "webhooks_delivered_at",
        "default_tax_rates",
        "shipping_cost.taxes.[].rate",
    ),
)

_SUBSCRIPTIONS = listed(
    "subscriptions",
    "subscription",
    "subscription",
    "subscriptions",
    group=_GROUP,
    params={"status": "all"},  # without it the list hides canceled ones
    silent=paths("default_tax_rates", *(f"items.data.[].{field}" for field in _EMBEDDED_IN_ITEM)),
)

_CREDIT_NOTES = listed(
    "credit_notes",
    "credit_note",
    "credit_note",
    "credit_notes",
    group=_GROUP,
    volatile=paths("pdf"),
    # A whole tax rate, as in invoices.
    silent=paths("shipping_cost.taxes.[].rate"),
)

STREAMS = (
    _CUSTOMERS,
    _INVOICES,
    inlined(
        _INVOICES,
        "invoice_line_items",
        "line_item",
        "invoices/{parent}/lines",
        "lines",
        "invoice",
    ),
    listed(
        "invoice_items",
        "invoiceitem",
        "invoice",
        "invoiceitems",
        group=_GROUP,
        created_field="date",
        # No event when one is edited, or put on an invoice.
        updates=False,
        open_while=OpenWhile(("invoice",), (None,)),
        silent=paths("tax_rates"),
    ),
    listed(
        "invoice_payments",
        "invoice_payment",
        "invoice",
        "invoice_payments",
        group=_GROUP,
        creates=False,  # only `paid` is told
        open_while=OpenWhile(("status",), ("open",)),
    ),
    listed(
        "invoice_rendering_templates",
        "invoice_rendering_template",
        "invoice",  # [infer]
        "invoice_rendering_templates",
        group=_GROUP,
        creates=False,
        updates=False,
        created_field=None,
    ),
    _SUBSCRIPTIONS,
    replace(
        inlined(
            _SUBSCRIPTIONS,
            "subscription_items",
            "subscription_item",
            "subscription_items?subscription={parent}",
            "items",
            "subscription",
        ),
        silent=paths(*_EMBEDDED_IN_ITEM),
    ),
    listed(
        "subscription_schedules",
        "subscription_schedule",
        "subscription",
        "subscription_schedules",
        group=_GROUP,
    ),
    _CREDIT_NOTES,
    inlined(
        _CREDIT_NOTES,
        "credit_note_line_items",
        "credit_note_line_item",
        "credit_notes/{parent}/lines",
        "lines",
        "credit_note",
    ),
    listed(
        "quotes",
        "quote",
        "quote",
        "quotes",
        group=_GROUP,
        updates=False,  # a draft is edited without an event
        created_field=None,
        open_while=OpenWhile(("status",), ("draft", "open")),
        silent=paths("default_tax_rates"),
    ),
    listed("products", "product", "product", "products", group=_CATALOGUE),
    listed("prices", "price", "plan", "prices", group=_CATALOGUE),
    listed("plans", "plan", "plan", "plans", group=_CATALOGUE),
    listed(
        "coupons",
        "coupon",
        "coupon",
        "coupons",
        group=_CATALOGUE,
        # [infer] Redeeming is an event of the discount; `valid` also ends by the clock.
        silent=paths("times_redeemed", "valid"),
    ),
    listed(
        "promotion_codes",
        "promotion_code",
        "promotion_code",
        "promotion_codes",
        group=_CATALOGUE,
        # [infer] As with coupons.
        silent=paths("times_redeemed", "active"),
    ),
    listed("tax_rates", "tax_rate", "tax_rate", "tax_rates", group=_CATALOGUE),
    listed(
        "tax_ids",  # the account's own: those of customers need a request for each customer
        "tax_id",
        "tax_settings",  # [infer]
        "tax_ids",
        group=_CATALOGUE,
        creates=False,
        updates=False,
        deletes=False,
        created_field=None,
        open_while=OpenWhile(("verification", "status"), ("pending",)),
    ),
    listed(
        "tax_registrations",
        "tax.registration",
        "tax_settings",  # [infer]
        "tax/registrations",
        group=_CATALOGUE,
        params={"status": "all"},  # [infer] the parameter has that value for hiding the others
        creates=False,
        updates=False,
        created_field=None,
    ),
    listed(
        "trial_offers",
        "product_catalog.trial_offer",
        "product",  # [infer]
        "product_catalog/trial_offers",
        group=_CATALOGUE,
        creates=False,
        updates=False,
        created_field=None,  # the list takes it, but its objects do not have it
    ),
    listed(
        "entitlements_features",
        "entitlements.feature",
        "entitlement",
        "entitlements/features",
        group=_CATALOGUE,
        creates=False,
        updates=False,
        created_field=None,
    ),
    listed(
        "billing_meters",
        "billing.meter",
        "billing_meter",
        "billing/meters",
        group=_GROUP,
        created_field=None,
    ),
    listed(
        "billing_alerts",
        "billing.alert",
        "billing_meter",  # [infer]
        "billing/alerts",
        group=_GROUP,
        creates=False,
        updates=False,
        created_field=None,
    ),
    listed(
        "billing_credit_grants",
        "billing.credit_grant",
        "billing_credit_grant",
        "billing/credit_grants",
        group=_GROUP,
        created_field=None,
        guessed_permission=True,
    ),
    listed(
        "billing_credit_balance_transactions",
        "billing.credit_balance_transaction",
        "billing_credit_grant",
        "billing/credit_balance_transactions",
        group=_GROUP,
        created_field=None,
        guessed_permission=True,
        silent=paths("credit.credits_application_invoice_voided"),
    ),
    listed(
        "billing_feedback_options",
        "billing.feedback_option",
        "subscription",  # [infer] why a subscription was canceled
        "billing/feedback_options",
        group=_GROUP,
        creates=False,
        updates=False,
        created_field=None,
    ),
    listed(
        "billing_portal_configurations",
        "billing_portal.configuration",
        "customer_portal",
        "billing_portal/configurations",
        group=_GROUP,
        created_field=None,
    ),
)
"""Parents before their children."""
