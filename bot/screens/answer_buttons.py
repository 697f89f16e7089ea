"""The buttons below an answer, and those that choose a deployment for a question."""

import re

from slack_bolt import App

from bot.commands import answer_handlers, handlers
from bot.commands.context import Caller
from bot.screens.presses import NOTHING, Presses, value_of
from bot.slack.message import JSON, Message
from bot.slack.responses import respond
from bot.views import answer
from bot.views.answer_choice import CHOOSE, chosen
from bot.views.blocks import section

AGAIN = "This question was asked again: the newer answer is below."


class AnswerButtons:
    """A press is stored before its ack, as a question is."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context

    def register(self, app: App) -> None:
        click = self._presses.click
        app.action(re.compile(f"^{CHOOSE}"))(click("ask", self._choose))
        app.action(answer.STOP)(click("stop", self._stop))
        app.action(answer.AGAIN)(click("regenerate", self._regenerate))
        app.action(re.compile(f"^{answer.OTHER}"))(click("ask another", self._ask_another))
        app.action(re.compile(f"^(?:{answer.FEEDBACK}$|{answer.RATE})"))(click("feedback", self._rate))

    def _choose(self, body: JSON, caller: Caller) -> Message:
        draft, deployment = chosen(value_of(body))
        question = handlers.written(draft, caller, self._context)
        said = handlers.ask_again(question, self._presses.by_id(deployment, caller), caller, self._context)
        return _instead(Message(said.text, (section(said.text),)), caller)

    def _stop(self, body: JSON, caller: Caller) -> Message:
        return answer_handlers.stop_answer(value_of(body), caller, self._context)

    def _regenerate(self, body: JSON, caller: Caller) -> Message:
        said = answer_handlers.regenerate(value_of(body), caller, self._context)
        shown = body.get("message") or {}
        blocks = answer.without_buttons(shown.get("blocks") or (), AGAIN)
        return _instead(Message(str(shown.get("text") or AGAIN), blocks), caller, said)

    def _ask_another(self, body: JSON, caller: Caller) -> Message:
        return answer_handlers.ask_another(*answer.of_other(value_of(body)), caller, self._context)

    def _rate(self, body: JSON, caller: Caller) -> Message:
        good, key = answer.of_rating(value_of(body))
        return answer_handlers.rate(key, good=good, caller=caller, context=self._context)


def _instead(message: Message, caller: Caller, otherwise: Message | None = None) -> Message:
    """Show a message instead of the one whose button was pressed; the message to show beside it if that failed."""
    return NOTHING if respond(caller.response_url, message, replaces=True) else otherwise or message
