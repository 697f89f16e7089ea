"""Reads what is attached to a conversation: decides what is read, downloads it, and names what is not."""

import base64
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from bot.prompting.attached import File, Forwarded, Image, Kind, Text, decoded, text_of
from bot.prompting.conversation import Turn, news
from bot.prompting.left_out import LeftOut, no_images, too_many
from bot.slack.fair_share import RESERVED
from bot.slack.files import DownloadAbandoned, NoFile, SlackFiles, too_large

TEXT_BYTES = 2_000_000
"""Maximum size of a text."""
IMAGE_BYTES = 5_000_000
"""Maximum size of an image."""
ALL_BYTES = 12_000_000
"""Maximum size of all files that are read for one question."""
MEMORY_BYTES = 60_000_000
"""Maximum size of the files that one process holds for all its answers. Encoded, each byte takes four."""
FILES = 10
"""Maximum number of files that are read for one question."""
WITHIN = timedelta(seconds=30)
"""Maximum time in which they are read."""
_HEED_EVERY = 0.1
"""Interval in seconds at which it is noticed that a question is withdrawn."""

UNREADABLE = (
    File(
        name="what is attached",
        kind=Kind.UNKNOWN,
        gone="Slack does not show the message to the bot (`mixtral-bot check` lists what is missing)",
    ),
)
"""Stands for the attachments of a message that cannot be read."""

_LATE = f"Slack did not send it within {WITHIN.total_seconds():.0f} s; ask again"
_BUSY = "the bot reads too many other files at the moment; ask again in a minute"
_BINARY = "it is neither a text nor an image that models read (PNG, JPEG, GIF, WebP); paste its text"
_MANY = f"at most {FILES} files are read for a question; ask about the others by themselves"
_TOGETHER = "all files together are too large; ask about it by itself"


class Read(Struct, frozen=True, kw_only=True):
    """A conversation with what was read of its attachments."""

    said: Sequence[Turn]
    question: Turn
    left_out: Sequence[LeftOut]
    """What was not read of the messages after the last answer: the others were named below an earlier one."""


