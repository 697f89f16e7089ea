"""PURE: findings of `mixtral-bot check`, and the quotas that it needs."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

CREDENTIALS = "credentials"
QUOTA = "quota"

REGIONS_NAMED = 3
"""Maximum number of regions listed by name; more are given as a number."""


class Finding(Struct, frozen=True, kw_only=True):
    """The result of one check."""

    about: str
    """`Redis`, `Slack`, `prices`, or the cloud as people write it: `AWS`, `GCP`, `local`."""
    what: str
    """The part that was checked: `credentials`, `quota`; empty for the whole."""
    works: bool | None
    """None if it could not be checked or was not requested; this is not a failure."""
    says: str
    """The state or the cause, without a full stop."""
    mend: str = ""
    """What to do, without a full stop; empty if it works."""


class Need(Struct, frozen=True, kw_only=True):
    """The part of a quota that the smallest machine of its family uses in one region."""

    cloud: str
    quota: str
    """The cloud's name of the quota: a code on AWS, a metric on GCP; empty if unknown."""
    family: str
    """The machines that use it, for people: on AWS `P` or `G` (in vCPUs), on GCP the GPU's name (in GPUs)."""
    spot: bool
    region: str
    amount: int
    instance_type: str


def on_quota(about: str, unit: str, needed: Sequence[Need], limits: Mapping[str, float], mend: str) -> Finding:
    """Whether a quota suffices. `needed`: of one family; `limits`: by region, without those that are unknown."""
    family = f"{needed[0].family} {'spot' if needed[0].spot else 'on demand'}"
    known = [need for need in needed if need.region in limits]
    enough = [need for need in known if _endless(limits[need.region]) or limits[need.region] >= need.amount]
    if not known:
        return Finding(about=about, what=QUOTA, works=None, says=f"{family}: the cloud does not report it")
    least = min(need.amount for need in known)
    if not enough:
        most = max(limits[need.region] for need in known)
        says = f"{family}: {most:g} {unit} at most in {_regions(known)}, and {known[0].instance_type} needs {least}"
        return Finding(about=about, what=QUOTA, works=False, says=says, mend=mend)
    most = max(limits[need.region] for need in enough)
    says = f"{family}: {'no limit' if _endless(most) else f'up to {most:g} {unit}'} in {_regions(enough)}"
    lacking = [need for need in known if need not in enough]
    says += f"; too small in {_regions(lacking)}" if lacking else ""
    return Finding(about=about, what=QUOTA, works=True, says=says)


def _endless(limit: float) -> bool:
    return limit < 0


def _regions(found: Sequence[Need]) -> str:
    return listed([need.region for need in found], "regions")


def listed(names: Sequence[str], kind: str) -> str:
    """`a, b and c`; for more than REGIONS_NAMED, their number: `13 regions`."""
    names = list(dict.fromkeys(names))
    if len(names) > REGIONS_NAMED:
        return f"{len(names)} {kind}"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
