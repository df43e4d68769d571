"""Airflow's word for a task."""
