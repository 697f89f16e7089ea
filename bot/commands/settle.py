"""From a piece of work to the message about it, whatever happens: nobody is left without a sentence."""

import logging
import secrets
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from bot.commands.context import Caller
from bot.commands.errors import CommandError
from bot.language.command import SLASH
from bot.prompting.errors import PromptingError
from bot.slack.message import Message
from bot.views.escape import code, escape
from bot.views.refusal import refusal
from recipes.schema import RecipeError
from workers.errors import WorkersError

_LOG = logging.getLogger(__name__)

REDIS_AWAY = (
    "Redis, where deployments are kept, does not answer, so it is not certain whether this was taken. "
    f"Look with `{SLASH} status` in a minute, and try again if it was not."
)


def settle(label: str, caller: Caller, work: Callable[[], Message]) -> Message:
    """The message that `work` makes, or the sentence on why there is none. One line in the log, without its words."""
    began = time.perf_counter()
    outcome, message = _attempt(work)
    took = (time.perf_counter() - began) * 1000
    _LOG.info("%s by %s in %s: %s, %.0f ms (%s)", label, caller.user, caller.channel, outcome, took, request_id(caller))
    return message


def _attempt(work: Callable[[], Message]) -> tuple[str, Message]:
    try:
        return "done", work()
    except CommandError as error:
        return "refused", refusal(error.sentence, hint=f"Try {code(error.hint)}." if error.hint else None)
    except (WorkersError, RecipeError, PromptingError) as error:
        return f"refused ({type(error).__name__})", refusal(escape(str(error)))
    except RedisError as error:
        _LOG.warning("Redis does not answer: %s", error)
        return "failed (Redis)", refusal(REDIS_AWAY)
    except Exception as error:  # noqa: BLE001 - whatever it is, the person must hear of it
        incident = new_incident(error)
        return f"failed (incident {incident})", unexpected(incident)


def new_incident(error: BaseException) -> str:
    """Log an unexpected error with its traceback, under a number that a person can be told."""
    incident = secrets.token_hex(3)
    _LOG.error("incident %s", incident, exc_info=error)
    return incident


def unexpected(incident: str) -> Message:
    """The message about an error that is not for the person's eyes."""
    return refusal(
        f"Something went wrong on our side, and it is not certain whether this was taken: see `{SLASH} status`. "
        f"Tell whoever runs this bot the number of the incident, *{incident}*: the log has the cause under it.",
    )


def request_id(caller: Caller) -> str:
    """Short, and the same for every telling of one request."""
    return caller.once.rsplit(".", 1)[-1][-8:]
