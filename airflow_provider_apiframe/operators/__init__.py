"""Operators: one task, one picture."""
