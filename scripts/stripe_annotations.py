"""Read what the ``stripe`` package (a development dependency) says about Stripe's objects.

The package is generated from Stripe's OpenAPI description; its class annotations name every field
and its docstrings tell what a number means. The source is parsed, not imported: annotations under
``TYPE_CHECKING`` need no resolving that way and the docstrings of fields exist only in the source.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal[
    "text", "int", "time", "bool", "decimal", "number", "true", "list", "map", "union", "object",
    "resource",
]  # fmt: skip
"""``true`` is a ``deleted`` field's constant; ``resource`` an API object with an id of its own."""

TIME_NAME = re.compile(
    r"^(created|updated|start|end|date|timestamp|.*_(at|date|timestamp|deadline|until)"
    r"|.*period_(start|end)|trial_(start|end)|interval_(start|end)|cancel_at|redeem_by"
    r"|billing_cycle_anchor|next_payment_attempt|next_pending_invoice_item_invoice|available_on"
    r"|capture_before|data_load_time|due_by|expires_after)$"
)
TIME_DOC = re.compile(r"Unix (epoch|timestamp)", re.IGNORECASE)

ONLY_WHEN_EXPANDED: Mapping[str, frozenset[str]] = {
    "Customer": frozenset(
        {"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"}
    ),
    "Card": frozenset({"cvc", "number"}),  # of issuing
    "Charge": frozenset({"refunds"}),
    "Invoice": frozenset({"confirmation_secret", "payments"}),
    "PaymentLink": frozenset({"line_items"}),
    "Quote": frozenset({"line_items"}),
    "Session": frozenset({"line_items"}),  # of checkout
    "Price": frozenset({"currency_options", "tiers"}),
    "Plan": frozenset({"tiers"}),
    "Coupon": frozenset({"applies_to", "currency_options"}),
}
"""Class → fields that Stripe's reference marks as included only on ``expand[]``; we never expand.

Kept by hand: the annotations call these, the nullable and the absent ones all ``Optional``.
"""


@dataclass(frozen=True)
class Field:
    """One annotated field.

    :param name: its JSON key.
    :param kind: what it holds.
    :param optional: it may be null, or absent: the annotations do not tell the two apart.
    :param expandable: an id, or the object itself when the request expanded it.
    :param shape: the fields of the nested object, or of each object in a list.
    :param target: the class of the nested API object, or of each one in a list, as
        :func:`resource` takes it.
    """

    name: str
    kind: Kind
    optional: bool = False
    expandable: bool = False
    doc: str = ""
    shape: Shape | None = None
    target: str | None = None


@dataclass(frozen=True)
class Shape:
    """One class of the package: an API object or a fixed nested object."""

    name: str
    object_name: str | None
    fields: tuple[Field, ...]


@dataclass
class _Class:
    node: ast.ClassDef
    scope: Mapping[str, _Class]
    imports: Mapping[str, str]
    inner: dict[str, _Class] = field(default_factory=dict)


def package_dir() -> Path:
    """Return where the installed ``stripe`` package is.

    :raises RuntimeError: if it is not installed.
    """
    spec = importlib.util.find_spec("stripe")
    if spec is None or spec.origin is None:
        raise RuntimeError("the stripe package is not installed; pip install stripe==16.1.0")
    return Path(spec.origin).parent


def api_version() -> str:
    """Return the API version that the installed package was generated for."""
    source = (package_dir() / "_api_version.py").read_text()
    found = re.search(r'CURRENT = "([^"]+)"', source)
    if found is None:
        raise RuntimeError("stripe/_api_version.py does not name its version any more")
    return found.group(1)


def event_types() -> list[str]:
    """Return every snapshot event type that a webhook endpoint can enable, sorted."""
    tree = ast.parse((package_dir() / "_event.py").read_text())
    event = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Event")
    annotation = next(
        n.annotation
        for n in event.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) and n.target.id == "type"
    )
    names = (n.value for n in ast.walk(annotation) if isinstance(n, ast.Constant))
    return sorted({n for n in names if isinstance(n, str) and "." in n})


LISTS_IN_COMMON = frozenset({"ending_before", "expand", "limit", "starting_after"})


@cache
def list_params(class_name: str) -> tuple[tuple[str, str], ...]:
    """Return what an object's list takes beside the parameters of every list: (name, kind).

    :param class_name: as :func:`resource` takes it; a class without a list has none.
    :return: kinds are ``bool``, ``int``, ``list``, ``object``, ``range`` (a value or a hash of
        bounds) and ``text``.
    """
    folder, _, name = class_name.rpartition(".")
    module = "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    source = package_dir() / "params" / folder.replace(".", "/") / f"{module}_list_params.py"
    if not source.exists():
        return ()
    tree = ast.parse(source.read_text())
    params = next(
        n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == f"{name}ListParams"
    )
    return tuple(
        (node.target.id, _param_kind(ast.unparse(node.annotation)))
        for node in params.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id not in LISTS_IN_COMMON
    )


