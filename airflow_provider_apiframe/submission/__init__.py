"""Submitting a job once: the idempotency key, the way back to an earlier try's job, the credits."""
