"""PURE: what people do during a soak, chosen from a seed."""

from random import Random
from typing import TypeAlias

from msgspec import Struct

STANDING = "standing"
"""The deployment that exists from the start to the end, and that the measurements ask."""
RECIPES = ("either", "amazon", "google")
MOST_MACHINES = 6
"""Maximum number of replicas that are wanted together; each stand-in runs up to eight."""
MOST_REPLICAS = 3


class Launch(Struct, frozen=True, kw_only=True):
    name: str
    recipe: str
    replicas: int


class Scale(Struct, frozen=True, kw_only=True):
    name: str
    replicas: int


class Down(Struct, frozen=True, kw_only=True):
    name: str


class Ask(Struct, frozen=True, kw_only=True):
    name: str
    number: int


Deed: TypeAlias = Launch | Scale | Down | Ask


def next_deed(rng: Random, wanted: dict[str, int], number: int) -> Deed:
    """The `number`-th deed. `wanted`: replicas by deployment."""
    room = MOST_MACHINES - sum(wanted.values())
    others = sorted(wanted.keys() - {STANDING})
    if room > 0 and (not others or rng.random() < 0.3):
        return Launch(name=f"soak-{number}", recipe=rng.choice(RECIPES), replicas=rng.randint(1, min(2, room)))
    choice = rng.random()
    if others and choice < 0.2:
        return Down(name=rng.choice(others))
    if choice < 0.5:
        name = rng.choice(sorted(wanted))
        most = min(MOST_REPLICAS, wanted[name] + room)
        return Scale(name=name, replicas=rng.choice([n for n in range(1, most + 1) if n != wanted[name]] or [1]))
    return Ask(name=rng.choice(sorted(wanted)), number=number)


def after(deed: Deed, wanted: dict[str, int]) -> dict[str, int]:
    """What is wanted once the deed was acknowledged."""
    match deed:
        case Launch() | Scale():
            return {**wanted, deed.name: deed.replicas}
        case Down():
            return {name: replicas for name, replicas in wanted.items() if name != deed.name}
        case _:
            return wanted
