"""PURE: the app's Home tab: the deployments, and how to start."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.views import help as help_
from bot.views import status
from bot.views.blocks import context, divider, header, section
from bot.views.words import user as mention
from workers.deployment.state import Deployment

NONE_OF_YOURS = "You have no deployments. `/mixtral launch` starts a model."


def home(deployments: Sequence[Deployment], now: datetime, user: str) -> dict[str, Any]:
    """A Home view for one person: their deployments first."""
    mine = [d for d in deployments if d.place.user == user]
    others = [d for d in deployments if d.place.user != user]
    blocks = [
        header("Models on rented GPUs, from Slack"),
        section(
            f"Hello {mention(user)}. `/mixtral launch` in a channel finds the cheapest machine that fits, starts the "
            "model and shows its endpoint. To ask the model something, mention the bot, or send it a message here."
        ),
        divider(),
        header("Your deployments"),
        *status.overview(mine, now, nothing=NONE_OF_YOURS if others else status.NOTHING).blocks,
    ]
    if others:
        blocks += [header("Other deployments"), *status.overview(others, now).blocks]
    blocks += [divider(), header("Commands"), *help_.help(None).blocks]
    blocks.append(
        context(
            "People who can read the channel of a launch can see and ask the deployment. Only the launcher and the "
            "admins can scale and end it."
        )
    )
    return {"type": "home", "blocks": blocks}
