"""PURE: how an answer is written: as streams, or as messages that are posted once and updated."""

from msgspec import Struct

from bot.language.question import is_direct


class AnswerPlace(Struct, frozen=True, kw_only=True):
    """The thread of an answer, and the person who asked."""

    channel: str
    thread: str
    team: str
    user: str


def is_streamed(place: AnswerPlace, *, in_channels: bool, is_available: bool, is_resumed: bool) -> bool:
    """Return whether an answer is written as streams.

    A stream has one recipient: other people in a channel or group see its first part, and the rest when it ends.
    Therefore only direct messages have streams, unless `in_channels`. `is_resumed`: messages of an earlier attempt
    exist. They are overwritten, which streams do not support.
    """
    return is_available and not is_resumed and (in_channels or is_direct(place.channel))
