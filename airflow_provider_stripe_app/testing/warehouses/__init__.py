"""The contract that every warehouse keeps, as tests that the author of one can run.

See ``docs/writing-a-warehouse.md``. Needs pytest, which is not among this package's dependencies.
"""

from airflow_provider_stripe_app.testing.warehouses.contract import WarehouseContract
from airflow_provider_stripe_app.testing.warehouses.lab import Place

__all__ = ["Place", "WarehouseContract"]
