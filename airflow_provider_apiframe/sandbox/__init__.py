"""The sandbox: Apiframe v2 on a laptop, for demos and tests.

``python -m airflow_provider_apiframe.sandbox --port 8765`` serves it, and
``airflow_provider_apiframe.sandbox.server.Sandbox`` runs it inside another process. It needs the
``sandbox`` extra (FastAPI, uvicorn, Pillow), imports nothing of Airflow, and talks to loopback
unless told otherwise.
"""
