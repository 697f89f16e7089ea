"""The interface of the workers for the bot: launch, change, end, read and follow deployments."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from msgspec import MsgspecError, Struct
from redis import Redis
from redis.exceptions import LockError
from redis.exceptions import TimeoutError as RedisTimeout

from recipes.schema import Recipe
from workers.clouds.driver import Driver
from workers.decision.worker_absence import WorkersAway, away_by_age
from workers.deployment.attempt import Attempt
from workers.deployment.condition import is_ending, only_ends
from workers.deployment.confidential import Confidential
from workers.deployment.events import (
    AnyEvent,
    Approval,
    Clock,
    ClockHeld,
    DeploymentId,
    EndScheduled,
    EventId,
    KeepTryingRequested,
    KeyId,
    KeyIssued,
    KeyRevoked,
    Place,
    Requested,
    ScaleRequested,
    Shared,
    StopRequested,
    Unshared,
)
from workers.deployment.key_uses import KeyUses
from workers.deployment.keys import MAX_KEYS, new_key, new_key_id
from workers.deployment.ledger import Book
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import KEPT_AFTER_END, Log, Stamp, new_id, stamp
from workers.deployment.machine_logs import MachineLogs, read_until
from workers.deployment.orphans import Orphan, Orphans
from workers.deployment.past import Past
from workers.deployment.projection import Projection
from workers.deployment.snapshot import ids_in
from workers.deployment.state import Deployment, fold
from workers.errors import WorkersError
from workers.heartbeats import Heartbeat, read
from workers.lease import SWEEPER, is_held
from workers.nudges import Nudge
from workers.placement.limits import Limits
from workers.redis_clock import RedisClock
from workers.settings import KEEP_TRYING_EVERY

KEEP_TRYING_FOR = timedelta(hours=12)
"""Time for which a dry ladder is tried again after one request."""
PAST_READ = 50
"""Maximum number of ended deployments that `ended` returns."""
RECENTLY_ENDED = timedelta(days=1)
"""Maximum time since the end of a deployment for its name to be in `past_names`."""


_TURN_LASTS, _TURN_IN = 10, 5
"""Seconds after which a turn of a process that has ended expires, and seconds to wait for a turn."""


class NoSuchDeployment(WorkersError):
    """No deployment of this name is running."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = f"Running: {', '.join(known)}." if known else "Nothing is running: start with `/mixtral launch`."
        super().__init__(f"No deployment is called {name}. {there}")
        self.name = name
        self.known = tuple(known)


class EventLogGone(WorkersError):
    """The log of a deployment that has not ended is not in Redis."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The log of {name} is no longer in Redis, so its state is not known, and its machines may run on and "
            "cost money until their leases end. `mixtral-bot machines` lists them. Restore Redis from a backup, or end "
            "them with `mixtral-bot machines --end-orphans`, and free the name with "
            f"`redis-cli HDEL mixtral:names {name}`."
        )


class WrittenByNewer(WorkersError):
    """A newer version has written to the deployment's log."""

    def __init__(self, state: Deployment) -> None:
        super().__init__(
            f"{state.name} cannot be changed: a newer version of mixtral-bot wrote {state.newer} to its log, which "
            f"this version ({version('mixtral-bot')}) cannot read. Its machines run on, and their leases are extended. "
            "Upgrade the bot, the workers and the gateway to the newest version that runs, and repeat the command."
        )


class KeyMade(WorkersError):
    """The key of this id was made before."""

    def __init__(self, key: KeyId) -> None:
        super().__init__(f"The key {key} was made already, and was shown then.")
        self.key = key


class TooManyKeys(WorkersError):
    """The deployment has the maximum number of keys."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has {MAX_KEYS} keys, which is the maximum, so none was made. Revoke one first: "
            f"`/mixtral key {name} revoke ID`; `/mixtral key {name} list` shows the ids."
        )


class LogsGone(WorkersError):
    """No machine of the deployment has a log."""


class ReplicaLog(Struct, frozen=True, kw_only=True):
    """The last lines of the log of one replica's machine."""

    replica: int
    place: str
    tail: str


def _log_of(attempt: Attempt, tail: str = "") -> ReplicaLog:
    return ReplicaLog(replica=attempt.replica, place=f"{attempt.offer.cloud} {attempt.offer.zone}", tail=tail)


