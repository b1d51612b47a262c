"""What waiting for images costs, measured against the sandbox.

``python benchmarks/run.py`` runs everything.
"""
