"""The messages about outages, unknown machines and the gateway in their representative states, for the gallery."""

from datetime import timedelta
from decimal import Decimal

from redis.exceptions import ReadOnlyError

from bot.slack.message import Message
from bot.views import gateway_words, missing_workers, orphan_machines, redis_failing, status
from bot.views.card import card
from tests.builders.events import BEGIN
from workers.decision.worker_absence import WorkersAway
from workers.deployment.gateway_notices import GatewayNotice
from workers.deployment.orphans import Orphan
from workers.deployment.state import Deployment
from workers.redis_failures import failure_of

MINUTE = timedelta(minutes=1)
READ_ONLY = failure_of(ReadOnlyError("You can't write against a read only replica."))
NO_WORKER = WorkersAway(since=BEGIN, observed=False)
NO_JOBS = WorkersAway(since=BEGIN, observed=True)


def messages(running: list[Deployment]) -> dict[str, Message]:
    """`running`: deployments with machines, at BEGIN."""
    now = BEGIN + 2 * MINUTE
    late = max(a.expires_at for a in running[0].attempts) + MINUTE
    return {
        "card, no worker answers": card(running[0], now, away=NO_WORKER),
        "status overview, no worker": status.overview(
            running, now, away=missing_workers.in_list(NO_WORKER), missing=NO_WORKER
        ),
        "status detail, no worker": status.detail(running[0], now, missing=NO_WORKER),
        "no worker answers": missing_workers.told(running, NO_WORKER, now),
        "no worker answers, leases over": missing_workers.told(running[:1], NO_WORKER, late),
        "no worker does jobs": missing_workers.told(running, NO_JOBS, now),
        "a worker answers again": missing_workers.back(timedelta(minutes=14)),
        "redis fails": redis_failing.failing(running, READ_ONLY, BEGIN, now),
        "redis works again": redis_failing.mended(timedelta(minutes=14)),
        "unknown machines": orphan_machines.found([_orphan("i-0abc", "21.96"), _orphan("i-0def", None)]),
        "wrong keys": gateway_words.notice(
            GatewayNotice(kind="wrong_keys", at=BEGIN, source="203.0.113.7", number=2000)
        ),
        "wrong keys, many sources": gateway_words.more_sources(3),
        "no gateway": gateway_words.notice(GatewayNotice(kind="absent", at=BEGIN)),
        "gateway cannot write": gateway_words.notice(
            GatewayNotice(
                kind="files",
                at=BEGIN,
                why=(
                    "/srv/mixtral/gateway cannot be written (No space left on device). Free some space there, or give "
                    "this process the right to write; the gateway then writes them by itself."
                ),
            )
        ),
    }


def _orphan(id_: str, usd: str | None) -> Orphan:
    return Orphan(
        id=id_,
        cloud="aws",
        place="us-east-1b",
        instance_type="p4d.24xlarge",
        usd_per_hour=Decimal(usd) if usd else None,
        deployment="d-1",
        created_at=BEGIN,
        seen_at=BEGIN,
    )
