"""The keys of a deployment: people's, the bot's own, and the one that its replicas require."""

import hashlib
import secrets
import string
from collections.abc import Mapping

from msgspec import Struct

from workers.deployment.events import FIRST_KEY, KeyId

ALPHABET = string.ascii_letters + string.digits
LENGTH = 32

MAX_KEYS = 100
"""Maximum number of keys of people to one deployment."""

REPLICA = "replica"
BOT = "bot"
"""Fields of `mixtral:keys:<id>` with the replicas' key and the bot's; further fields are keys of people."""


class Secrets(Struct, frozen=True, kw_only=True):
    """The keys themselves. Never for a channel, a log line or an event."""

    replica: str = ""
    """The key that the engines require; only the gateway and the workers' probes send it."""
    bot: str = ""
    people: dict[KeyId, str] = {}

    @classmethod
    def of(cls, first: bytes | None, others: Mapping[bytes, bytes]) -> "Secrets":
        """From the launcher's key and the fields of `mixtral:keys:<id>`."""
        found = {name.decode(): key.decode() for name, key in others.items()}
        replica, bot = found.pop(REPLICA, ""), found.pop(BOT, "")
        people = {KeyId(name): key for name, key in found.items()}
        return cls(replica=replica, bot=bot, people=people | ({FIRST_KEY: first.decode()} if first else {}))

    @property
    def opening(self) -> tuple[str, ...]:
        """The keys that the endpoint accepts."""
        return tuple(key for key in (self.bot, *self.people.values()) if key)

    @property
    def all(self) -> tuple[str, ...]:
        return (self.replica, *self.opening)


def new_key() -> str:
    """`mxk_` and 32 letters and digits, 190 bits."""
    return "mxk_" + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def new_key_id(once: str = "") -> KeyId:
    """`once`: the same text gives the same id."""
    return KeyId(f"k-{hashlib.sha256(once.encode()).hexdigest()[:6] if once else secrets.token_hex(3)}")
