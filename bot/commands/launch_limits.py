"""PURE: how the policy's rule for a person narrows the limits of their launch."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal

from bot.commands.errors import Denied
from bot.views.amounts import usd_per_hour
from bot.views.escape import escape
from recipes.accelerators import parse
from recipes.schema import Accelerator, Recipe
from workers.placement.limits import Limits
from workers.policy.rules import Rule

SMALLEST = Decimal("0.0001")


def narrowed(limits: Limits, rule: Rule, recipe: Recipe, *, replicas: int, at_once: Decimal) -> Limits:
    """The limits within the rule. Raises Denied if nothing is left; its sentence has no remedy.

    `at_once`: USD per hour of all that runs and that the person launched.
    """
    most = most_of(rule, at_once)
    if most is not None and most <= 0 and replicas:
        raise Denied(f"{_amounts(rule, at_once)} Nothing was started.")
    return Limits(
        spot=limits.spot or rule.spot,
        gpus=_gpus(limits, rule, recipe),
        clouds=_clouds(limits, rule),
        max_price=_price(limits, most, replicas),
    )


def most_of(rule: Rule, at_once: Decimal) -> Decimal | None:
    """USD per hour that all replicas of one launch may cost; None if there is no limit."""
    left = None if rule.usd_per_hour_at_once is None else rule.usd_per_hour_at_once - at_once
    given = [amount for amount in (rule.usd_per_hour, left) if amount is not None]
    return min(given) if given else None


def nothing_left(rule: Rule, at_once: Decimal, cheapest: Decimal | None) -> str:
    """The sentence for a launch or scale of which no offer is within the rule."""
    price = f" The cheapest offer costs {usd_per_hour(cheapest)} for all replicas." if cheapest else ""
    return f"{_amounts(rule, at_once)}{price}"


def _amounts(rule: Rule, at_once: Decimal) -> str:
    parts = []
    if rule.usd_per_hour is not None:
        parts.append(f"{usd_per_hour(rule.usd_per_hour)} for one launch")
    if rule.usd_per_hour_at_once is not None:
        runs = f", of which {usd_per_hour(at_once)} are in use" if at_once else ""
        parts.append(f"{usd_per_hour(rule.usd_per_hour_at_once)} for all deployments that one person launched{runs}")
    parts += [f"only {what}" for what in (", ".join(rule.gpus), ", ".join(rule.clouds)) if what]
    parts += ["only spot machines"] if rule.spot else []
    return f"The policy of this installation allows at most {'; '.join(parts)}."


def _price(limits: Limits, most: Decimal | None, replicas: int) -> Decimal | None:
    if most is None:
        return limits.max_price
    each = (most / max(replicas, 1)).quantize(SMALLEST, ROUND_DOWN)
    return each if limits.max_price is None else min(each, limits.max_price)


def _clouds(limits: Limits, rule: Rule) -> tuple[str, ...]:
    if not rule.clouds:
        return limits.clouds
    left = tuple(cloud for cloud in limits.clouds or rule.clouds if cloud in rule.clouds)
    if not left:
        raise Denied(
            f"The policy of this installation allows only {', '.join(rule.clouds)} here, and not "
            f"{', '.join(map(escape, limits.clouds))}. Nothing was started."
        )
    return left


def _gpus(limits: Limits, rule: Rule, recipe: Recipe) -> tuple[str, ...]:
    taken = {str(gpu): gpu for resources in recipe.resources for gpu in resources.accelerators}
    if not rule.gpus or not taken:
        return limits.gpus
    asked = [parse(gpu) for gpu in limits.gpus] or list(taken.values())
    left = tuple(str(gpu) for gpu in asked if _allowed(gpu, rule.gpus))
    if not left:
        raise Denied(
            f"The policy of this installation allows only {', '.join(rule.gpus)} here, and this launch takes "
            f"{', '.join(dict.fromkeys(map(str, asked)))}. Nothing was started."
        )
    return left


def _allowed(gpu: Accelerator, rules: Sequence[str]) -> bool:
    """Whether a rule names the GPU: `A100-80GB` allows any number, `A100-80GB:2` at most two."""
    for rule in rules:
        most = parse(rule)
        if most.name == gpu.name and (":" not in rule or gpu.count <= most.count):
            return True
    return False
