"""The checked-in data files are what the generators make of the pinned ``stripe`` package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import STREAMS, known_fields
from airflow_provider_stripe_app.streams.schema_generated import COLUMNS, SCHEMA_API_VERSION
from airflow_provider_stripe_app.testing.objects.shapes_generated import SHAPES_API_VERSION
from airflow_provider_stripe_app.warehouse.columns import META_COLUMNS

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def generators() -> Iterator[tuple[ModuleType, ModuleType]]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield importlib.import_module("generate_schema"), importlib.import_module("generate_shapes")
    finally:
        sys.path.remove(str(SCRIPTS))


def test_the_schema_is_what_its_generator_writes(
    generators: tuple[ModuleType, ModuleType],
) -> None:
    schema, _ = generators
    assert schema.TARGET.read_text() == schema.render()


def test_the_shapes_are_what_their_generator_writes(
    generators: tuple[ModuleType, ModuleType],
) -> None:
    _, shapes = generators
    assert shapes.TARGET.read_text() == shapes.render()


def test_the_table_of_streams_is_what_the_catalogue_says(
    generators: tuple[ModuleType, ModuleType],
) -> None:
    table = importlib.import_module("generate_stream_table")
    text = table.TARGET.read_text(encoding="utf-8")
    assert table.page(text) == text
    assert all(text.count(f"| `{name}` |") == 1 for name in STREAMS)


def test_the_generators_know_every_column_of_the_loader(
    generators: tuple[ModuleType, ModuleType],
) -> None:
    schema, _ = generators
    assert set(META_COLUMNS) == schema.SYSTEM_COLUMNS


def test_everything_is_pinned_to_one_api_version() -> None:
    assert SCHEMA_API_VERSION == SHAPES_API_VERSION == API_VERSION == "2026-10-28.endive"


@pytest.mark.parametrize("stream", sorted(COLUMNS))
def test_names_fit_every_warehouse(stream: str) -> None:
    columns = COLUMNS[stream]
    names = [column.name for column in columns]
    assert names[0] == "id"
    assert len({name.casefold() for name in names}) == len(names) < 400
    assert all(name == name.lower() and len(name.encode()) <= 63 for name in names)
    assert not set(names) & set(META_COLUMNS)


def test_columns_are_typed_as_the_design_says() -> None:
    types = {
        (stream, column.name): (column.type, column.expandable)
        for stream, columns in COLUMNS.items()
        for column in columns
    }
    assert types["customers", "created"] == ("timestamp", False)
    assert types["customers", "address_line1"] == ("text", False)
    assert types["customers", "shipping_address_city"] == ("text", False)
    assert types["customers", "metadata"] == ("json", False)
    assert types["customers", "test_clock"] == ("text", True)
    assert types["customers", "discount_source_coupon"] == ("text", True)
    assert types["invoices", "customer"] == ("text", True)
    assert types["invoices", "status"] == ("text", False)
    assert types["invoices", "amount_due"] == ("bigint", False)
    assert types["invoices", "auto_advance"] == ("boolean", False)
    assert types["invoices", "status_transitions_paid_at"] == ("timestamp", False)
    assert types["invoices", "parent_subscription_details_subscription"] == ("text", True)
    assert types["invoices", "total_taxes"] == ("json", False)
    assert types["invoices", "payment_settings_payment_method_options_card"] == ("json", False)
    assert types["invoices", "last_finalization_error_payment_intent"] == ("json", False)
    assert types["invoice_line_items", "quantity_decimal"] == ("decimal", False)
    assert types["invoice_line_items", "period_end"] == ("timestamp", False)
    assert types["subscriptions", "billing_cycle_anchor"] == ("timestamp", False)
    assert types["subscriptions", "billing_cycle_anchor_config_month"] == ("bigint", False)
    assert types["subscriptions", "application_fee_percent"] == ("json", False)
    assert types["subscription_items", "price_id"] == ("text", False)
    assert types["subscription_items", "price_unit_amount_decimal"] == ("decimal", False)


def test_secrets_and_what_is_never_sent_get_no_column() -> None:
    names = {column.name for column in COLUMNS["invoices"]}
    assert not any("secret" in name for name in names)
    assert not any(c.path[0] == "sources" for c in COLUMNS["customers"])
    assert {"sources", "livemode", "deleted", "object"} <= known_fields(STREAMS["customers"])


def test_a_clash_is_found_when_generating(generators: tuple[ModuleType, ModuleType]) -> None:
    schema, _ = generators
    annotations = schema.annotations
    inner = annotations.Shape("Inner", None, (annotations.Field("b", "text"),))
    fields = (annotations.Field("a_b", "text"), annotations.Field("a", "object", shape=inner))
    with pytest.raises(ValueError, match="are both named a_b"):
        schema.columns(annotations.Shape("Outer", None, fields))


def test_long_and_reserved_names_are_bent(generators: tuple[ModuleType, ModuleType]) -> None:
    schema, _ = generators
    assert schema.column_name(("account_id",)) == "account_id_"
    long = ("payment_settings", "payment_method_options", "some_very_long_method_name", "x")
    name = schema.column_name(long)
    assert len(name) == 63
    assert name != schema.column_name((*long[:-1], "y"))
