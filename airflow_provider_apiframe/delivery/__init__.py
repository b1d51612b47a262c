"""A finished job becomes the task's result."""
