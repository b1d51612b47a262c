"""TaskFlow decorators: ``@task.flux``."""
