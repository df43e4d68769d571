"""A real MariaDB keeps the contract of warehouses, and a sync into it equals Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from airflow_provider_stripe_app.testing.warehouses import Place, WarehouseContract
from airflow_provider_stripe_app.warehouse.mysql import MySQLWarehouse
from tests.mariadb import MariaDB, running_mariadb


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    pytest.importorskip("mysql.connector", reason="mysql-connector-python is a test dependency")
    with running_mariadb() as started:
        yield started


class TestMariaDB(WarehouseContract):
    @pytest.fixture
    def place(self, server: MariaDB) -> Place:
        connect = partial(server.connect, server.new_database())
        return Place(partial(MySQLWarehouse, connect))
