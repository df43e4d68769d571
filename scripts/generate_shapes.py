"""Generate ``testing/objects/shapes_generated.py``: what the simulated Stripe knows of the API.

That is every field of its objects, every parameter of its lists, and every type of its events.
``python scripts/generate_shapes.py`` rewrites the file; with ``--check`` it only compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import stripe_annotations as annotations
from stripe_annotations import Field, Shape

TARGET = (
    Path(__file__).parent.parent / "airflow_provider_stripe_app/testing/objects/shapes_generated.py"
)

CLASSES = (
    "Account", "ApplicationFee", "BalanceTransaction", "Charge", "Coupon", "CreditNote",
    "CreditNoteLineItem", "Customer", "Discount", "Dispute", "File", "FileLink", "Invoice",
    "InvoiceItem", "InvoiceLineItem", "InvoicePayment", "InvoiceRenderingTemplate",
    "PaymentIntent", "PaymentLink", "PaymentMethod", "PaymentMethodConfiguration",
    "PaymentMethodDomain", "PaymentRecord", "Payout", "Plan", "Price", "Product", "PromotionCode",
    "Quote", "Refund", "Review", "SetupIntent", "ShippingRate", "Subscription",
    "SubscriptionItem", "SubscriptionSchedule", "TaxId", "TaxRate", "Topup", "Transfer",
    "billing.Alert", "billing.CreditBalanceTransaction", "billing.CreditGrant",
    "billing.FeedbackOption", "billing.Meter", "billing_portal.Configuration",
    "checkout.Session", "climate.Order", "entitlements.Feature", "financial_connections.Account",
    "forwarding.Request", "identity.VerificationReport", "identity.VerificationSession",
    "issuing.Authorization", "issuing.Card", "issuing.Cardholder", "issuing.Dispute",
    "issuing.PersonalizationDesign", "issuing.PhysicalBundle", "issuing.Transaction",
    "product_catalog.TrialOffer", "radar.EarlyFraudWarning", "radar.ValueList",
    "reporting.ReportRun", "sigma.ScheduledQueryRun", "tax.Registration",
    "terminal.Configuration", "terminal.Location", "terminal.Reader",
    "three_d_secure.Authentication", "treasury.FinancialAccount",
)  # fmt: skip

_NOTE = """
Kinds are those of ``scripts/stripe_annotations.py``; ``:name`` an API object of that name, ``?``
may be null, ``+`` only when expanded.
"""


def shapes(class_name: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield (key, fields) for an API object and everything fixed inside it.

    A key is the object's name, for what is nested followed by the path: ``customer.shipping``;
    ``[]`` stands for each element of a list.
    """
    shape = annotations.resource(class_name)
    yield from _walk(str(shape.object_name), shape)


def _walk(key: str, shape: Shape) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    expanded = annotations.ONLY_WHEN_EXPANDED.get(shape.name, frozenset())
    yield key, [(field.name, _kind(field, field.name in expanded)) for field in shape.fields]
    for field in shape.fields:
        if field.shape is not None:
            item = "[]" if field.kind == "list" else ""
            yield from _walk(f"{key}.{field.name}{item}", field.shape)


def _kind(field: Field, expanded: bool) -> str:
    kind: str = field.kind
    if field.target in CLASSES:
        kind += f":{annotations.resource(str(field.target)).object_name}"
    return kind + ("?" if field.optional else "") + ("+" if expanded else "")


def render() -> str:
    """Return the text of the generated module."""
    lines = [
        '"""What Stripe has. Made by ``scripts/generate_shapes.py``; do not edit."""',
        "",
        "# ruff: noqa: E501",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping",
        "",
        f'SHAPES_API_VERSION = "{annotations.api_version()}"',
        "",
    ]
    found = {
        key: " ".join(f"{name}={kind}" for name, kind in fields)
        for class_name in CLASSES
        for key, fields in shapes(class_name)
    }
    about = f"Object, or path of a nested object → its fields, ``name=kind``.\n{_NOTE}"
    lines += _table("FIELDS", found, about)
    params = {
        str(annotations.resource(name).object_name): " ".join(
            f"{param}={kind}" for param, kind in annotations.list_params(name)
        )
        for name in CLASSES
    }
    lines += _table(
        "LIST_PARAMS",
        {kind: text for kind, text in params.items() if text},
        "Object → the parameters of its list beside those of every list, ``name=kind``.\n\n"
        "``range``: a value or bounds; ``object``: a hash; ``list``: any of several.\n",
    )
    lines += ["EVENT_TYPES: frozenset[str] = frozenset(", "    {"]
    lines += [f'        "{name}",' for name in annotations.event_types()]
    lines += ["    }", ")", ""]
    return "\n".join(lines)


def _table(name: str, rows: dict[str, str], about: str) -> list[str]:
    lines = [f"{name}: Mapping[str, str] = {{"]
    lines += [f'    "{key}": "{text}",' for key, text in rows.items()]
    return [*lines, "}", f'"""{about}"""', ""]


def main() -> int:
    """Write the module, or with ``--check`` return 1 if it is out of date."""
    text = render()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text() != text)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
