"""``make up``: simulated Stripe and Airflow, left running for a browser until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from demo.processes import ProcessFailed, interrupt_on_signals, port_or_free
from demo.run import APP, DAGS, INSTALLATION, OBJECTS
from demo.world import World

PORT = 8080


def main(arguments: Sequence[str] | None = None) -> int:
    """Start everything, say where it is, wait, and clean up.

    :return: exit status.
    """
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=PORT, help="of Airflow; another one if it is in use"
    )
    wanted = parser.parse_args(arguments).port
    port = port_or_free(wanted)
    if wanted not in {0, port}:
        print(f"Port {wanted} is in use, so Airflow takes {port}.")
    interrupt_on_signals()
    print("Starting a simulated Stripe and Airflow …", flush=True)
    try:
        with World(OBJECTS, dags=DAGS, airflow_port=port) as world:
            world.make_app(APP)
            world.connect_warehouse()
            print(_guide(world), flush=True)
            while True:
                for process in (world.stripe.process, *world.airflow.processes.values()):
                    process.check()
                time.sleep(1)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left behind.")
        return 0
    except ProcessFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def _guide(world: World) -> str:
    return f"""
Airflow            {world.airflow.url}   (no login; everybody is administrator)
Page Stripe App    {world.page}   (in Airflow: Admin > Stripe App)
Simulated Stripe   {world.stripe.url}
Warehouse          {world.warehouse}

1. On the page Stripe App, at {APP}: "Keep the installation in a connection of its own",
   name it {INSTALLATION}, press Install, and authorize at the simulated Stripe.
2. Unpause and trigger the DAG stripe_sync: {world.airflow.url}/dags/stripe_sync
3. Change something and run it again, for example:
   curl -u {world.stripe.secret_key}: {world.stripe.url}/v1/customers -d name=Ada
4. Let the access token expire: curl -d '{{"seconds": 3600}}' {world.stripe.url}/_sim/advance

Ctrl-C stops everything and cleans up.
"""


if __name__ == "__main__":
    sys.exit(main())
