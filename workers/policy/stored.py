"""The policy in Redis, where every process reads it. The bot stores it there when its file has changed."""

import logging
from typing import Any

import msgspec
from redis import Redis

from workers.errors import WorkersError
from workers.policy.schema import Policy

POLICY = "mixtral:policy"

_LOG = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Policy).decode


class PolicyUnreadable(WorkersError):
    """A newer version stored the policy, or this host lacks what its budgets need."""

    def __init__(
        self,
        cause: str = "A newer version of mixtral-bot stored the policy. This worker cannot read its budgets",
        mend: str = "Upgrade the workers to the version of the bot",
    ) -> None:
        super().__init__(f"{cause}, so nothing is bought. {mend}.")


class StoredPolicy:
    """Safe to use from several threads. Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._last: tuple[bytes | None, Policy] = (None, Policy())
        self._is_readable = True

    def current(self) -> Policy:
        """The policy that was stored last; the defaults if there is none.

        One that cannot be read, because a newer version stored it, leaves the last one that could be read in force.
        """
        stored = self._redis.get(POLICY)
        raw, policy = self._last
        if stored == raw:
            return policy
        try:
            self._last = (stored, _decode(stored) if stored is not None else Policy())
            self._is_readable = True
        except msgspec.MsgspecError as error:
            _LOG.warning("the stored policy cannot be read, and the last one stays in force: %s", error)
            self._last = (stored, policy)
            self._is_readable = False
        return self._last[1]

    def current_for_purchases(self) -> Policy:
        """As `current`. Raises PolicyUnreadable if the stored policy cannot be read: its budgets could be overdrawn."""
        policy = self.current()
        if not self._is_readable:
            raise PolicyUnreadable
        return policy

    def put(self, policy: Policy) -> None:
        self._redis.set(POLICY, _encode(policy))
