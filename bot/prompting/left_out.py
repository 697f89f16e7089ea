"""PURE: the sentence about what was attached to a question and did not reach the model."""

from collections.abc import Sequence

from msgspec import Struct

from bot.prompting.conversation import Turn

_NAMED = 5
"""Maximum number of names in a sentence."""


class LeftOut(Struct, frozen=True):
    """Something that the model did not get."""

    name: str
    """Of a file or a forwarded message, with backticks around a file's name."""
    why: str
    """The cause and the mend, after a colon."""


NOTHING_LEFT = "The message has no other text, so nothing was asked."


def no_images(name: str) -> str:
    """Why an image was left out. `name`: of the deployment."""
    return f"`{name}` does not read images; describe what it shows, or ask a model that does"


def too_many(name: str, most: int) -> str:
    """Why images were left out of which an engine accepts `most`."""
    return (
        f"`{name}` reads at most {most} image{'s' if most != 1 else ''} at a time; ask about the others by themselves"
    )


def undecodable(name: str) -> str:
    """Why images were left out of which an engine could not decode one."""
    return f"`{name}` could not decode an image of this thread; save it as PNG or JPEG, and ask in a new thread"


TOO_LONG = "the conversation is too long for it; ask in a new thread"


def sentence(left: Sequence[LeftOut], shortened: Sequence[str]) -> str:
    """Return one line about what was left out, and what was shortened; empty if nothing was."""
    by_why: dict[str, list[str]] = {}
    for each in left:
        by_why.setdefault(each.why, []).append(each.name)
    parts = [
        f"{_joined(names)} {'was' if len(names) == 1 else 'were'} left out: {why}" for why, names in by_why.items()
    ]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in (*parts, *shortened))


def shortened(original: Turn, sent: Turn) -> list[str]:
    """Return what was cut of the texts attached to a message."""
    return [
        f"{whole.name} was cut: the model got the first {len(part.text):,} of {whole.length:,} characters"
        for whole, part in zip(original.texts, sent.texts, strict=True)
        if len(part.text) < whole.length
    ]


def _joined(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
