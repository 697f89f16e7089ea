"""A soak: a seeded stream of deeds and disturbances, and what is checked and measured between them."""

import random
import time
from collections import Counter
from pathlib import Path

import httpx
from msgspec import Struct, field
from redis import Redis

from tests.cloudy_line import CloudyLine
from tests.load import Target, ask
from tests.patience import PATIENCE
from tests.person import GENERAL, MIXTRAL, Person, words
from tests.soak import disturbances, footprint
from tests.soak.bookkeeping import Book, Posted, differences, is_running, never_acknowledged, wrong_answers, wrong_cards
from tests.soak.deeds import STANDING, Ask, Down, Launch, Scale, after, next_deed

SETTLES_WITHIN = 80.0
"""Seconds until everything is as wanted after the disturbances have ended."""
DEEDS = (3, 6)
"""Number of deeds between two measurements."""
PAUSES = (0.2, 2.0)
ACKED_WITHIN = 60.0
REDIS_AWAY = 15.0
"""Seconds after a SIGKILL of Valkey in which a command may fail after its acknowledgement."""
TOLD_WITHIN = 4.0
"""Seconds after an acknowledgement in which the bot says that a command failed, also if Slack's answers are late."""
EPOCH = 30 * 60.0
"""In its first quarter, the long-lived processes are killed too; then they grow older. Seconds."""
SAMPLES = 3
"""Number of samples at each measurement, each after the same load."""


class Wrong(AssertionError):
    """What was promised does not hold."""


class Sample(Struct, frozen=True, kw_only=True):
    epoch: int
    at: float
    """Seconds since the start."""
    parts: dict[str, footprint.Footprint]
    keys: dict[str, int]


class Outcome(Struct, kw_only=True):
    """What happened in a soak."""

    seed: int
    seconds: float = 0.0
    deeds: Counter = field(default_factory=Counter)
    repeated: int = 0
    """Commands that were not acknowledged at first."""
    disturbed: Counter = field(default_factory=Counter)
    settled: list[float] = []
    """Seconds that each settling took."""
    answers: int = 0
    unacknowledged: int = 0
    """Questions that Slack gave up, because the bot was down at each delivery."""
    requests: Counter = field(default_factory=Counter)
    """Requests through the gateway while nothing was disturbed, by fate."""
    samples: list[Sample] = []


