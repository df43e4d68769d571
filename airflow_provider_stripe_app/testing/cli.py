"""``python -m airflow_provider_stripe_app.testing`` and ``airflow stripe-app simulate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.populate import SPREADS
from airflow_provider_stripe_app.testing.scripting import DEFAULT_ACCOUNT
from airflow_provider_stripe_app.testing.server import SimulatedStripe
from airflow_provider_stripe_app.testing.switches import Switches, parse_switch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the simulation to a parser."""
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same objects")
    parser.add_argument("--account", default=DEFAULT_ACCOUNT, help="account to populate")
    parser.add_argument("--livemode", action="store_true", help="populate live mode, not test mode")
    parser.add_argument("--customers", type=int, default=0)
    parser.add_argument("--invoices", type=int, default=0)
    parser.add_argument("--subscriptions", type=int, default=0)
    parser.add_argument(
        "--objects",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="of any other type, for example charges=1000 or checkout_sessions=50",
    )
    parser.add_argument("--spread", choices=SPREADS, default="years", help="over which time")
    parser.add_argument("--small", action="store_true", help="objects of a few fields")
    parser.add_argument("--at", type=float, help="start the clock at these unix seconds")
    parser.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="see airflow_provider_stripe_app.testing.Switches",
    )


def run(args: argparse.Namespace) -> None:
    """Populate and serve until interrupted; print one JSON line once connections are accepted.

    :param args: as :func:`add_arguments` describes them.
    :raises ValueError: for an unknown switch or type of object.
    """
    switches = Switches()
    switches.set(**dict(parse_switch(text) for text in args.switch))
    sim = SimulatedStripe(args.seed, switches, SimClock(args.at))
    account = sim.account(args.account, livemode=args.livemode)
    made = sim.populate(
        account,
        customers=args.customers,
        invoices=args.invoices,
        subscriptions=args.subscriptions,
        spread=args.spread,
        small=args.small,
        **dict(_parse_objects(text) for text in args.objects),
    )
    key = sim.secret_key(account)

    def ready(url: str) -> None:
        line = {"url": url, "account": account.id, "secret_key": key, "objects": made}
        print(json.dumps(line), flush=True)

    sim.serve(args.port, ready)


def _parse_objects(text: str) -> tuple[str, Any]:
    name, _, number = text.partition("=")
    if not number.isdigit():
        raise ValueError(f"Objects are given as name=number, not {text!r}")
    return name, int(number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulated Stripe from a command line.

    :return: exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_stripe_app.testing",
        description="A simulated Stripe with a controllable clock, failures and quirks.",
    )
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        run(args)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130
    return 0
