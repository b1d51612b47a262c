"""Airflow's UI: the gallery."""
