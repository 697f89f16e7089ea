"""PURE: the app's Home tab: what runs, and how to begin."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.views import help as help_
from bot.views import status
from bot.views.blocks import context, divider, header, section
from bot.views.words import user as mention
from workers.deployment.state import Deployment

NONE_OF_YOURS = "You have launched nothing that still runs. `/mixtral launch` starts a model."


def home(deployments: Sequence[Deployment], now: datetime, user: str) -> dict[str, Any]:
    """A Home view for one person: their deployments first."""
    mine = [d for d in deployments if d.place.user == user]
    others = [d for d in deployments if d.place.user != user]
    blocks = [
        header("Models on rented GPUs, from Slack"),
        section(
            f"Hello {mention(user)}. `/mixtral launch` in a channel finds the cheapest machine that fits, starts the "
            "model and tells you its endpoint. Then mention me, or write to me here, to ask it something."
        ),
        divider(),
        header("Yours"),
        *status.overview(mine, now, nothing=NONE_OF_YOURS if others else status.NOTHING).blocks,
    ]
    if others:
        blocks += [header("Your colleagues'"), *status.overview(others, now).blocks]
    blocks += [divider(), header("Commands"), *help_.help(None).blocks]
    blocks.append(context("Anyone asks and reads; who launched a deployment (and the admins) scale and end it."))
    return {"type": "home", "blocks": blocks}
