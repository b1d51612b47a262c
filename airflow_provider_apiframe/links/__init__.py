"""The buttons "Image" and "Apiframe job" on a task instance."""
