"""Running the simulated Stripe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace


def simulate(args: Namespace) -> None:
    """Run the simulated Stripe until interrupted."""
    from airflow_provider_stripe_app.testing.cli import main

    raise SystemExit(main(simulation_options(args)))


def simulation_options(args: Namespace) -> list[str]:
    """Return the options for ``testing.cli.main`` out of those of our command."""
    from airflow_provider_stripe_app.cli import SIMULATE_OPTIONS

    options: list[str] = []
    for name in SIMULATE_OPTIONS:
        value: Any = getattr(args, name)
        if value is True:
            options.append(f"--{name}")
        elif isinstance(value, list):
            options += [f"--{name}={one}" for one in value]
        elif value is not None and value is not False:
            options.append(f"--{name}={value}")
    return options
