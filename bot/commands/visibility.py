"""PURE: who may see that a deployment exists: the people who can read the channel of its launch."""

from collections.abc import Collection

from msgspec import Struct

from bot.slack.facts import ChannelFacts
from workers.deployment.state import Deployment


class Viewer(Struct, frozen=True, kw_only=True):
    """The person who asks about deployments, and the channel in which they ask."""

    user: str
    channel: str = ""
    """Empty: in no channel, as on the Home tab."""
    outside: bool = False
    """Whether they belong to another company: then they read only the channels of which they are a member."""


def by_itself(viewer: Viewer, *, launcher: str, channel: str, admins: Collection[str]) -> bool | None:
    """Whether the viewer may see what was launched there; None if that cannot be decided without calling Slack."""
    if viewer.user == launcher or viewer.user in admins:
        return True
    if viewer.channel and viewer.channel == channel:
        return True  # a person who writes in a channel can read it
    return False if channel.startswith("D") or not channel else None


def is_named(viewer: Viewer, state: Deployment) -> bool:
    """Whether the viewer is a co-owner, or has a key."""
    return viewer.user in state.co_owners or any(key.user == viewer.user for key in state.keys)


def everybody_reads(channel: ChannelFacts | None) -> bool:
    """Whether members of the workspace can read the channel without joining it; False if it is not known."""
    return channel is not None and channel.is_public


def member_reads(members: Collection[str] | None, viewer: Viewer) -> bool:
    """Whether the viewer is a member; False if it is not known."""
    return members is not None and viewer.user in members
