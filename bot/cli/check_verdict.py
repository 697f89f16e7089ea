"""The last line of `mixtral-bot check`: whether a launch could work, and which lines say why not."""

from collections.abc import Collection, Sequence

from msgspec import Struct

from workers.clouds.findings import QUOTA, Finding
from workers.clouds.usability import NAMES

CLOUDS = tuple(sorted(NAMES.values()))
STARTED_LATER = (("worker", ("",)), ("gateway", ("inside", "address")))
"""Processes that a launch needs and that need not run yet, with the parts of their findings that show it."""


class LaunchVerdict(Struct, frozen=True, kw_only=True):
    """Whether a launch could work."""

    ready: bool
    """Whether nothing fails, each cloud that MIXTRAL_CLOUDS names works, and at least one cloud works."""
    says: str
    """One line, with the findings to mend."""


def verdict(found: Sequence[Finding], named: Collection[str]) -> LaunchVerdict:
    """`found`: in the order in which they are printed. `named`: the clouds in MIXTRAL_CLOUDS."""
    works = {cloud: _works([f for f in found if f.about == cloud]) for cloud in CLOUDS}
    usable = [cloud for cloud in CLOUDS if works[cloud]]
    broken = [c for c in CLOUDS if works[c] is False or (not works[c] and c in {NAMES[n] for n in named})]
    beside = [f for f in found if f.works is False and f.about not in CLOUDS]
    if not usable and not beside and not broken:
        says = f"Not ready for a launch: no cloud can be used. Set up one of {', '.join(CLOUDS)}, as their lines say."
        return LaunchVerdict(ready=False, says=says)
    if not beside and not broken:
        return LaunchVerdict(ready=True, says=f"Ready for a launch on {_and(usable)}{_once(found)}{_rest(usable)}.")
    failed = [f for f in found if f in beside or (f.about in broken and _fails(f, works[f.about]))]
    lines = list(dict.fromkeys(f"{f.about} {f.what}".rstrip() for f in failed))
    if beside or not usable:
        return LaunchVerdict(
            ready=False, says=f"Not ready for a launch: mend what is marked `no` above ({_and(lines)})."
        )
    says = f"Ready for a launch on {_and(usable)}{_once(found)}, but not on {_and(broken)}"
    return LaunchVerdict(ready=False, says=f"{says}: mend what is marked `no` above ({_and(lines)}).")


def _works(found: Sequence[Finding]) -> bool | None:
    """Return whether one cloud works; None if it is not set up."""
    quotas = [f for f in found if f.what == QUOTA]
    rest = [f.works for f in found if f.what != QUOTA]
    if False in rest or (quotas and all(f.works is False for f in quotas)):
        return False
    return True if True in rest else None


def _fails(finding: Finding, cloud_works: bool | None) -> bool:
    return finding.works is False or cloud_works is None


def _rest(usable: Sequence[str]) -> str:
    return "; no cloud that rents machines is set up" if usable == [NAMES["local"]] else ""


def _once(found: Sequence[Finding]) -> str:
    """The processes that do not run yet."""
    missing = [name for name, parts in STARTED_LATER if any(_is_missing(f, name, parts) for f in found)]
    run = "run" if len(missing) > 1 else "runs"
    return f", once {_and([f'the {name}' for name in missing])} {run}" if missing else ""


def _is_missing(finding: Finding, name: str, parts: Collection[str]) -> bool:
    return finding.about == name and finding.what in parts and finding.works is None


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
