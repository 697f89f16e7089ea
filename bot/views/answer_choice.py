"""PURE: the choice of a deployment for a question that several can answer."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from bot.language.question import Question
from bot.slack.message import Message
from bot.views.blocks import Block, actions, button, section
from bot.views.escape import escape

CHOOSE = "ask_of_"
"""Prefix of the buttons' action ids. A button's value is the question for its deployment."""

MAX_SHOWN = 5
MAX_VALUE = 2000

_encode = msgspec.json.Encoder().encode


def choice(sentence: str, question: Question, names: Sequence[str], prompt: str, why: str) -> Message:
    """A button for each of the first MAX_SHOWN names. `why`: why one has to be chosen, as a sentence.

    If the question is too long for a button's value, the message is `sentence`, which explains how to type it.
    """
    buttons = [_button(at, question, name, prompt) for at, name in enumerate(names[:MAX_SHOWN])]
    if not buttons or any(len(made["value"]) > MAX_VALUE for made in buttons):
        return Message(sentence, (section(escape(sentence)),))
    more = f" There are {len(names)}; `/mixtral status` lists them." if len(names) > MAX_SHOWN else ""
    choose = "Choose one." if len(names) > 1 else "You can ask the one that runs:"
    return Message(sentence, (section(f"{escape(why)} {choose}{more}"), actions(buttons)))


def chosen(value: str) -> Question:
    """The question of a button's value. Raises MsgspecError."""
    return msgspec.json.decode(value, type=Question)


def _button(at: int, question: Question, name: str, prompt: str) -> Block:
    addressed = replace(question, text=prompt, deployment=name, chosen=True, response_url=None)
    return button(f"Ask {name}", f"{CHOOSE}{at}", _encode(addressed).decode())
