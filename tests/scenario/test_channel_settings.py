"""What people set for a channel holds for its questions: default deployment, system prompt, temperature, threads."""

from msgspec.structs import replace

from bot.language.channel_settings import ChannelSettings
from bot.prompting.channel_store import SETTINGS, ChannelStore
from bot.slack.channel_ids import ChannelIds
from tests.answering import engine, line, place, slack
from tests.fakes.upstream import DEFAULT, Upstream
from tests.person import MIXTRAL, RANDOM, ROBIN, words

__all__ = ["engine", "line", "place", "slack"]

COOK = "You are a cook. Answer in one sentence."
NO_SYSTEM_ROLE = "Conversation roles must alternate user/assistant/user/assistant/..."


def sets(place, channel=MIXTRAL, **settings):
    ChannelStore(place.redis).put(channel, ROBIN, replace(ChannelSettings(), **settings))


def test_a_question_without_a_name_goes_to_the_default_and_one_with_a_name_to_the_named(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    with Upstream(model="slow") as other:
        slow = place.shelf.put("slow", other.url, MIXTRAL)
        sets(place, default="slow")
        place.bot()
        place.answer(place.robin.say(MIXTRAL, "@mixtral Hello"), DEFAULT)
        place.robin.command(MIXTRAL, "/mixtral ask What is salt?")
        place.robin.wait_for_message(MIXTRAL, "asks *slow*")
        place.answer(place.robin.say(MIXTRAL, "@mixtral fast: Hello to you"), DEFAULT)
        assert [asked["messages"][-1]["content"] for asked in engine.asked] == ["Hello to you"]

        place.shelf.append(place.shelf.story(slow).stopped().ended())
        place.robin.say(MIXTRAL, "@mixtral Hello again")
        place.robin.wait_for_ephemeral("slow, the default deployment here, has ended, so the question was not sent")
        offered = place.robin.wait_for_ephemeral(
            "`/mixtral config` sets another default. You can ask the one that runs:"
        )
        assert [element["text"]["text"] for element in offered["blocks"][-1]["elements"]] == ["Ask fast"]
        assert len(engine.asked) == 1


def test_the_system_prompt_is_the_first_turn_and_the_temperature_is_sent(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    sets(place, system_prompt=COOK, temperature=0.2)
    place.bot()
    place.answer(place.robin.say(MIXTRAL, "@mixtral Hello"), DEFAULT)
    assert engine.asked[0]["messages"] == [
        {"role": "system", "content": COOK},
        {"role": "user", "content": "Hello"},
    ]
    assert engine.asked[0]["temperature"] == 0.2


def test_a_model_without_a_system_role_gets_the_system_prompt_in_the_first_turn(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    sets(place, system_prompt=COOK)
    place.bot()
    engine.script = lambda body: (
        {"status": 400, "error": NO_SYSTEM_ROLE} if body["messages"][0]["role"] == "system" else {}
    )
    first = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(first, DEFAULT)
    place.settled(first)
    assert engine.asked[-1]["messages"] == [{"role": "user", "content": f"{COOK}\n\nHello"}]
    before = len(engine.asked)
    place.answer(place.robin.say(MIXTRAL, "@mixtral Hello again"), DEFAULT)
    assert len(engine.asked) == before + 1, "the bot remembers what the template refuses"


def test_where_only_mentions_are_answered_a_reply_in_a_thread_is_left_alone(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    sets(place, unasked=False)
    place.bot()
    root = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(root, DEFAULT)
    place.settled(root)
    place.ada.say(MIXTRAL, "Lunch?", root)
    place.ada.say(MIXTRAL, "@mixtral And a fourth?", root)
    place.robin.wait_for(lambda _: len(engine.asked) == 2)
    place.settled(root)
    assert engine.asked[1]["messages"][-1]["content"].endswith("And a fourth?")
    assert len(engine.asked) == 2


def test_a_person_sets_their_own_direct_messages(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    dm = place.robin.open_dm()
    sets(place, dm, system_prompt=COOK)
    place.bot()
    place.answer(place.robin.say(dm, "Hello"), DEFAULT, channel=dm)
    assert engine.asked[0]["messages"][0]["content"] == COOK
    theirs = place.ada.open_dm()
    ts = place.ada.say(theirs, "Hello")
    place.ada.wait_for_message(theirs, DEFAULT, thread_ts=ts)
    assert engine.asked[1]["messages"][0] == {"role": "user", "content": "Hello"}


def option(value):
    return {"type": "static_select", "selected_option": {"value": value, "text": {"type": "plain_text", "text": value}}}


def opened(person, channel=MIXTRAL):
    for view in person.modals()[:1]:
        person.dismiss(view)
    person.command(channel, "/mixtral config")
    return person.wait_for(lambda p: next(iter(p.modals()), None))


def inputs(view):
    return {block["block_id"]: block["element"] for block in view["blocks"] if block["type"] == "input"}


def test_the_launcher_sets_a_channel_by_a_form_and_the_channel_reads_what_was_set(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL, user=ROBIN)
    place.shelf.put("slow", engine.url, MIXTRAL, user=ROBIN)
    place.bot()
    view = opened(place.robin)
    assert [o["value"] for o in inputs(view)["default"]["options"]] == ["-", "fast", "slow"]
    assert inputs(view)["temperature"]["placeholder"]["text"] == "The engine's default"
    given = {
        "default": {"default": option("fast")},
        "system": COOK,
        "temperature": "0.2",
        "threads": {"threads": option("no")},
        "digest": {"digest": {"type": "checkboxes", "selected_options": [{"value": "yes"}]}},
    }
    assert place.robin.submit(view, given)["ok"]
    line = place.robin.wait_for_message(MIXTRAL, "changed the settings of this channel")["text"]
    assert line == (
        f"<@{ROBIN}> changed the settings of this channel (`/mixtral config`): default deployment *fast*; "
        f"system prompt “{COOK}”; temperature 0.2; threads that the bot answered: only messages that "
        "mention the bot are answered; costs of the last week on Mondays: posted here at 09:00."
    )
    place.answer(place.robin.say(MIXTRAL, "@mixtral Hello"), DEFAULT)
    assert engine.asked[0]["messages"][0] == {"role": "system", "content": COOK}

    again = opened(place.robin)
    assert inputs(again)["system"]["initial_value"] == COOK
    assert len(inputs(again)["digest"]["initial_options"]) == 1
    assert inputs(again)["default"]["initial_option"]["value"] == "fast"
    before = len(place.robin.messages(MIXTRAL))
    assert place.robin.submit(again, given)["ok"]
    place.robin.press_in(opened(place.robin), "config_reset")
    place.robin.wait_for_message(MIXTRAL, "reset the settings of this channel to the defaults")
    assert len(place.robin.messages(MIXTRAL)) == before + 1, "what changes nothing is not announced"
    place.robin.wait_for(lambda p: "reset to the defaults" in words(p.modals()[-1]))
    assert place.redis.hlen(SETTINGS) == 0


def test_who_launched_nothing_in_the_channel_is_shown_what_is_set_and_who_may_change_it(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL, user=ROBIN)
    sets(place, system_prompt=COOK, default="fast")
    place.ada.command(MIXTRAL, "/mixtral config")
    shown = words(place.ada.wait_for_ephemeral("The settings of this channel"))
    assert COOK in shown
    assert "*fast*" in shown
    assert "Only people who launched a deployment in this channel and the admins can change them." in shown
    assert not place.ada.modals()


def test_a_prompt_of_100_000_characters_is_refused_at_its_input_with_the_limit(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL, user=ROBIN)
    view = opened(place.robin)
    assert place.robin.submit(view, {"system": "x" * 100_000})["errors"] == {
        "system": "This prompt has 100,000 characters, and at most 3,000 fit. Shorten it."
    }
    assert place.robin.submit(view, {"temperature": "7"})["errors"] == {
        "temperature": "Give a number from 0 to 2, or leave it empty."
    }
    assert ChannelStore(place.redis).of(MIXTRAL, ROBIN) == ChannelSettings()


def test_a_default_that_ended_while_the_form_was_open_is_refused_at_its_input(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL, user=ROBIN)
    gone = place.shelf.put("slow", engine.url, MIXTRAL, user=ROBIN)
    view = opened(place.robin)
    place.shelf.append(place.shelf.story(gone).stopped().ended())
    errors = place.robin.submit(view, {"default": {"default": option("slow")}})["errors"]
    assert errors == {"default": "slow has ended, or not everyone here may ask it. Choose another deployment."}


def test_a_person_sets_their_own_direct_messages_by_the_same_form_without_threads(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL, user=ROBIN)
    dm = place.ada.open_dm()
    view = opened(place.ada, dm)
    assert set(inputs(view)) == {"default", "system", "temperature"}
    assert place.ada.submit(view, {"system": COOK})["ok"]
    place.ada.wait_for_message(dm, "changed the settings of your direct messages with the bot")


def test_a_channel_whose_id_changes_keeps_its_settings(redis):
    store, ids = ChannelStore(redis), ChannelIds(redis)
    store.put(RANDOM, ROBIN, ChannelSettings(system_prompt=COOK))
    ids.changed(RANDOM, "C0MOVED0001")
    body = {"event": {"channel": "C0MOVED0001"}}
    ids.translate(body)
    assert store.of(body["event"]["channel"], ROBIN).system_prompt == COOK
