"""One run of this provider's engine into DuckDB: ``run_ours.py URL KEY ACCOUNT DATABASE LIMITS``.

The same call as the operator's; Airflow is neither imported nor measured.
"""

from __future__ import annotations

import json
import sys

from benchmarks.peers.judge import STREAMS


def main() -> None:
    """Run and print what was done."""
    url, key, account, database, limits = sys.argv[1:]
    import duckdb

    from airflow_provider_stripe_app.api.client import StripeClient
    from airflow_provider_stripe_app.api.rate_limit import RateLimiter
    from airflow_provider_stripe_app.api.tokens import StaticToken
    from airflow_provider_stripe_app.streams import catalog
    from airflow_provider_stripe_app.sync.options import SyncOptions
    from airflow_provider_stripe_app.sync.run import run_sync
    from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse

    limiter = RateLimiter.for_mode(True) if limits == "real" else None
    summary = run_sync(
        StripeClient(StaticToken(key), api_base=url, limiter=limiter),
        DuckDBWarehouse(lambda: duckdb.connect(database)),
        account_id=account,
        livemode=True,
        streams=[catalog.STREAMS[name] for name in STREAMS],
        options=SyncOptions(),
    )
    print(json.dumps(summary.as_dict()))


if __name__ == "__main__":
    main()
