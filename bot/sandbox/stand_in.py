"""The complete stand-in: a workspace, the app's connections, and the events that people's actions cause."""

import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from bot.sandbox import events, limits, manifest, scopes, seed, teams
from bot.sandbox.deliveries import Deliveries
from bot.sandbox.faults import Faults
from bot.sandbox.feed import Feed
from bot.sandbox.http_mode import HttpMode
from bot.sandbox.limits import JSON
from bot.sandbox.rates import Rates
from bot.sandbox.seed import Channel, UserId
from bot.sandbox.sessions import Sessions
from bot.sandbox.socket_mode import SocketMode
from bot.sandbox.streams import Streams
from bot.sandbox.triggers import ResponseUrls, Triggers
from bot.sandbox.workspace import Message, Workspace

CALLS_KEPT = 20_000
PAGE_DIR = Path(__file__).parent / "page" / "dist"
NOTICE = "This is a sandbox: a stand-in for Slack on your own machine. Nothing here reaches slack.com."


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    notice: str = NOTICE
    page_dir: Path = PAGE_DIR
    rate_scale: float = 1.0
    retry_scale: float = 1.0
    """Factor for the delays before an event is repeated."""
    stream_life: timedelta = limits.STREAM_LIFE
    ack_within: timedelta = limits.ACK_WITHIN
    session_life: timedelta = limits.SESSION_LIFE
    subscribed: frozenset[str] = manifest.EVENTS
    contents: seed.Seed = seed.SANDBOX
    scopes: frozenset[str] = manifest.SCOPES
    streams_for_all: bool = False
    """Whether everybody in a channel sees a stream grow, and not only its recipient."""


