"""Actions of the workspace's administrators, for tests: each method is a POST to `/sandbox/NAME`.

Each raises ValueError for what does not exist.
"""

import msgspec

from bot.sandbox import limits, seed
from bot.sandbox.limits import JSON
from bot.sandbox.seed import Channel, ChannelId
from bot.sandbox.stand_in import StandIn


class Administration:
    """`/sandbox/*`, apart from faults and logs."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self.acts = (
            self.scope,
            self.channel,
            self.move,
            self.thread,
            self.policy,
            self.presence,
            self.uninstall,
            self.install,
            self.request_url,
        )

    async def scope(self, body: JSON) -> JSON:
        """Grant a scope to the app, or take it away: {scope, granted}."""
        name = str(body["scope"])
        if body["granted"]:
            self._stand_in.scopes.add(name)
        else:
            self._stand_in.scopes.discard(name)
        return {"ok": True}

    async def channel(self, body: JSON) -> JSON:
        """Change a channel.

        {channel, is_archived, is_read_only, is_thread_only, is_non_threadable, lets_app_post, members}.
        """
        channel = self._channel(body.pop("channel"))
        changed = msgspec.convert(msgspec.to_builtins(channel) | body, Channel)
        self._stand_in.workspace.change(changed)
        return {"ok": True}

    async def move(self, body: JSON) -> JSON:
        """Give a channel another id, as Slack does when a channel becomes a shared one: {channel, to}."""
        channel, to = self._channel(body["channel"]), ChannelId(str(body["to"]))
        self._stand_in.workspace.move(channel, to)
        self._stand_in.send_event(
            {
                "type": "channel_id_changed",
                "old_channel_id": channel.id,
                "new_channel_id": to,
                "event_ts": self._stand_in.workspace.new_ts(),
            }
        )
        return {"ok": True}

    async def thread(self, body: JSON) -> JSON:
        """Lock a thread, or unlock it: {channel, ts, locked}."""
        root = self._stand_in.workspace.message(self._channel(body["channel"]).id, str(body["ts"]))
        if root is None:
            raise ValueError(f"there is no message {body['ts']}")
        root.is_locked = bool(body["locked"])
        return {"ok": True}

    async def policy(self, body: JSON) -> JSON:
        """Limit edits to the first seconds of a message, or close the app's Messages tab.

        {edit_window: seconds or null, messages_tab: bool}
        """
        workspace = self._stand_in.workspace
        workspace.edit_window = body.get("edit_window", workspace.edit_window)
        workspace.has_messages_tab = body.get("messages_tab", workspace.has_messages_tab)
        return {"ok": True}

    async def presence(self, body: JSON) -> JSON:
        """A person comes online or goes offline: {user, online}."""
        offline = self._stand_in.workspace.offline
        if body["online"]:
            offline.discard(body["user"])
        else:
            offline.add(body["user"])
        return {"ok": True}

    async def uninstall(self, body: JSON) -> JSON:
        """Remove the app from the workspace, and return when its connections are closed: {error}.

        `error` is the code of every later call: account_inactive (the default) or token_revoked.
        """
        stand_in = self._stand_in
        stand_in.send_event({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [seed.BOT_USER]}})
        stand_in.send_event({"type": "app_uninstalled"})
        stand_in.revoked = str(body.get("error", "account_inactive"))
        await stand_in.deliveries.settle(stand_in.settings.ack_within.total_seconds())
        await stand_in.sockets.drop(limits.CONNECTIONS)
        return {"ok": True}

    async def install(self, _: JSON) -> JSON:
        """Install the app again."""
        self._stand_in.revoked = ""
        return {"ok": True}

    async def request_url(self, body: JSON) -> JSON:
        """Deliver over HTTP instead of Socket Mode: {url, secret}. Raises ValueError if it fails Slack's challenge."""
        if not await self._stand_in.set_request_url(str(body["url"]), str(body["secret"])):
            raise ValueError(f"{body['url']} did not answer with the challenge")
        return {"ok": True}

    def _channel(self, named: str) -> Channel:
        channel = self._stand_in.workspace.channels.get(ChannelId(named))
        if channel is None:
            raise ValueError(f"there is no channel {named!r}")
        return channel
