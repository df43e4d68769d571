"""What ``airflow stripe-app …`` does. Runs where Airflow's metadata database is."""
