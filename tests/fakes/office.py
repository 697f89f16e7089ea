"""The desk that commands are given to, with the real log and the real door to the workers."""

from datetime import UTC, datetime
from pathlib import Path

from bot.commands import handlers
from bot.commands.desk import Caller, Desk
from bot.commands.errors import NotShown
from bot.commands.grammar import parse
from bot.commands.outcome import settle
from bot.commands.shelf import Shelf
from tests.builders.logs import Logs
from tests.person import words as words_of
from workers.requests import Requests

HERE = Path(__file__)
RECIPES = HERE.parents[1] / "recipes"


class Channels:
    """Slack's channels, as far as commands ask."""

    def __init__(self):
        self.joined = True
        self.link = None
        self.whispered = []
        self.refuses = None

    def may_post(self, channel):
        return self.joined

    def card_link(self, deployment):
        return self.link

    def whisper(self, channel, user, message):
        if self.refuses:
            raise NotShown(self.refuses)
        self.whispered.append((channel, user, words_of({"text": message.text, "blocks": list(message.blocks)})))


class Answers:
    """Keeps the questions."""

    def __init__(self):
        self.asked = []

    def ask(self, question):
        self.asked.append(question)


class Office:
    """A desk, and everything on it."""

    def __init__(self, redis):
        self.nudged = []
        self.requests = Requests(redis, self.nudged.append, {})
        self.channels, self.answers = Channels(), Answers()
        self.running = Logs(redis)
        self.desk = Desk(
            requests=self.requests,
            shelf=Shelf((RECIPES,), {}, "scripted"),
            ladder=lambda *_: ((), "nothing fits"),
            priced="read today",
            answers=self.answers,
            channels=self.channels,
            admins=frozenset({"UADMIN"}),
            now=lambda: datetime.now(UTC),
        )
        self._told = 0

    def says(self, command, user="U1", once=None, channel="C0HERE"):
        self._told += 1
        caller = Caller(team="T1", channel=channel, user=user, once=once or f"1.{self._told}", response_url="http://r")
        command = parse(command) if isinstance(command, str) else command
        message = settle("test", caller, lambda: handlers.handle(command, caller, self.desk))
        return words_of({"text": message.text, "blocks": list(message.blocks)})
