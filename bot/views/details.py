"""PURE: the modal behind a card: replicas, the ladder, the facts of the launch, and the logs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.views import ladder, logs, lost_control, replicas, words
from bot.views.amounts import moment, usd_per_hour
from bot.views.attempts import preposition
from bot.views.blocks import Block, actions, button, context, fenced, fields, header, listed, plain, section
from bot.views.card import MAX_WORDS, WARNING, failed_last, tested
from bot.views.clock_words import clock_pairs
from bot.views.escape import clip, code, escape, inert
from bot.views.offers import cloud, place
from bot.views.recipes import notes
from workers.deployment.state import Deployment
from workers.placement.limits import Limits

CALLBACK = "deployment_details"
REFRESH = "details_refresh"

READING = "The logs are being read …"

MAX_LOG = 2800
MAX_FACT = 160
GONE_SHOWN = 10


def modal(
    deployment: Deployment, now: datetime, found: Sequence[logs.ShownLog] | str = READING, *, rated: str = ""
) -> dict[str, Any]:
    """`found`: the end of each replica's log, or a sentence on why there is none. `rated`: feedback on its answers."""
    blocks = [
        section(f"*{escape(words.title(deployment, now))}*\n{words.now_happening(deployment, now)}"),
        *([section(said)] if (said := words.newer(deployment)) else []),
        *_warnings(deployment, now),
        _facts(deployment, now, rated),
        actions([button("Refresh", REFRESH, deployment.id)]),
        *_replicas(deployment, now),
        *_ladder(deployment, now),
        *_launch(deployment),
        header("Logs"),
        *_failure(deployment),
        *_logs(deployment, found),
    ]
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": deployment.id,
        "title": plain(deployment.name, 24),
        "close": plain("Close", 24),
        "blocks": blocks,
    }


def _warnings(deployment: Deployment, now: datetime) -> list[Block]:
    found = [f"{WARNING} {line}" for line in lost_control.lines(deployment, now)]
    return [section(listed(found))] if found else []


def _facts(deployment: Deployment, now: datetime, rated: str) -> Block:
    pairs = [("Recipe", code(deployment.recipe.name))]
    if model := words.model(deployment):
        pairs.append(("Model", code(clip(model, MAX_FACT))))
    if deployment.attempts:
        pairs.append(("Cost", words.cost(deployment, now)))
    pairs.append(("Launched", f"by {words.user(deployment.place.user)}, {moment(deployment.requested_at)}"))
    pairs += clock_pairs(deployment)
    if deployment.ended:
        pairs.append(("Ended", moment(deployment.ended.at)))
    if limits := _limits(deployment.limits):
        pairs.append(("Limits", clip(limits, MAX_FACT)))
    if rated:
        pairs.append(("Feedback on answers", rated))
    return fields(pairs)


def _limits(limits: Limits) -> str:
    parts = [
        "spot" if limits.spot else "",
        f"GPUs {escape(', '.join(limits.gpus))}" if limits.gpus else "",
        " or ".join(cloud(c) for c in limits.clouds),
        f"at most {usd_per_hour(limits.max_price)} per replica" if limits.max_price is not None else "",
    ]
    return "; ".join(p for p in parts if p)


def _replicas(deployment: Deployment, now: datetime) -> list[Block]:
    found = replicas.lines(deployment, now, gone=GONE_SHOWN)
    return [header("Replicas"), section(listed(found))] if found else []


def _ladder(deployment: Deployment, now: datetime) -> list[Block]:
    if not ladder.tells_something(deployment):
        return []
    mends = ladder.mends(deployment.rungs, over=bool(deployment.ended))
    return [header("Offers"), section(ladder.ladder(deployment, now)), *([section(mends)] if mends else [])]


def _launch(deployment: Deployment) -> list[Block]:
    """The test completion, and what of the recipe and the weights needs attention."""
    said = tested(deployment, MAX_WORDS)
    unapplied = notes(deployment.recipe)
    weights = deployment.weights.says if deployment.weights else ""
    return [
        *([section(said)] if said else []),
        *([section(listed(["*Not applied as written*", *unapplied]))] if unapplied else []),
        *([context(f"{WARNING} {inert(clip(weights, MAX_WORDS))}")] if weights else []),
    ]


def _failure(deployment: Deployment) -> list[Block]:
    """The end of the log of the last machine that failed: with the machine, its own log is gone."""
    last = failed_last(deployment)
    if last is None:
        return []
    of = f"Replica {last.replica}, which failed {preposition(last)} {place(last.offer)}"
    return [section(f"{of}:\n{fenced(last.log_tail, MAX_LOG)}")]


def _logs(deployment: Deployment, found: Sequence[logs.ShownLog] | str) -> list[Block]:
    if isinstance(found, str):
        return [context(inert(clip(found, MAX_WORDS)))]
    return list(logs.logs(deployment.name, found).blocks)
