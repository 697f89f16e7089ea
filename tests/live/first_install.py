"""Test in a real workspace, by questions to a person, what Slack does not document: `make live-slack C=C012…`.

Needs `SLACK_BOT_TOKEN`, and a channel for tests in which the bot and you are. More channels (a private one, a group
direct message, a shared one) give more results. It takes ten minutes, asks before each step, and deletes what it has
posted, also after Ctrl-C. A second account, in a private window of the browser, sees what others see.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from msgspec import Struct
from slack_sdk import WebClient

from bot.settings import misplaced
from bot.slack.lockout import CAUSES
from tests.live.posted import Calls, Refused

Ask = Callable[[str], str]

STATES = (
    *("is_private", "is_mpim", "is_im", "is_ext_shared", "is_org_shared", "is_archived"),
    *("is_read_only", "is_thread_only", "is_non_threadable", "is_member", "num_members"),
)
"""Keys of conversations.info that the bot reads."""
PIECE = 500
"""Bytes that one append adds to a stream."""
STREAM_AT_MOST = 60_000
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "*A block.* It is replaced in a moment."}}]


class Here(Struct, frozen=True, kw_only=True):
    """Where the questions are put, and who answers them."""

    calls: Calls
    ask: Ask
    channels: Sequence[str]
    """The first one is for the steps that need one channel."""
    user: str
    other: str
    """The second account; empty if there is none."""
    team: str

    def sees(self, what: str) -> str:
        """A person's answer to a question about what is on the screen."""
        while True:
            given = self.ask(f"  {what} [y/n] ").strip().lower()
            if given[:1] in ("y", "n"):
                return "yes" if given.startswith("y") else "no"

    def wait(self, what: str) -> None:
        self.ask(f"  {what} Then press Enter. ")

    def stream(self, channel: str, text: str) -> tuple[str, str]:
        """Post a message and start a stream in its thread; the ts of both."""
        root = self.calls.post(channel, text="A test of streams; it is deleted in a moment.")
        to = {} if channel.startswith("D") else {"recipient_user_id": self.user, "recipient_team_id": self.team}
        return root, self.calls.start(channel, root, markdown_text=text, **to)


Question = Callable[[Here], Iterator[str]]


def channel_facts(here: Here) -> Iterator[str]:
    """What conversations.info says"""
    for channel in here.channels:
        try:
            found = here.calls.call("conversations.info", channel=channel, include_num_members=True)["channel"]
        except Refused as refused:
            yield f"{channel}: refused ({refused})"
            continue
        said = ", ".join(f"{name} {found[name]}" for name in STATES if name in found)
        yield f"{channel}: {said}; without {', '.join(name for name in STATES if name not in found) or 'none'}"


def status_after_a_post(here: Here) -> Iterator[str]:
    """Whether a post clears the status of a session"""
    channel = here.channels[0]
    root = here.calls.post(channel, text="A test of the status; look at this thread.")
    here.calls.session(channel, root, "processing")
    yield f"processing is shown in the thread: {here.sees('Open the thread. Does it show that the bot works?')}"
    here.calls.post(channel, text="An answer.", thread_ts=root)
    yield f"processing is still shown after a post: {here.sees('An answer was posted. Does it still show that?')}"
    here.calls.session(channel, root, "active")
    yield f"it is shown after active: {here.sees('The status was set to active. Does it still show that?')}"


