"""Observes machines: lists each place that has some, and each whole cloud, in threads, for a later sweep.

Whether a machine is missing is decided by complete lists of its own place only. The lists of whole clouds find
machines in places that no log names.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from workers.clouds.driver import Driver, not_allowed
from workers.control.cloud_ends import CloudEnds
from workers.control.collector import Collector
from workers.control.contact import Contact
from workers.control.machine_ends import MachineEnds
from workers.control.reaping import Reaper, is_of
from workers.control.recording import Recorder, each
from workers.decision.verdict import Gone, verdict_on_machine
from workers.deployment.attempt import MAY_COST, Attempt, Phase
from workers.deployment.events import Control, EngineProgressed, MachineAddressed
from workers.deployment.state import Deployment
from workers.machines import Listing, Presence, Sighting, Token, Unlisted

logger = logging.getLogger(__name__)

LIST_LOCAL_EVERY = timedelta()
LIST_BUSY_EVERY = timedelta(seconds=5)
"""Interval for a place with machines of a deployment. A preemption must be noticed within 15 s."""

LIST_IDLE_EVERY = timedelta(minutes=5)
"""Interval for whole clouds. A machine outside of these places is ended or logged."""

MAX_THREADS = 32
"""Maximum number of concurrent lists. A place that does not answer occupies one until the call's timeout."""

MISSED_IS_GONE = 2
"""Number of consecutive lists without a machine after which the machine counts as gone."""

SHOWN_WITHIN = timedelta(seconds=20)
"""Maximum time from the creation of a machine to its first appearance in a list, for clouds and `local`."""


Place = tuple[str, str]
"""A cloud and a part of it; the part is empty for the whole cloud."""


class PlaceListed(Struct, frozen=True, kw_only=True):
    """The answer of one place."""

    begun: datetime
    listing: Listing


