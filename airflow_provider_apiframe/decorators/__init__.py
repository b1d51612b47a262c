"""TaskFlow decorators: ``@task.flux`` and ``@task.image``."""
