"""The calls of Slack's Web API that change nothing: who the bot is, people, channels, messages."""

import threading
from datetime import datetime
from typing import Any

from slack_sdk import WebClient
from slack_sdk.web.slack_response import SlackResponse

from bot.slack.budgets import Budgets
from bot.slack.channel_ids import ChannelIds
from bot.slack.client import Call
from bot.slack.failures import SlackRefused
from bot.slack.files import SlackFiles
from bot.slack.lockout import Lockout
from bot.slack.message import JSON, Identity
from bot.slack.missing_methods import MissingMethods
from bot.slack.outbox import Outbox
from bot.slack.sending import Sending

PAGE = 200
"""Messages per request."""


class SlackLookups:
    """Safe to use from several threads. Methods raise what those of `SlackCalls` raise."""

    def __init__(
        self,
        web: WebClient,
        budgets: Budgets | None,
        stopping: threading.Event | None = None,
        *,
        lockout: Lockout | None = None,
        ids: ChannelIds | None = None,
    ) -> None:
        """`budgets`: None if only methods without a budget are called. `stopping`: set when the process ends.

        `lockout`: begins when Slack refuses the bot's token; from then on, methods raise LockedOut without a request.
        `ids`: arguments may be the first ids of channels whose ids have changed.
        """
        self._web = web
        self._sending = Sending(budgets, lockout, ids)
        self.stopping = stopping or threading.Event()
        self.outbox = Outbox()
        self._missing = MissingMethods()
        self.files = SlackFiles(web.token or "", web.base_url)
        self._identity: Identity | None = None

    def has(self, method: str, channel: str = "") -> bool:
        """False if a call of the last hour has shown that the method is missing in this channel or everywhere."""
        return self._missing.has(method, channel)

    def note(self, method: str, channel: str, refused: SlackRefused) -> None:
        """Record that a method is missing, in the channel or everywhere, if the refusal means that."""
        self._missing.note(method, channel, refused)

    def identity(self) -> Identity:
        """Return the bot's identity; requested once."""
        if self._identity is None:
            found = self._call("auth.test", self._web.auth_test)
            user, bot, name, team = (str(found.get(key) or "") for key in ("user_id", "bot_id", "user", "team"))
            self._identity = Identity(
                user=user,
                bot=bot,
                name=name,
                team=team,
                team_id=str(found.get("team_id") or ""),
                enterprise=str(found.get("enterprise_id") or ""),
                granted=_granted(found),
            )
        return self._identity

    def permalink(self, channel: str, ts: str) -> str | None:
        """Return the URL of a message."""
        link = self._call("chat.getPermalink", self._web.chat_getPermalink, channel=channel, message_ts=ts)
        return link.get("permalink")

    def channel(self, channel: str) -> JSON:
        """Return Slack's object of a channel."""
        return self._call("conversations.info", self._web.conversations_info, channel=channel).get("channel") or {}

    def members(self, channel: str, cursor: str | None = None) -> tuple[list[str], str | None]:
        """Return a page of the people of a channel, and the next page's cursor."""
        about: JSON = {"channel": channel, "limit": 1000, "cursor": cursor}
        page = self._call("conversations.members", self._web.conversations_members, **about)
        return page.get("members") or [], (page.get("response_metadata") or {}).get("next_cursor") or None

    def person(self, user: str) -> JSON:
        """Return Slack's object of a person."""
        return self._call("users.info", self._web.users_info, user=user).get("user") or {}

    def user_group(self, group: str) -> list[str]:
        """Return the ids of the members of a user group."""
        found = self._call("usergroups.users.list", self._web.usergroups_users_list, usergroup=group)
        return list(found.get("users") or ())

    def user_groups(self) -> dict[str, str]:
        """Return the handles of all user groups by their ids."""
        found = self._call("usergroups.list", self._web.usergroups_list)
        return {group["id"]: group.get("handle") or "" for group in found.get("usergroups") or ()}

    def team(self, team: str) -> JSON:
        """Return Slack's object of the bot's workspace, or of another one that shares a channel with it."""
        return self._call("team.info", self._web.team_info, team=team).get("team") or {}

    def page(
        self,
        channel: str,
        *,
        thread: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> tuple[list[JSON], str | None]:
        """Return messages of a channel (newest first) or of a thread (its root first), and the next page's cursor.

        A refusal does not mark the method as missing, because a scope may be missing for one kind of channel only.
        """
        about: JSON = {"channel": channel, "limit": limit, "include_all_metadata": True, "cursor": cursor}
        if since is not None:
            about["oldest"] = f"{since.timestamp():.6f}"
        if thread is not None:
            about["ts"] = thread
            page = self._sending.once("conversations.replies", self._web.conversations_replies, about)
        else:
            page = self._sending.once("conversations.history", self._web.conversations_history, about)
        return page.get("messages") or [], (page.get("response_metadata") or {}).get("next_cursor") or None

    def _call(self, method: str, call: Call, *, leave: int = 0, **arguments: Any) -> SlackResponse:
        try:
            return self._sending.once(method, call, arguments, leave=leave)
        except SlackRefused as refused:
            self.note(method, str(arguments.get("channel") or arguments.get("channel_id") or ""), refused)
            raise


def _granted(response: SlackResponse) -> frozenset[str]:
    headers = {str(name).lower(): value for name, value in response.headers.items()}
    return frozenset(filter(None, str(headers.get("x-oauth-scopes") or "").replace(" ", "").split(",")))
