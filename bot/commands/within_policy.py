"""What the policy lets a person spend: the limits of a launch, and whether a scale is within them."""

from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal

from msgspec import Struct

from bot.commands.consent import total_of
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import Denied, Undecided
from bot.commands.launch_limits import most_of, narrowed, nothing_left
from bot.commands.policy import NO_RULE, UNDECIDED, UNDECIDED_SENTENCE, mentions
from bot.commands.recipe_catalog import name_from
from bot.language.command import Launch
from recipes.schema import Recipe
from workers.deployment.condition import is_ending
from workers.deployment.state import Deployment
from workers.placement.limits import Limits
from workers.policy.rules import Rule


class Within(Struct, frozen=True, kw_only=True):
    """A launch within the policy."""

    limits: Limits
    most: Decimal | None = None
    """Maximum USD per hour of all its replicas; None: the policy sets none."""

    def ceiling(self, ceiling: Decimal | None) -> Decimal | None:
        """A ceiling that is not above the maximum."""
        given = [amount for amount in (ceiling, self.most) if amount is not None]
        return min(given) if given else None


def within(command: Launch, recipe: Recipe, replicas: int, caller: Caller, context: CommandContext) -> Within:
    """The limits of a launch as the policy narrows them. Raises Denied, with the people who can lift them."""
    limits, rule = command.limits, _rule(caller.user, caller.channel, context)
    if rule == NO_RULE:
        return Within(limits=limits)
    at_once = _at_once(caller.user, command.name or name_from(recipe.name), context)
    try:
        bounded = narrowed(limits, rule, recipe, replicas=replicas, at_once=at_once)
    except Denied as denied:
        raise _denied(denied.sentence, context) from denied
    rungs, _ = context.ladder(recipe, limits)
    if rungs and not context.ladder(recipe, bounded)[0]:
        raise _denied(f"{nothing_left(rule, at_once, total_of(rungs, replicas))} Nothing was started.", context)
    return Within(limits=bounded, most=most_of(rule, at_once))


def check_scale_within(state: Deployment, replicas: int, caller: Caller, context: CommandContext) -> None:
    """Raises Denied if more replicas cost more than the policy allows the person, or the launcher at once.

    Undecided while it is not known what it allows the launcher.
    """
    if replicas <= state.wanted:
        return
    if caller.user not in context.admins and _rule(state.place.user, state.place.channel, context) is UNDECIDED:
        raise Undecided(UNDECIDED_SENTENCE)
    rule, at_once = _scale_rule(state, caller.user, context)
    most, total = most_of(rule, at_once), total_of(context.ladder(state.recipe, state.limits)[0], replicas)
    if most is not None and total > most:
        raise _denied(f"{nothing_left(rule, at_once, total)} Nothing was changed.", context)


def scale_ceiling_within(
    ceiling: Decimal | None, state: Deployment, user: str, context: CommandContext
) -> Decimal | None:
    """A ceiling that a scale sets, not above what `check_scale_within` allows. It never lowers the present one."""
    most = most_of(*_scale_rule(state, user, context))
    if ceiling is None or most is None:
        return ceiling
    return max(min(ceiling, most), state.ceiling or Decimal(0))


def in_turn(launcher: str, channel: str, context: CommandContext) -> AbstractContextManager[None]:
    """Held while a launch or a scale is checked and stored, if a maximum at once binds the launcher. Raises RedisError.

    Otherwise two at the same time would each find the same amount left.
    """
    is_free = _rule(launcher, channel, context).usd_per_hour_at_once is None
    return nullcontext() if is_free else context.deployments.in_turn(launcher)


def _scale_rule(state: Deployment, user: str, context: CommandContext) -> tuple[Rule, Decimal]:
    """What binds a person who scales: their own maximum for one launch, and the launcher's for all at once.

    With the USD per hour of all else that the launcher launched. No rule binds an admin.
    """
    if user in context.admins:
        return NO_RULE, Decimal(0)
    mine, theirs = (_rule(one, state.place.channel, context) for one in (user, state.place.user))
    at_once = _at_once(state.place.user, state.name, context) if theirs.usd_per_hour_at_once is not None else Decimal(0)
    return Rule(usd_per_hour=mine.usd_per_hour, usd_per_hour_at_once=theirs.usd_per_hour_at_once), at_once


def _rule(user: str, channel: str, context: CommandContext) -> Rule:
    return NO_RULE if user in context.admins else context.sight.rule(user, channel)


def _at_once(user: str, besides: str, context: CommandContext) -> Decimal:
    """USD per hour of all that the person launched and that runs or is to run.

    `besides`: a name that is left out: a repeated request would count itself.
    """
    theirs = (
        state
        for state in context.deployments.all()
        if state.place.user == user and state.name != besides and not is_ending(state)
    )
    return sum((_hourly(state, context) for state in theirs), Decimal(0))


def _hourly(state: Deployment, context: CommandContext) -> Decimal:
    rungs = state.rungs or context.ladder(state.recipe, state.limits)[0]
    wanted = max(state.wanted, state.paused or 0)  # nobody is asked before its hours begin
    return max(state.usd_per_hour, total_of(rungs, wanted))


def _denied(sentence: str, context: CommandContext) -> Denied:
    admins = mentions(sorted(context.admins))
    lift = f"{', '.join(admins)} can lift this: ask them" if admins else "The operator of this bot can lift this"
    return Denied(f"{sentence} {lift}.", about="limits")