class Soak:
    """One run. Everything that depends on chance comes from `seed`, but for the timing of the processes."""

    def __init__(self, line, person, *, seed, seconds, say=print):
        self.line, self.person, self.say = line, person, say
        self.rng = random.Random(seed)
        self.seconds, self.epoch = seconds, min(EPOCH, seconds)
        self.redis = Redis(port=line.redis_port, socket_timeout=5)
        self.book = Book()
        self.outcome = Outcome(seed=seed)
        self.number = 0
        self.redis_died_at = float("-inf")
        self.done = []
        """What was done last, for the message of a failure."""

    def run(self):
        self.began = time.monotonic()
        self.do(Launch(name=STANDING, recipe="either", replicas=1))
        self.settle()
        self.target = self.find_target()
        while self.elapsed < self.seconds:
            self.disturbed_round()
            self.come_to_rest()
            self.measure()
        self.do(Down(name=STANDING))
        self.settle()
        self.outcome.seconds = self.elapsed
        self.outcome.answers = len(self.book.questions)
        return self.outcome

    @property
    def elapsed(self):
        return time.monotonic() - self.began

    # --- what happens -------------------------------------------------------------------

    def disturbed_round(self):
        for _ in range(self.rng.randint(*DEEDS)):
            if self.rng.random() < 0.8:
                self.disturb()
            self.pause(self.rng.uniform(*PAUSES))
            self.number += 1
            self.do(next_deed(self.rng, self.book.wanted, self.number))
        self.settle()

    def disturb(self):
        kinds = [disturbances.of_slack(), disturbances.of_clouds(), disturbances.of_processes()]
        if self.elapsed % self.epoch < self.epoch / 4:
            kinds += [disturbances.of_long_lived_processes()] * 2
        chosen = self.rng.choice(self.rng.choice(kinds))
        self.note(chosen.name)
        chosen.act(self.line, self.person, self.rng)
        if chosen.name == "SIGKILL of Valkey":
            self.redis_died_at = time.monotonic()
        self.outcome.disturbed[chosen.name] += 1

    def come_to_rest(self):
        """End everything but the standing deployment."""
        for name in sorted(self.book.wanted.keys() - {STANDING}):
            self.do(Down(name=name))
        if self.book.wanted[STANDING] != 1:
            self.do(Scale(name=STANDING, replicas=1))
        self.settle()

    def do(self, deed):
        """Do it, and repeat it until it is acknowledged, as a person would."""
        self.note(str(deed))
        self.outcome.deeds[type(deed).__name__.lower()] += 1
        if isinstance(deed, Ask):
            self.question(deed.name, f"question {deed.number}", self.rng.choice((GENERAL, MIXTRAL)))
            return
        before = time.monotonic()
        while not self.acked(deed):
            self.outcome.repeated += 1
            if time.monotonic() - before > ACKED_WITHIN * PATIENCE:
                raise Wrong(f"{deed} is not acknowledged. {self.context()}")
            self.pause(0.5)
        self.book.wanted = after(deed, self.book.wanted)
        if isinstance(deed, Launch):
            self.book.launched.add(deed.name)

    def acked(self, deed):
        match deed:
            case Launch():
                text = f"launch {deed.recipe} as {deed.name} --replicas {deed.replicas}"
            case Scale():
                text = f"scale {deed.name} {deed.replicas}"
            case Down():
                return self.ended(deed.name)
        return self.typed(text)

    def typed(self, text):
        return self.accepted(lambda: self.person.command(GENERAL, f"/mixtral {text}"))

    def ended(self, name):
        """Pressed, or refused because it has ended: a note of another command is no answer."""
        done = {}

        def end():
            done.update(self.person.end(GENERAL, name))
            return done

        return self.accepted(end) and (done["pressed"] or not is_running(self.redis, name))

    def accepted(self, act):
        """Whether it is acknowledged, and the bot has not said that it failed: a person would repeat it then."""
        try:
            before = len(self.person.ephemerals(GENERAL))
            acked = act()["acked"]
            until = time.monotonic() + (TOLD_WITHIN if time.monotonic() - self.redis_died_at < REDIS_AWAY else 0.0)
            while not (failed := self.failures(before)) and time.monotonic() < until:
                self.pause(0.1)
        except (httpx.HTTPError, AssertionError):
            return False
        return acked and not failed

    def failures(self, before):
        """What the bot has said of commands that failed, in the person's private messages after the first `before`."""
        said = [words(m) for m in self.person.ephemerals(GENERAL)[before:]]
        return [text for text in said if "Redis" in text or "incident" in text]

    def question(self, name, text, channel):
        ts = self.person.say(channel, f"@mixtral {name}: {text}?")
        self.book.questions.append(Posted(deployment=name, channel=channel, ts=ts))

    # --- what is checked ----------------------------------------------------------------

    def settle(self):
        """End the disturbances, and wait until everything is as wanted; raises Wrong if it does not become so."""
        self.person.clear_faults()
        self.line.mend()
        began = told = time.monotonic()
        while found := self.found():
            if time.monotonic() - began > SETTLES_WITHIN * PATIENCE:
                raise Wrong("; ".join(found) + f". {self.context()}")
            if time.monotonic() - told > SETTLES_WITHIN:
                told = time.monotonic()
                self.say(f"{self.elapsed:.1f} s: waiting, because {'; '.join(found)}")
            self.pause(0.3)
        self.outcome.settled.append(time.monotonic() - began)

    def found(self):
        if found := differences(self.line, self.redis, self.book):
            return found
        page = self.person.state()
        if wrong := wrong_answers(page, self.book):
            self.give_up_unacknowledged(wrong)
        return [*wrong_cards(page, self.book), *(f"{question}: {n} answers" for question, n in wrong.items())]

    def give_up_unacknowledged(self, wrong):
        """Do not expect an answer to a question that never reached the bot, because it was down."""
        made = self.person.deliveries()
        for question in [question for question, answers in wrong.items() if answers == 0]:
            if never_acknowledged(made, question.ts):
                self.book.questions.remove(question)
                self.outcome.unacknowledged += 1

    # --- what is measured ---------------------------------------------------------------

    def measure(self):
        for _ in range(SAMPLES):
            self.equal_load()
            self.pause(1.0)
            parts = {name: footprint.of_processes(pids) for name, pids in footprint.parts(self.line).items()}
            keys = footprint.of_redis(self.redis)
            epoch = int(min(self.elapsed, self.seconds - 1) // self.epoch)  # the last round ends later
            self.outcome.samples.append(Sample(epoch=epoch, at=self.elapsed, parts=parts, keys=keys))

    def equal_load(self):
        """The same requests before each sample."""
        for text in ("status", "help", f"status {STANDING}"):
            self.typed(text)
        self.number += 1
        self.question(STANDING, f"question {self.number}", MIXTRAL)
        for _ in range(5):
            self.outcome.requests[ask(self.target, tokens=5).fate.value] += 1
        self.settle()

    def find_target(self):
        key = next(v.decode() for k, v in self.redis.hgetall("mixtral:keys").items())
        return Target(url=self.line.gateway, key=key, model=STANDING)

    # --- the rest -----------------------------------------------------------------------

    def pause(self, seconds):
        """Wait, and restart what has ended, as an init system does."""
        until = time.monotonic() + seconds
        while True:
            self.line.children.restart_the_dead()
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(left, 0.1))

    def note(self, what):
        self.done.append(f"{self.elapsed:.1f} s: {what}")
        self.say(self.done[-1])

    def context(self):
        return f"Seed {self.outcome.seed}, after {'; '.join(self.done[-8:])}\n{self.line.logs(25)}"


def soaked(folder, *, seed, seconds, say=print):
    """Run a soak on a line of its own, and return the outcome. Raises Wrong."""
    more = {"MIXTRAL_KEEP_TRYING_EVERY": "3s", "MIXTRAL_CONTROL_LEASE": "3s"}
    recipes = Path(__file__).parent / "recipes"
    slack = ("--rate-scale", "100", "--retry-scale", "0.05")
    with CloudyLine(folder, recipes=recipes, slack=slack, **more) as line, Person(line.page) as person:
        return Soak(line, person, seed=seed, seconds=seconds, say=say).run()
