"""The warehouses keep the contract of warehouse/base.py, and give the same rows."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from airflow_provider_stripe_app.testing.warehouses import Place, WarehouseContract
from tests.integration.warehouse_lab import place_for

KINDS = ("sqlite", "duckdb", "psycopg", "psycopg2")


@pytest.mark.parametrize("kind", KINDS)
class TestWarehouse(WarehouseContract):
    @pytest.fixture
    def place(self, request: pytest.FixtureRequest, tmp_path: Any, kind: str) -> Place:
        socket = ""
        if kind.startswith("psycopg"):
            pytest.importorskip(kind, reason="this environment has the other driver only")
            socket = request.getfixturevalue("postgres").socket_directory
        return place_for(kind, tmp_path, socket, f"t_{uuid.uuid4().hex[:12]}")
