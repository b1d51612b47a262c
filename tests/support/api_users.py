"""Users of Airflow's own API server."""

from __future__ import annotations


def token_of(role: str | None) -> str:
    """Return a token for a user of this role; the API server's application must have been made."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    user = SimpleAuthManagerUser(username="somebody", role=role)
    return str(get_auth_manager().generate_jwt(user))
