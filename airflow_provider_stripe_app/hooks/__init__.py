"""Airflow's word for a connection."""
