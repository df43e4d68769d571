"""Several processes on one sandbox account: what Stripe refuses, by how they pace themselves.

    python benchmarks/shared_rate.py --processes 4 --requests 100

*shared*: one schedule in Redis. *share*: each process takes its part of the account's rate.
*alone*: each takes the whole and slows down when it is refused. Stripe allows 25 requests a second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.rate_limit import Pacer, RateLimiter
from airflow_provider_stripe_app.api.shared_rate import SharedRateLimiter, connect
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.testing import SimulatedStripe
from demo.embedded_redis import EmbeddedRedis
from demo.processes import inherited_environment

ALLOWED = 25.0
WAYS = ("shared", "share", "alone")
PATHS = ("/v1/customers", "/v1/invoices")
THREADS = 6


def main() -> None:
    """Measure each way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--requests", type=int, default=100, help="of each process")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child, arguments.processes, arguments.requests)
        return
    print("| pacing | requests | refused | seconds | useful/s |\n|---|---|---|---|---|")
    for way in WAYS:
        print(measure(way, arguments.processes, arguments.requests), flush=True)


def measure(way: str, processes: int, requests: int) -> str:
    """Return a row of the table."""
    with EmbeddedRedis() as redis, SimulatedStripe(seed=1) as stripe:
        stripe.switches.set(rate_limits=True, rate_burst_seconds=0.5)
        stripe.populate(customers=1, invoices=1)
        command = [
            *(sys.executable, __file__, "--child", way, redis.url(), stripe.url),
            *(stripe.secret_key(), "--processes", str(processes), "--requests", str(requests)),
        ]
        children = [
            subprocess.Popen(
                command, env=inherited_environment(), stdout=subprocess.PIPE, text=True
            )
            for _ in range(processes)
        ]
        told = [json.loads(one.communicate(timeout=600)[0]) for one in children]
        answered = [line.at for line in stripe.requests("GET /v1/")]
    sent, refused = (sum(one[key] for one in told) for key in ("sent", "refused"))
    seconds = answered[-1] - answered[0]
    return f"| {way} | {sent} | {refused} | {seconds:.1f} | {(sent - refused) / seconds:.1f} |"


def child(way: str, redis: str, stripe: str, key: str, processes: int, requests: int) -> None:
    """Send the requests of one process."""
    pacer: Pacer
    if way == "shared":
        pacer = SharedRateLimiter(connect(redis), "acct_1:test", ALLOWED)
    else:
        pacer = RateLimiter(ALLOWED / (processes if way == "share" else 1))
    client = StripeClient(StaticToken(key), api_base=stripe, limiter=pacer)

    def send(number: int) -> None:
        client.list_page(PATHS[number % len(PATHS)], {"limit": 1})

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(send, range(requests)))
    refused = sum(client.throttled.values())
    print(json.dumps({"sent": sum(client.requests.values()), "refused": refused}))


if __name__ == "__main__":
    main()
