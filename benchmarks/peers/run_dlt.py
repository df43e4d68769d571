"""One run of dlt's Stripe source into DuckDB: ``run_dlt.py SOURCE PIPELINES DATABASE``.

Runs inside dlt's environment. As dlt documents it: the write disposition ``replace`` for objects
that change, resources in parallel, Parquet for DuckDB. ``stripe.api_base`` is the setting of the
``stripe`` package for another address.
"""

from __future__ import annotations

import json
import os
import sys

ENDPOINTS = ("Customer", "Invoice", "Subscription")


def main() -> None:
    """Run and print the seconds of each step."""
    source_path, pipelines, database = sys.argv[1:]
    sys.path.insert(0, source_path)
    import dlt  # type: ignore[import-not-found]
    import stripe
    from stripe_analytics import stripe_source  # type: ignore[import-not-found]

    stripe.api_base = os.environ["STRIPE_URL"]
    stripe.max_network_retries = 15
    pipeline = dlt.pipeline(
        "stripe_analytics",
        pipelines_dir=pipelines,
        destination=dlt.destinations.duckdb(database),
        dataset_name="stripe",
    )
    source = stripe_source(endpoints=ENDPOINTS, stripe_secret_key=os.environ["STRIPE_KEY"])
    for resource in source.resources.values():
        resource.parallelize()
    pipeline.run(source, loader_file_format="parquet")
    trace = pipeline.last_trace
    steps = {
        step.step: (step.finished_at - step.started_at).total_seconds() for step in trace.steps
    }
    print(json.dumps(steps))


if __name__ == "__main__":
    main()