class Deployments:
    """What people can request from the workers. Every call returns within milliseconds, or raises a WorkersError."""

    def __init__(
        self,
        redis: Redis,
        nudge: Nudge,
        drivers: dict[str, Driver],
        keep_trying_every: timedelta = KEEP_TRYING_EVERY,
        *,
        clock: Callable[[], datetime] | None = None,
        nudge_end: Nudge | None = None,
    ) -> None:
        self._redis: Any = redis
        self._log = Log(redis)
        self._projection = Projection(self._log)
        self._ledger = Ledger(redis)
        self._key_uses = KeyUses(redis)
        self._past = Past(self._log)
        self._confidential = Confidential(self._log, os.environ)
        self._orphans = Orphans(redis)
        self._nudge, self._nudge_end = nudge, nudge_end or nudge
        self._machine_logs = MachineLogs(self._confidential, drivers)
        self._keep_trying_every = keep_trying_every
        self.now: Callable[[], datetime] = clock or RedisClock(redis)
        """The time of the installation."""

    @contextmanager
    def in_turn(self, launcher: str) -> Iterator[None]:
        """Changes of what one person launched, one after the other, in all processes: for limits of their sum.

        Raises RedisError, also if the turn does not come within seconds.
        """
        name = f"launcher:{launcher}"
        lock = self._redis.lock(f"mixtral:lease:{name}", timeout=_TURN_LASTS, blocking_timeout=_TURN_IN)
        if not lock.acquire():
            raise RedisTimeout("other changes of the same person take too long")
        try:
            yield
        finally:
            with suppress(LockError):  # it expired
                lock.release()

    def launch(
        self,
        recipe: Recipe,
        *,
        name: str,
        replicas: int,
        place: Place,
        limits: Limits,
        once: str,
        until: datetime | None = None,
        ceiling: Decimal | None = None,
        approved: Approval | None = None,
        stop_after_idle: timedelta | None = None,
        hours: str = "",
    ) -> DeploymentId:
        """Request a deployment; return its id. A repetition with the same `once` (Slack's trigger id) has no effect.

        `until`: when it is to end; None: when a person ends it. `ceiling`: maximum USD per hour of all its replicas.
        `stop_after_idle`: time without a request after which it ends. `hours`: as `recipes.hours` writes them; outside
        of them it pauses at 0 replicas.

        Raises NameTaken, with the deployment that has the name.
        """
        requested = Requested(
            **stamp(self.now()),
            name=name,
            recipe=recipe,
            replicas=replicas,
            place=place,
            limits=limits,
            until=until,
            ceiling=ceiling,
            approved=approved,
            stop_after_idle=stop_after_idle,
            hours=hours,
        )
        id_ = self._log.open(new_id(), requested, new_key(), once)
        self._nudge(id_)
        return id_

    def scale(
        self,
        deployment: DeploymentId,
        replicas: int,
        *,
        by: str,
        once: str = "",
        ceiling: Decimal | None = None,
        approved: Approval | None = None,
    ) -> Deployment:
        """Request another number of replicas, and return the new state; an ending deployment is returned unchanged.

        `once`: a repetition with the same text has no effect. `ceiling`: the new maximum USD per hour; None: as before.

        Every change is by id: a name may belong to another deployment by the time of the change.
        Raises NoSuchDeployment, WrittenByNewer, as every change does.
        """
        scaled = ScaleRequested(**self._stamp(once), replicas=replicas, by=by, ceiling=ceiling, approved=approved)
        return self._decide(deployment, scaled)

    def stop(self, deployment: DeploymentId, *, by: str, once: str = "") -> Deployment:
        """Request the end of a deployment, and return the new state. `once`: as for `scale`.

        Raises NoSuchDeployment.
        """
        return self._decide(deployment, StopRequested(**self._stamp(once), by=by))

    def keep_until(self, deployment: DeploymentId, until: datetime, *, by: str) -> Deployment:
        """Set another time at which the deployment ends, and return the new state. Raises NoSuchDeployment."""
        return self._decide(deployment, EndScheduled(**stamp(self.now()), until=until, by=by))

    def hold(self, deployment: DeploymentId, clock: Clock, until: datetime, *, by: str) -> Deployment:
        """Keep a clock from ending or pausing a deployment before `until`; return the new state.

        Raises NoSuchDeployment.
        """
        return self._decide(deployment, ClockHeld(**stamp(self.now()), clock=clock, until=until, by=by))

    def share(self, deployment: DeploymentId, user: str, *, by: str) -> Deployment:
        """Make a person a co-owner, and return the new state. Raises NoSuchDeployment."""
        return self._decide(deployment, Shared(**stamp(self.now()), user=user, by=by))

    def unshare(self, deployment: DeploymentId, user: str, *, by: str) -> Deployment:
        """Make a person no longer a co-owner, and return the new state. Raises NoSuchDeployment."""
        return self._decide(deployment, Unshared(**stamp(self.now()), user=user, by=by))

    def issue_key(self, deployment: DeploymentId, *, user: str, by: str, id_: KeyId | None = None) -> tuple[KeyId, str]:
        """Make another key to the endpoint for `user`; return its id and the key.

        Raises NoSuchDeployment, KeyMade, TooManyKeys.

        `id_`: from `new_key_id`, if the caller has to store it before, or may repeat the request.
        """
        made = KeyIssued(**stamp(self.now()), key=id_ or new_key_id(), user=user, by=by)
        key = new_key()

        def append(state: Deployment) -> bool:
            if any(known.id == made.key for known in state.keys):
                raise KeyMade(made.key)  # its owner has it: the new one would replace it
            if len(state.keys) >= MAX_KEYS:
                raise TooManyKeys(state.name)
            return self._log.issue(state.id, state.version, made, key)

        self._while_it_runs(deployment, append)
        return made.key, key

    def revoke_key(self, deployment: DeploymentId, key: KeyId, *, by: str) -> None:
        """Revoke a key of the endpoint, unless it is revoked already. Raises NoSuchDeployment."""
        made = KeyRevoked(**stamp(self.now()), key=key, by=by)
        self._while_it_runs(deployment, lambda state: self._log.revoke(state.id, state.version, made))

    def keep_trying(self, deployment: DeploymentId, *, by: str, once: str = "") -> Deployment:
        """Request that a dry ladder is tried repeatedly for KEEP_TRYING_FOR. `once`: as for `scale`.

        Raises NoSuchDeployment.
        """
        every, until = self._keep_trying_every, self.now() + KEEP_TRYING_FOR
        return self._decide(deployment, KeepTryingRequested(**self._stamp(once), by=by, every=every, until=until))

    def get(self, name: str) -> Deployment:
        """The deployment of this name. Raises NoSuchDeployment, EventLogGone, UnreadableLog."""
        names = self._log.names()
        if name not in names:
            raise NoSuchDeployment(name, sorted(names))
        state = self.by_id(names[name])
        if state is None:
            raise EventLogGone(name)
        return state

    def by_id(self, deployment: DeploymentId) -> Deployment | None:
        """The deployment of this id, ended or not; None if its log is gone. Raises UnreadableLog."""
        return self._projection.newest(deployment)

    def past_names(self) -> frozenset[str]:
        """Names of deployments that ended within RECENTLY_ENDED; a name may be in use again."""
        return frozenset(self._log.past(self.now() - RECENTLY_ENDED))

    def last_of(self, name: str) -> Deployment | None:
        """The deployment that last ended under this name; None if there was none, or if its log cannot be read."""
        id_ = self._log.past(self.now() - KEPT_AFTER_END).get(name)
        try:
            return self.by_id(id_) if id_ else None
        except MsgspecError:
            return None

    def ended(self, since: datetime) -> list[Deployment]:
        """The last PAST_READ deployments that ended after `since`, newest first, as far as their logs can be read."""
        return self._past.since(since, PAST_READ)

    def all(self) -> list[Deployment]:
        """Every deployment that has not ended, by name."""
        names = self._log.names()  # before the refresh, which then includes each of them
        self._projection.refresh(self.now())
        if missing := names.values() - self._projection.states.keys():
            self._projection.read(missing)  # after a restore of Redis the feed may lack them
        found = (self._projection.states.get(id_) for _, id_ in sorted(names.items()))
        return [state for state in found if state is not None and not state.ended]

    def lost(self) -> tuple[str, ...]:
        """The names whose logs are no longer in Redis, or cannot be read."""
        there = {state.id for state in self.all()}
        missing = {name: id_ for name, id_ in self._log.names().items() if id_ not in there}
        return tuple(sorted(name for name, id_ in missing.items() if not self._is_readable(id_)))

    def heartbeats(self) -> tuple[list[Heartbeat], bool]:
        """The newest sign of each part of each worker, and whether a sweeper holds its lease. Raises RedisError."""
        return read(self._redis), is_held(self._redis, SWEEPER)

    def orphans(self) -> list[Orphan]:
        """Machines that run and that no log contains, dearest first, as of the last lists. Raises RedisError."""
        return self._orphans.running(self.now())

    def workers_away(self) -> WorkersAway | None:
        """Which workers have not answered for a minute; None if they do. Raises RedisError."""
        beats, swept = self.heartbeats()
        return away_by_age(beats, swept=swept)

    def _is_readable(self, deployment: DeploymentId) -> bool:
        try:
            return self.by_id(deployment) is not None
        except MsgspecError:
            return False

    def book(self) -> Book:
        """The use of every machine so far, also of deployments whose logs are gone."""
        return self._ledger.book()

    def key(self, deployment: DeploymentId) -> str | None:
        """The launcher's key; None if it was revoked. Must not be put into a channel, a log line or an event."""
        return self._log.key(deployment)

    def own_key(self, deployment: DeploymentId) -> str | None:
        """The bot's own key to the endpoint, for questions from Slack; None if the deployment has ended."""
        return self._log.secrets(deployment).bot or None

    def key_uses(self, deployment: DeploymentId) -> dict[KeyId, datetime]:
        """The last use of each key that was used in the last 30 days. Raises RedisError."""
        return self._key_uses.read(deployment, self.now())

    def logs(self, deployment: DeploymentId, lines: int, *, newest: int | None = None) -> list[ReplicaLog]:
        """The last `lines` lines of each replica's log, newest replica last. Raises LogsGone, also after the end.

        `newest`: number of logs that are read, each by a call to its cloud; the older ones are listed without text.
        Unlike the other calls, this one may take as long as `MachineLogs` waits for the clouds.

        By id: another deployment, which fewer people may see, can have the name of one that has ended.
        """
        state = self.by_id(deployment)
        if state is None or state.ended:
            raise LogsGone(
                f"{state.name if state else 'This deployment'} has ended. Its logs were deleted with its machines."
            )
        there = [a for a in reversed(state.attempts) if a.machine and (a.log_tail or not a.gone_at)]
        found: list[ReplicaLog] = []
        until = read_until()
        while there and (newest is None or len(found) < newest):
            count = len(there) if newest is None else newest - len(found)
            some, there = there[:count], there[count:]
            tails = self._machine_logs.read(state, some, lines, until)
            found += [
                _log_of(attempt, self._confidential.masked(state, tail))
                for attempt, tail in zip(some, tails, strict=True)
                if tail
            ]
        found += [_log_of(attempt) for attempt in there]
        if not found:
            raise LogsGone(f"{state.name} has no log yet: none of its machines has printed anything.")
        return found[::-1]

    def position(self) -> str:
        """The current end of the feed, for `follow`."""
        return self._log.feed_end()

    def follow(self, after: str, wait: timedelta) -> Iterator[tuple[str, DeploymentId]]:
        """(position, deployment) of each change after a position; ends if there is none within `wait`."""
        return self._log.follow(after, wait)

    def _while_it_runs(self, deployment: DeploymentId, append: Callable[[Deployment], bool]) -> None:
        while True:
            state = self.by_id(deployment)
            if state is None or is_ending(state):
                raise NoSuchDeployment(state.name if state else deployment, sorted(self._log.names()))
            if state.newer:
                raise WrittenByNewer(state)
            if append(state):
                return

    def _decide(self, deployment: DeploymentId, made: AnyEvent) -> Deployment:
        while True:
            events = self._log.read(deployment)
            state = fold(deployment, events)
            if state is None:
                raise NoSuchDeployment(deployment, sorted(self._log.names()))
            if is_ending(state) or made.event_id in ids_in(events):
                return state
            if state.newer:
                raise WrittenByNewer(state)
            if self._log.append(state.id, state.version, [made]):
                after = fold(state.id, [made], onto=state)
                assert after is not None  # noqa: S101 - a fold onto a state is a state
                (self._nudge_end if only_ends(after) else self._nudge)(state.id)
                return after

    def _stamp(self, once: str) -> Stamp:
        """The current time, and an id that is the same for the same `once`."""
        made = stamp(self.now())
        return Stamp(event_id=EventId(f"once-{once}"), at=made["at"]) if once else made
