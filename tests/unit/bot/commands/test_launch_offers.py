"""What the launch form offers, what it costs, and the launch that it makes; also of a forged payload."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.commands import form_inputs, launch_offers
from bot.commands.context import Caller
from bot.commands.errors import CommandError, WrongInput
from bot.commands.recipe_catalog import RecipeCatalog
from bot.language.command import Launch
from bot.language.grammar import parse
from bot.prompting.drafts import LaunchDraft
from bot.sandbox.block_kit import check
from bot.slack.facts import PersonFacts
from bot.slack.message import NOTHING
from tests.fakes.office import RECIPES, Office
from tests.fakes.planned import planner
from tests.person import filled, words
from workers.placement.limits import Limits
from workers.policy.schema import policy_of
from workers.policy.stored import StoredPolicy

HERE = "C0HERE"


@pytest.fixture
def office(redis):
    office = Office(redis)
    office.directory.joined[HERE] = frozenset({"U1", "U2"})
    recipes = RecipeCatalog((RECIPES,), {}, "mixtral-8x7b")
    office.context = replace(office.context, recipes=recipes, ladder=planner())
    return office


def caller(user="U1", channel=HERE, once="1.1"):
    return Caller(team="T1", channel=channel, user=user, once=once)


def form(office, command="/mixtral launch", **more):
    view = launch_offers.first_view(form_inputs.launch_text(command), caller(**more), office.context)
    check.check_view(view, "modal")
    return view | {"id": "V1"}


def after(office, view, **changes):
    """The form after changes of its inputs, by their block ids."""
    view = launch_offers.next_view(view | {"state": {"values": filled(view, changes)}}, caller(), office.context)
    check.check_view(view, "modal")
    return view | {"id": "V1"}


def sent(office, view, user="U1", once="1.1", **changes):
    shown = view | {"state": {"values": filled(view, changes)}}
    return launch_offers.submitted(shown, caller(user, "", once), office.context)


def price(view):
    [block] = [b for b in view["blocks"] if b.get("block_id") == "price"]
    return block["text"]["text"]


def blocks(view):
    return [block.get("block_id") for block in view["blocks"]]


def test_it_lists_the_recipes_with_the_price_of_the_cheapest_offer_of_each(office):
    view = form(office)
    said = words(view)
    assert "mixtral-8x7b: from 7.98 USD/h" in said
    assert "mistral-7b: from 0.70 USD/h" in said
    assert price(view).startswith(
        "*Cheapest now*: 8 \N{MULTIPLICATION SIGN} L4, GCP us-east4-a, 7.98 USD/h (191.45 USD per day)."
    )
    assert "The most expensive offer: " in price(view)


def test_the_price_follows_spot_gpus_the_most_and_the_replicas(office):
    view = form(office)
    gpus = "gpus:mixtral-8x7b"
    spot = after(office, view, spot=True)
    assert ", spot, " in price(spot)
    assert "2.16 USD/h (51.87 USD per day)" in price(spot)
    assert "2 \N{MULTIPLICATION SIGN} A100-80GB" in price(after(office, view, **{gpus: ["A100-80GB:2"]}))
    two = price(after(office, view, replicas="2"))
    assert "2 replicas of it: 15.95 USD/h (382.90 USD per day)." in two
    assert "Cheapest now" in price(after(office, view, max_price="8"))


def test_impossible_limits_show_at_once_the_nearest_that_would_do(office):
    shown = price(after(office, form(office), max_price="1"))
    assert "costs at most 1 USD/h; the cheapest is 7.98" in shown
    assert "The nearest limits that an offer satisfies: at most 7.98 USD/h." in shown
    view = after(office, form(office), max_price="1")
    with pytest.raises(WrongInput, match="Nothing was started") as refused:
        sent(office, view, max_price="1")
    assert refused.value.block == "max_price"
    assert office.requests.all() == []


def test_a_variable_of_the_command_stays_in_the_form_and_may_be_changed_or_left_to_the_recipe(office, tmp_path):
    (tmp_path / "one.yaml").write_text("envs: {MODEL: mistral}\nresources: {accelerators: L4}\nrun: serve $MODEL\n")
    office.context = replace(office.context, recipes=RecipeCatalog((tmp_path,), {}, "one"))
    view = after(office, form(office, "/mixtral launch one --env MODEL=mixtral"), spot=True)
    for entered, launched in (
        ({}, "mixtral"),
        ({"env:one:MODEL": "other"}, "other"),
        ({"env:one:MODEL": ""}, "mistral"),
    ):
        sent(office, view | {"id": launched}, name=launched, **entered)
        assert office.requests.get(launched).recipe.envs["MODEL"] == launched
    assert "env:one:MODEL" not in blocks(form(office, "/mixtral launch one"))


def test_another_recipe_brings_its_own_gpus_name_and_variables(office, tmp_path):
    (tmp_path / "needy.yaml").write_text(
        "envs: {MODEL: null, THE_KEY_ID: null}\nresources: {accelerators: L4}\nrun: serve\n"
    )
    office.context = replace(office.context, recipes=RecipeCatalog((tmp_path,), {}, "mixtral-8x7b"))
    view = after(office, form(office), recipe="needy")
    assert "env:needy:MODEL" in blocks(view)
    assert "env:needy:THE_KEY_ID" not in blocks(view)
    assert "The recipe needs THE_KEY_ID. Secrets never pass through Slack" in words(view)
    assert "gpus:mixtral-8x7b" not in blocks(view)
    assert "Name\nneedy" in words(view)
    values = {"recipe": "needy", "env:needy:MODEL": "salt"}
    launching = form_inputs.command_of(form_inputs.read(filled(view, values)))
    assert launching.env == {"MODEL": "salt"}


def test_a_submission_launches_what_it_says_once(office):
    view = form(office)
    given = {"spot": True, "max_price": "12.50", "replicas": "2", "name": "fast", "gpus:mixtral-8x7b": ["A100-80GB:2"]}
    assert sent(office, view, **given) == NOTHING
    assert sent(office, view, once="1.2", **given) == NOTHING
    [state] = office.requests.all()
    assert (state.name, state.recipe.name, state.wanted) == ("fast", "mixtral-8x7b", 2)
    assert state.limits == Limits(spot=True, gpus=("A100-80GB:2",), max_price=Decimal("12.50"))
    assert (state.place.channel, state.place.user) == (HERE, "U1")


def test_without_a_name_it_gets_the_one_that_the_form_showed(office):
    sent(office, form(office))
    second = form(office) | {"id": "V2"}
    assert "mixtral-8x7b-2" in words(second)
    sent(office, second)
    sent(office, second)
    assert [state.name for state in office.requests.all()] == ["mixtral-8x7b", "mixtral-8x7b-2"]


def test_the_clocks_of_a_command_are_kept_and_said_also_after_a_change(office):
    clocks = "--stop-after-idle 2h --hours 'mon 09:00-19:00 Europe/Paris'"
    view = after(office, form(office, f"/mixtral launch mistral-7b as fast {clocks}"), max_price="3")
    assert "ends after 2h without a request and pauses outside mon 09:00-19:00 Europe/Paris" in words(view)
    sent(office, view)
    state = office.requests.get("fast")
    assert (state.stop_after_idle, state.hours) == (timedelta(hours=2), "mon 09:00-19:00 Europe/Paris")


def test_forged_clocks_start_nothing(office):
    draft = office.context.drafts.add("U1", LaunchDraft(channel=HERE, asks=False, hours="x"))
    view = form(office) | {"private_metadata": draft}
    with pytest.raises(CommandError, match="--hours"):
        sent(office, view)
    assert office.requests.all() == []


@pytest.mark.parametrize(
    "command",
    [
        "/mixtral launch mixtral-8x7b as fast --replicas 2 --spot --gpus A100-80GB:2 --clouds aws,gcp --max-price 12",
        "/mixtral launch mistral-7b",
    ],
)
def test_it_begins_with_the_values_of_a_command_and_submits_the_same(office, command):
    view = form(office, command)
    sent(office, view)
    [state] = office.requests.all()
    asked = parse(command.removeprefix("/mixtral "))
    assert (state.recipe.name, state.limits) == (asked.recipe, asked.limits)
    assert (state.name, state.wanted) == (asked.name or "mistral-7b", asked.replicas or 1)


def test_it_ends_when_the_form_says_and_begins_with_the_end_of_the_command(office):
    office.directory.people["U1"] = PersonFacts(team="T1", tz="Asia/Kolkata")
    end = int(office.context.now().timestamp()) // 60 * 60 + 7200
    assert sent(office, form(office), until=end) == NOTHING
    assert office.requests.get("mixtral-8x7b").until == datetime.fromtimestamp(end, UTC)
    [begun] = [b["element"] for b in form(office, "/mixtral launch --for 8h")["blocks"] if b.get("block_id") == "until"]
    assert abs(begun["initial_date_time"] - end - 6 * 3600) < 100
    with pytest.raises(WrongInput, match="less than 30 minutes away") as refused:
        sent(office, form(office) | {"id": "V2"}, until=end - 7200)
    assert refused.value.block == "until"


@pytest.mark.parametrize("value", ["", "x", "/mixtral down fast", "/mixtral launch no-such", "/mixtral launch --x"])
def test_a_value_that_is_no_launch_opens_the_form_of_the_default_recipe(office, value):
    assert filled(form(office, value), {})["recipe"]["launching_recipe"]["selected_option"]["value"] == "mixtral-8x7b"


@pytest.mark.parametrize(
    ("changes", "block", "cause"),
    [
        ({"name": "Not a name"}, "name", "is not valid"),
        ({"name": "x" * 2000}, "name", "this one has 2000 characters"),
        ({"replicas": "-1"}, "replicas", "a whole number from 1"),
        ({"replicas": "1e3"}, "replicas", "a whole number from 1"),
        ({"max_price": "0"}, "max_price", "out of range"),
        ({"max_price": "1e-999999"}, "max_price", "out of range"),
        ({"max_price": "NaN"}, "max_price", "out of range"),
        ({"gpus:mixtral-8x7b": ["nothing:2"]}, "gpus:mixtral-8x7b", "Unknown accelerator"),
        ({"name": "x" * 1_000_000}, "name", "This has 1,000,000 characters; at most 3,000 fit"),
        ({"max_price": "9" * 1_000_000}, "max_price", "at most 3,000 fit"),
    ],
)
def test_a_wrong_value_is_refused_at_its_input_and_starts_nothing(office, changes, block, cause):
    view = form(office)
    with pytest.raises(WrongInput, match=cause) as refused:
        sent(office, view, **changes)
    assert refused.value.block == block
    assert office.requests.all() == []


def test_a_taken_name_is_refused_at_the_name(office):
    office.running.put("fast", "http://127.0.0.1:1")
    with pytest.raises(WrongInput, match="is taken") as refused:
        sent(office, form(office), name="fast")
    assert refused.value.block == "name"


def test_on_the_home_tab_and_in_direct_messages_it_asks_for_the_channel(office):
    assert "channel" not in blocks(form(office))
    for opened_in in ("", "D0U1"):
        view = launch_offers.first_view(Launch(), caller(channel=opened_in), office.context, home="D0U1") | {"id": "V1"}
        assert filled(view, {})["channel"]["channel"]["selected_conversation"] == "D0U1"
    sent(office, view, channel=HERE)
    assert office.requests.get("mixtral-8x7b").place.channel == HERE


@pytest.mark.parametrize("channel", ["C0OTHER", "", "x" * 2000])
def test_a_channel_without_the_person_is_refused_also_if_the_payload_is_forged(office, channel):
    office.directory.joined["C0OTHER"] = frozenset({"U2"})
    view = launch_offers.first_view(Launch(), caller(channel=""), office.context) | {"id": "V1"}
    with pytest.raises(WrongInput, match="you are not in this channel"):
        sent(office, view, channel=channel)
    left = office.context.drafts.add("U1", LaunchDraft(channel=channel, asks=False))
    with pytest.raises(CommandError, match="Invite it with"):
        sent(office, form(office) | {"private_metadata": left})
    of_another = office.context.drafts.add("U2", LaunchDraft(channel=channel, asks=False))
    for forged in (json.dumps({"channel": channel, "asks": False}), of_another, "", None):
        with pytest.raises(CommandError, match="has expired: nothing was started"):
            sent(office, form(office) | {"private_metadata": forged})
    assert office.requests.all() == []


def test_the_price_of_the_form_is_that_of_the_offers_which_the_policy_allows(office, redis):
    free = words(form(office))
    StoredPolicy(redis).put(policy_of(b"rules:\n  - spot: true\n", "policy.yaml"))
    assert launch_offers.NARROWED in words(form(office))
    assert launch_offers.NARROWED not in free
    StoredPolicy(redis).put(policy_of(b"rules:\n  - usd_per_hour: 0\n", "policy.yaml"))
    assert "at most 0.00 USD/h for one launch" in words(form(office))


def test_a_guest_whom_the_policy_lets_launch_gets_the_form_by_the_command(office, redis):
    office.directory.people["U1"] = PersonFacts(team="T1", is_guest=True)
    StoredPolicy(redis).put(policy_of(b"rules:\n  - {people: [guests], may: [launch]}\n", "policy.yaml"))
    assert office.says("") == ""
    assert office.channels.opened[0]["callback_id"] == "launch_a_model"


def test_a_channel_without_the_bot_and_a_guest_are_refused(office):
    office.channels.joined = False
    with pytest.raises(CommandError, match="/invite @mixtral"):
        sent(office, form(office))
    office.channels.joined = True
    view = form(office)
    office.directory.people["U1"] = PersonFacts(team="T1", is_guest=True)
    with pytest.raises(CommandError, match="Guests"):
        sent(office, view)
    with pytest.raises(CommandError, match="Guests"):
        form(office)
    assert office.requests.all() == []


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(("recipe", "name", "env:x:Y", "gpus:", "value", "selected_option", "selected_options")), inner
    ),
    max_leaves=12,
)  # fmt: skip


@given(JUNK)
def test_no_forged_state_is_an_unexpected_error(state):
    values = state if isinstance(state, dict) else {"recipe": state}
    with suppress(WrongInput):
        form_inputs.command_of(form_inputs.read(values))


def test_a_change_whose_price_cannot_be_computed_leaves_the_form_and_says_why(office):
    view = form(office)

    def away(*_):
        raise RedisConnectionError("away")

    office.context = replace(office.context, ladder=away)
    told = after(office, view, replicas="3", name="mine")
    assert "Redis does not respond" in price(told)
    assert blocks(told) == blocks(view), "a window in its place would lose what was entered"
    office.context = replace(office.context, recipes=RecipeCatalog((RECIPES / "missing",), {}, "mixtral-8x7b"))
    assert "is not a folder" in price(after(office, view, replicas="3"))


def test_a_time_that_slack_does_not_take_is_left_out_of_the_form(office):
    assert "initial_date_time" not in str(after(office, form(office), until=32_503_680_000))


@pytest.mark.parametrize("gpu", ["", "foo", "A100:", "A100:x", ":", "A100:99999999999999999999"])
def test_a_forged_gpu_leaves_the_form_and_is_told(office, gpu):
    view = form(office)
    values = filled(view, {})
    values["gpus:mixtral-8x7b"]["launching_gpus"]["selected_options"] = [{"value": gpu}]
    told = launch_offers.next_view(view | {"state": {"values": values}}, caller(), office.context)
    assert blocks(told) == blocks(view)


@pytest.mark.parametrize(
    ("of_a_command", "of_an_input"),
    [
        ("--until 18:00 is less than 30 minutes away, or over.", "18:00 is less than 30 minutes away, or over."),
        (
            "--max-price is USD per hour, as in --max-price 12.50; `x` is none.",
            "USD per hour, as in 12.50; `x` is none.",
        ),
        ("Give `--replicas` a whole number from 1 to 50.", "Give a whole number from 1 to 50."),
        ("Write it as in --gpus A100-80GB:2.", "Write it as in A100-80GB:2."),
        ("No offer is spot.", "No offer is spot."),
    ],
)
def test_an_input_is_told_nothing_about_options_of_a_command(of_a_command, of_an_input):
    assert form_inputs.without_flags(of_a_command) == of_an_input
