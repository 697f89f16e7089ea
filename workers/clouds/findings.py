"""PURE: what `mixtral-bot check` finds out about a cloud, and what it is asked to find out about."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

CREDENTIALS = "credentials"
QUOTA = "quota"

REGIONS_NAMED = 3
"""More are counted."""


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    about: str
    """`Redis`, `Slack`, `prices`, or the cloud as people write it: `AWS`, `GCP`, `local`."""
    what: str
    """Which part of it: `credentials`, `quota`; empty for the whole."""
    works: bool | None
    """None: it could not be looked at, or nobody asked for it; that alone keeps nothing from working."""
    says: str
    """The state or the cause, without a full stop."""
    mend: str = ""
    """What to do, without a full stop; empty where it works."""


class Need(Struct, frozen=True, kw_only=True):
    """What the smallest machine of a quota's family takes of it in one region."""

    cloud: str
    quota: str
    """The cloud's own name of it: a code of AWS's, a metric of GCP's; empty where none is known."""
    family: str
    """What counts against it, for people: on AWS `P` or `G` (in vCPUs), on GCP the GPU's name (in GPUs)."""
    spot: bool
    region: str
    amount: int
    instance_type: str


def on_quota(about: str, unit: str, needed: Sequence[Need], limits: Mapping[str, float], mend: str) -> Finding:
    """How far one family's quota goes; `limits` by region, those that the cloud told; `needed` of one family."""
    family = f"{needed[0].family} {'spot' if needed[0].spot else 'on demand'}"
    told = [need for need in needed if need.region in limits]
    enough = [need for need in told if _endless(limits[need.region]) or limits[need.region] >= need.amount]
    if not told:
        return Finding(about=about, what=QUOTA, works=None, says=f"{family}: the cloud does not tell")
    least = min(need.amount for need in told)
    if not enough:
        most = max(limits[need.region] for need in told)
        says = f"{family}: {most:g} {unit} at most in {_regions(told)}, and {told[0].instance_type} needs {least}"
        return Finding(about=about, what=QUOTA, works=False, says=says, mend=mend)
    most = max(limits[need.region] for need in enough)
    says = f"{family}: {'no limit' if _endless(most) else f'up to {most:g} {unit}'} in {_regions(enough)}"
    lacking = [need for need in told if need not in enough]
    says += f"; too small in {_regions(lacking)}" if lacking else ""
    return Finding(about=about, what=QUOTA, works=True, says=says)


def _endless(limit: float) -> bool:
    return limit < 0


def _regions(found: Sequence[Need]) -> str:
    return listed([need.region for need in found], "regions")


def listed(names: Sequence[str], kind: str) -> str:
    """`a, b and c`; of many, their number: `13 regions`."""
    names = list(dict.fromkeys(names))
    if len(names) > REGIONS_NAMED:
        return f"{len(names)} {kind}"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
