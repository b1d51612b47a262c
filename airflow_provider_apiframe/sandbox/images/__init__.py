"""The images that the sandbox draws."""