class Observer:
    """Lists each place at its own interval, appends what changed, and passes running machines to the reaper."""

    def __init__(
        self,
        recorder: Recorder,
        drivers: Mapping[str, Driver],
        installation: str,
        reaper: Reaper,
        end_times: CloudEnds,
    ) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._installation = installation
        self._reaper = reaper
        self._end_times = end_times
        self._ends = MachineEnds(recorder, drivers)
        self._missed: dict[Token, int] = {}
        """Number of consecutive lists without the machine. If it is lost, counting starts again."""
        self._lists = Collector[Place, PlaceListed]("list", MAX_THREADS)
        self._listed_at: dict[Place, datetime] = {}
        self._contact = Contact(recorder, Control.LIST)
        self._silent: set[Place] = set()
        """Places whose last list failed."""

    def hurry(self) -> None:
        """List every place in the next sweep, whatever its interval."""
        self._listed_at.clear()

    def ask(self, attempts: Sequence[tuple[Deployment, Attempt]]) -> None:
        """Start to list each place that is due. `attempts`: those whose machine may cost."""
        known = {attempt.request.token for _, attempt in attempts}
        self._missed = {token: missed for token, missed in self._missed.items() if token in known}
        self._contact.retain(known)
        for state, attempt in self._recorder.leased():
            if attempt.machine is not None and attempt.offer.cloud not in self._drivers:
                self._contact.failed(state, attempt, not_allowed(attempt.offer.cloud))
        every = {(cloud, ""): LIST_IDLE_EVERY for cloud in self._drivers}
        every |= dict.fromkeys({place for _, a in attempts if (place := self._place(a))}, LIST_BUSY_EVERY)
        now = self._recorder.now()
        self._listed_at = {place: at for place, at in self._listed_at.items() if place in every}
        self._silent &= set(every)
        for place, pause in every.items():
            last = self._listed_at.get(place)
            # After a step back of the clock, `last` is in the future.
            rests = last is not None and timedelta() <= now - last < (
                LIST_LOCAL_EVERY if place[0] == "local" else pause
            )
            if not rests and self._lists.ask(place, self._list, place, now):
                self._listed_at[place] = now

    def collect(self, until: float) -> None:
        """Process the lists that have arrived by `until` (monotonic seconds)."""
        for place, listed in self._lists.collect(until):
            self._observe(place, listed)
        self._ends.collect()
        self._reaper.collect()

    def _place(self, attempt: Attempt) -> Place | None:
        """Where its machine is listed; None if this worker may not use the cloud."""
        driver = self._drivers.get(attempt.offer.cloud)
        return (attempt.offer.cloud, driver.place(attempt.offer)) if driver else None

    def _list(self, place: Place, now: datetime) -> PlaceListed:
        cloud, part = place
        try:
            status = self._drivers[cloud].status()
            if status.usable or status.lists:
                return PlaceListed(begun=now, listing=self._drivers[cloud].owned(self._installation, part))
            mend = status.mend or ""
            why = f"{status.reason}. {mend[:1].upper()}{mend[1:]}".rstrip(". ")
        except Exception as error:  # a driver's defect must not be taken for an empty list
            logger.exception("the list of %s failed", " ".join(place).rstrip())
            why = f"the list failed: {error!r}"
        return PlaceListed(begun=now, listing=Listing(unlisted=(Unlisted(place=part, why=why),)))

    def _observe(self, place: Place, listed: PlaceListed) -> None:
        cloud, _ = place
        self._note_silence(place, listed.listing)
        attempts = [(s, a) for s, a in self._recorder.attempts(MAY_COST) if a.offer.cloud == cloud]
        known = {a.request.token: a for _, a in attempts}
        seen = {
            sighting.machine.token: sighting
            for sighting in listed.listing
            if (attempt := known.get(sighting.machine.token)) is None or is_of(attempt, sighting.machine)
        }
        each(self._observe_machine, attempts, seen.items())
        own = [(s, a) for s, a in attempts if self._place(a) == place]
        if listed.listing.unlisted:
            why = listed.listing.unlisted[0].why
            each(self._contact.failed, own, [(a.request.token, why) for _, a in own if a.machine])
        else:
            each(self._observe_missing, own, [(a.request.token, listed) for _, a in own if a.request.token not in seen])
            for state, attempt in own:
                self._contact.worked(state, attempt)
        for sighting in listed.listing:
            if sighting.presence is Presence.RUNNING:
                self._reaper.look(self._drivers[cloud], sighting)
        self._end_times.settle(listed.listing)

    def _note_silence(self, place: Place, listing: Listing) -> None:
        """Log when a place begins and ceases to fail."""
        if listing.unlisted and place not in self._silent:
            self._silent.add(place)
            for one in listing.unlisted:
                logger.warning("%s is not listed: %s", f"{place[0]} {one.place}".rstrip(), one.why)
        elif not listing.unlisted and place in self._silent:
            self._silent.discard(place)
            logger.info("%s is listed again", " ".join(place).rstrip())

    def _observe_machine(self, state: Deployment, attempt: Attempt, sighting: Sighting) -> None:
        self._missed.pop(attempt.request.token, None)
        self._record_what_is_new(state, attempt, sighting)
        verdict = verdict_on_machine(attempt, sighting)
        if isinstance(verdict, Gone):
            self._ends.ask(state, attempt, verdict, listed=True)

    def _observe_missing(self, state: Deployment, attempt: Attempt, listed: PlaceListed) -> None:
        token = attempt.request.token
        # A list may be older than the machine, or delayed: only those begun SHOWN_WITHIN after its creation count.
        created = attempt.ready_at or attempt.since  # by our clock, which may be ahead of the cloud's
        if attempt.machine is not None:
            created = max(created, attempt.machine.created_at)
        self._missed[token] = self._missed.get(token, 0) + (created + SHOWN_WITHIN <= listed.begun)
        if self._missed[token] < MISSED_IS_GONE or not self._recorder.sees_all(attempt):
            return
        verdict = verdict_on_machine(attempt, None)
        if isinstance(verdict, Gone):
            self._ends.ask(state, attempt, verdict, listed=False)

    def _record_what_is_new(self, state: Deployment, attempt: Attempt, sighting: Sighting) -> None:
        if sighting.presence is not Presence.RUNNING:
            return
        recorder = self._recorder
        address = sighting.machine.address
        if address and attempt.machine and attempt.machine.address != address:
            recorder.append(state, MachineAddressed(**recorder.stamp(), attempt=attempt.number, address=address))
        if attempt.phase is not Phase.STARTING:
            return
        progress = recorder.masked(state, sighting.progress)
        if progress not in ("", attempt.progress):
            recorder.append(state, EngineProgressed(**recorder.stamp(), attempt=attempt.number, progress=progress))
