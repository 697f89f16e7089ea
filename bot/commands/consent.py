"""What a launch or a scale by hand may cost: its ceiling."""

from decimal import Decimal

from bot.commands.context import CommandContext
from workers.decision.ceiling import raised
from workers.deployment.state import Deployment


def ceiling_after(state: Deployment, replicas: int, context: CommandContext) -> Decimal | None:
    """The ceiling that a scale by hand sets, by the present prices; None: none. Raises RecipeError."""
    return raised(state, replicas, context.ladder(state.recipe, state.limits)[0])
