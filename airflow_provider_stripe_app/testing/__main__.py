"""``python -m airflow_provider_stripe_app.testing``."""

from __future__ import annotations

import sys

from airflow_provider_stripe_app.testing.cli import main

sys.exit(main())
