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

    A stream has one recipient: everybody else in a channel or group sees its first piece, and nothing more until it
    ends. So only direct messages have streams, unless `in_channels`. `is_resumed`: messages of an earlier try exist,
    which are overwritten; a stream can only be continued.
    """
    return is_available and not is_resumed and (in_channels or is_direct(place.channel))
