"""PURE: what is sent of a conversation, and the sentences about the rest."""

from collections.abc import Sequence

from bot.language.channel_settings import ChannelSettings
from bot.prompting.conversation import Turn, news
from bot.prompting.fitting import Fitted
from bot.prompting.left_out import TOO_LONG, LeftOut, sentence, shortened


class Sent:
    """What is sent of a conversation, and what is left out."""

    def __init__(
        self, said: Sequence[Turn], question: Turn, left_out: Sequence[LeftOut], settings: ChannelSettings
    ) -> None:
        self.said, self.question, self.settings = said, question, settings
        self._left_out = list(left_out)
        self.fitted: Fitted | None = None

    def without_images(self, asked: Fitted, most: int, why: str) -> Fitted | None:
        """Return the conversation with `most` images; None if it has no more than that. `why`: as in `LeftOut`."""
        had = sum(len(message.images) for message in asked.messages)
        if had <= most:
            return None
        less = asked.with_images(most)
        for before, after in self._new(asked.messages, less.messages):
            refused = [LeftOut(image.name, why) for image in before.images[len(after.images) :]]
            self._left_out += [each for each in refused if each not in self._left_out]
        return less

    def closing(self, own: str) -> str:
        """Return the sentences below the answer: what was left out, and `own`."""
        sent = self.fitted.messages if self.fitted else ()
        pairs = self._new((*self.said, self.question)[-len(sent) :], sent) if sent else []
        cuts = [cut for original, part in pairs for cut in shortened(original, part)]
        known = {each.name for each in self._left_out}
        dropped = [
            LeftOut(image.name, TOO_LONG)
            for original, part in pairs
            for image in original.images[len(part.images) :]
            if image.name not in known
        ]
        return " ".join(filter(None, (sentence([*self._left_out, *dropped], cuts), own)))

    def _new(self, before: Sequence[Turn], after: Sequence[Turn]) -> list[tuple[Turn, Turn]]:
        """Return the pairs of messages after the last answer."""
        pairs = list(zip(before, after, strict=True))
        return pairs[news(before) :]
