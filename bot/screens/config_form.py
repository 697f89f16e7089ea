"""The form of a channel's settings: `/mixtral config`."""

import math

from slack_bolt import App

from bot.commands.config_handler import change
from bot.commands.context import Caller
from bot.commands.delivery import modal_of
from bot.commands.errors import CommandError, WrongInput
from bot.language.channel_settings import MAX_SYSTEM_PROMPT, MAX_TEMPERATURE, ChannelSettings
from bot.prompting.drafts import ConfigDraft
from bot.screens.presses import NOTHING, Presses, metadata_of, value_of, values_of
from bot.slack.failures import SlackFailed
from bot.slack.message import JSON, Message
from bot.views import channel_config as view_of
from recipes.hidden import hidden_in_prose

TOO_OLD = "This window has expired: nothing was changed. Close it, and open it again with `/mixtral config`."
IS_RESET = Message("The settings are reset to the defaults.")


class ConfigForm:
    """Stores what is submitted, and announces it in the channel."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context

    def register(self, app: App) -> None:
        app.view(view_of.CALLBACK)(self._presses.submitted("config", self._submitted))
        app.action(view_of.RESET)(self._presses.click("reset", self._reset))

    def _submitted(self, view: JSON, caller: Caller) -> Message:
        channel = self._channel(metadata_of(view), caller)
        self._announced(channel, change(channel, given(view), caller, self._context))
        return NOTHING

    def _reset(self, body: JSON, caller: Caller) -> Message:
        channel = self._channel(value_of(body), caller)
        self._announced(channel, change(channel, ChannelSettings(), caller, self._context))
        view = body.get("view") or {}
        try:
            self._presses.slack.update_view(view.get("id") or "", modal_of(IS_RESET), shown=view.get("hash") or "")
        except SlackFailed:
            return IS_RESET
        return NOTHING

    def _channel(self, draft: str, caller: Caller) -> str:
        found = self._context.drafts.get(caller.user, draft, ConfigDraft)
        if found is None:
            raise CommandError(TOO_OLD)
        return found.channel

    def _announced(self, channel: str, said: Message | None) -> None:
        if said is not None:
            self._presses.post_later(channel, said)


def given(view: JSON) -> ChannelSettings:
    """The settings in a submitted form. Raises WrongInput."""
    values = {block: action.get(block) or {} for block, action in values_of(view).items()}
    chosen = _chosen(values.get(view_of.DEFAULT))
    return ChannelSettings(
        default=None if chosen in ("", view_of.NO_DEFAULT) else chosen,
        system_prompt=_system(values.get(view_of.SYSTEM, {}).get("value") or ""),
        temperature=_temperature(values.get(view_of.TEMPERATURE, {}).get("value") or ""),
        unasked=_chosen(values.get(view_of.THREADS)) != "no",
        digest=bool(values.get(view_of.DIGEST, {}).get("selected_options")),
    )


def _chosen(element: JSON | None) -> str:
    return str(((element or {}).get("selected_option") or {}).get("value") or "")


def _system(text: str) -> str:
    prompt = text.strip()
    if mark := hidden_in_prose(prompt):
        raise WrongInput(view_of.SYSTEM, f"This prompt contains the hidden character {mark}. Leave it out.")
    if len(prompt) > MAX_SYSTEM_PROMPT:
        sentence = f"This prompt has {len(prompt):,} characters, and at most {MAX_SYSTEM_PROMPT:,} fit. Shorten it."
        raise WrongInput(view_of.SYSTEM, sentence)
    return prompt


def _temperature(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        temperature = float(text)
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise WrongInput(view_of.TEMPERATURE, f"Give a number from 0 to {MAX_TEMPERATURE:g}, or leave it empty.")
    return temperature
