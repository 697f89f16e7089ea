"""The messages about approvals, budgets, clocks and costs in their representative states, for the gallery."""

from datetime import timedelta
from decimal import Decimal

from msgspec.structs import replace

from bot.language.direct_request import Deed, DeedStage, DirectRequest
from bot.slack.message import Message
from bot.views import alerts, approval, budget_standings, clock_alerts, confirm, cost
from bot.views.card import card
from tests.builders.events import BEGIN, PLACE
from tests.builders.offers import offer, spot_offer
from tests.builders.recipes import MIXTRAL
from tests.builders.story import Story
from workers.decision.budget import BudgetStanding, BudgetWindow
from workers.deployment.events import Approval, Clock, DeploymentId, EndAnnounced, EventId, IdleNoticed
from workers.deployment.ledger import entry_of
from workers.deployment.ledger import fold as book_of
from workers.deployment.token_counts import Tokens
from workers.placement.limits import Limits
from workers.policy.budgets import BudgetPeriod, BudgetScope, Then

ADA = "U0ADA000001"
DRAFT = "5d3f9a17c2e04b6688aa01bd"
"""The id of a draft."""


def messages() -> dict[str, Message]:
    return {**_approvals(), **_budgets(), **_clocks(), **_costs()}


def _approvals() -> dict[str, Message]:
    what = "Launching *fast* with 3 replicas"
    asked = DirectRequest(
        id="r-9",
        deed=Deed.APPROVE_LAUNCH,
        deployment=DeploymentId(""),
        name="fast",
        launcher=PLACE.user,
        asker=PLACE.user,
        to="",
        made_at=BEGIN,
        replicas=3,
        approvers=(ADA, "U0NOOR00001"),
        command="/mixtral launch mixtral-8x7b as fast --replicas 3",
        usd=Decimal("65.88"),
        ceiling=Decimal("120.00"),
        left=Decimal("412.30"),
        needed="it costs 65.88 USD/h, and more than 30.00 USD/h needs an approval",
    )
    granted = replace(asked, stage=DeedStage.GRANTED, decided_by=ADA, decided_at=BEGIN)
    declined = replace(asked, stage=DeedStage.DECLINED, decided_by=ADA, decided_at=BEGIN, reason="Use <spot>.")
    return {
        "price to confirm": confirm.message(DRAFT, confirm.question(what, asked.usd, Decimal(60))),
        "price not confirmed": confirm.dropped(),
        "approval asked": approval.asked(asked),
        "approval sent": approval.sent(asked),
        "approval waits": approval.waits(asked),
        "approval granted": approval.settled(granted),
        "approval denied": approval.settled(declined),
        "approval denied, to who asked": approval.outcome(declined),
        "approval expired": approval.outcome(replace(asked, stage=DeedStage.EXPIRED)),
    }


def _budgets() -> dict[str, Message]:
    half = BudgetStanding(
        scope=BudgetScope.PERSON,
        id=ADA,
        period=BudgetPeriod.MONTH,
        limit=Decimal(500),
        then=Then.STOP,
        window=BudgetWindow(since=BEGIN, until=BEGIN + timedelta(days=20)),
        used=Decimal("251.10"),
        reserved=Decimal("21.96"),
    )
    whole = replace(half, scope=BudgetScope.CHANNEL, id=PLACE.channel, used=Decimal("508.20"))
    return {
        "budget half used": budget_standings.warning(half, 50),
        "budget used up, ends": budget_standings.warning(whole, 100),
        "budget used up, goes on": budget_standings.warning(replace(whole, then=Then.WARN), 100),
    }


def _clocks() -> dict[str, Message]:
    told = _served(hours="mon-fri 09:00-19:00 Europe/Paris", stop_after_idle=timedelta(hours=2))
    state, at = told.state, told.now
    soon = EndAnnounced(event_id=EventId("e90"), at=at, until=at + timedelta(minutes=15))
    idle = replace(soon, clock=Clock.IDLE, idle_since=at - timedelta(hours=2))
    noticed = IdleNoticed(event_id=EventId("e91"), at=at, since=at - timedelta(hours=3))
    taken = state.attempts[0]
    return {
        "ends for lack of requests": clock_alerts.idle_ends(state, idle),
        "pauses": clock_alerts.pauses(state, replace(soon, clock=Clock.HOURS)),
        "without requests": clock_alerts.unused(state, noticed),
        "card approved, with hours": card(state, at),
        "runs on a costly offer": alerts.costly(state, taken, Decimal("7.98")),
    }


def _costs() -> dict[str, Message]:
    told = _served()
    events = told.stopped(by=ADA).wait(60).gone("ended by request").ended().events
    entries = [entry for event in events if (entry := entry_of(told.id, event)) is not None]
    uses = tuple(book_of(entries).uses.values())
    days = told.now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=6)
    week = cost.Span(title="This week", since=days, until=told.now)
    tokens = Tokens(4_000_000, 1_000_000)
    return {
        "cost of a week": cost.cost(uses, week, " of *mixtral*", tokens, one=True),
        "digest": cost.digest(uses, week),
    }


def _served(hours: str = "", stop_after_idle: timedelta | None = None) -> Story:
    """A spot replica that has answered for 20 hours, approved by a person."""
    taken = spot_offer("aws use1-az4", "18.40", on_demand="21.96", region="us-east-1")
    told = Story("mixtral", MIXTRAL, limits=Limits(spot=True), hours=hours, stop_after_idle=stop_after_idle)
    first = told.events[0]
    told.events[0] = replace(first, approved=Approval(by=ADA, reason="it costs 18.40 USD/h", request="r-9"))
    told.planned(taken, offer()).wait(2).asked(taken).wait(20).created().wait(200).ready().published().tested()
    return told.wait(hours=20)
