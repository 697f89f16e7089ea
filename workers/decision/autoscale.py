"""PURE: the number of replicas that a load requires."""

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
    """Summary of consecutive observations at one number of replicas. If it is lost, a delay starts again."""

    wanted: int | None = None
    seen: datetime | None = None
    """Time of the newest observation."""
    since: datetime | None = None
    """Start of the idle time: first observation of ready replicas without requests; if `wanted` is 0, the first one."""
    more_since: datetime | None = None
    least: int = 0
    """Smallest number above `wanted` that was required since `more_since`."""
    less_since: datetime | None = None
    most: int = 0
    """Largest number below `wanted` that was required since `less_since`."""


Decision = tuple[int, str, Memory]


def autoscale(policy: ReplicaPolicy, wanted: int, load: Load | None, memory: Memory, now: datetime) -> Decision:
    """The new number of replicas, the reason (for people, without a full stop), and the memory for the next call.

    Call it about every 10 s with the newest observation. Delays are measured between observations, and start again
    when `wanted` was changed by another cause. The number is `wanted` if nothing is to change.
    """
    if not moves(policy):
        return wanted, "the recipe's number of replicas is fixed", Memory()
    if wanted < policy.min_replicas:
        return policy.min_replicas, f"the recipe requires at least {_replicas(policy.min_replicas)}", Memory()
    if policy.max_replicas is not None and wanted > policy.max_replicas:
        return policy.max_replicas, f"the recipe allows at most {_replicas(policy.max_replicas)}", Memory()
    if load is None or abs(now - load.at) > STALE or not math.isfinite(load.qps):
        # A missing observation does not mean idle: an outage of the gateway must not end replicas or count as a delay.
        return wanted, "the load is not known", memory if wanted == 0 and memory.wanted == 0 else Memory()
    memory = _continued(memory, wanted, load)
    if wanted == 0:
        return _woken(policy, load, memory)
    if why := _why_idle(policy, load, memory):
        return 0, why, Memory()
    return _followed(policy, wanted, load, memory)


def _continued(memory: Memory, wanted: int, load: Load) -> Memory:
    """The memory, or a new one if `wanted` has changed or the observations have a gap longer than STALE.

    Also after a clock was set back: until it had caught up, no delay would end.
    """
    unbroken = memory.seen is not None and abs(load.at - memory.seen) <= STALE
    is_ahead = memory.since is not None and memory.since - load.at > STALE
    if memory.wanted != wanted or is_ahead or not (unbroken or wanted == 0):
        memory = Memory(wanted=wanted)
    arrived = load.last_request_at is not None and memory.seen is not None and load.last_request_at > memory.seen
    if wanted and (arrived or load.in_work > 0 or load.ready == 0):
        # Idle time begins when a replica is ready; otherwise a replica that starts slowly would end when it is ready.
        return replace(memory, seen=load.at, since=load.at)
    return replace(memory, seen=load.at, since=memory.since or load.at)


def _woken(policy: ReplicaPolicy, load: Load, memory: Memory) -> Decision:
    """Scale up from zero, without a delay, because a client waits."""
    arrived = load.last_request_at is not None and memory.since is not None and load.last_request_at > memory.since
    if load.held <= 0 and not arrived:
        return 0, "no request", memory
    target = max(1, _by_rate(policy, load.qps))
    if load.held > 0:
        return target, "a request waits" if load.held == 1 else f"{load.held} requests wait", Memory()
    return target, "a request came", Memory()


def _why_idle(policy: ReplicaPolicy, load: Load, memory: Memory) -> str | None:
    """Why no replica is needed; None if one is."""
    last = load.last_request_at
    if policy.min_replicas or load.held > 0 or (load.waiting or 0) > 0:
        return None
    if last is None and load.qps > 0:
        return None
    since = max((at for at in (last, memory.since) if at is not None), default=load.at)
    if since >= load.at or load.at - since < policy.downscale_delay:
        return None
    return f"no request for {_duration(policy.downscale_delay)}"


def _followed(policy: ReplicaPolicy, wanted: int, load: Load, memory: Memory) -> Decision:
    """Change the number when the load has required more, or fewer, replicas for a whole delay.

    The new number is the smallest one required during an upscale delay, or the largest one during a downscale delay.
    A peak or a dip shorter than the delay changes nothing. A further change takes a further delay.
    """
    need, why = _need(policy, wanted, load)
    if need > wanted:
        smallest = min(need, memory.least) if memory.more_since else need
        memory = replace(memory, more_since=memory.more_since or load.at, least=smallest, less_since=None)
        if memory.more_since and load.at - memory.more_since >= policy.upscale_delay:
            return smallest, why, Memory()
        return wanted, f"{why}; to {smallest} if it lasts {_duration(policy.upscale_delay)}", memory
    if need < wanted:
        largest = max(need, memory.most) if memory.less_since else need
        memory = replace(memory, less_since=memory.less_since or load.at, most=largest, more_since=None)
        if memory.less_since and load.at - memory.less_since >= policy.downscale_delay:
            return largest, why, Memory()
        return wanted, f"{why}; to {largest} if it lasts {_duration(policy.downscale_delay)}", memory
    return wanted, why, replace(memory, more_since=None, less_since=None)


def _need(policy: ReplicaPolicy, wanted: int, load: Load) -> tuple[int, str]:
    """Number of replicas that one observation requires, at least 1, and why."""
    target = policy.target_qps_per_replica
    if policy.max_replicas is None or not target or target <= 0:
        return wanted, "the recipe has no load target per replica"
    rate = f"{load.qps:.3g} {'request' if load.qps == 1 else 'requests'}/s, 1 replica takes {target:g}"
    by_rate = _by_rate(policy, load.qps)
    # A busy engine may have a queue of one, so only more waiting requests than replicas require another replica. One
    # replica at a time, and none while another one starts, because that one may be sufficient.
    step = 0 if load.ready is not None and load.ready < wanted else 1
    by_queue = min(load.waiting or 0, wanted + step, policy.max_replicas)
    if load.held > 0:
        by_queue = max(by_queue, wanted)
    if by_queue <= by_rate:
        return by_rate, rate
    waiting = max(load.held, load.waiting or 0)
    return by_queue, "a request waits" if waiting == 1 else f"{waiting} requests wait"


def _by_rate(policy: ReplicaPolicy, qps: float) -> int:
    """Number of replicas for a rate of requests: from 1 to the recipe's maximum."""
    target = policy.target_qps_per_replica
    maximum = policy.max_replicas
    if maximum is None or not target or target <= 0:
        return max(1, policy.min_replicas)
    exact = min(max(qps, 0.0) / target, float(maximum))
    # In floating point 1.1 / 0.1 is slightly more than 11; it must not require a twelfth replica.
    return max(1, policy.min_replicas, math.ceil(round(exact, 6)))


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _duration(length: timedelta) -> str:
    if length >= MINUTE and length % MINUTE == timedelta():
        return f"{length // MINUTE} min"
    return f"{length.total_seconds():g} s"
