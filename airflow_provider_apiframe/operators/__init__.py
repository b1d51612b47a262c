"""Operators: one task, one image."""
