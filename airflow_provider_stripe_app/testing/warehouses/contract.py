"""All of the contract in one class."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_stripe_app.testing.warehouses.commits import CommitsContract
from airflow_provider_stripe_app.testing.warehouses.lab import Place
from airflow_provider_stripe_app.testing.warehouses.layout import LayoutContract
from airflow_provider_stripe_app.testing.warehouses.model import ModelContract
from airflow_provider_stripe_app.testing.warehouses.opened import OpenContract
from airflow_provider_stripe_app.testing.warehouses.owed import OwedContract
from airflow_provider_stripe_app.testing.warehouses.planning import PlanningContract
from airflow_provider_stripe_app.testing.warehouses.types import TypesContract
from airflow_provider_stripe_app.testing.warehouses.winners import ChildrenContract, WinnersContract
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


class WarehouseContract(
    TypesContract,
    WinnersContract,
    ChildrenContract,
    LayoutContract,
    CommitsContract,
    OwedContract,
    OpenContract,
    PlanningContract,
    ModelContract,
):
    """What every warehouse promises, as tests.

    Inherit from it in a test module, under a name that begins with ``Test``, and give it a fixture
    ``place`` that returns a new, empty :class:`.lab.Place` for each test.
    """

    @pytest.fixture
    def warehouse(self, place: Place) -> Iterator[SqlWarehouse]:
        """Return the warehouse at the test's place; closed after it."""
        opened = place.warehouse()
        yield opened
        opened.close()
