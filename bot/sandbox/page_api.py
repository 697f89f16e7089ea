"""The page's API: a snapshot, the changes after it, and the person's actions."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from bot.sandbox import edits, events, seed
from bot.sandbox.commands import INVITE
from bot.sandbox.files import FileHost
from bot.sandbox.interactions import Interactions
from bot.sandbox.json_route import PageError, json_route
from bot.sandbox.limits import JSON
from bot.sandbox.seed import Channel, ChannelId, UserId
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Message

QUIET_SECONDS = 15.0  # maximum time between two lines of the event stream
REVALIDATE = {"Cache-Control": "no-cache"}
"""Browsers must revalidate cached files, because builds do not change the files' names."""

NO_PAGE = "The page is not built: run `make page`. Slack's Web API is served at /api/.\n"


class Assets(StaticFiles):
    """The page's script and styles."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(REVALIDATE)
        return response


class PageApi:
    """`/` and `/page/*`."""

    def __init__(self, stand_in: StandIn, interactions: Interactions, host: FileHost) -> None:
        self._stand_in = stand_in
        self._host = host
        self._interactions = interactions
        self._workspace = stand_in.workspace
        self._ending = False

    def routes(self) -> list[BaseRoute]:
        page_dir = self._stand_in.settings.page_dir
        return [
            Route("/", self.index),
            Mount("/assets", Assets(directory=page_dir / "assets", check_dir=False)),
            Route("/page/state", self.state),
            Route("/page/events", self.events),
            *(
                Route(f"/page/{act.__name__}", json_route(act), methods=["POST"])
                for act in (
                    self.send,
                    self.files,
                    self.forward,
                    self.action,
                    self.view,
                    self.shortcuts,
                    self.home,
                    self.dm,
                    self.switch,
                    self.stop,
                    self.edit,
                    self.delete,
                )
            ),
        ]

    def end(self) -> None:
        """End the event streams of open pages."""
        self._ending = True
        self._stand_in.feed.publish(("socket",), lambda: {"connected": self._stand_in.sockets.connected})

    def index(self, _: Request) -> Response:
        page = self._stand_in.settings.page_dir / "index.html"
        return FileResponse(page, headers=REVALIDATE) if page.is_file() else PlainTextResponse(NO_PAGE)

    async def state(self, request: Request) -> Response:
        snapshot = self._workspace.snapshot(request.query_params.get("user", "")) | {
            "notice": self._stand_in.settings.notice,
            "sessions": self._stand_in.sessions.all(),
            "socket": {"connected": self._stand_in.sockets.connected, "opened": self._stand_in.sockets.opened},
        }
        return Response(msgspec.json.encode(snapshot), media_type="application/json")

    async def events(self, request: Request) -> Response:
        text = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        cursor = int(text) if text.isdigit() else 0
        return StreamingResponse(
            self._changes(cursor), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _changes(self, cursor: int) -> AsyncIterator[bytes]:
        feed = self._stand_in.feed
        with feed.reader() as reader:
            while not self._ending:
                changes = feed.after(cursor)
                if changes is None:
                    changes = [{"n": feed.cursor, "type": "reset"}]
                for change in changes:
                    cursor = change["n"]
                    yield b"id: %d\ndata: %s\n\n" % (cursor, msgspec.json.encode(change))
                if not await reader.change(QUIET_SECONDS):
                    yield b": keep-alive\n\n"

    async def send(self, body: JSON) -> JSON:
        """A person sends a message or, outside a thread, a slash command."""
        user, text = self._person(body), str(body.get("text", "")).strip()
        if not text.startswith("/"):
            return self._say(body)
        channel = self._channel(body, user)
        if body.get("thread_ts"):
            return {"ok": False, "error": f"{text.split()[0]} is not supported in threads. Sorry!"}
        if error := self._refusal(user, channel, None):
            return {"ok": False, "error": error}
        command, _, named = text.partition(" ")
        if command == INVITE.command:
            self._stand_in.invite(user, channel, named.strip().removeprefix("@"))
            return {"ok": True, "acked": True}
        return await self._interactions.slash_command(user, channel, text)

    async def files(self, body: JSON) -> JSON:
        """A person uploads files, possibly with a text."""
        user = self._person(body)
        return self._say(body, files=[self._host.stored(user, given) for given in body["files"]])

    async def forward(self, body: JSON) -> JSON:
        """A person forwards a message of another conversation, possibly with a comment."""
        user, shared = self._person(body), body["shared"]
        source = self._channel(shared, user)
        message = self._workspace.message(source.id, str(shared["ts"]))
        if message is None:
            return {"ok": False, "error": "message_not_found"}
        author = self._workspace.users[UserId(message.user or seed.BOT_USER)]
        return self._say(body, attachments=[events.forwarded(message, source, author, self._host.base_url)])

    def _say(self, body: JSON, *, files: Sequence[JSON] = (), attachments: Sequence[JSON] = ()) -> JSON:
        user, text = self._person(body), str(body.get("text", "")).strip()
        channel, thread_ts = self._channel(body, user), str(body.get("thread_ts") or "") or None
        if error := self._refusal(user, channel, thread_ts):
            return {"ok": False, "error": error}
        if not (text or files or attachments):
            return {"ok": False, "error": "no_text"}
        if thread_ts:
            parent = self._workspace.message(channel.id, thread_ts)
            if parent is None:
                return {"ok": False, "error": "thread_not_found"}
            thread_ts = parent.thread_ts or parent.ts
        age = float(body.get("age") or 0)
        said = self._stand_in.say(user, channel, text, thread_ts, age=age, files=files, attachments=attachments)
        return {"ok": True, "ts": said.ts}

    def _refusal(self, user: UserId, channel: Channel, thread_ts: str | None) -> str:
        """The error of a message in a channel where this person may not write; empty if they may."""
        may_anyway = self._workspace.users[user].is_admin
        restricted = "" if may_anyway else channel.restriction(is_reply=thread_ts is not None)
        return restricted or ("is_archived" if channel.is_archived else "")

    async def action(self, body: JSON) -> JSON:
        """A person presses or chooses an element."""
        user = self._person(body)
        given = body.get("action") or {}
        if not isinstance(given, dict):
            raise PageError("action must be an object")
        action = {**given, "block_id": body["block_id"], "action_id": body["action_id"]}
        state = body.get("state") or {"values": {}}
        match body.get("container"):
            case "message":
                channel = self._channel(body, user)
                ts = str(body.get("message_ts", ""))
                found = self._workspace.message(channel.id, ts) or self._workspace.ephemeral(channel.id, ts)
                if found is None:
                    return {"ok": False, "error": "message_not_found"}
                return await self._interactions.action_on_message(user, found, action, state)
            case "view":
                view = self._view(body, user)
                return await self._interactions.action_in_view(user, view, action, state)
            case "home":
                home = self._workspace.homes.get(user)
                if home is None:
                    return {"ok": False, "error": "not_found"}
                return await self._interactions.action_in_view(user, home, action, state)
            case other:
                raise PageError(f"container must be message, view or home, not {other!r}")

    async def view(self, body: JSON) -> JSON:
        """A person submits or closes a modal, or closes the whole stack."""
        user = self._person(body)
        view = self._view(body, user)
        if (kind := body.get("kind")) in ("close", "clear"):
            return await self._interactions.close(user, view, whole_stack=kind == "clear")
        values = body.get("values") or {}
        if not isinstance(values, dict) or not all(
            isinstance(value, dict) for actions in values.values() for value in _values(actions)
        ):
            raise PageError("values must be {block_id: {action_id: {type, …}}}")
        return await self._interactions.submit(user, view, values)

    async def shortcuts(self, body: JSON) -> JSON:
        """A person chooses a shortcut of the app in the menu of a message."""
        user = self._person(body)
        found = self._workspace.message(self._channel(body, user).id, str(body.get("message_ts", "")))
        if found is None:
            return {"ok": False, "error": "message_not_found"}
        return await self._interactions.message_shortcut(user, found, str(body.get("callback_id", "")))

    async def home(self, body: JSON) -> JSON:
        return self._opened(self._person(body), "home")

    async def dm(self, body: JSON) -> JSON:
        return self._opened(self._person(body), "messages")

    def _opened(self, user: UserId, tab: str) -> JSON:
        channel = self._workspace.dm_of(user)
        if channel is None:
            raise PageError(f"{user} has no direct message with the bot")
        event = events.app_home_opened_event(
            user, channel, tab=tab, view=self._workspace.homes.get(user), ts=self._workspace.new_ts()
        )
        self._stand_in.send_event(event)
        return {"ok": True, "channel": channel.id}

    async def edit(self, body: JSON) -> JSON:
        """A person changes the text of an own message."""
        edits.edit(self._stand_in, self._own_message(body), str(body["text"]).strip())
        return {"ok": True}

    async def delete(self, body: JSON) -> JSON:
        """A person deletes an own message."""
        edits.delete(self._stand_in, self._own_message(body))
        return {"ok": True}

    async def stop(self, body: JSON) -> JSON:
        """A person presses Stop in a thread where the app works."""
        user = self._person(body)
        if not self._stand_in.stop(user, self._channel(body, user), str(body["thread_ts"])):
            return {"ok": False, "error": "not_processing"}
        return {"ok": True}

    async def switch(self, body: JSON) -> JSON:
        self._workspace.me = self._person(body)
        user = self._workspace.users[self._workspace.me]
        self._stand_in.streams.seen_by_another()
        self._stand_in.feed.publish(("user", user.id), lambda: {"user": msgspec.to_builtins(user)})
        return {"ok": True, "me": user.id}

    def _person(self, body: JSON) -> UserId:
        user = UserId(str(body.get("user", "")))
        if user not in self._workspace.modals:
            raise PageError(f"there is no person {user!r}; people are {', '.join(self._workspace.modals)}")
        return user

    def _channel(self, body: JSON, user: UserId) -> Channel:
        channel = self._workspace.channels.get(ChannelId(str(body.get("channel", ""))))
        if channel is None or user not in channel.members:
            raise PageError(f"{user} is not a member of channel {body.get('channel')!r}")
        return channel

    def _own_message(self, body: JSON) -> Message:
        user = self._person(body)
        message = self._workspace.message(self._channel(body, user).id, str(body["ts"]))
        if message is None or message.user != user:
            raise PageError(f"{user} has no message {body['ts']!r} there")
        return message

    def _view(self, body: JSON, user: UserId) -> JSON:
        for view in self._workspace.modals[user]:
            if view["id"] == body.get("view_id"):
                return view
        raise PageError(f"{user} has no open modal {body.get('view_id')!r}")


def _values(actions: Any) -> list[Any]:
    return list(actions.values()) if isinstance(actions, dict) else [None]
