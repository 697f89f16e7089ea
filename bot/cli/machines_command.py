"""`mixtral-bot machines`: lists the machines of this installation, and ends orphans."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from secrets import token_hex
from typing import TextIO

from msgspec import MsgspecError
from msgspec.structs import replace
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rich.console import Console
from rich.text import Text

from bot.cli.concurrent import ask
from bot.cli.machines_table import Found, Wanted, as_row, cloud_of, price_of, show
from workers.clouds.driver import Driver, DriverError, Refused
from workers.clouds.usability import NAMES, statuses
from workers.control.reaping import is_of
from workers.deployment.attempt import MAY_COST, Phase
from workers.deployment.audit import COMMAND_LINE, LONGEST, OPERATOR, AuditEntry, AuditOutcome
from workers.deployment.audit_stream import AuditStream
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.identity import AnotherInstallation, held
from workers.deployment.log import Log
from workers.deployment.orphans import Orphans
from workers.deployment.state import Deployment, fold
from workers.errors import WorkersError
from workers.machines import Listing, Machine, Presence, Sighting, Unlisted, whereabouts
from workers.placement import shared_prices
from workers.placement.in_use import in_use
from workers.placement.offer import Offer
from workers.run import drivers_of
from workers.settings import Settings, from_environ

LISTED_WITHIN = timedelta(seconds=60)
Drivers = Callable[[Settings], Mapping[str, Driver]]


class WantedMachines:
    """Looks up which machines are wanted, by the event logs. After a failure of Redis, all lookups return UNKNOWN."""

    def __init__(self, url: str, installation: str) -> None:
        """`installation`: the id that this host has; if it is empty, the id in Redis is used."""
        self.installation = installation
        self.foreign = False
        """Whether Redis belongs to another installation than this host."""
        self.broken = "" if url else "REDIS_URL is not set"
        self._redis: Redis | None = None
        try:
            if url:
                # No retries, because a person waits.
                self._redis = Redis.from_url(
                    url, socket_connect_timeout=3, socket_timeout=5, retry=Retry(NoBackoff(), 0)
                )
                theirs = held(self._redis)
                self.installation = installation or theirs
                if theirs and theirs != self.installation:
                    self.foreign = True
                    self.broken = str(AnotherInstallation(theirs, installation)).rstrip(".")
        except ValueError:  # its text may quote a part of the password
            self.broken = "REDIS_URL is not a Redis address"
        except (RedisError, OSError) as error:
            self.broken = _no_answer(error)

    def wanted(self, sighting: Sighting) -> tuple[Wanted, str]:
        """Return whether the machine is wanted, and the deployment's name or the reason."""
        if self.broken or self._redis is None:
            return Wanted.UNKNOWN, self._unknown()
        id_ = DeploymentId(sighting.deployment)
        try:
            state = fold(id_, Log(self._redis).read(id_))
        except MsgspecError:
            return Wanted.UNKNOWN, f"unknown: the log of {id_} was written by another version"
        except (RedisError, OSError) as error:
            self.broken = _no_answer(error)
            return Wanted.UNKNOWN, self._unknown()
        return _wanted_by(sighting, state)

    def empty(self) -> bool:
        """Return whether Redis contains no deployment."""
        try:
            return not self.broken and self._redis is not None and not Log(self._redis).names()
        except (RedisError, OSError):
            return False

    def record(self, sighting: Sighting, outcome: AuditOutcome, why: str) -> bool:
        """Record in the audit that the operator ended the machine, or tried to; False if Redis does not answer."""
        entry = AuditEntry(
            at=datetime.now(UTC),
            who=OPERATOR,
            what="end an orphan",
            where=COMMAND_LINE,
            deployment=sighting.deployment,
            detail=sighting.machine.id,
            outcome=outcome,
            why=why,
        )
        try:
            return self._redis is not None and AuditStream(self._redis).append(entry, once=f"orphan.{token_hex(8)}")
        except (RedisError, OSError):
            return False

    def forget(self, machine: Machine) -> None:
        """Remove an orphan that was ended from those that are reported."""
        with suppress(RedisError, OSError):
            if self._redis is not None:
                Orphans(self._redis).forget(machine)

    def close(self) -> None:
        if self._redis is not None:
            self._redis.close()

    def _unknown(self) -> str:
        if self.foreign:
            return "unknown: Redis belongs to another installation"
        return f"unknown: {'REDIS_URL is not set' if 'not set' in self.broken else 'Redis does not answer'}"


