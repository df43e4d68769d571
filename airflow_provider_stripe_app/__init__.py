"""Stripe Apps for Airflow: install an app, keep its tokens alive, keep tables equal to Stripe."""

from __future__ import annotations

__version__ = "0.1.0"
