"""Who may call: API keys, the users they belong to, and their one team."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

API_KEY = "afk_sandbox"
INACTIVE_KEY = "afk_inactive"
OWNER = "owner"


def _id(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"apiframe-sandbox/{kind}/{name}"))


@dataclass(frozen=True, slots=True)
class User:
    """A member of the team. Jobs belong to the user, credits to the team (authentication docs)."""

    name: str

    @property
    def id(self) -> str:
        """The user's UUID, the same on every start."""
        return _id("user", self.name)

    @property
    def role(self) -> str:
        """OWNER for the user of the built-in key, MEMBER for the others."""
        return "OWNER" if self.name == OWNER else "MEMBER"

    @property
    def sees_team(self) -> bool:
        """Whether `scope=team` is allowed."""
        return self.role == "OWNER"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key: what a request is made with."""

    value: str
    user: User
    active: bool = True

    def me(self, credits: int) -> dict[str, Any]:
        """Return the response of GET /v2/me for this key and a team balance of `credits`."""
        mailbox = re.sub(r"[^A-Za-z0-9]+", ".", self.user.name).strip(".") or "member"
        return {
            "user": {
                "id": self.user.id,
                "email": f"{mailbox}@sandbox.example",
                "role": self.user.role,
            },
            "team": {
                "id": _id("team", "sandbox"),
                "name": "Sandbox team",
                "credits": credits,
                "plan": "sandbox",
                "customerId": None,
            },
            "apiKey": {
                "id": _id("key", self.value),
                "name": f"{self.user.name}'s key",
                "prefix": self.value[:8],
            },
        }


class Accounts:
    """All keys of a sandbox: `afk_sandbox`, the inactive `afk_inactive`, and the ones added.

    :param more_keys: each "KEY", which belongs to a user of its own, or "KEY=USER"; keys with the
        same USER see the same jobs. The user of the built-in key is "owner".
    :raises ValueError: a key is empty.
    """

    def __init__(self, more_keys: Iterable[str] = ()) -> None:
        owner = User(OWNER)
        self._keys = {
            API_KEY: Key(API_KEY, owner),
            INACTIVE_KEY: Key(INACTIVE_KEY, owner, active=False),
        }
        for number, text in enumerate(more_keys, start=2):
            value, _, name = text.partition("=")
            if not value:
                raise ValueError(
                    f"an API key must not be empty; write KEY or KEY=USER, not {text!r}"
                )
            self._keys[value] = Key(value, User(name or f"user{number}"))

    def find(self, value: str) -> Key | None:
        """Return the key with this value, active or not; None when there is no such key."""
        return self._keys.get(value)
