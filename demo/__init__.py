"""The main job with real parts: a simulated Stripe, a real Airflow, a browser's clicks.

``make demo`` and ``make up`` run it; the tests under ``tests/integration`` use its pieces.
"""
