"""The settings of channels in Redis."""

import logging
from typing import Any

import msgspec
from msgspec.structs import replace
from redis import Redis

from bot.language.channel_settings import ChannelSettings, owner_of

SETTINGS = "mixtral:config"
"""Hash of the settings by the first id of a channel, or by a person's id for their direct messages."""

_LOG = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ChannelSettings).decode


class ChannelStore:
    """Safe to use from several threads. Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def of(self, channel: str, user: str) -> ChannelSettings:
        """The settings for the questions of a person in a channel; the defaults if the stored ones cannot be read."""
        stored = self._redis.hget(SETTINGS, owner_of(channel, user))
        try:
            return _decode(stored) if stored is not None else ChannelSettings()
        except msgspec.MsgspecError:
            _LOG.exception("The settings of %s cannot be read; the defaults are used.", owner_of(channel, user))
            return ChannelSettings()

    def with_digest(self) -> list[str]:
        """The first id of each channel that gets the digest of its costs. What cannot be read is left out."""
        found = []
        for owner, stored in self._redis.hgetall(SETTINGS).items():
            try:
                found += [owner.decode()] if _decode(stored).digest else []
            except msgspec.MsgspecError:
                continue  # reported by `of`
        return sorted(found)

    def put(self, channel: str, user: str, settings: ChannelSettings) -> None:
        """Store the settings; of those that are reset to the defaults, nothing is stored, nor who reset them."""
        if replace(settings, changed_by="") == ChannelSettings():
            self._redis.hdel(SETTINGS, owner_of(channel, user))
        else:
            self._redis.hset(SETTINGS, owner_of(channel, user), _encode(settings))
