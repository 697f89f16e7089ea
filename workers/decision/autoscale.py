"""PURE: how many replicas a load asks for."""

import math
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from recipes.replicas import moves
from recipes.schema import ReplicaPolicy
from workers.decision.load import STALE
from workers.deployment.loads import Load

MINUTE = timedelta(minutes=1)


class Memory(Struct, frozen=True, kw_only=True):
    """What has been seen in a row at one number of replicas. To lose it costs one more delay, and nothing else."""

    wanted: int | None = None
    seen: datetime | None = None
    """The newest observation."""
    since: datetime | None = None
    """The first in a row at which the replicas were up and idle; at zero, the first of all."""
    more_since: datetime | None = None
    least: int = 0
    """Of the numbers above `wanted` that were asked for since `more_since`, the smallest."""
    less_since: datetime | None = None
    most: int = 0
    """Of the numbers below `wanted` that were asked for since `less_since`, the largest."""


Decision = tuple[int, str, Memory]


def autoscale(policy: ReplicaPolicy, wanted: int, load: Load | None, memory: Memory, now: datetime) -> Decision:
    """The number of replicas to want, why (for people, no full stop), and what to remember until the next call.

    Call it about every ten seconds with the newest observation; delays are measured between observations. A number
    that changes by other hands starts every delay anew. The number is `wanted` itself where nothing is to change.
    """
    if not moves(policy):
        return wanted, "the recipe's number of replicas does not move", Memory()
    if wanted < policy.min_replicas:
        return policy.min_replicas, f"the recipe wants at least {_replicas(policy.min_replicas)}", Memory()
    if policy.max_replicas is not None and wanted > policy.max_replicas:
        return policy.max_replicas, f"the recipe allows at most {_replicas(policy.max_replicas)}", Memory()
    if load is None or now - load.at > STALE or not math.isfinite(load.qps):
        # Silence is no quiet: a gateway that is away must neither end replicas nor count towards a delay.
        return wanted, "the load is not known", memory if wanted == 0 and memory.wanted == 0 else Memory()
    memory = _continued(memory, wanted, load)
    if wanted == 0:
        return _woken(policy, load, memory)
    if why := _quiet(policy, load, memory):
        return 0, why, Memory()
    return _followed(policy, wanted, load, memory)


def _continued(memory: Memory, wanted: int, load: Load) -> Memory:
    """The memory, or a new one where the number has changed or too much time went by unseen."""
    unbroken = memory.seen is not None and load.at - memory.seen <= STALE
    if memory.wanted != wanted or not (unbroken or wanted == 0):
        memory = Memory(wanted=wanted)
    came = load.last_request_at is not None and memory.seen is not None and load.last_request_at > memory.seen
    if wanted and (came or load.in_work > 0 or load.ready == 0):
        # Quiet begins when replicas are up: one that starts longer than the quiet may last would end as it comes.
        return replace(memory, seen=load.at, since=load.at)
    return replace(memory, seen=load.at, since=memory.since or load.at)


def _woken(policy: ReplicaPolicy, load: Load, memory: Memory) -> Decision:
    """From zero, at once: somebody waits, and each second counts."""
    came = load.last_request_at is not None and memory.since is not None and load.last_request_at > memory.since
    if load.held <= 0 and not came:
        return 0, "no request", memory
    target = max(1, _by_rate(policy, load.qps))
    if load.held > 0:
        return target, "a request waits" if load.held == 1 else f"{load.held} requests wait", Memory()
    return target, "a request came", Memory()


def _quiet(policy: ReplicaPolicy, load: Load, memory: Memory) -> str | None:
    """Why there may be no replica at all; None: there must be one."""
    last = load.last_request_at
    if policy.min_replicas or load.held > 0 or (load.waiting or 0) > 0:
        return None
    if last is None and load.qps > 0:
        return None
    since = max((at for at in (last, memory.since) if at is not None), default=load.at)
    if since >= load.at or load.at - since < policy.downscale_delay:
        return None
    return f"no request for {_spoken(policy.downscale_delay)}"


def _followed(policy: ReplicaPolicy, wanted: int, load: Load, memory: Memory) -> Decision:
    """After the load, once it has asked for more, or for less, for the whole of a delay.

    Up goes to the smallest number asked for meanwhile, down to the largest: what the load needed all the time. A
    peak buys nothing that is gone when it boots, a dip ends nothing that is missed a minute later, and a load that
    swings about a border moves nothing. What is still missing then is asked for again, with a delay of its own.
    """
    need, why = _need(policy, wanted, load)
    if need > wanted:
        least = min(need, memory.least) if memory.more_since else need
        memory = replace(memory, more_since=memory.more_since or load.at, least=least, less_since=None)
        if memory.more_since and load.at - memory.more_since >= policy.upscale_delay:
            return least, why, Memory()
        return wanted, f"{why}; to {least} if it lasts {_spoken(policy.upscale_delay)}", memory
    if need < wanted:
        most = max(need, memory.most) if memory.less_since else need
        memory = replace(memory, less_since=memory.less_since or load.at, most=most, more_since=None)
        if memory.less_since and load.at - memory.less_since >= policy.downscale_delay:
            return most, why, Memory()
        return wanted, f"{why}; to {most} if it lasts {_spoken(policy.downscale_delay)}", memory
    return wanted, why, replace(memory, more_since=None, less_since=None)


def _need(policy: ReplicaPolicy, wanted: int, load: Load) -> tuple[int, str]:
    """How many replicas one observation asks for, at least one, and why."""
    target = policy.target_qps_per_replica
    if policy.max_replicas is None or not target or target <= 0:
        return wanted, "nothing but requests at all moves the number"
    rate = f"{load.qps:.3g} {'request' if load.qps == 1 else 'requests'}/s, 1 replica takes {target:g}"
    by_rate = _by_rate(policy, load.qps)
    # An engine of its own queues while it works: only more that wait than there are replicas is a queue. One step at a
    # time, and none while one is on its way, for it may be all that is needed.
    step = 0 if load.ready is not None and load.ready < wanted else 1
    by_queue = min(load.waiting or 0, wanted + step, policy.max_replicas)
    if load.held > 0:
        by_queue = max(by_queue, wanted)
    if by_queue <= by_rate:
        return by_rate, rate
    waiting = max(load.held, load.waiting or 0)
    return by_queue, "a request waits" if waiting == 1 else f"{waiting} requests wait"


def _by_rate(policy: ReplicaPolicy, qps: float) -> int:
    """From one to the recipe's most."""
    target = policy.target_qps_per_replica
    most = policy.max_replicas
    if most is None or not target or target <= 0:
        return max(1, policy.min_replicas)
    exact = min(max(qps, 0.0) / target, float(most))
    # 1.1 / 0.1 is a hair more than 11, and a hair is no reason for a twelfth GPU.
    return max(1, policy.min_replicas, math.ceil(round(exact, 6)))


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _spoken(length: timedelta) -> str:
    if length >= MINUTE and length % MINUTE == timedelta():
        return f"{length // MINUTE} min"
    return f"{length.total_seconds():g} s"
