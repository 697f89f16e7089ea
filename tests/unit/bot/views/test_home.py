"""What the Home tab says: sums of money in the viewer's time zone, rows, ends, and a welcome."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from bot.language.command import Launch
from bot.language.grammar import parse
from bot.views import alerts, card, home
from bot.views.amounts import moment
from bot.views.command_button import MAX_VALUE, again
from bot.views.spending import spending
from tests.builders.events import PLACE
from tests.builders.offers import offer
from tests.builders.recipes import MIXTRAL
from tests.builders.story import Story
from tests.gallery import uses_of
from tests.person import words
from workers.decision.end_time import BY_BUDGET, NOTICE
from workers.deployment.events import Clock, EndScheduled, EventId
from workers.placement.limits import Limits

BERLIN = ZoneInfo("Europe/Berlin")
TEN_USD = offer("gcp us-central1-a", "10.00", "A100-80GB:2")
LONG_AGO = datetime(2026, 9, 1, tzinfo=UTC)


def rented(name, began, hours=None, offered=TEN_USD, **place):
    """A deployment with one machine since `began`; ended after `hours`, if given."""
    told = Story(name, MIXTRAL, at=began, id_=f"d-{name}", place=replace(PLACE, **place))
    told.planned(offered).asked(offered).created()
    if hours is not None:
        told.wait(hours=hours).stopped().gone("ended by request").ended()
    return told


def test_today_and_the_month_begin_at_the_viewers_midnight():
    now = datetime(2026, 11, 15, 12, tzinfo=UTC)
    running = rented("runs", datetime(2026, 11, 14, 20, tzinfo=UTC))
    over = rented("over", datetime(2026, 10, 31, 20, tzinfo=UTC), hours=6)
    uses = uses_of(running, over)
    in_utc = spending([running.state], uses, now, UTC)
    assert (in_utc.per_hour, in_utc.today, in_utc.month) == (Decimal(10), Decimal(120), Decimal(160 + 20))
    at_home = spending([running.state], uses, now, BERLIN)
    assert (at_home.today, at_home.month) == (Decimal(130), Decimal(160 + 30))


def test_what_cannot_be_counted_is_named_and_the_sums_are_at_least_these():
    now = datetime(2026, 11, 15, 12, tzinfo=UTC)
    unknown = rented("free", now - timedelta(hours=1), offered=replace(TEN_USD, usd_per_hour=None))
    house = home.HomeContent(user="U1", running=(unknown.state,), uses=uses_of(unknown), lost=1)
    shown = words(home.home(house, now))
    assert "*Today* at least 0.00 USD" in shown
    assert "1 machine is not counted, because the price is not known. *Now* does not include 1 deployment" in shown


def test_the_viewers_deployments_come_first_and_those_that_end_have_no_buttons():
    now = datetime(2026, 11, 15, 12, tzinfo=UTC)
    mine, others = rented("zebra", now, user="U1").state, rented("ape", now, user="U2").state
    mine = replace(mine, until=now + timedelta(hours=8))
    ending = Story("bear", MIXTRAL, at=now, id_="d-bear", place=replace(PLACE, user="U2")).stopped().state
    house = home.HomeContent(user="U1", running=(others, ending, mine), links={mine.id: "https://s/p1"})
    view = home.home(house, now)
    shown = words(view)
    assert shown.index("*zebra*") < shown.index("*ape*")
    assert "<https://s/p1|Card>" in shown
    assert shown.count(" · ends <!date^") == 1
    assert "10.00 USD/h (240.00 USD per day)" in shown
    values = [e["value"] for b in view["blocks"] for e in b.get("elements", []) if e.get("action_id") == "card_down"]
    assert values == [mine.id, others.id]


def test_launch_again_is_the_command_that_launched_it():
    limits = Limits(spot=True, gpus=("A100:8",), max_price=Decimal("12.50"))
    state = Story("fast", MIXTRAL, limits=limits).ended(failed="no stock").state
    assert parse(again(state).removeprefix("/mixtral ")) == Launch(recipe=MIXTRAL.name, name="fast", limits=limits)
    crowded = replace(state, limits=Limits(gpus=("A100-80GB:8",) * 500))
    assert len(again(crowded)) <= MAX_VALUE


def test_an_empty_house_says_what_this_is_and_has_one_button():
    view = home.home(home.HomeContent(user="U1", running=()), LONG_AGO)
    assert "rents the cheapest machine" in words(view)
    assert "USD" not in words(view)
    assert [e["action_id"] for b in view["blocks"] if b["type"] == "actions" for e in b["elements"]] == ["launch_form"]


def test_an_end_that_was_announced_late_is_shown_at_the_time_at_which_it_comes():
    told = Story("fast", until=LONG_AGO + timedelta(hours=1), at=LONG_AGO).served()
    told.wait(hours=3).announced(LONG_AGO + timedelta(hours=1))  # no worker ran
    end = moment(told.now + NOTICE)
    shown = home.home(home.HomeContent(user="U1", running=(told.state,)), told.now)
    assert f"ends {end}" in str(shown)
    assert end in str(card.card(told.state, told.now).blocks)


def by_budget(told):
    until = told.now + NOTICE
    told.events.append(EndScheduled(event_id=EventId(f"{BY_BUDGET}d-usd"), at=told.now, until=until, by=""))
    return told.stopped(by="")


@pytest.mark.parametrize(
    ("options", "end", "why"),
    [
        ({"until": LONG_AGO + timedelta(hours=8)}, lambda told: told.stopped(by=""), "at the time that was set for it"),
        (
            {"stop_after_idle": timedelta(hours=2)},
            lambda told: told.stopped(by="", clock=Clock.IDLE),
            "after 2 h without a request",
        ),
        ({}, by_budget, "because a budget is used up"),
    ],
)
def test_card_thread_and_home_tab_name_the_same_reason_of_an_end(options, end, why):
    told = end(Story("fast", at=LONG_AGO, **options).served()).gone("ended by request").ended()
    shown = home.home(home.HomeContent(user="U1", running=(), ended=(told.state,)), told.now)
    assert f"Ended {why}." in str(shown)
    assert f"Ended {why}." in str(card.card(told.state, told.now).blocks)
    assert f"ended {why}: it ran" in str(alerts.ended(told.state, told.now).blocks)
