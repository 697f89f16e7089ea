"""What people set for a channel holds for its questions: default deployment, system prompt, temperature, threads."""

from msgspec.structs import replace

from bot.language.channel_settings import ChannelSettings
from bot.prompting.channel_store import ChannelStore
from tests.answering import engine, line, place, slack
from tests.fakes.upstream import DEFAULT, Upstream
from tests.person import MIXTRAL, ROBIN

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
        place.robin.wait_for_ephemeral("set another default with `/mixtral config`")
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
