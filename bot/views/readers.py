"""PURE: the sentence about the other companies that read a shared channel."""

from collections.abc import Sequence

from bot.views.escape import clip, inert

MAX_NAMED = 3
MAX_NAME = 80


def read_by(companies: Sequence[str]) -> str:
    """A sentence that names the other companies; empty if there are none."""
    if not companies:
        return ""
    named = [inert(clip(company, MAX_NAME)) for company in companies[:MAX_NAMED]]
    more = len(companies) - len(named)
    if more:
        named.append("1 more company" if more == 1 else f"{more} more companies")
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"People of {listed} read this channel: they see the card, its thread and the answers."
