"""What was acknowledged during a soak, and whether the product has done it."""

from msgspec import Struct
from redis.exceptions import RedisError

from bot.sandbox.limits import EVENT_RETRIES
from bot.sandbox.seed import BOT_USER
from tests.person import words
from workers.deployment.attempt import Phase
from workers.deployment.log import Log
from workers.deployment.state import fold

DELIVERIES = 1 + len(EVENT_RETRIES)
"""Number of times that Slack delivers an event that is not acknowledged."""


class Posted(Struct, frozen=True, kw_only=True):
    """A question that a person posted."""

    deployment: str
    channel: str
    ts: str


class Book(Struct, kw_only=True):
    """The acknowledged requests and the questions."""

    wanted: dict[str, int] = {}
    """Replicas by deployment."""
    launched: set[str] = set()
    questions: list[Posted] = []


def is_running(redis, name):
    """Whether the deployment may still be ended; True if Redis does not say."""
    log = Log(redis)
    try:
        id_ = log.names().get(name)
        state = fold(id_, log.read(id_)) if id_ else None
    except RedisError:
        return True
    return state is not None and state.stopped_by is None and state.ended is None


def differences(line, redis, book):
    """How logs and clouds differ from what is wanted, as sentences; none if they agree."""
    log = Log(redis)
    try:
        ids = log.names()
        states = {name: fold(id_, log.read(id_)) for name, id_ in ids.items()}
        left = redis.hlen("mixtral:questions")
    except RedisError as error:
        return [f"Redis: {error}"]
    found = [f"{name} was launched, and has no log" for name in book.wanted.keys() - states.keys()]
    found += [f"{name} was ended, and its log has not ended" for name in states.keys() - book.wanted.keys()]
    tokens = set()
    for name in states.keys() & book.wanted.keys():
        state = states[name]
        tokens |= {attempt.request.token for attempt in state.live}
        ready = [attempt for attempt in state.live if attempt.phase is Phase.READY]
        if not len(ready) == len(state.live) == book.wanted[name]:
            found.append(f"{name}: {book.wanted[name]} wanted, {[(a.number, a.phase.value) for a in state.live]} live")
        elif state.endpoint is None:
            found.append(f"{name} has no endpoint")
    machines = [sighting.machine.token for sighting in line.machines()]
    if sorted(machines) != sorted(tokens):
        strange, missing = sorted(set(machines) - tokens), sorted(tokens - set(machines))
        found.append(f"{len(machines)} machines run; without a live attempt: {strange}; missing: {missing}")
    if left:
        found.append(f"{left} questions have no answer")
    return found


def wrong_cards(state, book):
    """Deployments that do not have exactly one card with what is true of them. `state`: the page's snapshot."""
    cards = [
        m
        for listed in state["messages"].values()
        for m in listed
        if (m.get("metadata") or {}).get("event_type") == "mixtral_card"
    ]
    found = []
    for name in sorted(book.launched):
        own = [words(card) for card in cards if f" {name} " in f"{card['blocks'][0].get('text', {}).get('text', '')} "]
        number = book.wanted.get(name, 0)
        said = f"{number} of {number}" if number else "Down"
        if len(own) != 1 or said not in own[0]:
            found.append(f"{name}: {len(own)} cards, {said!r} expected: {own}")
    return found


def wrong_answers(state, book):
    """Number of the bot's messages below each question that has not exactly one.

    Of a deployment that has ended, a question may have none: what is said of it is shown to its asker only.
    """
    answers = {(one.channel, one.ts): 0 for one in book.questions}
    for channel, listed in state["messages"].items():
        for message in listed:
            at = (channel, message.get("thread_ts", ""))
            if at in answers and message["user"] == BOT_USER and not message.get("ephemeral_to"):
                answers[at] += 1
    found = {one: answers[one.channel, one.ts] for one in book.questions}
    return {one: n for one, n in found.items() if n != 1 and not (n == 0 and one.deployment not in book.wanted)}


def never_acknowledged(deliveries, ts):
    """Whether Slack has given up a message, because the bot acknowledged none of its deliveries."""
    tried = [one for one in deliveries if one["ts"] == ts]
    return len(tried) == DELIVERIES and not any(one.get("acked", True) for one in tried)
