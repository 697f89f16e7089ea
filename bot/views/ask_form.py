"""PURE: the form in which a person writes a question to a deployment, also about a message."""

from collections.abc import Sequence
from typing import Any

from bot.language.quoted_message import QuotedMessage
from bot.views.blocks import Block, context, plain, section
from bot.views.escape import clip, escape, inert
from bot.views.words import user as mention
from workers.deployment.condition import condition_of
from workers.deployment.state import Deployment

CALLBACK = "ask_form"
QUESTION, MODEL = "question", "model"
"""Each is the block_id of an input, and the action_id of its element."""
SHORTCUT = "ask_about_message"
"""The callback_id of the message shortcut."""

MAX_QUESTION = 3000
"""Maximum length in characters: that of an input of a Slack modal."""
MAX_OPTIONS = 100
QUOTED_SHOWN = 1500
"""Maximum number of characters of the message that the form shows."""


def modal(
    draft: str, deployments: Sequence[Deployment], place: str, quoted: QuotedMessage | None = None, chosen: str = ""
) -> dict[str, Any]:
    """A form whose private_metadata is the id of its draft.

    `deployments`: one or several to choose from; `chosen`: the name of the one that is selected at first. `place`: the
    sentence about where the answer comes.
    """
    first = next((d for d in deployments if d.name == chosen), deployments[0])
    is_choice = len(deployments) > 1
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": draft,
        "title": plain("Ask a model" if is_choice else f"Ask {first.name}", 24),
        "submit": plain("Ask", 24),
        "close": plain("Cancel", 24),
        "blocks": [
            *([section(_quote(quoted))] if quoted else []),
            *([_model(deployments[:MAX_OPTIONS], first)] if is_choice else []),
            _question(),
            context(place if is_choice else f"{_gets(first)} {place}"),
        ],
    }


def author(quoted: QuotedMessage) -> str:
    """The author of a message, in mrkdwn."""
    return mention(quoted.author) if quoted.author.startswith(("U", "W")) else inert(quoted.author)


def _quote(quoted: QuotedMessage) -> str:
    files = f"[{', '.join(quoted.files)}]" if quoted.files else ""
    shown = "\n".join(filter(None, (quoted.text, files)))
    lines = clip(inert(shown), QUOTED_SHOWN).split("\n")
    return "\n".join(
        [f"The message of {author(quoted)}, which is sent with your question:", *(f"> {x}" for x in lines)]
    )


def _gets(deployment: Deployment) -> str:
    if deployment.ready:
        return f"*{escape(deployment.name)}* gets the question."
    status = condition_of(deployment).status
    return f"*{escape(deployment.name)}* is {status}: your question waits until it is ready."


def _model(deployments: Sequence[Deployment], first: Deployment) -> Block:
    def option(deployment: Deployment) -> Block:
        state = "" if deployment.ready else f" ({condition_of(deployment).status}: the question waits)"
        return {"text": plain(f"{deployment.name}{state}", 75), "value": deployment.id}

    return {
        "type": "input",
        "block_id": MODEL,
        "label": plain("Deployment", 100),
        "element": {
            "type": "static_select",
            "action_id": MODEL,
            "options": [option(deployment) for deployment in deployments],
            "initial_option": option(first),
        },
    }


def _question() -> Block:
    return {
        "type": "input",
        "block_id": QUESTION,
        "label": plain("Question", 100),
        "hint": plain(f"At most {MAX_QUESTION:,} characters. For more, write a message that mentions the bot.", 150),
        "element": {
            "type": "plain_text_input",
            "action_id": QUESTION,
            "multiline": True,
            "max_length": MAX_QUESTION,
            "focus_on_load": True,
        },
    }
