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

IN_SCRIPT = "ACL failure"
"""How the error of a call that a script may not make begins."""


class RedisFailure(Struct, frozen=True, kw_only=True):
    """Cause and mend, each without a full stop; the mend begins with a small letter."""

    cause: str
    mend: str
    said: str
    """What the client or Redis said, for operators: it may contain addresses and names of users, and no password."""
    refused: bool = True
    """Whether Redis refused the call; otherwise it is not known whether it was carried out."""

    @property
    def in_full(self) -> str:
        """The cause with what was said."""
        return f"{self.cause} ({self.said})" if self.said else self.cause

    def report(self, consequence: str = "", then: str = "and repeat the command") -> str:
        """Two sentences: the cause and its consequence, the mend and what to do `then`."""
        cause = f"{self.in_full}, so {consequence}" if consequence else self.in_full
        return f"{cause[0].upper()}{cause[1:]}. {self.mend[0].upper()}{self.mend[1:]}, {then}."


def failure_of(error: Exception) -> RedisFailure:
    """What an error of the client means."""
    said = " ".join(str(error).split()).rstrip(".")
    match error:
        case ReadOnlyError():
            cause = "Redis is a read-only replica and accepts no writes"
            mend = "set REDIS_URL to the primary, or make this one the primary with `REPLICAOF NO ONE`"
        case OutOfMemoryError():
            cause = "the memory of Redis is full, and it accepts no writes"
            mend = "raise `maxmemory`, and keep `maxmemory-policy noeviction`"
        case ResponseError() if isinstance(error, NoPermissionError) or said.startswith(IN_SCRIPT):
            cause = "Redis does not allow this to the user in REDIS_URL"
            mend = "allow this user all keys and commands (`ACL SETUSER`)"
        case AuthenticationError() | AuthenticationWrongNumberOfArgsError():
            cause = "Redis refuses the password in REDIS_URL"
            mend = "correct the password in REDIS_URL"
        case BusyLoadingError():
            cause = "Redis has started and still loads its data"
            mend = "wait until it has loaded them"
        case ResponseError() if "MISCONF" in said:
            cause = "Redis cannot write to its disk, and accepts no writes"
            mend = "free space on that disk"
        case ResponseError():
            cause = "Redis refused a call"
            mend = "read the logs of this process and of Redis"
        case RedisTimeoutError():
            cause = "Redis does not answer in time"
            mend = "check its load and the network; if it is frozen, restart it"
            return RedisFailure(cause=cause, mend=mend, said="", refused=False)
        case _:
            cause = "Redis cannot be reached"
            mend = "start it, or correct REDIS_URL"
            return RedisFailure(cause=cause, mend=mend, said=said, refused=False)
    tells = isinstance(error, ResponseError) and not isinstance(error, ReadOnlyError | OutOfMemoryError)
    return RedisFailure(cause=cause, mend=mend, said=said if tells else "")
