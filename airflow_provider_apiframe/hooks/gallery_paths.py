"""Where the gallery is on Airflow's API server, under its base path. Imports nothing."""

URL_PREFIX = "/apiframe"

GALLERY = f"{URL_PREFIX}/gallery"
"""The page."""

IMAGE_ROUTE = f"{URL_PREFIX}/image"
"""Hands out what was saved."""
