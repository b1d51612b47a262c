"""Triggers: waiting on the triggerer."""
