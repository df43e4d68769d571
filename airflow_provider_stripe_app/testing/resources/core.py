"""The resources that the API writes as well as reads, as data: one row each.

Parameter names are those of the API reference for version 2026-10-28.endive.
"""

from __future__ import annotations

from airflow_provider_stripe_app.testing.resources.model import Resource, names

_CUSTOMER = names(
    "address balance business_name cash_balance description email individual_name invoice_prefix "
    "invoice_settings metadata name next_invoice_sequence phone preferred_locales shipping source "
    "tax tax_exempt validate"
)
_INVOICE = names(
    "account_tax_ids application_fee_amount auto_advance automatic_tax automatically_finalizes_at "
    "collection_method custom_fields days_until_due default_payment_method default_source "
    "default_tax_rates description discounts due_date effective_at footer issuer metadata number "
    "on_behalf_of payment_settings rendering shipping_cost shipping_details statement_descriptor "
    "transfer_data"
)
_SUBSCRIPTION = names(
    "add_invoice_items application_fee_percent automatic_tax billing_cycle_anchor "
    "billing_schedules billing_thresholds cancel_at cancel_at_period_end collection_method "
    "days_until_due default_payment_method default_source default_tax_rates description discounts "
    "invoice_settings items metadata off_session on_behalf_of payment_behavior payment_settings "
    "pending_invoice_item_interval proration_behavior transfer_data trial_end trial_from_plan "
    "trial_settings"
)
_ITEM = names(
    "billing_thresholds current_trial discounts metadata payment_behavior plan price price_data "
    "proration_behavior proration_date quantity tax_rates"
)
_PRODUCT = names(
    "active description images marketing_features metadata name package_dimensions shippable "
    "statement_descriptor tax_code tax_details unit_label url"
)
_PRICE = names(
    "active currency_options lookup_key metadata nickname tax_behavior transfer_lookup_key"
)

CUSTOMER = Resource(
    kind="customer",
    path="customers",
    permission="customer",
    prefix="cus_",
    event="customer",
    label="customer",
    plural="customers",
    filters={"email": "email", "test_clock": "test_clock"},
    create=_CUSTOMER | names("payment_method tax_id_data test_clock"),
    update=_CUSTOMER | names("default_source"),
    deletion="tombstone",
)
INVOICE = Resource(
    kind="invoice",
    path="invoices",
    permission="invoice",
    prefix="in_",
    event="invoice",
    label="invoice",
    plural="invoices",
    children_key="lines",
    child="line_item",
    filters={
        "customer": "customer",
        "status": "status",
        "collection_method": "collection_method",
        "subscription": "parent.subscription_details.subscription",
    },
    create=_INVOICE
    | names("currency customer from_invoice pending_invoice_items_behavior")
    | names("subscription"),
    required=("customer",),
    update=_INVOICE,
    deletion="draft_only",
)
SUBSCRIPTION = Resource(
    kind="subscription",
    path="subscriptions",
    permission="subscription",
    prefix="sub_",
    event="customer.subscription",
    label="subscription",
    plural="subscriptions",
    child="subscription_item",
    children_key="items",
    filters={
        "customer": "customer",
        "collection_method": "collection_method",
        "test_clock": "test_clock",
    },
    create=_SUBSCRIPTION
    | names("backdate_start_date billing_mode currency customer trial_period_days"),
    required=("customer", "items"),
    update=_SUBSCRIPTION | names("cancellation_details pause_collection proration_date"),
    deletion="cancel",
)
PRODUCT = Resource(
    kind="product",
    path="products",
    permission="product",
    prefix="prod_",
    event="product",
    label="product",
    plural="products",
    filters={"active": "active", "type": "type", "url": "url"},
    create=_PRODUCT | names("default_price_data id type"),
    required=("name",),
    update=_PRODUCT | names("default_price"),
    deletion="gone",
)
PRICE = Resource(
    kind="price",
    path="prices",
    permission="plan",
    prefix="price_",
    event="price",
    label="price",
    plural="prices",
    filters={"active": "active", "product": "product", "currency": "currency", "type": "type"},
    create=_PRICE
    | names("billing_scheme currency custom_unit_amount product product_data recurring tiers")
    | names("tiers_mode transform_quantity unit_amount unit_amount_decimal"),
    required=("currency",),
    update=_PRICE,
)
ITEM = Resource(
    kind="subscription_item",
    path="subscription_items",
    permission="subscription",
    prefix="si_",
    event="customer.subscription",
    label="subscription_item",
    create=_ITEM | names("subscription"),
    required=("subscription",),
    update=_ITEM | names("off_session"),
    deletion="gone",
)

TRANSIENT = names(
    "payment_behavior proration_behavior proration_date off_session validate source "
    "add_invoice_items pending_invoice_items_behavior from_invoice trial_from_plan "
    "backdate_start_date tax transfer_lookup_key payment_method tax_id_data "
    "default_price_data product_data cash_balance expand clear_usage"
)
"""Parameters that steer a request but are no fields of the object."""

INTEGERS = names(
    "amount balance quantity unit_amount days_until_due due_date cancel_at trial_end start end "
    "billing_cycle_anchor next_invoice_sequence interval_count effective_at up_to flat_amount "
    "automatically_finalizes_at application_fee_amount trial_period_days"
)
BOOLEANS = names(
    "active auto_advance cancel_at_period_end deleted shippable discountable enabled validate "
    "trial_from_plan off_session clear_usage paid_out_of_band"
)
"""How form values, which are all text, are typed."""

CORE: tuple[Resource, ...] = (CUSTOMER, INVOICE, SUBSCRIPTION, PRODUCT, PRICE)
"""Types that the API writes, with a collection of their own; lines and items are in parents."""
