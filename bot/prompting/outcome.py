"""PURE: how an answer ended, and the line below it."""

from msgspec import Struct

from bot.views.answer import ShownThoughts


class Finish(Struct, frozen=True, kw_only=True):
    reason: str | None
    """The engine's `finish_reason`: `stop`, `length` …"""
    tokens: int
    seconds: float
    """Seconds from the request to the last token."""
    writing: float
    """Seconds from the first token to the last."""
    thoughts: int = 0
    """Number of tokens before the answer."""
    thinking: float = 0
    """Seconds from the first token to the answer."""
    said: str = ""
    """The thoughts."""


class Outcome(Struct, frozen=True, kw_only=True):
    """A complete answer."""

    text: str
    """The model's text."""
    closing: str = ""
    """The bot's own sentence below the text."""
    footer: str = ""
    """One line of measurements."""
    thoughts: ShownThoughts | None = None
    model: str = ""


def outcome(text: str, finish: Finish, model: str) -> Outcome:
    """Return the outcome of a completion that has ended."""
    thoughts = ShownThoughts(text=finish.said, seconds=finish.thinking) if finish.thoughts else None
    if not text.strip():
        return Outcome(text="", closing=_empty(finish), thoughts=thoughts, model=model)
    closing = ""
    if finish.reason == "length":
        answer = max(finish.tokens - finish.thoughts, 1)
        closing = f"The answer was cut at {answer:,} tokens. Write “continue” to get the rest."
    return Outcome(text=text, closing=closing, footer=footer(finish, model), thoughts=thoughts, model=model)


def footer(finish: Finish, model: str) -> str:
    """`mixtral · 120 tokens · 45 tokens/s · 2.7 s`."""
    parts = [model, f"{finish.tokens:,} token{'s' if finish.tokens != 1 else ''}"]
    if finish.tokens > 1 and finish.writing > 0:
        parts.append(f"{(finish.tokens - 1) / finish.writing:.0f} tokens/s")
    if finish.thoughts:
        parts.append(f"{finish.thinking:.1f} s of thoughts")
    return " · ".join([*parts, f"{finish.seconds:.1f} s"])


def _empty(finish: Finish) -> str:
    if not finish.thoughts:
        reason = finish.reason or "none given"
        return f"The model's answer is empty (finish reason: {reason}). Ask again or rephrase."
    thoughts = f"{finish.thoughts:,} token{'s' if finish.thoughts != 1 else ''} of thoughts"
    if finish.reason == "length":
        return (
            f"The model wrote {thoughts}, which is all that it may write, and no answer. "
            "Ask a narrower question, or ask it in a new thread: a short conversation leaves more room for thoughts."
        )
    return f"The model wrote {thoughts} and no answer. Ask again or rephrase."
