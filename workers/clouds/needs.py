"""PURE: the quotas that the recipes need."""

from collections.abc import Iterable, Sequence

from recipes.schema import Recipe
from workers.clouds.aws import quota as aws_quota
from workers.clouds.findings import Need
from workers.clouds.gcp import quota as gcp_quota
from workers.placement.limits import Limits
from workers.placement.offer import Offer
from workers.placement.planner import plan


def needs(recipes: Iterable[Recipe], offers: Sequence[Offer]) -> tuple[Need, ...]:
    """For each quota and region, the smallest machine that any recipe can use; in the order of the ladders."""
    found: dict[tuple[str, ...], Need] = {}
    for recipe in recipes:
        for spot in (False, True):
            for need in filter(None, (_need(rung.offer) for rung in plan(recipe, offers, Limits(spot=spot)))):
                key = (need.cloud, need.quota or need.family, str(need.spot), need.region)
                found[key] = min(found.get(key, need), need, key=lambda n: n.amount)
    return tuple(found.values())


def _need(offer: Offer) -> Need | None:
    if not offer.count or not offer.region or offer.cloud not in ("aws", "gcp"):
        return None
    aws = offer.cloud == "aws"
    code = aws_quota.code_of(offer.instance_type, spot=offer.spot) if aws else gcp_quota.metric_of(offer)
    apart = aws and code != aws_quota.code_of(offer.instance_type[:1], spot=offer.spot)
    letters = offer.instance_type[: 2 if apart else 1].upper()
    return Need(
        cloud=offer.cloud,
        quota=code or "",
        family=letters if aws else offer.accelerator or "",
        spot=offer.spot,
        region=offer.region,
        amount=(offer.vcpus or 0) if aws else offer.count,
        instance_type=offer.instance_type,
    )
