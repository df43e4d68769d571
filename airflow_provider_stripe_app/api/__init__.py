"""Stripe over HTTP; knows nothing of Airflow."""
