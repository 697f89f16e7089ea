"""PURE: how an answer ended, in what stands below it."""

from msgspec import Struct


class Finish(Struct, frozen=True, kw_only=True):
    """How an answer ended."""

    reason: str | None
    """The engine's own word: `stop`, `length` …"""
    tokens: int
    seconds: float
    """From the request to the last token."""
    writing: float
    """Seconds from the first token to the last."""


class Outcome(Struct, frozen=True, kw_only=True):
    """All of an answer."""

    text: str
    """What the model said."""
    closing: str = ""
    """A sentence of ours that has to be added."""
    footer: str = ""
    """One line of measurements."""


def outcome(text: str, finish: Finish, model: str) -> Outcome:
    """The outcome of a completion that came to its end."""
    if not text.strip():
        reason = finish.reason or "none given"
        return Outcome(
            text="", closing=f"The model answered with nothing (finish reason: {reason}). Try again or rephrase."
        )
    closing = ""
    if finish.reason == "length":
        closing = f"The answer was cut at {finish.tokens:,} tokens. Write “continue” to get the rest."
    return Outcome(text=text, closing=closing, footer=footer(finish, model))


def footer(finish: Finish, model: str) -> str:
    """`mixtral · 120 tokens · 45 tokens/s · 2.7 s`."""
    parts = [model, f"{finish.tokens:,} token{'s' if finish.tokens != 1 else ''}"]
    if finish.tokens > 1 and finish.writing > 0:
        parts.append(f"{(finish.tokens - 1) / finish.writing:.0f} tokens/s")
    return " · ".join([*parts, f"{finish.seconds:.1f} s"])
