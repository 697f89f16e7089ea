"""Faults of a real Valkey that can be set and mended while it runs."""

from contextlib import contextmanager


def set_fault(redis, name, *, on):
    """`read-only`: a replica whose primary is away; `full`: no memory is left; `no writes`: the user may only read."""
    match name:
        case "read-only":
            redis.execute_command("REPLICAOF", *(("127.0.0.1", "1") if on else ("NO", "ONE")))
        case "full":
            redis.config_set("maxmemory", 1 if on else 0)
        case "no writes":
            redis.execute_command("ACL", "SETUSER", "default", "-@write" if on else "+@write")


@contextmanager
def fault(redis, name):
    set_fault(redis, name, on=True)
    try:
        yield
    finally:
        set_fault(redis, name, on=False)


REFUSING = {
    "read-only": ("Redis is a read-only replica and accepts no writes", "REPLICAOF NO ONE"),
    "full": ("the memory of Redis is full, and it accepts no writes", "raise `maxmemory`"),
    "no writes": ("Redis does not allow this to the user in REDIS_URL", "ACL SETUSER"),
}
"""Faults in which Redis answers and refuses every write: the cause and the mend that people are told."""
