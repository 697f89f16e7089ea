"""Why Redis did not do what it was asked for, and the mend, as sentences for people."""

from msgspec import Struct
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError


class RedisFailure(Struct, frozen=True, kw_only=True):
    """Cause and mend, each without a full stop; the mend begins with a small letter."""

    cause: str
    mend: str
    refused: bool = True
    """Whether Redis refused the call; otherwise it is not known whether it was carried out."""


def failure_of(error: Exception) -> RedisFailure:
    """What an error of the client means. Its text is kept where it tells more; it contains no password."""
    said = " ".join(str(error).split()).rstrip(".")
    match error:
        case ReadOnlyError():
            mend = "set REDIS_URL to the primary, or make this one the primary with `REPLICAOF NO ONE`"
            return RedisFailure(cause="Redis is a read-only replica and accepts no writes", mend=mend)
        case OutOfMemoryError():
            mend = "raise maxmemory (`CONFIG SET maxmemory`) and keep maxmemory-policy noeviction"
            return RedisFailure(cause="the memory of Redis is full, and it accepts no writes", mend=mend)
        case NoPermissionError():
            mend = "allow the user in REDIS_URL all keys and commands (`ACL SETUSER`)"
            return RedisFailure(cause=f"Redis does not allow this to the user in REDIS_URL ({said})", mend=mend)
        case AuthenticationError() | AuthenticationWrongNumberOfArgsError():
            mend = "correct the password in REDIS_URL"
            return RedisFailure(cause=f"Redis refuses the password in REDIS_URL ({said})", mend=mend)
        case BusyLoadingError():
            mend = "wait until it has loaded its data"
            return RedisFailure(cause="Redis has started and still loads its data", mend=mend)
        case ResponseError() if "MISCONF" in said:
            mend = "free space on the disk of Redis"
            return RedisFailure(cause="Redis cannot write to its disk, and accepts no writes", mend=mend)
        case ResponseError():
            return RedisFailure(cause=f"Redis refused a call ({said})", mend="see its log")
        case RedisTimeoutError():
            mend = "see its load and the network; if it is frozen, start it again"
            return RedisFailure(cause="Redis does not answer in time", mend=mend, refused=False)
        case _:
            mend = "start it, or correct REDIS_URL"
            return RedisFailure(cause=f"Redis cannot be reached ({said})", mend=mend, refused=False)
