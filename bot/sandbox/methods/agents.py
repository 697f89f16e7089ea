"""agents.sessions.*: whether the app works in a thread, and the session's title."""

from bot.sandbox import limits
from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.methods.assistant import thread
from bot.sandbox.methods.places import joined_channel_of
from bot.sandbox.sessions import STATUSES
from bot.sandbox.stand_in import StandIn

NO_STOP = "missing_agent_session_stopped_event_subscription"
"""The warning while the app does not receive the event: people see no Stop button."""


def set_status(stand_in: StandIn, arguments: Arguments) -> JSON:
    status = arguments.required("status")
    if status not in STATUSES:
        limits.refuse_arguments("must be a valid enum value [json-pointer:/status]")
    title, initiator = arguments.text("title"), arguments.text("initiator_user_id")
    if len(title) > limits.SESSION_TITLE:
        limits.refuse_arguments(f"must be less than {limits.SESSION_TITLE + 1} characters [json-pointer:/title]")
    channel = joined_channel_of(stand_in, arguments, "channel_id")
    if initiator and initiator not in channel.members:
        raise SlackError("user_not_found")
    _, root = thread(stand_in, arguments)
    session = stand_in.sessions.set(channel.id, root, status, title=title, initiator=initiator)
    answer = {"status": session.status, "agent_status": session.status, "title": session.title}
    if "agent_session_stopped" in stand_in.settings.subscribed:
        return answer
    return answer | {"warning": NO_STOP, "response_metadata": {"warnings": [NO_STOP]}}


def rename(stand_in: StandIn, arguments: Arguments) -> JSON:
    title = arguments.required("title")
    if len(title) > limits.SESSION_TITLE:
        limits.refuse_arguments(f"must be less than {limits.SESSION_TITLE + 1} characters [json-pointer:/title]")
    channel, root = thread(stand_in, arguments)
    status = stand_in.sessions.status(channel, root)
    if not status:
        raise SlackError("not_authorized")
    stand_in.sessions.set(channel, root, status).title = title
    return {"title": title}
