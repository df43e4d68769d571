"""A real MariaDB keeps the contract of warehouses, and a sync into it equals Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from airflow_provider_stripe_app.testing.warehouses import Place, WarehouseContract
from airflow_provider_stripe_app.warehouse.base import WarehouseError
from airflow_provider_stripe_app.warehouse.mysql import MySQLWarehouse, _refuse_others
from tests.integration.audit_lab import audit, found, spoil
from tests.integration.sync_lab import lab
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


def test_a_sync_a_change_a_kill_and_an_audit(tmp_path: Path, server: MariaDB) -> None:
    with lab(tmp_path, "sqlite") as other:
        one = other.beside("mariadb", f"{server.socket}|{server.new_database()}")
        one.sim.populate(one.account, customers=120, invoices=60, subscriptions=30)
        one.sync()
        one.assert_equal()
        ids = [c["id"] for c in one.sim.objects(None, "customer")]
        for id_ in ids[:20]:
            one.sim.update(None, id_, {"name": 'ü\\"\u2028'})
        for id_ in ids[20:25]:
            one.sim.delete(None, id_)
        one.sim.create(None, "customer", {"metadata": {"a": "b"}})
        one.settle()
        warehouse = cast(MySQLWarehouse, one.warehouse())

        def die(label: str) -> None:
            if label == "settle":
                raise KeyboardInterrupt

        warehouse.fault = die
        with pytest.raises(KeyboardInterrupt):
            one.sync(warehouse=warehouse)
        summary = one.sync()
        assert summary.streams["customers"].deleted == 5
        one.assert_equal()
        assert found(audit(one)) == {}
        spoil(
            one,
            "UPDATE customers SET name = 'by hand' LIMIT 1",
            "DELETE FROM invoice_line_items LIMIT 3",
            "UPDATE invoices SET _raw = replace(_raw, 'draft', 'drift'), amount_due = 7 LIMIT 1",
        )
        result = audit(one, repair=True)
        assert sum(table.found for table in result.tables.values()) == 5
        assert result.unrepaired == 0
        one.assert_equal()


def test_another_server_or_an_old_one_is_refused_by_its_name() -> None:
    with pytest.raises(WarehouseError, match=r"MySQL 8\.4\.2, and only MariaDB"):
        _refuse_others("8.4.2")
    with pytest.raises(WarehouseError, match=r"10\.4\.1-MariaDB-log is too old: 10\.5"):
        _refuse_others("5.5.5-10.4.1-MariaDB-log")
    _refuse_others("5.5.5-10.11.19-MariaDB-0+deb12u1")
    _refuse_others("11.4.2-MariaDB")
