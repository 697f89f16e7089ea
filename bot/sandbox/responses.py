"""An app's answers in an ack or through a response_url."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bot.sandbox import edits, seed
from bot.sandbox.arguments import Arguments, read_arguments
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.methods.chat import content_of
from bot.sandbox.seed import Channel
from bot.sandbox.stand_in import StandIn
from bot.sandbox.triggers import ResponseUrl
from bot.sandbox.workspace import Message


def respond(
    stand_in: StandIn,
    answer: JSON,
    *,
    user: str,
    channel: Channel,
    original: Message | None = None,
    thread_ts: str | None = None,
) -> None:
    """Apply the answer: replace or delete the original, or post a new message.

    Raises SlackError: `no_text`, `invalid_blocks` and the like.
    """
    arguments = Arguments(answer)
    if arguments.flag("delete_original"):
        if original is not None:
            edits.delete(stand_in, original)
        return
    content = content_of(arguments)
    if arguments.flag("replace_original") and original is not None:
        edits.change(stand_in, original, content, by=seed.BOT_USER)
        return
    to_all = arguments.text("response_type", "ephemeral") == "in_channel"
    message = stand_in.bot_message(
        channel,
        ephemeral_to=None if to_all else user,
        thread_ts=arguments.text("thread_ts") or thread_ts,
        **content,
    )
    stand_in.post(message)


class ResponseRoutes:
    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    def routes(self) -> list[Route]:
        return [
            Route("/commands/{path:path}", self.take, methods=["POST"]),
            Route("/actions/{path:path}", self.take, methods=["POST"]),
        ]

    async def take(self, request: Request) -> Response:
        try:
            answer = await read_arguments(request)
            self._respond(self._stand_in.response_urls.use(request.path_params["path"]), answer)
        except SlackError as refusal:
            # Slack refuses a webhook with an error status, but a method call with 200.
            refused = HTTPStatus.BAD_REQUEST if refusal.status == HTTPStatus.OK else refusal.status
            return JSONResponse(refusal.answer(), refused)
        return PlainTextResponse("ok")

    def _respond(self, given: ResponseUrl, answer: JSON) -> None:
        workspace = self._stand_in.workspace
        ts, place = given.message_ts or "", workspace.moved.get(given.channel, given.channel)
        original = workspace.message(place, ts) or workspace.ephemeral(place, ts)
        respond(
            self._stand_in,
            answer,
            user=given.user,
            channel=workspace.channels[place],
            original=original,
            thread_ts=given.thread_ts if original is not None and original.is_reply else None,
        )
