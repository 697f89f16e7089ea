"""Budgets in commands: a launch or scale that no budget allows is refused, and what is left is shown."""

from collections.abc import Callable, Iterable

from bot.commands.context import CommandContext
from bot.commands.errors import CommandError
from bot.commands.visibility import Viewer
from bot.views.escape import escape
from bot.views.words import user
from workers.decision.budget import BudgetStanding, Owner, owner_of_state, purchase, standings_of, why_refused
from workers.deployment.ledger import Book
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung, considered
from workers.policy.budgets import BudgetScope


def check_launch(owner: Owner, ladder: Callable[[], Iterable[Rung]], context: CommandContext) -> None:
    """Raises CommandError if no machine of the ladder fits into the budgets of the new deployment. Raises RedisError.

    The workers decide again before each purchase.
    """
    budgets = context.policy().budgets
    offers = [rung.offer for rung in considered(ladder())] if budgets.limits else []
    if not offers:
        return
    standings = standings_of(owner, budgets, context.deployments.book(), context.now())
    refused = purchase(offers, standings)
    if refused.refused_by is not None:
        admins = f" Admins: {', '.join(map(user, sorted(context.admins)))}." if context.admins else ""
        why = escape(why_refused(refused.refused_by, refused.price))
        raise CommandError(f"No machine fits into a budget, so nothing was started. {why}{admins}")


def check_scale(state: Deployment, replicas: int, context: CommandContext) -> None:
    """As `check_launch`, if the number of replicas demands a further machine."""
    if replicas > len(state.live):
        check_launch(owner_of_state(state), lambda: state.rungs, context)


def of_viewer(viewer: Viewer, context: CommandContext, book: Book, about: Owner | None = None) -> list[BudgetStanding]:
    """The limits of the installation, of the viewer and of the channel in which they are, as far as there are any.

    `about`: of a deployment that they may see, or of a person or channel. The use of another person or channel is
    shown to admins only: it contains deployments that others may not see. People of other companies are shown none.
    """
    if viewer.outside:
        return []
    owner = about or Owner(name="", user=viewer.user, channel=viewer.channel)
    standings = standings_of(owner, context.policy().budgets, book, context.now())
    if viewer.user in context.admins:
        return [standing for standing in standings if standing.id or standing.scope is BudgetScope.INSTALLATION]
    own = {
        BudgetScope.INSTALLATION: "",
        BudgetScope.PERSON: viewer.user,
        BudgetScope.CHANNEL: viewer.channel or None,
        BudgetScope.DEPLOYMENT: owner.name or None,
    }
    return [standing for standing in standings if standing.id == own[standing.scope]]
