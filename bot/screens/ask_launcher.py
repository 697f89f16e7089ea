"""The buttons that ask the launcher, answer them, and show a key once."""

from msgspec import MsgspecError
from msgspec.structs import replace
from redis.exceptions import RedisError
from slack_bolt import App

from bot.commands import asking
from bot.commands.context import Caller
from bot.commands.delivery import modal_of
from bot.commands.errors import CommandError
from bot.commands.lookup import check_runs
from bot.language.command import SLASH
from bot.language.direct_request import Deed, WantedDeed, wanted_of
from bot.language.direct_request import value_of as value_of_wanted
from bot.language.typed_text import plain
from bot.language.values import InvalidValue, replicas
from bot.screens.presses import NOTHING, Presses, entered, metadata_of, value_of
from bot.slack.failures import SlackFailed
from bot.slack.message import JSON, Message
from bot.slack.responses import respond
from bot.views import key_messages, refusal
from bot.views import request_message as view
from bot.views import scale as scale_view


class AskLauncher:
    """Registers a listener for each of the buttons."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context

    def register(self, app: App) -> None:
        click = self._presses.click
        app.action(refusal.ASK)(click("ask the launcher", self._ask, ack_within=0))
        app.view(scale_view.ASKING)(self._presses.submitted("ask to scale", self._ask_to_scale))
        app.action(view.GRANT)(click("grant", lambda body, caller: self._answer(body, caller, grants=True)))
        app.action(view.DECLINE)(click("decline", lambda body, caller: self._answer(body, caller, grants=False)))
        app.action(view.TAKE)(click("show a key", self._show_key, ack_within=0))

    def _ask(self, body: JSON, caller: Caller) -> Message:
        wanted = _wanted(value_of(body))
        state = self._presses.by_id(wanted.deployment, caller)
        if wanted.deed is Deed.SCALE and wanted.replicas is None:
            check_runs(state)
            form = scale_view.modal(state, self._context.now(), asks=value_of_wanted(wanted))
            return self._presses.opened(caller, form, f"{SLASH} scale {state.name} 2")
        said = asking.ask(wanted, state, caller, self._context)
        return NOTHING if respond(caller.response_url, said, replaces=True) else said

    def _ask_to_scale(self, shown: JSON, caller: Caller) -> Message:
        wanted = _wanted(metadata_of(shown))
        given = entered(shown, scale_view.BLOCK, scale_view.ACTION)
        try:
            count = replicas(plain(given.get("value") or ""), "The number of replicas", least=0)
        except InvalidValue as wrong:
            raise CommandError(wrong.sentence) from wrong
        state = self._presses.by_id(wanted.deployment, caller)
        return asking.ask(replace(wanted, replicas=count), state, caller, self._context)

    def _answer(self, body: JSON, caller: Caller, *, grants: bool) -> Message:
        return asking.answer(value_of(body), caller, self._context, grants=grants) or NOTHING

    def _show_key(self, body: JSON, caller: Caller) -> Message:
        """Show the key in a modal: Slack confirms that it opened. If it does not, the key is revoked."""
        request, state, key = asking.take_key(value_of(body), caller, self._context)
        message = key_messages.handed_over(state, request.key, key, by=request.asker)
        try:
            self._presses.slack.open_view(caller.once, modal_of(message))
        except (SlackFailed, RedisError) as failed:
            asking.not_shown(request, self._context)
            raise CommandError(
                "Slack did not open the window with the key. The key was revoked. Press the button again."
            ) from failed
        asking.shown(request, self._context)
        return NOTHING


def _wanted(value: str) -> WantedDeed:
    try:
        return wanted_of(value)
    except MsgspecError as error:
        raise CommandError("This button is no longer valid. Repeat the command.") from error
