"""Finds cards and alerts that were posted before, by their metadata or block id."""

import logging
from datetime import timedelta

from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackRefused
from bot.slack.message import JSON
from bot.slack.reading import find
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

SKEW = timedelta(minutes=2)
"""Maximum difference between Slack's clock and the clock of this host."""


def metadata(state: Deployment, kind: str) -> JSON:
    """The metadata of a deployment's message. `kind`: the prefix of its block id."""
    return {"event_type": kind, "event_payload": {"deployment": state.id}}


def standing(calls: SlackCalls, state: Deployment, kind: str, channel: str, thread: str | None = None) -> str | None:
    """Return the ts of a deployment's message; None if there is none, or the channel cannot be read."""
    mark, block, since = metadata(state, kind), f"{kind}_{state.id}", state.requested_at - SKEW
    try:
        # If Slack did not keep the metadata, the block's id identifies the message.
        return find(calls, channel, mark, block=block, since=since, thread=thread)
    except SlackRefused as refused:
        # Without access to the history, a second message is better than none.
        logger.info("looking for the %s of %s: %s", kind, state.id, refused)
        return None
