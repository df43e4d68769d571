"""Generate ``testing/objects/shapes_generated.py``: every field of the simulated Stripe's objects.

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
    "Account", "Coupon", "Customer", "Discount", "Invoice", "InvoiceLineItem", "Plan", "Price",
    "Product", "Subscription", "SubscriptionItem", "TaxRate",
)  # fmt: skip


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
        '"""Fields of Stripe\'s objects. Made by ``scripts/generate_shapes.py``; do not edit."""',
        "",
        "# ruff: noqa: E501",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping",
        "",
        f'SHAPES_API_VERSION = "{annotations.api_version()}"',
        "",
        "SHAPES: Mapping[str, Mapping[str, str]] = {",
    ]
    for class_name in CLASSES:
        for key, fields in shapes(class_name):
            if fields:
                lines.append(f'    "{key}": {{')
                lines += [f'        "{name}": "{kind}",' for name, kind in fields]
                lines.append("    },")
            else:
                lines.append(f'    "{key}": {{}},')
    lines += [
        "}",
        '"""Object, or path of a nested object → field → kind (``scripts/stripe_annotations.py``).',
        "",
        "``:name`` an API object of that name, ``?`` may be null, ``+`` only when expanded.",
        '"""',
        "",
    ]
    return "\n".join(lines)


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
