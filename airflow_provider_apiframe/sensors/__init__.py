"""Sensors: waiting for jobs that other tasks submitted."""
