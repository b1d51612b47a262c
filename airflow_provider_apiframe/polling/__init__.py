"""Waiting for jobs: when to poll what. Imports nothing of Airflow."""
