"""PURE: one replica as text: its place, its state, and what replaces it after a loss."""

from datetime import datetime, timedelta

from bot.views import offers
from bot.views.amounts import duration
from bot.views.escape import clip, inert
from workers.decision.retry_policy import deadline
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.state import Deployment

ATTEMPT_DOTS = {
    Phase.PROVISIONING: "\N{LARGE BLUE CIRCLE}",
    Phase.REFUSED: "\N{MEDIUM WHITE CIRCLE}\N{VARIATION SELECTOR-16}",
    Phase.STARTING: "\N{LARGE YELLOW CIRCLE}",
    Phase.READY: "\N{LARGE GREEN CIRCLE}",
    Phase.NOT_READY: "\N{LARGE ORANGE CIRCLE}",
    Phase.DRAINING: "\N{LARGE BROWN CIRCLE}",
    Phase.SHUTTING_DOWN: "\N{LARGE BROWN CIRCLE}",
    Phase.ENDED: "\N{MEDIUM BLACK CIRCLE}\N{VARIATION SELECTOR-16}",
    Phase.PREEMPTED: "\N{LARGE RED CIRCLE}",
    Phase.FAILED: "\N{LARGE RED CIRCLE}",
}


def so_far(attempt: Attempt, now: datetime) -> str:
    """`: 3 s so far`; empty in the first second."""
    elapsed = now - attempt.since
    return f": {duration(elapsed)} so far" if elapsed >= timedelta(seconds=1) else ""


def preposition(attempt: Attempt) -> str:
    return "on" if attempt.offer.cloud == "local" else "at"


def why(attempt: Attempt) -> str:
    return inert(clip(attempt.why.rstrip("."), 300)) or "its machine ended"


def silence(attempt: Attempt) -> str:
    """Why a replica that was ready does not answer."""
    ended = attempt.engine_end
    if ended is None:
        return why(attempt)
    return f"{inert(clip(ended.how, 300))}{', and its machine starts it again' if ended.again else ''}"


def engine_restarts(attempt: Attempt) -> str:
    """How an engine that its machine restarts has ended, and how often; empty if it has not."""
    ended = attempt.engine_end
    if ended is None or not ended.again:
        return ""
    how, times = inert(clip(ended.how, 200)), f", {ended.start} times so far" if ended.start > 1 else ""
    return f"{how[:1].upper()}{how[1:]}{times}; its machine starts it again."


def left(attempt: Attempt, now: datetime) -> timedelta:
    """The time in which a replica that does not answer can recover before it is replaced."""
    until = deadline(attempt)
    return max((until or now) - now, timedelta())


def taken_back(attempt: Attempt) -> str:
    return f"replica {attempt.replica} was preempted {preposition(attempt)} {offers.place(attempt.offer)}"


def replacement(lost: Attempt, state: Deployment) -> str:
    """What replaces a replica that was lost: `its replacement starts at GCP us-central1-a`."""
    later = (a for a in state.attempts if a.number > lost.number and a.replica == lost.replica)
    newest = next((a for a in later if a.phase is not Phase.REFUSED), None)
    if newest is None:
        wanted = len(state.live) < state.wanted and state.ended is None and state.abandoned is None
        return "its replacement is being chosen" if wanted else "it is not replaced"
    where = f"{preposition(newest)} {offers.place(newest.offer)}"
    match newest.phase:
        case Phase.PROVISIONING:
            return f"its replacement is requested {where}"
        case Phase.STARTING:
            return f"its replacement starts {where}"
        case Phase.READY:
            return f"its replacement is ready {where}"
        case _:
            return f"it was replaced {where}"
