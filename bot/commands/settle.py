"""Run a command and return its message, or a message about any error."""

import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

from redis.exceptions import RedisError

from bot.commands.context import Caller
from bot.commands.errors import CommandError, Denied, Unapproved, Unconfirmed
from bot.language.command import SLASH
from bot.prompting.errors import PromptingError
from bot.slack.message import Message
from bot.views import confirm
from bot.views.escape import code, escape, unmarked
from bot.views.refusal import refusal
from recipes.schema import RecipeError
from workers.api import NoSuchDeployment
from workers.deployment.asked import CurrentRequest, asked, denied
from workers.deployment.audit import LONGEST, AuditEntry, AuditOutcome, Source, encode
from workers.deployment.audit_stream import AuditStream
from workers.errors import WorkersError
from workers.redis_failures import RedisFailure, failure_of

_LOG = logging.getLogger(__name__)

REDIS_AWAY = (
    "Redis, where deployments are stored, does not respond, so it is not certain whether this was accepted. "
    f"Check with `{SLASH} status` in a minute, and try again if it was not. Replicas go on answering. If it lasts, the "
    "operator has to start Redis, or check its load and the network; `mixtral-bot check` shows the cause."
)


def redis_failed(error: RedisError) -> str:
    """The sentence for a person whose request failed because of Redis."""
    failure = failure_of(error)
    return redis_refused(failure) if failure.refused else REDIS_AWAY


def redis_refused(failure: RedisFailure) -> str:
    """The sentence for a person whose request Redis refused. Several writes of it may have preceded the refusal."""
    return (
        f"{failure.cause[0].upper()}{failure.cause[1:]}, so this was not carried out, or only in part. Replicas go on "
        f"answering; nothing is launched, scaled or ended until the operator mends it: {failure.mend}. Then check with "
        f"`{SLASH} status`, and try again."
    )


def settle(label: str, caller: Caller, work: Callable[[], Message], audit: AuditStream | None = None) -> Message:
    """The message that `work` returns, or a message with the cause of its failure. Logs one line without the text.

    `audit`: gets one entry of the request, unless an event that `work` appended is its entry.
    """
    began = time.perf_counter()
    source = Source(who=caller.user, where=caller.channel, how=label, request=request_id(caller))
    with asked(source, caller.once) as request:
        outcome, message = _attempt(work)
    took = (time.perf_counter() - began) * 1000
    _LOG.info("%s by %s in %s: %s, %.0f ms (%s)", label, caller.user, caller.channel, outcome, took, request_id(caller))
    if audit is not None:
        record(audit, _entry(request, outcome), once=caller.once)
    return message


def record(audit: AuditStream, entry: AuditEntry, *, once: str) -> None:
    """Append an entry of what appends no event. Without Redis, the entry is logged instead."""
    try:
        audit.append(entry, once=once)
    except RedisError as error:
        _LOG.warning("Redis does not answer (%s), so the audit lacks this entry: %s", error, encode(entry).decode())


def _entry(request: CurrentRequest, outcome: str) -> AuditEntry:
    source = request.source
    result, _, cause = outcome.partition(" ")
    return AuditEntry(
        at=datetime.now(UTC),
        who=source.who,
        what=source.how,
        where=source.where,
        outcome=AuditOutcome.DENIED if request.is_denied else _OUTCOMES[result],
        deployment=request.deployment,
        detail=request.detail,
        why=request.why or cause.strip("()"),
        request=source.request,
    )


_OUTCOMES = {
    "done": AuditOutcome.DONE,
    "denied": AuditOutcome.DENIED,
    "refused": AuditOutcome.REFUSED,
    "failed": AuditOutcome.UNKNOWN,
}


def _attempt(work: Callable[[], Message]) -> tuple[str, Message]:
    try:
        return "done", work()
    except CommandError as error:
        is_denied = isinstance(error, Denied)
        if is_denied:
            denied(unmarked(error.sentence)[:LONGEST])
        return "denied" if is_denied else "refused", refusal(error.sentence, hint=error.hint, ask=error.ask)
    except Unconfirmed as asked:
        return "refused (to be confirmed)", confirm.message(asked.draft, asked.sentence)
    except Unapproved as waiting:
        return "refused (to be approved)", waiting.message
    except NoSuchDeployment as gone:
        # The text of NoSuchDeployment lists every deployment, also those that the caller may not see.
        return "refused (gone)", refusal(f"There is no deployment {code(gone.name)}.")
    except (WorkersError, RecipeError, PromptingError) as error:
        return f"refused ({type(error).__name__})", refusal(escape(str(error)))
    except RedisError as error:
        _LOG.warning("Redis failed: %s", error)
        return "failed (Redis)", refusal(redis_failed(error))
    except Exception as error:  # noqa: BLE001 - any error must be reported to the person
        incident = new_incident(error)
        return f"failed (incident {incident})", unexpected(incident)


def new_incident(error: BaseException) -> str:
    """Log an unexpected error with its traceback. Returns the incident id under which it is logged."""
    incident = secrets.token_hex(3)
    _LOG.error("incident %s", incident, exc_info=error)
    return incident


def unexpected(incident: str) -> Message:
    """The message about an error whose details are not shown."""
    return refusal(
        f"An unexpected error occurred, so it is not certain whether this was accepted: check with `{SLASH} status`. "
        f"Report the incident id *{incident}* to the operator of this bot: the log has the cause under it.",
    )


def request_id(caller: Caller) -> str:
    """A short id of the request, the same for every delivery of it."""
    return caller.once.rsplit(".", 1)[-1][-8:]