def run(
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    *,
    end_orphans: bool = False,
    confirm: Callable[[str], bool] = lambda _: False,
    as_json: bool = False,
    drivers: Drivers = drivers_of,
) -> int:
    """Print the list. Return 0; 1 if a cloud could not be listed or a machine not be ended. Raises SettingsError.

    `confirm` is called once, after the machines to be ended are printed and before any is ended.
    """
    settings = from_environ(environ, needs_redis=False)
    clouds = drivers(settings)
    say = Console(file=err, highlight=False, emoji=False, soft_wrap=True)
    with closing(WantedMachines(settings.redis_url, settings.installation)) as logs:
        settings = replace(settings, installation=logs.installation)
        if not settings.installation:
            say.print(Text(_without_id(logs.broken)))
            return 1
        sightings, unlisted, skipped = _listed(clouds, settings, say)
        priced = _prices(environ)
        found = [_found(sighting, logs, priced) for sighting in sightings]
        if logs.foreign:
            say.print(Text(f"{logs.broken}."))
        elif logs.broken and (found or end_orphans):
            say.print(Text(f"{logs.broken}. It is unknown which machines are wanted: start Redis, or set REDIS_URL."))
        if not as_json:
            show(found, settings.installation, unlisted, skipped, now=datetime.now(UTC), out=out)
        done = not (unlisted or logs.foreign)
        if end_orphans:
            ended = _end_orphans(found, logs, clouds, confirm=confirm, say=say)
            done = done and ended is not None and not any(one.ended is False for one in ended)
            found = ended if ended is not None else found
    if as_json:
        print(json.dumps([as_row(one, datetime.now(UTC)) for one in found], indent=2), file=out)
    return 0 if done else 1


def _listed(
    clouds: Mapping[str, Driver], settings: Settings, say: Console
) -> tuple[list[Sighting], list[str], list[str]]:
    """Return the running machines, the clouds and regions that were not listed, and clouds without credentials."""
    known = statuses(settings.environ, drivers=frozenset(clouds))
    # A driver may find credentials outside of files and variables, for example on a machine of the cloud.
    there = {
        cloud: driver
        for cloud, driver in clouds.items()
        if cloud not in known
        or known[cloud].usable
        or cloud in (settings.clouds or ())
        or driver.status().reason != known[cloud].reason
    }
    skipped = [cloud for cloud in clouds if cloud not in there]
    for cloud in skipped:
        reason = (known[cloud].reason or "it cannot be used").removeprefix(f"{NAMES[cloud]}: ")
        mend = f" To list it, {known[cloud].mend}." if known[cloud].mend else ""
        say.print(Text(f"{NAMES[cloud]} was not listed: {reason}.{mend}"))
    questions = {NAMES.get(c, c): partial(driver.owned, settings.installation) for c, driver in there.items()}
    found: list[Sighting] = []
    unlisted: list[str] = []
    for name, answer in ask(questions, within=LISTED_WITHIN, console=say).items():
        if isinstance(answer, Exception):
            why = str(answer) if isinstance(answer, WorkersError | TimeoutError) else repr(answer)
            answer = Listing(unlisted=(Unlisted(place="", why=why),))  # noqa: PLW2901 - the same answer
        found += [s for s in answer if s.presence is Presence.RUNNING]
        for one in answer.unlisted:
            where = f"{name} {one.place}".rstrip()
            unlisted.append(where)
            say.print(Text(f"{where} could not be listed, so its machines are missing here: {one.why.rstrip('.')}."))
    return found, unlisted, [NAMES[cloud] for cloud in skipped]


def _without_id(broken: str) -> str:
    """Why the id of the installation is not known. `broken`: why Redis could not be asked; empty if it was."""
    if broken:
        return (
            f"This host has no installation id, by which machines are found, and {broken}. "
            "Start Redis, or set REDIS_URL or MIXTRAL_INSTALLATION."
        )
    return (
        "Neither this host nor Redis has an installation id, by which machines are found. "
        "Start `mixtral-bot worker`, or set MIXTRAL_INSTALLATION."
    )


def _no_answer(error: Exception) -> str:
    return f"Redis does not answer ({' '.join(str(error).split()).rstrip('.')})"


