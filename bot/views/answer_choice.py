"""PURE: a question that several could answer: a button for each of them."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from bot.language.question import Question
from bot.slack.message import Message
from bot.views.blocks import Block, actions, button, section
from bot.views.escape import escape

CHOOSE = "ask_of_"
"""The beginning of the buttons' action ids; a button's value is the question for its deployment."""

SHOWN_MOST = 5
VALUE_MOST = 2000

_encode = msgspec.json.Encoder().encode


def choice(sentence: str, question: Question, names: Sequence[str], prompt: str) -> Message:
    """A button for each of the first names, instead of the sentence that says how to write it.

    A question that is too long for a button leaves the sentence.
    """
    buttons = [_button(at, question, name, prompt) for at, name in enumerate(names[:SHOWN_MOST])]
    if not buttons or any(len(made["value"]) > VALUE_MOST for made in buttons):
        return Message(sentence, (section(escape(sentence)),))
    more = f" There are {len(names)}; `/mixtral status` lists them." if len(names) > SHOWN_MOST else ""
    return Message(sentence, (section(f"Several deployments could answer. Whom shall I ask?{more}"), actions(buttons)))


def chosen(value: str) -> Question:
    """The question of a button's value. Raises MsgspecError."""
    return msgspec.json.decode(value, type=Question)


def _button(at: int, question: Question, name: str, prompt: str) -> Block:
    put = replace(question, text=prompt, deployment=name, chosen=True, response_url=None)
    return button(f"Ask {name}", f"{CHOOSE}{at}", _encode(put).decode())