def _param_kind(annotation: str) -> str:
    if "ListParams" in annotation:
        return "range" if "int" in annotation.replace("Intent", "") else "object"
    inner = annotation.replace("NotRequired", "").strip("[]\"'")
    plain = {"bool": "bool", "int": "int", "List[str]": "list", "List[str": "list"}
    return plain.get(inner, "text")


@cache
def resource(class_name: str) -> Shape:
    """Return the shape of a top-level API object.

    :param class_name: its class in the package, for example ``InvoiceLineItem`` or
        ``issuing.Card``.
    """
    folder, _, name = class_name.rpartition(".")
    module = "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    tree = ast.parse((package_dir() / folder.replace(".", "/") / f"{module}.py").read_text())
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    return _shape(_index(node, {}, _imports(tree)))


def _imports(tree: ast.Module) -> dict[str, str]:
    """Return the classes of the package that a module imports: name there → as in `resource`."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("stripe."):
            folder = str(node.module).removeprefix("stripe.").rpartition(".")[0]
            for name in node.names:
                found[name.asname or name.name] = f"{folder}.{name.name}".lstrip(".")
    return found


def _index(node: ast.ClassDef, scope: Mapping[str, _Class], imports: Mapping[str, str]) -> _Class:
    found = _Class(node, scope, imports)
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            found.inner[child.name] = _index(child, {**scope, **found.inner}, imports)
    return found


def _shape(cls: _Class) -> Shape:
    fields: list[Field] = []
    object_name = None
    for at, node in enumerate(cls.node.body):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if ast.unparse(node.annotation).startswith("ClassVar"):
            if node.target.id == "OBJECT_NAME" and isinstance(node.value, ast.Constant):
                object_name = str(node.value.value)
            continue
        following = cls.node.body[at + 1] if at + 1 < len(cls.node.body) else None
        fields.append(_field(node.target.id, node.annotation, _doc(following), cls))
    return Shape(cls.node.name, object_name, tuple(fields))


def _doc(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


PLAIN_KINDS: Mapping[str, Kind] = {
    "str": "text", "bool": "bool", "float": "number", "Decimal": "decimal", "int": "int",
    "List": "list", "ListObject": "list", "UntypedStripeObject": "map", "Dict": "map",
}  # fmt: skip


def _field(name: str, annotation: ast.expr, doc: str, cls: _Class) -> Field:
    head, args = _head(annotation)
    optional = head == "Optional"
    if optional:
        annotation = args[0]
        head, args = _head(annotation)
    expandable = head == "ExpandableField"
    kind = "text" if expandable else _scalar_kind(name, doc, head, args)
    if kind == "list":
        shape, target = _items(args[0], cls)
        return Field(name, kind, optional, doc=doc, shape=shape, target=target)
    if kind is not None:
        return Field(name, kind, optional, expandable, doc)
    inner = cls.inner.get(head) or cls.scope.get(head)
    if isinstance(annotation, ast.Name) and inner is not None:
        return Field(name, "object", optional, doc=doc, shape=_shape(inner))
    if isinstance(annotation, ast.Constant):  # a quoted name: another API object
        return Field(name, "resource", optional, doc=doc, target=cls.imports.get(head, head))
    raise ValueError(
        f"{cls.node.name}.{name}: annotation {ast.unparse(annotation)} is not understood"
    )


def _items(annotation: ast.expr, cls: _Class) -> tuple[Shape | None, str | None]:
    """Return what a list holds, if that is one kind of object: its shape or its class."""
    head, _ = _head(annotation)
    inner = cls.inner.get(head) or cls.scope.get(head)
    if isinstance(annotation, ast.Name) and inner is not None:
        return _shape(inner), None
    return None, cls.imports.get(head, head) if isinstance(annotation, ast.Constant) else None


def _scalar_kind(name: str, doc: str, head: str, args: list[ast.expr]) -> Kind | None:
    """Return the kind of what is not an object of its own, else ``None``."""
    if head == "Literal":
        constant = args[0]
        truth = isinstance(constant, ast.Constant) and constant.value is True
        return "true" if truth else "text"
    if head == "Union":
        return "text" if _is_enum(args) else "union"
    if head == "int" and (TIME_NAME.match(name) or TIME_DOC.search(doc)):
        return "time"
    return PLAIN_KINDS.get(head)


def _head(annotation: ast.expr) -> tuple[str, list[ast.expr]]:
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        args = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        return ast.unparse(annotation.value), args
    if isinstance(annotation, ast.Constant):
        return str(annotation.value), []
    return ast.unparse(annotation), []


def _is_enum(args: list[ast.expr]) -> bool:
    """Tell ``Union[Literal["a", …], str]``, an open enum, from a union of objects."""
    return all(_head(a)[0] in {"Literal", "str"} for a in args)
