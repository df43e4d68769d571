"""Where rows go; knows nothing of Airflow."""
