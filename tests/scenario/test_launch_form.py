"""The launch form and the question before an end, on the real Bolt over a socket, against the Slack stand-in."""

import pytest

from bot.sandbox.seed import OPS
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.fakes.planned import planner
from tests.person import ADA, MIXTRAL, RANDOM, ROBIN, Person, filled, words
from tests.scenario.test_commands import Bot, answered


@pytest.fixture(scope="module")
def slack():
    with start(Settings(rate_scale=0)) as running:
        yield running


@pytest.fixture
def people(slack):
    persons = {user: Person(slack.url, user) for user in (ROBIN, ADA)}
    yield persons
    persons[ROBIN].clear_faults()
    for person in persons.values():
        for view in person.modals():
            person.dismiss(view)
        person.close()


@pytest.fixture
def robin(people):
    return people[ROBIN]


@pytest.fixture
def bot(redis, slack, robin, tmp_path):
    robin.wait_disconnected()
    it = Bot(redis, slack, tmp_path, planner())
    robin.wait_connected()
    yield it
    it.close()


def opened(person, channel=MIXTRAL):
    """The form, as the slash command alone opens it."""
    assert person.command(channel, "/mixtral")["acked"]
    return modal(person)


def modal(person):
    return person.wait_for(lambda p: next((v for v in p.modals() if v["callback_id"] == "launch_a_model"), None))


def price(view):
    return next(b["text"]["text"] for b in view["blocks"] if b["block_id"] == "price")


def test_the_price_follows_what_is_entered_and_the_launch_is_what_was_entered(bot, robin):
    view = opened(robin)
    assert "mixtral-8x7b: from 7.98 USD/h" in str(view["blocks"][0])
    limits: dict[str, object] = {"recipe": "mixtral-8x7b"}
    robin.press_in(view, "launching_recipe", values=filled(view, limits))
    view = robin.wait_for(lambda p: next((v for v in p.modals() if "gpus:mixtral-8x7b" in str(v["blocks"])), None))
    limits["max_price"] = "1"
    robin.press_in(view, "launching_max_price", values=filled(view, limits))
    robin.wait_for(lambda p: "at most 7.98 USD/h" in price(modal(p)))
    view = modal(robin)
    refused = robin.submit(view, filled(view, limits))
    assert "costs at most 1 USD/h" in refused["errors"]["max_price"]
    limits |= {"max_price": "20", "spot": True, "name": "fast", "replicas": "2"}
    assert robin.submit(view, filled(view, limits))["ok"]
    assert robin.modals() == []
    [state] = bot.requests.all()
    assert (state.name, state.recipe.name, state.wanted, state.limits.spot) == ("fast", "mixtral-8x7b", 2, True)
    assert (state.place.channel, state.place.user) == (MIXTRAL, ROBIN)


def test_a_change_that_arrives_while_an_earlier_one_is_shown_is_the_one_that_stays(bot, robin):
    view = opened(robin)
    for number in ("1", "12", "125"):
        robin.press_in(
            view, "launching_max_price", values=filled(view, {"recipe": "mixtral-8x7b", "max_price": number})
        )
    # The price of the first change names 7.98 USD/h, too.
    robin.wait_for(lambda p: price(modal(p)).startswith("*Cheapest now*"))
    bot.idle()
    assert "7.98 USD/h" in price(modal(robin))


def test_a_change_after_the_form_was_closed_or_of_a_stale_view_is_ignored(bot, robin):
    view, before = opened(robin), len(robin.ephemerals(MIXTRAL))
    robin.fault("refuse", method="views.update", error="not_found")
    robin.press_in(view, "launching_replicas", values=filled(view, {"replicas": "2"}))
    bot.idle()
    assert len(robin.ephemerals(MIXTRAL)) == before
    robin.clear_faults()
    assert robin.submit(view, filled(view, {"replicas": "2"}))["ok"]


def test_where_no_modal_opens_the_help_is_shown_and_its_button_opens_the_form(bot, robin):
    robin.fault("refuse", method="views.open", error="expired_trigger_id")
    assert "The commands are" in answered(robin, "/mixtral")
    robin.clear_faults()
    robin.press(robin.ephemerals(MIXTRAL)[-1], "launch_form")
    assert modal(robin)


def test_from_home_the_form_asks_for_the_channel_and_refuses_those_where_it_cannot(bot, robin, people):
    robin.open_home()
    home = robin.wait_for(lambda p: p.home())
    robin.press_in(home, "launch_form")
    view = modal(robin)
    assert filled(view, {})["channel"]["channel"]["selected_conversation"] == robin.dm()
    for channel in (OPS, "C0NONE00001", RANDOM):
        refused = robin.submit(view, filled(view, {"channel": channel}))
        assert "Nothing was started: " in refused["errors"]["channel"], channel
    assert bot.requests.all() == []
    assert robin.submit(view, filled(view, {"channel": MIXTRAL}))["ok"]
    assert [state.place.channel for state in bot.requests.all()] == [MIXTRAL]


def test_a_form_of_a_megabyte_is_answered_once_at_its_input(bot, robin):
    view, before = opened(robin), len(robin.ephemerals(MIXTRAL))
    refused = robin.submit(view, filled(view, {"name": "x" * 1_000_000}))
    assert "1,000,000 characters" in refused["errors"]["name"]
    assert len(robin.ephemerals(MIXTRAL)) == before
    assert bot.requests.all() == []


def test_a_plan_has_a_button_that_opens_its_form(bot, robin):
    answered(robin, "/mixtral plan mixtral-8x7b --spot")
    shown = robin.ephemerals(MIXTRAL)[-1]
    robin.press(shown, "launch_form")
    view = modal(robin)
    assert filled(view, {})["spot"]["launching_spot"]["selected_options"] != []
    assert robin.submit(view, filled(view, {}))["ok"]
    assert bot.requests.get("mixtral-8x7b").limits.spot


def test_down_asks_who_may_end_it_and_ends_by_the_press(bot, robin, people):
    bot.put("fast")
    before = len(robin.ephemerals(MIXTRAL))
    assert "only they may end it" in answered(people[ADA], "/mixtral down fast")
    assert robin.command(MIXTRAL, "/mixtral down fast")["acked"]
    [view] = robin.modals()
    assert "End *fast*?" in words(view)
    assert bot.requests.get("fast").stopped_by is None
    robin.submit(view, {})
    assert bot.requests.get("fast").stopped_by == ROBIN
    assert len(robin.ephemerals(MIXTRAL)) == before


def test_where_no_modal_opens_down_asks_by_a_button(bot, robin):
    bot.put("fast")
    robin.fault("refuse", method="views.open", error="expired_trigger_id")
    assert "End *fast*?" in answered(robin, "/mixtral down fast")
    robin.press(robin.ephemerals(MIXTRAL)[-1], "do_command")
    assert robin.wait_for_ephemeral("Ending *fast*")
    assert bot.requests.get("fast").stopped_by == ROBIN
