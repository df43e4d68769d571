"""A simulated Stripe, public so that users can test their DAGs against it."""

from __future__ import annotations

from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.faults import Fault
from airflow_provider_stripe_app.testing.scripting import Account
from airflow_provider_stripe_app.testing.server import SimulatedStripe
from airflow_provider_stripe_app.testing.switches import Switches

__all__ = ["Account", "Fault", "SimClock", "SimulatedStripe", "Switches"]
