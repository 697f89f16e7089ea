"""A launch or a scale by hand that costs much is confirmed first: privately, once, and by the present price."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from bot.commands import asking, handlers, launch_offers
from bot.commands.consent import check_confirmed
from bot.commands.context import Caller
from bot.commands.errors import Unconfirmed
from bot.commands.settle import settle
from bot.language.confirmation import Confirmation
from bot.language.direct_request import Deed, DeedStage, WantedDeed
from bot.language.grammar import parse
from bot.prompting.drafts import LaunchDraft
from bot.screens.confirmations import Confirmations
from bot.settings import from_environ
from bot.views import confirm
from tests.builders.offers import ladder, offer, unusable
from tests.fakes.office import Office
from tests.person import words
from workers.deployment.events import Requested, ScaleRequested
from workers.deployment.log import Log
from workers.settings import SettingsError


def caller(user="U1", once="1.2", channel="C0HERE", **more):
    return Caller(team="T1", channel=channel, user=user, once=once, **more)


@pytest.mark.parametrize("text", ["sixty", "-1", "NaN", "Infinity", "60 EUR"])
def test_a_threshold_that_is_no_price_is_refused_at_the_start(text):
    tokens = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "REDIS_URL": "redis://localhost:6379/0"}
    with pytest.raises(SettingsError, match="is not a price in USD per hour"):
        from_environ(tokens | {"MIXTRAL_CONFIRM_ABOVE": text})


@pytest.fixture
def office(redis):
    it = Office(redis)
    priced(it, 22)
    return it


def priced(office, *usd):
    rungs = ladder(*(offer(f"r-{n}", one) for n, one in enumerate(usd)))
    office.context = replace(office.context, ladder=lambda *_: (rungs, ""))


def asked(office, typed, **more):
    """What a command answers, and the value of the button that confirms; None if it does not ask."""
    who = caller(**more)
    message = settle("test", who, lambda: handlers.handle(parse(typed), who, office.context))
    buttons = [b for block in message.blocks for b in block.get("elements", []) if "value" in b]
    return message.text, next((b["value"] for b in buttons if b["action_id"] == confirm.CONFIRM), None)


def pressed(office, value, *, user="U1", once="9.1", ts="1.0", channel="C0HERE"):
    """What a press of a question's button shows."""
    works: list[Any] = []
    presses: Any = SimpleNamespace(
        context=office.context,
        click=lambda _, work: works.append(work),
        submitted=lambda _, work: works.append(work),
    )
    app: Any = SimpleNamespace(action=lambda _: lambda _: None, view=lambda _: lambda _: None)
    Confirmations(presses).register(app)
    now = office.context.now().timestamp()
    body = {"actions": [{"value": value}], "container": {"message_ts": f"{now - float(ts):.6f}"} if ts else {}}
    who = caller(user, once, channel)
    message = settle("test", who, lambda: works[0](body, who))
    return words({"text": message.text, "blocks": list(message.blocks)})


def test_a_launch_over_the_threshold_asks_first_and_starts_nothing(office):
    said, value = asked(office, "launch as fast --replicas 3")
    assert "Launching *fast* with 3 replicas costs 66.00 USD/h (1,584.00 USD per day)" in said
    assert "more than 60.00 USD/h" in said
    assert office.requests.all() == []
    assert "Launching *fast*" in pressed(office, value)
    assert office.requests.get("fast").wanted == 3
    assert office.requests.get("fast").ceiling == 66


def test_a_bot_without_credentials_of_a_cloud_asks_by_the_prices_of_all_offers(office):
    office.context = replace(office.context, ladder=lambda *_: (unusable(ladder(offer("r-1", 22))), ""))
    assert "costs 66.00 USD/h" in asked(office, "launch as fast --replicas 3")[0]
    assert office.requests.all() == []
    assert "It costs 22.00 USD/h" in asked(office, "launch as fast")[0]


def test_what_costs_no_more_than_the_threshold_asks_nobody(office):
    said, value = asked(office, "launch as fast --replicas 2")
    assert value is None
    assert "Launching *fast*" in said
    assert "Its ceiling is 44.00 USD/h" in said
    priced(office, 20)
    assert asked(office, "launch as even --replicas 3")[1] is None


def test_two_presses_launch_once(office, redis):
    _, value = asked(office, "launch as fast --replicas 3")
    at = "1.0"
    works = [pressed(office, value, once=once, ts=at) for once in ("9.1", "9.2")]
    assert len(office.requests.all()) == 1
    assert "Launching *fast*" in works[0]
    assert "is taken" in works[1] or "Launching *fast*" in works[1]
    assert [type(e) for e in Log(redis).read(office.requests.get("fast").id)] == [Requested]