class StandIn:
    """One Slack workspace with one app. Used from one event loop only."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self.feed = Feed()
        self.workspace = Workspace(self.feed, clock, contents=settings.contents)
        self.scopes = set(settings.scopes)
        self.revoked = ""  # the error that every call gets since the app was uninstalled
        self.faults = Faults()
        self.rates = Rates(settings.rate_scale, time.monotonic)
        self.deliveries = Deliveries([delay.total_seconds() * settings.retry_scale for delay in limits.EVENT_RETRIES])
        self.sockets = SocketMode(
            self.faults, settings.ack_within.total_seconds(), self.deliveries, self._sockets_changed
        )
        self.http: HttpMode | None = None
        self.sessions = Sessions(self.feed, settings.session_life.total_seconds())
        self.streams = Streams(self.workspace, settings.stream_life.total_seconds())
        self.triggers = Triggers(clock)
        self.response_urls = ResponseUrls(clock)
        self.calls: deque[JSON] = deque(maxlen=CALLS_KEPT)
        self.called = 0

    @property
    def app(self) -> HttpMode | SocketMode:
        """How Slack reaches the app: at its request URL if it has one, or else through its sockets."""
        return self.http or self.sockets

    async def set_request_url(self, url: str, secret: str) -> bool:
        """Deliver over HTTP from now on, signed with the secret; False if the URL does not pass Slack's challenge."""
        mode = HttpMode(
            url,
            secret,
            faults=self.faults,
            ack_within=self.settings.ack_within.total_seconds(),
            deliveries=self.deliveries,
            clock=self.clock,
        )
        if not await mode.verify(secrets.token_urlsafe(24)):
            return False
        self.http = mode
        return True

    def _sockets_changed(self) -> None:
        self.feed.publish(("socket",), lambda: {"connected": self.sockets.connected})

    def send_event(self, event: JSON, *, age: float = 0.0) -> None:
        """Send an event of `age` seconds ago, if the app is installed, subscribes to it and has the scope for it."""
        if self.revoked:
            return
        if manifest.subscription(event) in self.settings.subscribed and scopes.allow(self.scopes, event):
            origin = teams.origin_of(self.workspace, event)
            self.app.send_event(events.envelope(event, at=self.clock() - age, origin=origin))

    def post(self, message: Message) -> Message:
        """Add the app's own message, and send its event to the app, as Slack does.

        An ephemeral message to a person who is offline is lost. The app gets no events from a channel of which it is no
        member; only response URLs post there.
        """
        if message.ephemeral_to in self.workspace.offline:
            return message
        self.workspace.add(message)
        if not message.ephemeral_to and seed.BOT_USER in self.workspace.channels[message.channel].members:
            if message.thread_ts:
                self.workspace.set_status(message.channel, message.thread_ts, "")
            self.send_event(events.message_event(message, self.workspace.channels[message.channel]))
        return message

    def stop(self, user: UserId, channel: Channel, thread_ts: str) -> bool:
        """A person presses Stop in a thread. False if there is no such button: the app does not work there."""
        if self.sessions.status(channel.id, thread_ts) != "processing":
            return False
        if "agent_session_stopped" not in self.settings.subscribed:
            return False
        stopped = self.streams.stop(channel.id, thread_ts)
        self.send_event(
            events.agent_session_stopped_event(user, channel, thread_ts, stopped, ts=self.workspace.new_ts())
        )
        return True

    def bot_message(self, channel: Channel, **fields: Any) -> Message:
        """A message of the app, not yet posted."""
        return Message(
            channel=channel.id,
            ts=self.workspace.new_ts(),
            user=seed.BOT_USER,
            bot_id=seed.BOT_ID,
            **fields,
        )

    def slackbot(self, user: str, channel: Channel, text: str) -> None:
        """Show a person an ephemeral message of Slackbot."""
        message = Message(
            channel=channel.id,
            ts=self.workspace.new_ts(),
            user="USLACKBOT",
            username="Slackbot",
            text=text,
            ephemeral_to=user,
        )
        self.workspace.add(message)

    def invite(self, user: UserId, channel: Channel, named: str) -> None:
        """Add a person or the app to a channel, by name or id; Slackbot reports the result."""
        invited = next((u for u in self.workspace.users.values() if named in (u.name, u.id)), None)
        if channel.is_direct:
            text = "You can't invite anybody to a direct message."
        elif invited is None:
            text = f"No user is called {named}." if named else "Name a user: `/invite @somebody`."
        elif invited.id in channel.members:
            text = f"<@{invited.id}> is already in this channel."
        else:
            self.workspace.join(channel, invited.id)
            text = f"<@{invited.id}> was added to this channel."
        self.slackbot(user, channel, text)

    def stored(self, typed: str) -> str:
        return events.typed(typed, [*self.workspace.users.values()], [*self.workspace.channels.values()])

    def say(
        self,
        user: UserId,
        channel: Channel,
        text: str,
        thread_ts: str | None = None,
        *,
        age: float = 0.0,
        files: Sequence[JSON] = (),
        attachments: Sequence[JSON] = (),
    ) -> Message:
        """A person writes a message; the app receives its event `age` seconds later."""
        workspace = self.workspace
        stored = self.stored(text)
        message = Message(
            channel=channel.id,
            ts=f"{self.clock() - age:.6f}" if age else workspace.new_ts(),
            user=user,
            text=stored,
            thread_ts=thread_ts,
            blocks=events.rich_text(stored) if stored else [],
            files=list(files),
            attachments=list(attachments),
            subtype="file_share" if files else None,
            client_msg_id=str(uuid.uuid4()),
            team=workspace.users[user].team_id,
        )
        workspace.add(message)
        names_bot = f"<@{seed.BOT_USER}>" in stored
        if seed.BOT_USER in channel.members:
            self.send_event(events.message_event(message, channel), age=age)
            if names_bot and not channel.is_im:
                mention = teams.of_mention(workspace, workspace.users[user])
                self.send_event(events.app_mention_event(message, channel) | mention, age=age)
        elif names_bot and not channel.is_direct:
            self.slackbot(user, channel, f"You mentioned <@{seed.BOT_USER}>, but they're not in this channel.")
        return message