def length_of_a_stream(here: Here) -> Iterator[str]:
    """How long a stream may be"""
    for letter, what in (("a", "letters of one byte"), ("€", "letters of three bytes")):
        channel = str(here.calls.call("conversations.open", users=here.user)["channel"]["id"])
        piece = letter * (PIECE // len(letter.encode()))
        _, stream = here.stream(channel, piece)
        length = len(piece)
        why = ""
        while not why and length * len(letter.encode()) < STREAM_AT_MOST:
            try:
                here.calls.call("chat.appendStream", channel=channel, ts=stream, markdown_text=piece)
                length += len(piece)
            except Refused as refused:
                why = str(refused)
        taken = f"{length} characters, {length * len(letter.encode())} bytes"
        yield f"{what}: {taken}, then {why}" if why else f"{what}: no limit up to {taken}"


def where_streams_work(here: Here) -> Iterator[str]:
    """In which channels streams work"""
    for channel in here.channels:
        try:
            _, stream = here.stream(channel, "A stream.")
            here.calls.stop(channel, stream)
        except Refused as refused:
            yield f"{channel}: refused ({refused})"
        else:
            yield f"{channel}: works"


def what_others_see(here: Here) -> Iterator[str]:
    """What others see of a stream while it runs"""
    channel = here.channels[0]
    here.wait("Open the channel with the second account.")
    _, stream = here.stream(channel, "one ")
    yield f"the recipient sees the beginning: {here.sees('Open the new thread. Do YOU see the word one?')}"
    yield f"others see the beginning: {here.sees('Does the SECOND account see the word one?')}"
    here.calls.call("chat.appendStream", channel=channel, ts=stream, markdown_text="two ")
    yield f"the recipient sees what is added: {here.sees('Do YOU see the word two?')}"
    yield f"others see what is added: {here.sees('Does the SECOND account see the word two?')}"
    here.calls.stop(channel, stream)
    yield f"others see all of it in the end: {here.sees('The stream has ended. Does the SECOND account see both?')}"


def update_with_text_alone(here: Here) -> Iterator[str]:
    """Whether chat.update with a text alone removes the blocks"""
    channel = here.channels[0]
    ts = here.calls.post(channel, text="with a block", blocks=BLOCKS)
    here.calls.call("chat.update", channel=channel, ts=ts, text="without a block")
    found = here.calls.call("conversations.history", channel=channel, latest=ts, oldest=ts, inclusive=True, limit=1)
    [message] = found["messages"]
    kinds = [block["type"] for block in message.get("blocks") or []]
    shown = "the old block" if "A block." in str(message.get("blocks")) else f"{', '.join(kinds) or 'no block'}"
    yield f"after the update the message has {shown}, and the text {message['text']!r}"


def ephemeral_while_offline(here: Here) -> Iterator[str]:
    """Whether an ephemeral message reaches a person who is offline"""
    if not here.other:
        yield "not asked: there is no second account"
        return
    here.wait("Close Slack everywhere for the SECOND account (all windows and its phone), and wait a minute.")
    here.calls.call("chat.postEphemeral", channel=here.channels[0], user=here.other, text="Only you can see this.")
    seen = here.sees("Open Slack with the SECOND account. Does the channel show: Only you can see this?")
    yield f"it is shown when the person comes back: {seen}"


QUESTIONS: tuple[Question, ...] = (
    channel_facts,
    update_with_text_alone,
    where_streams_work,
    length_of_a_stream,
    status_after_a_post,
    what_others_see,
    ephemeral_while_offline,
)


def main(
    arguments: Sequence[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    ask: Ask = input,
    out: TextIO = sys.stdout,
) -> int:
    """Exit status 0 if every question got an answer and no message is left."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.first_install", description=__doc__)
    parser.add_argument("channels", nargs="+", help="ids of channels, the test channel first")
    given = parser.parse_args(arguments)
    token = environ.get("SLACK_BOT_TOKEN", "").strip()
    if not token:
        out.write("SLACK_BOT_TOKEN is not set: copy the Bot User OAuth Token (xoxb-…) of the app.\n")
        return 2
    if wrong := misplaced(bot_token=token):
        out.write(f"{wrong}\n")
        return 2
    web = WebClient(token, base_url=environ.get("SLACK_API_URL", "").strip() or WebClient.BASE_URL)
    calls = Calls(web)
    answers: dict[str, list[str]] = {}
    try:
        complete = _asked(calls, given.channels, ask, out, answers)
    except (KeyboardInterrupt, EOFError):
        complete = False
        out.write("\nstopped\n")
    except Refused as refused:
        complete = False
        cause, mend = CAUSES.get(str(refused), ("", "See the errors of this method in Slack's documentation"))
        out.write(f"Slack refuses the token or a channel: {refused}{f', because {cause}' if cause else ''}. {mend}.\n")
    finally:
        left = _taken_back(calls, out)
    if not answers:
        return 1
    out.write(
        "\n".join(["", "Answers", *(f"{title}\n  {line}" for title, said in answers.items() for line in said)]) + "\n"
    )
    return 0 if complete and not left else 1


def _asked(calls: Calls, channels: Sequence[str], ask: Ask, out: TextIO, answers: dict[str, list[str]]) -> bool:
    """Run every step; False if one was left out or failed."""
    who = calls.call("auth.test")
    out.write(f"{who['user']} in {who['team']}. Ctrl-C ends this at any time; everything posted is deleted.\n")
    user = ask("Your own member id (your profile, ⋮, Copy member ID): ").strip()
    other = ask("The member id of the second account (Enter if there is none): ").strip()
    here = Here(calls=calls, ask=ask, channels=channels, user=user, other=other, team=str(who["team_id"]))
    complete = True
    for question in QUESTIONS:
        title = str(question.__doc__)
        if ask(f"\n{title}. Enter asks this, s leaves it out: ").strip().lower() == "s":
            answers[title] = ["left out"]
            complete = False
            continue
        said = answers[title] = []
        try:
            for line in question(here):
                said.append(line)
                out.write(f"  -> {line}\n")
        except Refused as refused:
            said.append(f"Slack refused a call: {refused}")
            complete = False
    return complete


def _taken_back(calls: Calls, out: TextIO) -> list[str]:
    """Delete what was posted; a second Ctrl-C does not interrupt it."""
    if not calls.has_posted:
        return []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        left = calls.take_back()
    finally:
        signal.signal(signal.SIGINT, before)
    out.write("".join(f"LEFT: {line}. Delete it by hand.\n" for line in left) or "Everything posted was deleted.\n")
    return left


if __name__ == "__main__":
    sys.exit(main())
