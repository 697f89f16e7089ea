"""PURE: the attempts of a state while events are folded onto it, by number; those that no longer matter leave it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from workers.deployment.attempt import LIVE, MAY_COST, Attempt, Phase
from workers.deployment.events import MachineCreated

REFUSED_KEPT_FOR = timedelta(hours=1)
"""Age up to which each refused attempt is kept. A call of another worker for it may still make a machine, and takes
minutes at most.
"""

KEPT_FOR = timedelta(hours=6)
"""Age after which a refused attempt leaves, and one whose machine is gone, unless a rule below keeps it. A ladder may
be dry for weeks, and replicas may be preempted every hour.
"""

ALIKE_KEPT = 6
"""Number of refused attempts with the same answer that are kept after REFUSED_KEPT_FOR: the newest ones. More would
change no decision: consecutive back-offs are counted up to 5, and the refusals of a spare's offer up to 4.
"""

GONE_KEPT = 20
"""Number of the newest attempts without a machine that are kept for people, however old they are; refused ones do not
count.
"""


class Left(Struct, frozen=True, kw_only=True):
    """What is known of the attempts that have left the state: sums."""

    attempts: int = 0
    usd: Decimal = Decimal(0)
    """What their machines have cost."""
    saved: Decimal = Decimal(0)
    """What their spot machines have saved compared with on demand."""
    rented: int = 0
    """Number of their machines that a cloud has charged."""
    unpriced: int = 0
    """Number of their machines without a known price."""


def with_attempt(left: Left, attempt: Attempt, now: datetime) -> Left:
    """The sums with one more attempt, whose machine is gone."""
    if attempt.machine is None:
        return replace(left, attempts=left.attempts + 1)
    return Left(
        attempts=left.attempts + 1,
        usd=left.usd + attempt.cost(now),
        saved=left.saved + attempt.saved(now),
        rented=left.rented + (attempt.offer.cloud != "local"),
        unpriced=left.unpriced + (attempt.offer.usd_per_hour is None),
    )


class WorkingSet:
    """Attempts in the order of their intents. A change of one costs the same, however many there are."""

    def __init__(self, attempts: Iterable[Attempt] = ()) -> None:
        self.set(attempts)

    def set(self, attempts: Iterable[Attempt]) -> None:
        self._all = list(attempts)
        self._at: dict[int, list[int]] = {}
        """The positions of each number; more than one only in a log that contradicts itself."""
        for position, attempt in enumerate(self._all):
            self._at.setdefault(attempt.number, []).append(position)
        self._phases = Counter(attempt.phase for attempt in self._all)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._all)

    @property
    def live(self) -> int:
        return sum(self._phases[phase] for phase in LIVE)

    @property
    def ready(self) -> int:
        return self._phases[Phase.READY]

    def add(self, attempt: Attempt) -> None:
        if self._all and attempt.request.boot == self._all[-1].request.boot:  # most are alike, and large: keep one
            attempt = replace(attempt, request=replace(attempt.request, boot=self._all[-1].request.boot))
        self._at.setdefault(attempt.number, []).append(len(self._all))
        self._phases[attempt.phase] += 1
        self._all.append(attempt)

    def change(self, number: int, change: Callable[[Attempt], Attempt]) -> None:
        """Replace the attempt of this number; no effect if it is not there."""
        for position in self._at.get(number, ()):
            before = self._all[position]
            after = self._all[position] = change(before)
            self._phases[before.phase] -= 1
            self._phases[after.phase] += 1

    def change_all(self, change: Callable[[Attempt], Attempt]) -> None:
        for number in list(self._at):
            self.change(number, change)

    def insert(self, attempt: Attempt) -> None:
        """Add an attempt at the place of its number."""
        self.set(sorted([*self._all, attempt], key=lambda a: a.number))

    def returned(self, event: MachineCreated) -> Attempt | None:
        """The attempt of a machine that was made although the attempt had left: the machine is to be ended.

        None if the attempt is there, or was never intended.
        """
        if not self._all or event.attempt in self._at or event.attempt >= self._all[-1].number:
            return None
        like, machine = self._all[-1].request, event.machine
        request = replace(like, token=machine.token, attempt=event.attempt, offers=(machine.offer,), host="")
        return Attempt(
            request=request,
            phase=Phase.SHUTTING_DOWN,
            since=event.at,
            intended_at=machine.created_at,
            expires_at=request.expires_at,  # of a later intent, and so not too early
            machine=machine,
        )

    def leave(self, at: datetime, tries_from: datetime) -> list[Attempt]:
        """Remove and return the attempts that no longer matter at a time.

        No attempt leaves whose machine may exist.
        """
        kept = _kept(self._all, at, tries_from)
        leaving = [attempt for position, attempt in enumerate(self._all) if position not in kept]
        if leaving:
            self.set([attempt for position, attempt in enumerate(self._all) if position in kept])
        return leaving


def _kept(attempts: list[Attempt], at: datetime, tries_from: datetime) -> set[int]:
    """The positions of the attempts that stay.

    The newest attempt stays, so that its number is not given again, and the one that was ready first.
    """
    first = min((n for n, a in enumerate(attempts) if a.ready_at), key=lambda n: _ready_at(attempts[n]), default=-1)
    kept, gone, alike = {first, len(attempts) - 1}, 0, Counter[object]()
    sound = max((a.ordered_at for a in attempts if a.is_sound(at)), default=None)
    for position in range(len(attempts) - 1, -1, -1):
        attempt = attempts[position]
        if attempt.phase in MAY_COST or attempt.phase is Phase.REFUSED:
            if attempt.phase in MAY_COST or _still_matters(attempt, at, alike):
                kept.add(position)
            continue
        gone += 1
        counts = attempt.phase is Phase.FAILED and attempt.intended_at >= tries_from
        in_a_row = counts and (sound is None or attempt.ordered_at >= sound)
        if gone <= GONE_KEPT or in_a_row or at - (attempt.gone_at or attempt.since) < KEPT_FOR:
            kept.add(position)
    return kept


def _still_matters(refused: Attempt, at: datetime, alike: Counter[object]) -> bool:
    """Whether a refused attempt stays. `alike` counts the newer ones with the same answer, and this one."""
    answer = refused.refusal.refusals if refused.refusal else ()
    key = tuple((r.code, r.scope, r.sentence, r.lasts, r.offers, r.zones_with_capacity) for r in answer)
    alike[key] += 1
    age = at - refused.since
    return age < REFUSED_KEPT_FOR or (age < KEPT_FOR and alike[key] <= ALIKE_KEPT)


def _ready_at(attempt: Attempt) -> datetime:
    return attempt.ready_at or attempt.since
