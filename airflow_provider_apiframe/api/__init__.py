"""Apiframe's HTTP API v2. Nothing in here imports Airflow."""
