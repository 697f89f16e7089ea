"""What a launch or a scale by hand may cost: its ceiling, and the question before it if it costs much."""

from collections.abc import Sequence
from decimal import Decimal

from bot.commands.context import Caller, CommandContext
from bot.commands.errors import Unconfirmed
from bot.language.confirmation import Confirmation
from bot.views import confirm
from bot.views.amounts import count
from bot.views.escape import escape
from workers.decision.ceiling import raised
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung, considered


def ceiling_after(state: Deployment, replicas: int, context: CommandContext) -> Decimal | None:
    """The ceiling that a scale by hand sets, by the present prices; None: none. Raises RecipeError."""
    return raised(state, replicas, context.ladder(state.recipe, state.limits)[0])


def total_of(rungs: Sequence[Rung], replicas: int) -> Decimal:
    """USD per hour of the replicas at the cheapest offer; 0 if no price is known."""
    price = next((rung.offer.usd_per_hour for rung in considered(rungs)), None)
    return (price or Decimal(0)) * replicas


def check_confirmed(what: str, asked: Confirmation, caller: Caller, context: CommandContext) -> None:
    """Raises Unconfirmed if the person has to be asked first: it costs much, or more than they have confirmed."""
    above, confirmed = context.confirm_above, caller.confirmed
    if asked.usd <= above or (confirmed is not None and asked.usd <= confirmed):
        return
    raise Unconfirmed(context.drafts.add(caller.user, asked), confirm.question(what, asked.usd, above))


def check_scale_confirmed(
    state: Deployment, replicas: int, caller: Caller, context: CommandContext, *, grant: str = "", command: str = ""
) -> None:
    """Raises Unconfirmed, CommandError, RecipeError. A number that is not higher is not asked about."""
    if replicas <= state.wanted:
        return
    usd = total_of(context.ladder(state.recipe, state.limits)[0], replicas)
    what = f"Scaling *{escape(state.name)}* from {state.wanted} to {count(replicas, 'replica')}"
    asked = Confirmation(usd=usd, command=command, deployment=state.id, channel=caller.channel, grant=grant)
    check_confirmed(what, asked, caller, context)
