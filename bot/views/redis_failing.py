"""PURE: that Redis stores nothing: the cause, the consequence for each deployment, its cost, and what to do."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.slack.message import Message
from bot.views.amounts import duration, moment
from bot.views.blocks import section
from bot.views.missing_workers import WARNING, lines
from workers.deployment.state import Deployment
from workers.redis_failures import RedisFailure


def failing(affected: Sequence[Deployment], failure: RedisFailure, since: datetime, now: datetime) -> Message:
    """The message that Redis fails, for one channel. `affected`: its deployments with machines, as last known."""
    sentence = (
        f"{WARNING} *Since {moment(since)}, {failure.cause}.* Commands here fail, cards do not change, nothing is "
        "launched, scaled or ended, and no lease is extended. Endpoints go on answering."
    )
    mend = f"The operator has to mend Redis: {failure.mend}. After that, nothing else has to be done."
    return Message(sentence, (section(sentence), section(lines(affected, now, ends=True)), section(mend)))


def mended(length: timedelta | None) -> Message:
    """The message that Redis accepts writes again. `length`: of the outage, if it is known."""
    after = f"*Redis works again* after {duration(length)}." if length is not None else "*Redis works again.*"
    sentence = f"{after} Leases are extended, and what is due is launched and ended. Repeat the commands that failed."
    return Message(sentence, (section(sentence),))
