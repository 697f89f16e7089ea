"""PURE: the parser of the words after `cost`: a deployment, a person or a channel, and a period."""

from collections.abc import Sequence
from difflib import get_close_matches

from bot.language.command import SLASH, Cost, Period
from bot.language.typed_text import mentioned, mentioned_channel
from bot.language.values import InvalidValue, name, quoted, shown

PERIODS = tuple(period.value for period in Period)


def cost(words: Sequence[str]) -> Cost:
    """The command in the words after `cost`. Raises InvalidValue."""
    periods = [word for word in words if word.lower() in PERIODS]
    about = [word for word in words if word.lower() not in PERIODS]
    if len(periods) > 1 or len(about) > 1:
        extra = (periods if len(periods) > 1 else about)[1]
        raise InvalidValue(f"{quoted(extra)} is one word too many.")
    period = Period(periods[0].lower()) if periods else Period.MONTH
    if not about:
        return Cost(period=period)
    [word] = about
    if user := mentioned(word):
        return Cost(user=user, period=period)
    if channel := mentioned_channel(word):
        return Cost(channel=channel, period=period)
    if word[:1] in "@#":
        raise InvalidValue(
            f"{quoted(word)} is no mention. Choose the person or the channel from the list that opens at `{word[0]}`."
        )
    if close := get_close_matches(word.lower(), PERIODS, n=1, cutoff=0.8):
        raise InvalidValue(f"The periods are {', '.join(PERIODS)}.", nearest=f"{SLASH} cost {shown(close[0])}")
    return Cost(name=name(word), period=period)
