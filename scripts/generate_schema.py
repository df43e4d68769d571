"""Generate ``streams/schema_generated.py`` (typed columns) from the annotations of ``stripe``.

``python scripts/generate_schema.py`` rewrites the file; with ``--check`` it only compares.
Rules (DESIGN §5): ids and enums are text, amounts bigint, unix times timestamp, decimal strings
decimal; fixed nested objects are flattened with ``_`` two levels deep; lists, maps, unions,
fractions and whatever is deeper are JSON; an expandable field is the text id.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import stripe_annotations as annotations
from stripe_annotations import Field, Shape

TARGET = Path(__file__).parent.parent / "airflow_provider_stripe_app/streams/schema_generated.py"

STREAMS: dict[str, str] = {
    "accounts": "Account",
    "application_fees": "ApplicationFee",
    "balance_transactions": "BalanceTransaction",
    "billing_alerts": "billing.Alert",
    "billing_credit_balance_transactions": "billing.CreditBalanceTransaction",
    "billing_credit_grants": "billing.CreditGrant",
    "billing_feedback_options": "billing.FeedbackOption",
    "billing_meters": "billing.Meter",
    "billing_portal_configurations": "billing_portal.Configuration",
    "charges": "Charge",
    "checkout_sessions": "checkout.Session",
    "climate_orders": "climate.Order",
    "coupons": "Coupon",
    "credit_notes": "CreditNote",
    "credit_note_line_items": "CreditNoteLineItem",
    "customers": "Customer",
    "disputes": "Dispute",
    "early_fraud_warnings": "radar.EarlyFraudWarning",
    "entitlements_features": "entitlements.Feature",
    "file_links": "FileLink",
    "files": "File",
    "financial_connections_accounts": "financial_connections.Account",
    "forwarding_requests": "forwarding.Request",
    "identity_verification_reports": "identity.VerificationReport",
    "identity_verification_sessions": "identity.VerificationSession",
    "invoice_items": "InvoiceItem",
    "invoice_payments": "InvoicePayment",
    "invoice_rendering_templates": "InvoiceRenderingTemplate",
    "invoices": "Invoice",
    "invoice_line_items": "InvoiceLineItem",
    "issuing_authorizations": "issuing.Authorization",
    "issuing_cardholders": "issuing.Cardholder",
    "issuing_cards": "issuing.Card",
    "issuing_disputes": "issuing.Dispute",
    "issuing_personalization_designs": "issuing.PersonalizationDesign",
    "issuing_physical_bundles": "issuing.PhysicalBundle",
    "issuing_transactions": "issuing.Transaction",
    "payment_intents": "PaymentIntent",
    "payment_links": "PaymentLink",
    "payment_method_configurations": "PaymentMethodConfiguration",
    "payment_method_domains": "PaymentMethodDomain",
    "payment_methods": "PaymentMethod",
    "payment_records": "PaymentRecord",
    "payouts": "Payout",
    "plans": "Plan",
    "prices": "Price",
    "products": "Product",
    "promotion_codes": "PromotionCode",
    "quotes": "Quote",
    "radar_value_lists": "radar.ValueList",
    "refunds": "Refund",
    "reporting_report_runs": "reporting.ReportRun",
    "reviews": "Review",
    "setup_intents": "SetupIntent",
    "shipping_rates": "ShippingRate",
    "sigma_scheduled_query_runs": "sigma.ScheduledQueryRun",
    "subscription_schedules": "SubscriptionSchedule",
    "subscriptions": "Subscription",
    "subscription_items": "SubscriptionItem",
    "tax_ids": "TaxId",
    "tax_rates": "TaxRate",
    "tax_registrations": "tax.Registration",
    "terminal_configurations": "terminal.Configuration",
    "terminal_locations": "terminal.Location",
    "terminal_readers": "terminal.Reader",
    "three_d_secure_authentications": "three_d_secure.Authentication",
    "topups": "Topup",
    "transfers": "Transfer",
    "treasury_financial_accounts": "treasury.FinancialAccount",
    "trial_offers": "product_catalog.TrialOffer",
}
"""Stream → class in the package."""

OWN_TABLES: dict[str, frozenset[str]] = {
    "credit_notes": frozenset({"lines"}),
    "invoices": frozenset({"lines"}),
    "subscriptions": frozenset({"items"}),
}
"""Stream → its child lists that are tables of their own."""

SECRETS = frozenset({"client_secret"})
"""Top-level fields that open something; no column invites to show them."""

SYSTEM_COLUMNS = frozenset(
    {
        "_raw", "_version", "_children_version", "_synced_at", "_event_id", "_api_version",
        "_schema_version", "_load_id", "account_id", "livemode", "is_deleted", "deleted_at",
    }
)  # fmt: skip
"""Filled by the loader; a field of such a name gets ``_`` appended."""

LEVELS = 2
LONGEST_NAME = 63
MOST_COLUMNS = 400

COLUMN_TYPES = {
    "text": "text", "int": "bigint", "time": "timestamp", "bool": "boolean", "decimal": "decimal",
    "number": "json", "list": "json", "map": "json", "union": "json",
}  # fmt: skip
"""Kind of field → column type. A fraction is JSON: a float would not give back what was sent."""

Column = tuple[str, tuple[str, ...], str, bool]


def columns(shape: Shape, leave_out: frozenset[str] = frozenset()) -> list[Column]:
    """Return the columns of a stream, ``id`` first, then in the order of the annotations.

    :param shape: the API object.
    :param leave_out: top-level fields that are no columns.
    :raises ValueError: if two fields fold to one name or there are too many columns.
    """
    found = list(_walk(shape, (), leave_out))
    found.sort(key=lambda column: column[0] != "id")
    by_name: dict[str, tuple[str, ...]] = {}
    for name, path, _, _ in found:
        if name in by_name:
            raise ValueError(f"{shape.name}: {by_name[name]} and {path} are both named {name}")
        by_name[name] = path
    if len(found) >= MOST_COLUMNS:
        raise ValueError(
            f"{shape.name}: {len(found)} columns, at most {MOST_COLUMNS - 1} are allowed"
        )
    return found


def _walk(
    shape: Shape, path: tuple[str, ...], leave_out: frozenset[str] = frozenset()
) -> Iterator[Column]:
    leave_out |= annotations.ONLY_WHEN_EXPANDED.get(shape.name, frozenset())
    if shape.object_name is not None:  # the table says the object; the account says the mode
        leave_out |= {"object", "livemode"}
    for field in shape.fields:
        here = (*path, field.name)
        if field.kind == "true" or field.name in leave_out:
            continue
        nested = _nested(field, len(path))
        if nested is None:
            kind = COLUMN_TYPES.get(field.kind, "json")
            yield column_name(here), here, kind, field.expandable
        else:
            yield from _walk(nested, here)


def _nested(field: Field, level: int) -> Shape | None:
    """Return what to flatten: objects down to two levels, API objects only at the top."""
    if field.kind == "resource" and field.target is not None and level == 0:
        return annotations.resource(field.target)
    if field.kind == "object" and field.shape is not None and level < LEVELS:
        return field.shape if field.shape.fields else None
    return None


def column_name(path: tuple[str, ...]) -> str:
    """Return the column name of a field path: folded, no system name, at most 63 bytes."""
    name = "_".join(path).lower()
    if name in SYSTEM_COLUMNS:
        name += "_"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(".".join(path).encode()).hexdigest()[:8]
    return f"{name.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}_{digest}"


def render() -> str:
    """Return the text of the generated module."""
    lines = [
        '"""Typed columns per stream. Made by ``scripts/generate_schema.py``; do not edit."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping",
        "",
        "from airflow_provider_stripe_app.streams.model import Column",
        "",
        f'SCHEMA_API_VERSION = "{annotations.api_version()}"',
        "",
        "COLUMNS: Mapping[str, tuple[Column, ...]] = {",
    ]
    for stream, class_name in STREAMS.items():
        lines.append(f'    "{stream}": (')
        leave_out = OWN_TABLES.get(stream, frozenset()) | SECRETS
        for name, path, kind, expandable in columns(annotations.resource(class_name), leave_out):
            keys = ", ".join(f'"{key}"' for key in path) + ("," if len(path) == 1 else "")
            more = ", expandable=True" if expandable else ""
            lines.append(f'        Column("{name}", ({keys}), "{kind}"{more}),')
        lines.append("    ),")
    lines += ["}", '"""Stream → typed columns, in table order."""', ""]
    lines.append("FIELDS: Mapping[str, frozenset[str]] = {")
    for stream, class_name in STREAMS.items():
        lines += [f'    "{stream}": frozenset(', "        {"]
        lines += [f'            "{f.name}",' for f in annotations.resource(class_name).fields]
        lines += ["        }", "    ),"]
    lines += ["}", '"""Stream → every top-level field that the pinned API version knows."""', ""]
    lines += ["EVENT_TYPES: frozenset[str] = frozenset(", "    {"]
    lines += [f'        "{name}",' for name in annotations.event_types()]
    lines += ["    }", ")", '"""Every event type that the pinned API version knows."""', ""]
    return "\n".join(lines)


def main() -> int:
    """Write the module, or with ``--check`` return 1 if it is out of date."""
    text = render()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text() != text)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
