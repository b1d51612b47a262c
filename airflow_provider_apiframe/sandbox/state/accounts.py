"""Who may call: API keys, the users they belong to, and their one team."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

API_KEY = "afk_sandbox"
INACTIVE_KEY = "afk_inactive"
OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key of a user: what a request is made with.

    Jobs belong to the user, credits to the team (authentication docs).

    :param value: the key itself.
    :param user: name of the user; "owner" owns the team, the others are members.
    :param active: whether the key is accepted.
    """

    value: str = field(repr=False)
    user: str
    active: bool = True

    @property
    def user_id(self) -> str:
        """The user's UUID, the same on every start."""
        return _stable_uuid("user", self.user)

    @property
    def owns_team(self) -> bool:
        """Whether `scope=team` is allowed."""
        return self.user == OWNER

    def me(self, credits: int) -> dict[str, Any]:
        """Return the body of GET /v2/me for this key and a team balance of `credits`."""
        mailbox = re.sub(r"[^A-Za-z0-9]+", ".", self.user).strip(".") or "member"
        return {
            "user": {
                "id": self.user_id,
                "email": f"{mailbox}@sandbox.example",
                "role": "OWNER" if self.owns_team else "MEMBER",
            },
            "team": {
                "id": _stable_uuid("team", "sandbox"),
                "name": "Sandbox team",
                "credits": credits,
                "plan": "sandbox",
                "customerId": None,
            },
            "apiKey": {
                "id": _stable_uuid("key", self.value),
                "name": f"{self.user}'s key",
                "prefix": self.value[:8],
            },
        }


@lru_cache(maxsize=256)
def _stable_uuid(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"apiframe-sandbox/{kind}/{name}"))


class Accounts:
    """All keys of a sandbox: `afk_sandbox`, the inactive `afk_inactive`, and the ones added.

    :param more_keys: each "KEY", which belongs to a user of its own, or "KEY=USER"; keys with the
        same USER see the same jobs. The user of the built-in key is "owner".
    :raises ValueError: a key is empty.
    """

    def __init__(self, more_keys: Iterable[str] = ()) -> None:
        self._keys = {
            API_KEY: Key(API_KEY, OWNER),
            INACTIVE_KEY: Key(INACTIVE_KEY, OWNER, active=False),
        }
        for number, text in enumerate(more_keys, start=2):
            value, _, name = text.partition("=")
            if not value:
                raise ValueError(
                    f"an API key must not be empty; write KEY or KEY=USER, not {text!r}"
                )
            self._keys[value] = Key(value, name or f"user{number}")

    def find(self, value: str) -> Key | None:
        """Return the key with this value, active or not; None when there is no such key."""
        return self._keys.get(value)
