"""`mixtral-bot status`, `scale` and `down`: what an operator does while Slack is away."""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bot.commands.bounds import out_of_bounds
from bot.views import orphan_machines
from bot.views.amounts import count, duration
from workers.api import Deployments
from workers.decision.ceiling import raised
from workers.decision.worker_absence import WorkersAway
from workers.deployment.asked import asked
from workers.deployment.audit import COMMAND_LINE, OPERATOR, AuditEntry, AuditOutcome, Source
from workers.deployment.audit_stream import AuditStream
from workers.deployment.condition import condition_of, is_ending
from workers.deployment.state import Deployment
from workers.errors import WorkersError
from workers.redis_failures import failure_of
from workers.run import belong, connect, wire_deployments
from workers.settings import from_environ

NOT_CERTAIN = "it is not certain whether this was accepted"

Work = Callable[[Deployments, TextIO], int]


def run(environ: Mapping[str, str], work: Work, out: TextIO, err: TextIO, what: str = "operate") -> int:
    """Do the work, and return its exit status; 1 with a line on `err` if Redis does not answer.

    `what`: the command, for the audit, which gets one entry of it, unless it appends an event.

    Raises WorkersError: no such deployment, another installation, or a newer version's log.
    """
    settings = from_environ(environ)
    try:
        redis = connect(settings.redis_url)
        deployments = wire_deployments(belong(settings, redis), redis)
        return audited(what, redis, lambda: work(deployments, out), err)
    except RedisError as error:
        failure = failure_of(error)
        consequence = "this was not carried out, or only in part" if failure.refused else NOT_CERTAIN
        err.write(f"mixtral-bot: {failure.report(consequence)}\n")
        return 1


def audited(what: str, redis: Redis, work: Callable[[], int], err: TextIO) -> int:
    """Do the work, and record it in the audit as the operator's; a line on `err` if Redis does not store that."""
    once = f"operator.{secrets.token_hex(8)}"
    result, failed = AuditOutcome.UNKNOWN, False
    with asked(Source(who=OPERATOR, where=COMMAND_LINE, how=what), once) as request:
        try:
            exit_status = work()
            result = AuditOutcome.REFUSED if exit_status else AuditOutcome.DONE
        except WorkersError:
            result = AuditOutcome.REFUSED
            raise
        except RedisError:
            failed = True
            raise
        finally:
            entry = AuditEntry(
                at=datetime.now(UTC),
                who=OPERATOR,
                what=what,
                where=COMMAND_LINE,
                outcome=result,
                detail=request.detail,
            )
            try:
                AuditStream(redis).append(entry, once=once)
            except RedisError as error:
                if not failed:  # otherwise the cause is reported by the caller
                    err.write(f"mixtral-bot: the audit lacks this request: {failure_of(error).in_full}.\n")
    return exit_status


def status(*, as_json: bool) -> Work:
    """Print a line for each deployment that has not ended."""

    def work(deployments: Deployments, out: TextIO) -> int:
        found, now = deployments.all(), deployments.now()
        lost, away = deployments.lost(), deployments.workers_away()
        if as_json:
            json.dump([_row(state, now) for state in found], out, indent=1)
            out.write("\n")
            return 1 if lost else 0
        console = Console(file=out, highlight=False, emoji=False, soft_wrap=True)
        console.print(_table(found, now) if found else "Nothing is running.")
        if unknown := deployments.orphans():
            console.print(Text(f"{orphan_machines.summary(unknown)}. `mixtral-bot machines` lists them."))
        if found and away is not None:
            console.print(Text(_away(away)))
        for name in lost:
            console.print(Text(f"The log of {name} cannot be read: `mixtral-bot machines` lists its machines."))
        return 1 if lost else 0

    return work


def _away(away: WorkersAway) -> str:
    since = f" since {away.since:%Y-%m-%d %H:%M UTC}" if away.since else ""
    if away.observed:
        return f"No worker has done a job{since}: nothing is launched, scaled or ended. `mixtral-bot check` shows more."
    return (
        f"No worker has answered{since}: what is shown is the last known state, nothing is launched or ended, and each "
        "machine ends itself when its lease has passed. Start `mixtral-bot worker`; `mixtral-bot check` shows more."
    )


def scale(name: str, replicas: int) -> Work:
    """Request another number of replicas."""

    def work(deployments: Deployments, out: TextIO) -> int:
        state = deployments.get(name)
        if why := out_of_bounds(state.recipe, replicas):
            out.write(f"{why}\n")
            return 1
        after = deployments.scale(state.id, replicas, by=OPERATOR, ceiling=raised(state, replicas, state.rungs))
        if is_ending(after):
            out.write(f"{name} is {condition_of(after).status}: it can no longer be scaled.\n")
            return 1
        out.write(f"{name} is scaled from {state.wanted} to {after.wanted}.\n")
        return 0

    return work


def down(name: str, confirm: Callable[[str], bool]) -> Work:
    """Request the end, after confirmation."""

    def work(deployments: Deployments, out: TextIO) -> int:
        state = deployments.get(name)
        if not is_ending(state):
            if not confirm(f"End {name}, its {count(state.wanted, 'replica')} and its endpoint?"):
                return 1
            state = deployments.stop(state.id, by=OPERATOR)
        out.write(f"{name} is {condition_of(state).status}. `mixtral-bot machines` lists machines that still run.\n")
        return 0

    return work


def _table(found: list[Deployment], now: datetime) -> Table:
    columns = [Column(name, justify="right" if name in ("ready", "USD/h", "age") else "left") for name in _HEADINGS]
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for state in found:
        row = _row(state, now)
        table.add_row(
            row["name"],
            row["recipe"],
            row["status"],
            f"{row['ready']}/{row['wanted']}",
            f"{state.usd_per_hour:.2f}",
            duration(state.ran_for(now)),
            row["endpoint"] or "",
        )
    return table


_HEADINGS = ("name", "recipe", "status", "ready", "USD/h", "age", "endpoint")


def _row(state: Deployment, now: datetime) -> dict[str, Any]:
    return {
        "id": state.id,
        "name": state.name,
        "recipe": state.recipe.name,
        "status": condition_of(state).status.value,
        "ready": len(state.ready),
        "wanted": state.wanted,
        "usd_per_hour": float(state.usd_per_hour),
        "usd_so_far": round(float(state.spent(now)), 4),
        "age_seconds": int(state.ran_for(now).total_seconds()),
        "endpoint": f"{state.endpoint.url}/v1" if state.endpoint and not is_ending(state) else None,
        "until": state.until.isoformat() if state.until else None,
        "launched_by": state.place.user,
        "channel": state.place.channel,
    }
