"""Opens the launch form, lets its price follow what is entered, and launches when it is submitted."""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError
from slack_bolt import App

from bot.commands import launch_offers
from bot.commands.context import Caller, CommandContext
from bot.commands.form_inputs import launch_text
from bot.language.command import SLASH
from bot.screens.presses import NOTHING, Presses, value_of
from bot.slack.failures import SlackFailed
from bot.slack.message import JSON, Message
from bot.views import launch_form as view
from bot.views.command_button import FORM

_LOG = logging.getLogger(__name__)

FORMS = 500
"""Number of open forms whose order of changes is known."""


class LaunchForm:
    """Safe to use from several threads."""

    def __init__(
        self, presses: Presses, after: Callable[[JSON, Caller, CommandContext], JSON] = launch_offers.next_view
    ) -> None:
        """`after`: the form after a change of the one that was shown."""
        self._presses = presses
        self._after = after
        self._changes = Changes()

    def register(self, app: App) -> None:
        click = self._presses.click
        app.action(re.compile(f"^{FORM}(_|$)"))(click("launch form", self._open, ack_within=0))
        app.action(re.compile(f"^{view.ACTION}_"))(click("form", self._changed, ack_within=0))
        app.view(view.CALLBACK)(self._presses.submitted("launch", self._launch))

    def _open(self, body: JSON, caller: Caller) -> Message:
        command = launch_text(value_of(body))
        shown = launch_offers.first_view(command, caller, self._presses.context, home=self._home(caller))
        return self._presses.opened(caller, shown, f"{SLASH} launch")

    def _home(self, caller: Caller) -> str:
        """The person's direct messages with the bot, if they press where there is no channel."""
        try:
            return "" if caller.channel else self._presses.slack.open_direct(caller.user)
        except (SlackFailed, RedisError) as failed:
            _LOG.info("%s", failed)
            return ""

    def _changed(self, body: JSON, caller: Caller) -> Message:
        """Show the form after a change, unless a later change is known, or Slack shows another view by now."""
        shown, changes = body.get("view"), self._changes
        if not shown:  # a forged payload: the inputs are in a form
            return NOTHING
        change = changes.begin(shown["id"], str(body["actions"][0].get("action_ts") or ""))
        with changes.turn(shown["id"]):  # the hash to replace is that of the answer to the change before
            if not changes.is_last(shown["id"], change):
                return NOTHING
            following = self._after(shown, caller, self._presses.context)
            known = changes.newest_of(shown["hash"])
            try:
                changes.shown(known, self._presses.slack.update_view(shown["id"], following, shown=known))
            except (SlackFailed, RedisError) as failed:  # as when the form is closed
                _LOG.info("%s", failed)
        return NOTHING

    def _launch(self, shown: JSON, caller: Caller) -> Message:
        return launch_offers.submitted(shown, caller, self._presses.context)


class Changes:
    """The last change of each form, and which view has replaced which. Changes may be handled in another order."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, str] = OrderedDict()
        self._replaced: OrderedDict[str, str] = OrderedDict()
        self._turns: OrderedDict[str, threading.Lock] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, view_id: str, at: str) -> str:
        with self._lock:
            self._last[view_id] = max(at, self._last.get(view_id, ""), key=_seconds)
            _forget(self._last)
        return at

    def turn(self, view_id: str) -> threading.Lock:
        """Held while a change of this form is shown."""
        with self._lock:
            found = self._turns.setdefault(view_id, threading.Lock())
            _forget(self._turns)
        return found

    def is_last(self, view_id: str, at: str) -> bool:
        with self._lock:
            return self._last.get(view_id, at) == at

    def shown(self, old: str, new: str) -> None:
        with self._lock:
            if new in ("", old) or new in self._replaced:  # a hash that Slack repeats would lead back to itself
                return
            self._replaced[old] = new
            _forget(self._replaced)

    def newest_of(self, hash_: str) -> str:
        with self._lock:
            while hash_ in self._replaced:
                hash_ = self._replaced[hash_]
        return hash_


def _seconds(at: str) -> float:
    try:
        return float(at)
    except ValueError:
        return 0.0


def _forget(entries: OrderedDict[str, Any]) -> None:
    while len(entries) > FORMS:
        entries.popitem(last=False)
