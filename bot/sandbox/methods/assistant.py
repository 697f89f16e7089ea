"""assistant.threads.*: the status of a thread, its suggested prompts and its title."""

import asyncio

from bot.sandbox import limits
from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.methods.places import channel_of
from bot.sandbox.stand_in import StandIn

STATUS_SECONDS = 120.0  # maximum time that a status is shown


def thread(stand_in: StandIn, arguments: Arguments) -> tuple[str, str]:
    """The channel and the root's ts of an existing thread.

    Raises SlackError: `channel_not_found`, `invalid_thread_ts`.
    """
    channel = channel_of(stand_in, arguments, "channel_id")
    ts = arguments.required("thread_ts")
    root = stand_in.workspace.message(channel.id, ts)
    if root is None:
        raise SlackError("invalid_thread_ts")
    return channel.id, root.thread_ts or root.ts


def set_status(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel, root = thread(stand_in, arguments)
    loading = arguments.json("loading_messages") or []
    if not isinstance(loading, list) or len(loading) > limits.LOADING_MESSAGES:
        limits.refuse_arguments(
            f"no more than {limits.LOADING_MESSAGES} items allowed [json-pointer:/loading_messages]"
        )
    status = arguments.text("status")
    shown = str(loading[0]) if status and loading else status
    stand_in.workspace.set_status(channel, root, shown)
    # Slack's bridge to agent sessions: a text means that the app works, an empty one that it does not.
    stand_in.sessions.set(channel, root, "processing" if status else "active")
    asyncio.get_running_loop().call_later(STATUS_SECONDS, _expire, stand_in, f"{channel}:{root}", shown)
    return {}


def _expire(stand_in: StandIn, key: str, shown: str) -> None:
    """Remove a status that has not changed since."""
    if stand_in.workspace.statuses.get(key) == shown:
        channel, _, thread_ts = key.partition(":")
        stand_in.workspace.set_status(channel, thread_ts, "")


def set_suggested_prompts(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = channel_of(stand_in, arguments, "channel_id")
    root = arguments.text("thread_ts")
    if root and stand_in.workspace.message(channel.id, root) is None:
        raise SlackError("invalid_thread_ts")
    prompts = arguments.json("prompts")
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= limits.PROMPTS:
        limits.refuse_arguments(f"must have 1 to {limits.PROMPTS} items [json-pointer:/prompts]")
    for n, prompt in enumerate(prompts):
        if not (isinstance(prompt, dict) and prompt.get("title") and prompt.get("message")):
            limits.refuse_arguments(f"missing required field: title, message [json-pointer:/prompts/{n}]")
    stand_in.workspace.set_prompts(channel.id, root, prompts)
    return {}


def set_title(stand_in: StandIn, arguments: Arguments) -> JSON:
    thread(stand_in, arguments)
    arguments.required("title")
    return {}
