"""PURE: what people have set for the questions of a channel, or for their own direct messages with the bot."""

from msgspec import Struct

from bot.language.question import is_direct

MAX_SYSTEM_PROMPT = 3000
"""Maximum length in characters: that of an input of a Slack modal."""
MAX_TEMPERATURE = 2.0
"""Maximum that OpenAI's API, and the engines that follow it, accept. The minimum is 0."""


class ChannelSettings(Struct, frozen=True, kw_only=True):
    """Each setting has the default that holds where nothing is set."""

    default: str | None = None
    """Name of the deployment that gets questions without a name."""
    system_prompt: str = ""
    temperature: float | None = None
    """None: the engine's default."""
    unasked: bool = True
    """Whether messages without a mention are answered in threads that the bot answered."""
    digest: bool = False
    """Whether the channel gets the costs of the last week on Mondays."""
    changed_by: str = ""
    """The person who set them last."""


def owner_of(channel: str, user: str) -> str:
    """Whose settings hold for a question: those of the channel; in a direct message, those of the person."""
    return user if is_direct(channel) else channel
