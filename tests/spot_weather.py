"""PURE: the spot weather of a simulated day: shortages of zones, and single preemptions."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random

from msgspec import Struct
from msgspec.structs import replace

DAY = timedelta(hours=24)
GRAIN = timedelta(seconds=30)
"""Resolution: events happen only at multiples of this."""

SPELL_EVERY = timedelta(hours=5)
"""Mean time between a zone's shortages of spot. At the start of one, all its spot machines are preempted."""

SPELL_LASTS = timedelta(minutes=90)
SHORT_EVERY = timedelta(hours=12)
"""Mean time between a zone's shortages of on-demand machines. They refuse launches and end no machine."""

SHORT_LASTS = timedelta(minutes=45)
LASTS_LEAST, MAX_LASTS = timedelta(minutes=10), timedelta(hours=4)
REGION_EVERY = timedelta(hours=16)
"""Mean time between shortages of spot in the whole region, which reach one zone after another."""

REGION_LASTS = timedelta(minutes=30)
REGION_WITHIN = timedelta(minutes=10)
TAKEN_EVERY = timedelta(hours=4)
"""Mean time between single preemptions in a zone outside its shortages."""


class Spell(Struct, frozen=True, kw_only=True):
    """A zone has no machine of this lifecycle to give. Both times are counted from the start of the day."""

    zone: str
    lifecycle: str
    begins: timedelta
    ends: timedelta


class Taking(Struct, frozen=True, kw_only=True):
    """A zone preempts one spot machine."""

    zone: str
    at: timedelta
    drawn: float
    """Selects the machine: a position among those that run, from 0 to 1."""


class Weather(Struct, frozen=True, kw_only=True):
    """The weather of a day."""

    seed: int
    spells: tuple[Spell, ...]
    takings: tuple[Taking, ...]

    def changes(self) -> list[timedelta]:
        """All times at which something happens, in order."""
        edges = {edge for spell in self.spells for edge in (spell.begins, spell.ends)}
        return sorted(edges | {taking.at for taking in self.takings})

    def bad(self, zone: str) -> timedelta:
        """Total time in which a zone has no spot."""
        spells = [s for s in self.spells if s.zone == zone and s.lifecycle == "spot"]
        grains = (GRAIN * n for n in range(DAY // GRAIN))
        return GRAIN * sum(any(s.begins <= at < s.ends for s in spells) for at in grains)


def weather(seed: int, zones: Sequence[str]) -> Weather:
    """Equal for equal seed and zone, independent of the other zones."""
    spells: list[Spell] = []
    takings: list[Taking] = []
    region = list(_spells(Random(f"{seed} region"), "", "spot", REGION_EVERY, REGION_LASTS))
    for zone in zones:
        spells += _staggered(Random(f"{seed} {zone} region"), zone, region)
        spells += _spells(Random(f"{seed} {zone} spot"), zone, "spot", SPELL_EVERY, SPELL_LASTS)
        spells += _spells(Random(f"{seed} {zone} on demand"), zone, "on demand", SHORT_EVERY, SHORT_LASTS)
        takings += _takings(Random(f"{seed} {zone} taken"), zone)
    return Weather(seed=seed, spells=tuple(spells), takings=tuple(takings))


def _spells(random: Random, zone: str, lifecycle: str, every: timedelta, lasts: timedelta) -> Iterator[Spell]:
    at = _after(random, every)
    while at < DAY:
        ends = at + min(max(_after(random, lasts), LASTS_LEAST), MAX_LASTS)
        yield Spell(zone=zone, lifecycle=lifecycle, begins=at, ends=ends)
        at = ends + _after(random, every)


def _staggered(random: Random, zone: str, region: Sequence[Spell]) -> Iterator[Spell]:
    for spell in region:
        later = GRAIN * round(random.random() * (REGION_WITHIN / GRAIN))
        yield replace(spell, zone=zone, begins=spell.begins + later, ends=spell.ends + later)


def _takings(random: Random, zone: str) -> Iterator[Taking]:
    at = _after(random, TAKEN_EVERY)
    while at < DAY:
        yield Taking(zone=zone, at=at, drawn=random.random())
        at += _after(random, TAKEN_EVERY)


def _after(random: Random, mean: timedelta) -> timedelta:
    """An exponentially distributed time, in whole grains and at least one."""
    return GRAIN * max(1, round(random.expovariate(1 / mean.total_seconds()) / GRAIN.total_seconds()))