def test_a_price_that_has_risen_since_is_asked_about_again(office):
    _, value = asked(office, "launch as fast --replicas 3")
    priced(office, 25)
    again = pressed(office, value)
    assert "costs 75.00 USD/h" in again
    assert office.requests.all() == []
    priced(office, 21)
    assert "Launching *fast*" in pressed(office, value)


def test_a_scale_up_asks_and_a_scale_down_does_not(office, redis):
    office.running.put("fast", "http://127.0.0.1:1")
    said, value = asked(office, "scale fast 5")
    assert "Scaling *fast* from 1 to 5 replicas costs 110.00 USD/h" in said
    assert office.requests.get("fast").wanted == 1
    assert "from 1 replica to 5" in pressed(office, value)
    assert asked(office, "scale fast 4")[1] is None
    assert [e.replicas for e in Log(redis).read(office.requests.get("fast").id) if isinstance(e, ScaleRequested)] == [
        5,
        4,
    ]


def test_the_press_is_checked_again_and_forged_values_do_nothing(office):
    office.running.put("fast", "http://127.0.0.1:1")
    _, value = asked(office, "scale fast 5")
    drafts = office.context.drafts
    confirmation = drafts.get("U1", value, Confirmation)
    assert "no longer valid" in pressed(office, value, user="U2")
    assert "only they or an admin" in pressed(office, drafts.add("U2", confirmation), user="U2")
    gone = drafts.add("U1", replace(confirmation, deployment="d-other"))
    assert "nothing was done" in pressed(office, gone)
    for wrong in ("", "{}", "nonsense", '{"usd":"1","command":"/mixtral down fast"}', '{"usd":"x"}', "*" * 24):
        assert "no longer valid" in pressed(office, wrong)
    assert "more than an hour old" in pressed(office, value, ts="3700")
    assert office.requests.get("fast").wanted == 1


def test_a_granted_scale_is_confirmed_by_who_grants_it(office):
    office.running.put("fast", "http://127.0.0.1:1")
    state = office.requests.get("fast")
    wanted = WantedDeed(deed=Deed.SCALE, deployment=state.id, replicas=4)
    asking.ask(wanted, state, caller("U2"), office.context)
    [request] = office.context.direct_requests.all()
    with pytest.raises(Unconfirmed) as unconfirmed:
        asking.answer(request.id, caller("U1"), office.context, grants=True)
    value = confirm.message(unconfirmed.value.draft, "").blocks[1]["elements"][0]["value"]
    assert "no longer valid" in pressed(office, value, user="U2")
    assert "Granted" in pressed(office, value)
    assert "answered already" in pressed(office, value)
    assert office.context.direct_requests.get(request.id).stage is DeedStage.GRANTED
    assert office.requests.get("fast").wanted == 4


def test_the_form_asks_in_its_window_which_knows_the_channel(office):
    values: dict[str, Any] = {"recipe": {"x": {"selected_option": {"value": "scripted"}}}}
    values["replicas"] = {"replicas": {"value": "3"}}
    draft = office.context.drafts.add("U1", LaunchDraft(channel="C0HERE", asks=False))
    shown = {"id": "V1", "private_metadata": draft, "state": {"values": values}}
    office.directory.joined["C0HERE"] = frozenset({"U1"})
    with pytest.raises(Unconfirmed) as unconfirmed:
        launch_offers.submitted(shown, caller(channel=""), office.context)
    view = confirm.modal(unconfirmed.value.draft, unconfirmed.value.sentence)
    assert "66.00 USD/h" in words(view)
    assert "no longer valid" in pressed(office, view["private_metadata"], user="U9", channel="", ts="")
    office.directory.joined["C0HERE"] = frozenset()
    assert "you are not in this channel" in pressed(office, view["private_metadata"], channel="", ts="")
    office.directory.joined["C0HERE"] = frozenset({"U1"})
    assert "Launching" in pressed(office, view["private_metadata"], channel="", ts="")
    assert office.requests.get("scripted").place.channel == "C0HERE"


def test_a_long_command_is_confirmed_by_a_short_button(office):
    long = Confirmation(usd=Decimal(66), command="/mixtral launch " + "x" * 2000)
    with pytest.raises(Unconfirmed) as unconfirmed:
        check_confirmed("Launching it", long, caller(), office.context)
    assert len(unconfirmed.value.draft) == 24
    assert office.context.drafts.get("U1", unconfirmed.value.draft, Confirmation) == long


def test_the_threshold_is_a_setting(office):
    office.context = replace(office.context, confirm_above=Decimal("10.5"))
    assert asked(office, "launch as fast")[1] is not None
    office.context = replace(office.context, confirm_above=Decimal(1000))
    assert asked(office, "launch as fast --replicas 3")[1] is None