class _Memory:
    """The room for files in the memory of this process, of all answers together. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size, self._left = size, size
        self._held: Counter[str] = Counter()
        self._changed = threading.Condition()

    def take(self, size: int, channel: str, is_wanted: Callable[[], bool]) -> None:
        """Wait for room, and take it. Raises DownloadAbandoned."""
        with self._changed:
            while not self._may_take(size, channel):
                if not is_wanted():
                    raise DownloadAbandoned
                self._changed.wait(_HEED_EVERY)
            self._left -= size
            self._held[channel] += size

    def give(self, size: int, channel: str) -> None:
        with self._changed:
            self._left += size
            self._held[channel] -= size
            if not self._held[channel]:
                del self._held[channel]
            self._changed.notify_all()

    def _may_take(self, size: int, channel: str) -> bool:
        """As `bot.slack.fair_share.may_begin`: a channel holds less than is free, and an eighth is for the others."""
        held = self._held[channel]
        return held + size <= self._left - self._size // RESERVED if held else size <= self._left


class Attachments:
    """Safe to use from several threads."""

    def __init__(self, files: SlackFiles, *, within: timedelta = WITHIN, memory: int = MEMORY_BYTES) -> None:
        """`memory`: maximum size of the files that this process holds, in bytes."""
        self._files, self._within = files, within
        self._memory = _Memory(memory)

    @contextmanager
    def read(
        self, messages: Sequence[Turn], checks: Sequence[Callable[[], None]], *, images: int, name: str, channel: str
    ) -> Iterator[Read]:
        """Read what is attached to these messages, the last of which is the question, the newest ones first.

        `checks` raise if the answer is not to be written any more. `images`: how many the model takes. `name`: of the
        deployment, for the sentences. Other answers of `channel` wait for the memory of the files until the end of the
        context; those of other channels find room beside them.
        """
        reading = _Reading(self._files, self._memory, channel, images, name)
        try:
            if any(message.attached for message in messages):
                self._await(reading, messages, checks)
            whole, left = zip(*(reading.of(at, message) for at, message in enumerate(messages)), strict=True)
            new = [out for each in left[news(messages) :] for out in each]
            yield Read(said=whole[:-1], question=whole[-1], left_out=new)
        finally:
            reading.release()

    def _await(self, reading: "_Reading", messages: Sequence[Turn], checks: Sequence[Callable[[], None]]) -> None:
        """Read in a thread of its own: a download that is not wanted any more ends with its connection."""
        until = time.monotonic() + self._within.total_seconds()
        threading.Thread(target=reading.run, args=(messages,), name="files", daemon=True).start()
        try:
            while not reading.done.wait(_HEED_EVERY):
                for check in checks:
                    check()
                if time.monotonic() > until:
                    break
        finally:
            reading.end()


class _Reading:
    """One conversation being read."""

    def __init__(self, files: SlackFiles, memory: _Memory, channel: str, images: int, name: str) -> None:
        self._files, self._memory, self._channel = files, memory, channel
        self._takes, self._images, self._name = images, images, name
        self._wanted, self._waits = True, False
        self._lock = threading.Lock()
        self._left_files, self._left_bytes, self._taken = FILES, ALL_BYTES, 0
        self._found: dict[int, list[Text | Image | LeftOut]] = {}
        self.done = threading.Event()

    def run(self, messages: Sequence[Turn]) -> None:
        try:
            for at in reversed(range(len(messages))):
                for each in messages[at].attached:
                    self._keep(at, self._one_or_why(each))
        except DownloadAbandoned:
            pass
        finally:
            self.done.set()

    def end(self) -> None:
        """Stop reading. What was not read by now is left out."""
        with self._lock:
            self._wanted = False

    def release(self) -> None:
        """Return the memory of what was read."""
        self.end()
        self._give(self._taken)

    def of(self, at: int, message: Turn) -> tuple[Turn, list[LeftOut]]:
        """Return a message with what was read of it, and the rest."""
        found = self._found.get(at, [])
        all_ = [*found, *map(self._unread, message.attached[len(found) :])]
        left = [each for each in all_ if isinstance(each, LeftOut)]
        texts = tuple(each for each in all_ if isinstance(each, Text))
        images = tuple(each for each in all_ if isinstance(each, Image))
        return replace(message, texts=texts, images=images, unread=tuple(each.name for each in left)), left

    def _unread(self, each: File | Forwarded) -> Text | LeftOut:
        if isinstance(each, Forwarded):
            return text_of(each)  # nothing of it is downloaded
        return LeftOut(_shown(each), each.gone or (_BUSY if self._waits else _LATE))

    def _keep(self, at: int, found: Text | Image | LeftOut) -> None:
        with self._lock:
            if not self._wanted:
                raise DownloadAbandoned
            self._found.setdefault(at, []).append(found)

    def _one_or_why(self, each: File | Forwarded) -> Text | Image | LeftOut:
        try:
            return self._one(each)
        except NoFile as why:
            return LeftOut(_shown(each), str(why))

    def _one(self, each: File | Forwarded) -> Text | Image:
        """Raises NoFile, DownloadAbandoned."""
        if isinstance(each, Forwarded):
            return text_of(each)
        if each.gone:
            raise NoFile(each.gone)
        match each.kind:
            case Kind.BINARY:
                raise NoFile(_BINARY)
            case Kind.IMAGE:
                return self._image(each)
            case Kind.TEXT | Kind.UNKNOWN:
                return self._text(each)
            case _:
                assert_never(each.kind)

    def _image(self, file: File) -> Image:
        if self._images <= 0:
            raise NoFile(too_many(self._name, self._takes) if self._takes else no_images(self._name))
        content = self._content(file, IMAGE_BYTES)
        self._images -= 1
        return Image(name=_shown(file), url=f"data:{file.mimetype};base64,{base64.b64encode(content).decode()}")

    def _text(self, file: File) -> Text:
        text = decoded(self._content(file, TEXT_BYTES), is_text=file.kind is Kind.TEXT)
        if text is None:
            raise NoFile(_BINARY)
        return Text(label=f"File {_shown(file)}", name=_shown(file), text=text, length=len(text))

    def _content(self, file: File, limit: int) -> bytes:
        if file.size > limit:
            raise NoFile(too_large(file.size, limit))
        if self._left_files <= 0:
            raise NoFile(_MANY)
        if file.size > self._left_bytes:
            raise NoFile(_TOGETHER)
        self._left_files -= 1
        limit = min(limit, self._left_bytes)
        taken = min(file.size or limit, limit)
        self._take(taken)
        content, is_page = b"", file.mimetype == "text/html"
        try:
            content = self._files.read(
                file.url, limit=limit, size=file.size, is_page=is_page, is_wanted=lambda: self._wanted
            )
        finally:
            self._give(max(taken - len(content), 0))
        self._left_bytes -= len(content)
        return content

    def _take(self, size: int) -> None:
        self._waits = True
        self._memory.take(size, self._channel, lambda: self._wanted)
        self._waits = False
        with self._lock:
            if self._wanted:
                self._taken += size
                return
        self._memory.give(size, self._channel)
        raise DownloadAbandoned

    def _give(self, most: int) -> None:
        """Return memory; of what was returned at the end already, no more."""
        with self._lock:
            size = min(most, self._taken)
            self._taken -= size
        self._memory.give(size, self._channel)


def _shown(each: File | Forwarded) -> str:
    if isinstance(each, Forwarded):
        return each.label.lower()
    return each.name if each is UNREADABLE[0] else f"`{each.name}`"
