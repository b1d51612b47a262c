"""Retry policies (Airflow 3.3+)."""
