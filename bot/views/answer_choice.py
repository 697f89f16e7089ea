"""PURE: the choice of a deployment for a question that several can answer."""

from collections.abc import Sequence

from bot.slack.message import Message
from bot.views.blocks import actions, button, section
from bot.views.escape import escape
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

CHOOSE = "ask_of_"
"""Prefix of the buttons' action ids. A button's value is the ids of the question's draft and of its deployment."""

MAX_SHOWN = 5


def choice(sentence: str, draft: str, deployments: Sequence[Deployment], why: str) -> Message:
    """A button for each of the first MAX_SHOWN deployments. `why`: why one has to be chosen, as a sentence.

    `draft`: the id of the stored question. `sentence`: explains how to type it.
    """
    buttons = [
        button(f"Ask {state.name}", f"{CHOOSE}{at}", f"{draft} {state.id}")
        for at, state in enumerate(deployments[:MAX_SHOWN])
    ]
    more = f" There are {len(deployments)}; `/mixtral status` lists them." if len(deployments) > MAX_SHOWN else ""
    choose = "Choose one." if len(deployments) > 1 else "You can ask the one that runs:"
    return Message(sentence, (section(f"{escape(why)} {choose}{more}"), actions(buttons)))


def chosen(value: str) -> tuple[str, DeploymentId]:
    """The ids of the question's draft and of the deployment in a button's value."""
    draft, _, deployment = value.partition(" ")
    return draft, DeploymentId(deployment)
