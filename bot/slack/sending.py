"""Sends one request of the Web API: within its budget, under the channel's current id, unless the bot is locked out."""

from slack_sdk.web.slack_response import SlackResponse

from bot.slack.budgets import Budgets
from bot.slack.channel_ids import ChannelIds
from bot.slack.client import Call, within
from bot.slack.failures import SlackRefused
from bot.slack.lockout import CAUSES, LockedOut, Lockout
from bot.slack.message import JSON


class Sending:
    """Safe to use from several threads."""

    def __init__(self, budgets: Budgets | None, lockout: Lockout | None, ids: ChannelIds | None) -> None:
        self._budgets = budgets
        self._lockout = lockout
        self._ids = ids

    def once(self, method: str, call: Call, arguments: JSON, *, leave: int = 0) -> SlackResponse:
        """Call a method once. Raises SlackBusy, SlackRefused, SlackAway, LockedOut, RedisError.

        `leave`: number of calls that stay available to others.
        """
        if self._lockout is not None and self._lockout.code:
            raise LockedOut(f"Slack refuses the bot ({self._lockout.code}).")
        try:
            return self._renamed(method, call, arguments, leave=leave)
        except SlackRefused as refused:
            if self._lockout is None or refused.code not in CAUSES:
                raise
            self._lockout.begin(refused.code)
            raise LockedOut(f"Slack refuses the bot ({refused.code}).") from refused

    def _renamed(self, method: str, call: Call, arguments: JSON, *, leave: int) -> SlackResponse:
        """Repeat a call whose channel Slack does not find with the channel's new id, if the id has just changed."""
        if self._ids is None:
            return within(self._budgets, method, call, arguments, leave=leave)
        sent = self._ids.in_arguments(arguments)
        try:
            return within(self._budgets, method, call, sent, leave=leave)
        except SlackRefused as refused:
            renamed = self._ids.in_arguments(arguments, afresh=True) if refused.code == "channel_not_found" else sent
            if renamed == sent:
                raise
            return within(self._budgets, method, call, renamed, leave=leave)
