"""Money that comes in: payments, what guards them, and where they are started from."""

from __future__ import annotations

from airflow_provider_stripe_app.streams.listed import listed, paths
from airflow_provider_stripe_app.streams.model import OpenWhile

_GROUP = "Payments"
_CHECKOUT = "Checkout"
_FRAUD = "Disputes and fraud"

STREAMS = (
    listed(
        "charges",
        "charge",
        "charge",
        "charges",
        group=_GROUP,
        volatile=paths("receipt_url"),  # a signed link
    ),
    listed("refunds", "refund", "charge", "refunds", group=_GROUP),
    listed(
        "payment_intents",
        "payment_intent",
        "payment_intent",
        "payment_intents",
        group=_GROUP,
        # No event when the amount, the description or the metadata is edited.
        updates=False,
        open_while=OpenWhile(
            ("status",),
            (
                "requires_payment_method",
                "requires_confirmation",
                "requires_action",
                "requires_capture",
                "processing",
            ),
        ),
    ),
    listed(
        "setup_intents",
        "setup_intent",
        "setup_intent",
        "setup_intents",
        group=_GROUP,
        updates=False,
        open_while=OpenWhile(
            ("status",),
            ("requires_payment_method", "requires_confirmation", "requires_action", "processing"),
        ),
    ),
    listed(
        "payment_methods",
        "payment_method",
        "payment_method",
        "payment_methods",
        group=_GROUP,
        creates=False,  # only attaching one to a customer is told
        created_field=None,
    ),
    listed(
        "payment_records",
        "payment_record",
        "payment_records",
        "payment_records",
        group=_GROUP,
        creates=False,
        updates=False,
        created_field=None,  # it takes `created_after`, for which one list needs no exception
    ),
    listed(
        "payment_method_configurations",
        "payment_method_configuration",
        "payment_method_configurations",
        "payment_method_configurations",
        group=_GROUP,
        creates=False,
        updates=False,
        created_field=None,
    ),
    listed(
        "payment_method_domains",
        "payment_method_domain",
        "payment_method_domain",
        "payment_method_domains",
        group=_GROUP,
        creates=False,
        updates=False,
        created_field=None,
    ),
    listed(
        "checkout_sessions",
        "checkout.session",
        "checkout_session",
        "checkout/sessions",
        group=_CHECKOUT,
        creates=False,
        updates=False,
        open_while=OpenWhile(("status",), ("open",)),
    ),
    listed(
        "payment_links",
        "payment_link",
        "payment_links",
        "payment_links",
        group=_CHECKOUT,
        created_field=None,
        # [infer] Each finished session counts; the link is not said to have changed.
        silent=paths("restrictions.completed_sessions.count"),
    ),
    listed(
        "shipping_rates",
        "shipping_rate",
        "shipping_rate",
        "shipping_rates",
        group=_CHECKOUT,
        creates=False,
        updates=False,
        open_while=OpenWhile(("active",), (True,)),
    ),
    listed(
        "disputes",
        "dispute",
        "dispute",
        "disputes",
        group=_FRAUD,
        silent=paths("evidence_details.past_due"),  # [infer] by the clock
    ),
    listed(
        "early_fraud_warnings",
        "radar.early_fraud_warning",
        "charge",
        "radar/early_fraud_warnings",
        group=_FRAUD,
    ),
    # The list shows open ones only; those that were seen open stay in the table when closed.
    listed("reviews", "review", "review", "reviews", group=_FRAUD),
    listed(
        "radar_value_lists",
        "radar.value_list",
        "radar_value_list",
        "radar/value_lists",
        group=_FRAUD,
        creates=False,
        updates=False,
        deletes=False,
        guessed_permission=True,
    ),
    listed(
        "three_d_secure_authentications",
        "three_d_secure.authentication",
        "three_d_secure_authentication",
        "three_d_secure/authentications",
        group=_FRAUD,
        creates=False,
        guessed_permission=True,
    ),
    listed(
        "forwarding_requests",
        "forwarding.request",
        "forwarding_request",
        "forwarding/requests",
        group=_GROUP,
        creates=False,  # and one never changes
        guessed_permission=True,
    ),
)
