"""What waiting for pictures costs, measured against the sandbox. ``python benchmarks/run.py`` runs everything."""
