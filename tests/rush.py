"""Many concurrent questions in one channel, the order and times of their answers, and what another channel waits."""

import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.prompting.store import QUESTIONS
from bot.sandbox.seed import BOT_USER
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.answering import Line, Place
from tests.fakes.upstream import Upstream
from tests.measured import show
from tests.person import GENERAL, MIXTRAL
from workers.processes import Children
from workers.sandbox.valkey import free_port, valkey

QUESTIONS_AT_ONCE = 50
WORDS = 40
FIRST_TOKEN = 0.2
"""Seconds that the engine takes for its first token."""
IDLE_LIMIT = 0.25
CROWD = 150
"""Number of questions in one channel while another channel asks one."""


class Seen(Struct, frozen=True, kw_only=True):
    """Measurements of a rush. Lists are in the order of the questions; times are seconds since the question."""

    threads: list[str]
    sessions: list[str]
    """Threads in the order in which their status was shown."""
    messages: list[int]
    """Number of messages of the bot in each thread."""
    answers: list[str]
    first: list[float]
    """When the first text was posted."""
    posted: list[str]
    """Threads in the order of their first message."""
    took: float
    """Seconds until no question was left."""
    calls: dict[str, int]
    refused: int
    """Number of calls that Slack answered with 429."""


def rush(place: Place, engine: Upstream, *, timeout: float) -> Seen:
    """Ask all questions, and wait for their answers."""
    engine.script = lambda body: {
        "text": " ".join([body["messages"][-1]["content"]] * WORDS),
        "delay": 0.05,
        "hang": FIRST_TOKEN,
    }
    before, began = len(place.robin.calls()), time.monotonic()
    threads = [place.robin.say(MIXTRAL, f"@mixtral number{n}") for n in range(QUESTIONS_AT_ONCE)]
    place.settled(*threads, timeout=timeout)
    took = time.monotonic() - began
    made = place.robin.calls()[before:]
    by_thread = {ts: [m for m in place.robin.messages(MIXTRAL, ts) if m["user"] == BOT_USER] for ts in threads}
    methods = [call["method"] for call in made]
    return Seen(
        threads=threads,
        sessions=[key.split(":")[1] for key in place.robin.state()["sessions"] if key.split(":")[1] in by_thread],
        messages=[len(by_thread[ts]) for ts in threads],
        answers=[" ".join(place.markdown(ts)) for ts in threads],
        first=[float(by_thread[ts][0]["ts"]) - float(ts) for ts in threads],
        posted=sorted(threads, key=lambda ts: float(by_thread[ts][0]["ts"])),
        took=took,
        calls={method: methods.count(method) for method in sorted(set(methods))},
        refused=sum(call["status"] == 429 for call in made),
    )


class BesideACrowd(Struct, frozen=True, kw_only=True):
    """What a question waits for while another channel has asked `CROWD` questions before it. In seconds."""

    first: float
    """Until its first text."""
    whole: float
    """Until its answer was complete."""
    passed: int
    """Number of the crowd's questions whose first text was posted between the question and its first text."""


def beside_a_crowd(place: Place, engine: Upstream, *, crowd: int = CROWD, timeout: float) -> BesideACrowd:
    """Ask `crowd` questions in one channel, then one in another; do not wait for the crowd's answers."""
    engine.script = lambda body: {
        "text": " ".join([body["messages"][-1]["content"]] * WORDS),
        "delay": 0.05,
        "hang": FIRST_TOKEN,
    }
    crowd_began, crowded = len(engine.asked), {place.robin.say(MIXTRAL, f"@mixtral number{n}") for n in range(crowd)}
    place.robin.wait_for(lambda _: len(engine.asked) > crowd_began, timeout)  # the crowd is being answered
    ts = place.robin.say(GENERAL, "@mixtral alone")
    began = time.monotonic()
    answer = place.answer(ts, "alone", channel=GENERAL, timeout=timeout)
    first = float(answer["ts"]) - float(ts)
    # By Slack's times: until this process looks, further answers may have been posted.
    passed = sum(ts < posted < answer["ts"] for posted in _first_posts(place, crowded))
    place.robin.wait_for(lambda _: f"{GENERAL}:{ts}".encode() not in place.redis.hkeys(QUESTIONS), timeout)
    return BesideACrowd(first=first, whole=time.monotonic() - began, passed=passed)