def _wanted_by(sighting: Sighting, state: Deployment | None) -> tuple[Wanted, str]:
    if state is None:
        return Wanted.NO, "none: the log of its deployment does not exist"
    if state.newer and not is_ending(state):
        return Wanted.UNKNOWN, f"unknown: a newer version wrote {state.newer} to the log of {state.name}"
    attempt = next((a for a in state.attempts if a.request.token == sighting.machine.token), None)
    if attempt is None:
        return Wanted.NO, f"none: the log of {state.name} does not contain it"
    if attempt.phase not in MAY_COST:
        return Wanted.NO, f"none: {state.name} has ended it"
    if attempt.machine is not None and not is_of(attempt, sighting.machine):
        return Wanted.NO, f"none: {state.name} has {attempt.machine.id} in its place"
    return Wanted.YES, f"{state.name} (shutting down)" if attempt.phase is Phase.SHUTTING_DOWN else state.name


def _prices(environ: Mapping[str, str]) -> dict[tuple[str, str, str, bool], Decimal]:
    """Return prices by cloud, zone, type and whether spot; none if the table cannot be read."""
    try:
        offers: Sequence[Offer] = in_use(environ, shared_prices.of_environ(environ)).offers
    except WorkersError:
        return {}
    return {(o.cloud, o.zone, o.instance_type, o.spot): o.usd_per_hour for o in offers if o.usd_per_hour is not None}


def _found(sighting: Sighting, logs: WantedMachines, priced: Mapping[tuple[str, str, str, bool], Decimal]) -> Found:
    offer = sighting.machine.offer
    price = offer.usd_per_hour
    if price is None:
        price = priced.get((offer.cloud, offer.zone, offer.instance_type, offer.spot))
    wanted, by = logs.wanted(sighting)
    return Found(sighting=sighting, usd_per_hour=price, wanted=wanted, by=by)


def _end_orphans(
    found: Sequence[Found],
    logs: WantedMachines,
    clouds: Mapping[str, Driver],
    *,
    confirm: Callable[[str], bool],
    say: Console,
) -> list[Found] | None:
    """Return each machine with its outcome; None if the logs cannot be read."""
    if logs.broken:
        say.print(Text("No machine was ended, because each of them may be wanted."))
        return None
    orphans = [one for one in found if one.wanted is Wanted.NO]
    if not orphans:
        say.print(Text("No machine to end: each is wanted, or its log could not be read."))
        return list(found)
    if logs.empty():
        say.print(Text("Redis contains no deployments. If it was emptied, or REDIS_URL is wrong, these may be wanted."))
    say.print(Text("To be ended:"))
    for one in orphans:
        machine = one.sighting.machine
        say.print(Text(f"  {machine.id}  {cloud_of(one)} {machine.offer.zone}  {price_of(one)} USD/h  {one.by}"))
    what = "this machine" if len(orphans) == 1 else f"these {len(orphans)} machines"
    if not confirm(f"End {what}?"):
        say.print(Text("No machine was ended."))
        return list(found)
    return [_end(one, logs, clouds, say) if one.wanted is Wanted.NO else one for one in found]


def _end(one: Found, logs: WantedMachines, clouds: Mapping[str, Driver], say: Console) -> Found:
    """End the machine, unless its log shows that it is wanted after all: the confirmation may have taken long."""
    machine = one.sighting.machine
    wanted, by = logs.wanted(one.sighting)
    if wanted is not Wanted.NO:
        say.print(Text(f"{machine.id} was not ended, because it is now wanted by {by}."))
        return replace(one, wanted=wanted, by=by, ended=False)
    try:
        clouds[machine.cloud].terminate(machine.token, whereabouts(machine))
    except (DriverError, Refused) as error:
        say.print(Text(f"{machine.id} could not be ended, and still costs money: {str(error).rstrip('.')}."))
        outcome = AuditOutcome.REFUSED if isinstance(error, Refused) else AuditOutcome.UNKNOWN
        _record(one, outcome, str(error)[:LONGEST], logs, say)
        return replace(one, ended=False)
    say.print(Text(f"{machine.id} was ended."))
    _record(one, AuditOutcome.DONE, by, logs, say)
    logs.forget(machine)
    return replace(one, ended=True)


def _record(one: Found, outcome: AuditOutcome, why: str, logs: WantedMachines, say: Console) -> None:
    if not logs.record(one.sighting, outcome, why):
        say.print(Text(f"Redis does not answer, so the audit lacks the request to end {one.sighting.machine.id}."))
