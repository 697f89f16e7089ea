"""PURE: what is shown below the text of an answer: its thoughts, a line of measurements, and buttons."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bot.views.amounts import count
from bot.views.blocks import Block, actions, button, context, plain

STOP = "answer_stop"
AGAIN = "answer_again"
OTHER = "answer_other_"
"""Prefix of the action ids of the buttons for other deployments."""
FEEDBACK = "answer_feedback"
RATE = "answer_rate_"
"""Prefix of the action ids of the two buttons that ask for feedback where Slack has no feedback buttons."""
BUTTON_ROW = "answer_steering"
"""Prefix of the block ids of buttons that lead to another answer or end this one."""

MAX_OTHERS = 3
MAX_THOUGHTS = 6_000
"""Maximum number of characters of thoughts that are shown."""
MIN_THOUGHTS = 200
"""Minimum room for thoughts; with less, they are left out."""
_SECTION = 2_900


class ShownThoughts(Struct, frozen=True, kw_only=True):
    """What a model thought before its answer."""

    text: str
    seconds: float


class Below(Struct, frozen=True, kw_only=True):
    """What is shown below the text of an answer."""

    footer: str = ""
    """In mrkdwn."""
    thoughts: ShownThoughts | None = None
    buttons: tuple[Block, ...] = ()
    """Elements of an actions block."""
    rates: str = ""
    """The key of the question whose answer is rated; empty if people are not asked for feedback."""

    def shapes(self, room: int) -> list[tuple[Block, ...]]:
        """The blocks, best first: the next ones are for a Slack that refuses those before.

        `room`: number of characters that Slack accepts in addition to the text.
        """
        footer = (context(self.footer),) if self.footer else ()
        folded = _folded(self.thoughts, room) if self.thoughts else ()
        new = (*folded, *footer, *_button_row(self.buttons), *_feedback(self.rates))
        old = (*footer, *_button_row((*self.buttons, *_rating_buttons(self.rates))))
        return [shape for shape, before in ((new, None), (old, new), (footer, old)) if shape != before]


def growing(key: str) -> tuple[Block, ...]:
    """What is shown below an answer while it is written."""
    return _button_row((button("Stop", STOP, key),))


def thinking(seconds: float) -> Block:
    """What is shown instead of the text of an answer that has not begun."""
    return context(f"Thinking for {seconds:.0f} s …")


def buttons(key: str, others: Sequence[tuple[str, str]]) -> tuple[Block, ...]:
    """The buttons below a finished answer. `others`: names and ids of deployments that could answer, too."""
    more = (button(f"Ask {name}", f"{OTHER}{at}", f"{id_} {key}") for at, (name, id_) in enumerate(others[:MAX_OTHERS]))
    return (button("Regenerate", AGAIN, key), *more)


def of_other(value: str) -> tuple[str, str]:
    """The deployment's id and the question's key in the value of a button for another deployment."""
    deployment, _, key = value.partition(" ")
    return deployment, key


def of_rating(value: str) -> tuple[bool, str]:
    """Whether the value of a feedback button stands for a good answer, and the key of its question."""
    rating, _, key = value.partition(" ")
    return rating == "good", key


def without_buttons(blocks: Sequence[dict[str, Any]], instead: str = "") -> tuple[Block, ...]:
    """The blocks of an answer without the buttons that lead to another one, and with the line `instead`."""
    kept = [block for block in blocks if not str(block.get("block_id", "")).startswith(BUTTON_ROW)]
    return (*kept, context(instead)) if instead else tuple(kept)


def has_buttons(blocks: Sequence[dict[str, Any]]) -> bool:
    """Whether `without_buttons` would change these blocks."""
    return any(str(block.get("block_id", "")).startswith(BUTTON_ROW) for block in blocks)


def is_finished(blocks: Sequence[dict[str, Any]]) -> bool:
    """Whether these are the blocks of an answer that is finished: it has other buttons than Stop."""
    rows = [str(block.get("block_id", "")) for block in blocks]
    return any(row.startswith(BUTTON_ROW) and not row.endswith(STOP) for row in rows)


def _button_row(elements: Sequence[Block]) -> tuple[Block, ...]:
    return ({**actions(elements), "block_id": f"{BUTTON_ROW}_{elements[0]['action_id']}"},) if elements else ()


def _feedback(key: str) -> tuple[Block, ...]:
    if not key:
        return ()
    element = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": _rating("\N{THUMBS UP SIGN}", "Good answer", f"good {key}"),
        "negative_button": _rating("\N{THUMBS DOWN SIGN}", "Bad answer", f"bad {key}"),
    }
    return ({"type": "context_actions", "elements": [element]},)


def _rating(text: str, label: str, value: str) -> Block:
    return {"text": plain(text, 75), "value": value, "accessibility_label": label}


def _rating_buttons(key: str) -> tuple[Block, ...]:
    if not key:
        return ()
    return (
        button("\N{THUMBS UP SIGN}", f"{RATE}good", f"good {key}"),
        button("\N{THUMBS DOWN SIGN}", f"{RATE}bad", f"bad {key}"),
    )


def _folded(thoughts: ShownThoughts, room: int) -> tuple[Block, ...]:
    """A block that is folded until a person opens it. The thoughts are plain text, so that nothing in them acts."""
    limit = min(room, MAX_THOUGHTS)
    text = thoughts.text.strip()
    if not text or limit < MIN_THOUGHTS:
        return ()
    if len(text) > limit:
        half = (limit - 60) // 2
        left_out = f"… {count(len(text) - 2 * half, 'character')} left out …"
        text = f"{text[:half]}\n\n{left_out}\n\n{text[-half:]}"
    parts = [text[at : at + _SECTION] for at in range(0, len(text), _SECTION)]
    texts = [{"type": "plain_text", "text": part, "emoji": False} for part in parts if part.strip()]
    title = plain(f"Thought for {thoughts.seconds:.0f} s", 150)
    return (
        {
            "type": "container",
            "title": title,
            "is_collapsible": True,
            "default_collapsed": True,
            "child_blocks": [{"type": "section", "text": text} for text in texts],
        },
    )