def _first_posts(place: Place, threads: set[str]) -> list[str]:
    """The ts of the first message of the bot in each of these threads that has one."""
    replies = [m for m in place.robin.messages(MIXTRAL) if m["user"] == BOT_USER and m.get("thread_ts") in threads]
    return list({m["thread_ts"]: m["ts"] for m in sorted(replies, key=lambda m: str(m["ts"]), reverse=True)}.values())


def idle(place: Place, engine: Upstream, channel: str, times: int) -> list[float]:
    """Return the seconds from a question to its first text, without those of the engine."""
    engine.script = lambda _: {"hang": FIRST_TOKEN}
    took = []
    for n in range(times):
        ts = place.robin.say(channel, f"@mixtral Hello {n}")
        answer = place.answer(ts, "7 tokens", channel=channel)
        took.append(float(answer["ts"]) - float(ts) - FIRST_TOKEN)
        place.robin.wait_for(lambda _: place.redis.hlen(QUESTIONS) == 0)
        time.sleep(2)  # the posts of a channel have a budget
    return took


@contextmanager
def running(folder: Path):
    """A place and an engine at Slack's real rates, for `make bench`."""
    port, children = free_port(), Children()
    children.start(valkey(port, folder, folder / "valkey.log"))
    url = f"redis://127.0.0.1:{port}/0"
    with start(Settings()) as slack, Redis.from_url(url) as redis, Upstream() as engine:
        _wait_for(redis)
        line = Line(redis, url, slack.api_url, folder / "home")
        place = Place(redis, slack, line)
        place.shelf.put("fast", engine.url, MIXTRAL)
        place.bot()
        try:
            yield place, engine
        finally:
            place.close()
            line.close()
            children.stop()


def _wait_for(redis: Redis) -> None:
    for _ in range(100):
        try:
            redis.ping()
        except RedisConnectionError:
            time.sleep(0.05)
        else:
            return


def rows():
    """Rows (name, value, reference) for `make bench`."""
    with tempfile.TemporaryDirectory(prefix="mxr-") as folder, running(Path(folder)) as (place, engine):
        for what, channel in (("in a channel", MIXTRAL), ("in direct messages", place.robin.open_dm())):
            worst = max(took := idle(place, engine, channel, 10))
            yield (
                f"question to first text {what}, without the engine's time, median and maximum of 10",
                f"{statistics.median(took) * 1e3:.0f} ms, {worst * 1e3:.0f} ms",
                f"limit {IDLE_LIMIT * 1e3:.0f} ms",
            )
        seen = rush(place, engine, timeout=180)
    whole = sum(answer.split().count(f"number{n}") == WORDS for n, answer in enumerate(seen.answers))
    yield from beside_rows()
    yield (
        f"{QUESTIONS_AT_ONCE} questions at once in one channel: all answers complete",
        f"{seen.took:.0f} s",
        f"Slack's limit for {QUESTIONS_AT_ONCE} posts: {QUESTIONS_AT_ONCE - 10} s",
    )
    yield "their first text, median and maximum", f"{statistics.median(seen.first):.1f} s, {max(seen.first):.1f} s", ""
    yield "complete answers, messages", f"{whole}, {sum(seen.messages)}", f"{QUESTIONS_AT_ONCE}, {QUESTIONS_AT_ONCE}"
    yield "calls", ", ".join(f"{method} {count}" for method, count in seen.calls.items()), ""
    yield "calls that Slack refused with 429", f"{seen.refused}", "0"


def beside_rows():
    """Rows for `make bench`: a question in one channel beside a crowd in another, at Slack's real rates."""
    with tempfile.TemporaryDirectory(prefix="mxr-") as folder, running(Path(folder)) as (place, engine):
        seen = beside_a_crowd(place, engine, timeout=600)
    yield (
        f"first text of a question in one channel behind {CROWD} in another, without the engine's time",
        f"{seen.first - FIRST_TOKEN:.1f} s, after {seen.passed} of theirs",
        "limit 2 s",
    )
    yield "the whole answer to it", f"{seen.whole:.1f} s", ""


if __name__ == "__main__":
    show("a rush of questions", rows())
