"""A question finds its deployment, or a sentence says how it would."""

import pytest
from msgspec.structs import replace

from bot.language.question import Question, of_message, typed
from bot.prompting.routing import (
    NOTHING_RUNS,
    AnswersNow,
    HasEnded,
    HasToWait,
    NotRouted,
    RoutedTo,
    address,
    availability,
    route,
)
from tests.builders.events import PLACE
from tests.builders.recipes import scaled_by
from tests.builders.story import Story

HERE, ELSEWHERE = "C0HERE", "C0ELSEWHERE"


def asked_for(name, channel=HERE):
    return Story(name, id_=f"d-{name}", place=replace(PLACE, channel=channel))


def answering(name, channel=HERE):
    return asked_for(name, channel).answers_at("http://127.0.0.1:1").state


FAST = answering("fast")
SLOW = answering("slow")
OTHER = answering("other", ELSEWHERE)


def message(text, channel=HERE, thread=None):
    event = {"channel": channel, "user": "U1", "text": text, "ts": "5.0"} | ({"thread_ts": thread} if thread else {})
    return of_message(event, id_="E1", team="T1", bot_user="UBOT")


def command(text, channel=HERE):
    return Question(id="trigger", team="T1", channel=channel, user="U1", text=text)


def goes_to(question, deployments, before=None, past=(), default=None):
    match route(question, deployments, before, past, default):
        case RoutedTo(deployment=deployment, prompt=prompt):
            return deployment.name, prompt
        case NotRouted(sentence=sentence):
            return sentence


def test_a_message_may_name_a_deployment_with_a_colon():
    assert goes_to(message("<@UBOT> fast: What is mustard?"), [FAST, SLOW]) == ("fast", "What is mustard?")


def test_a_command_may_name_it_by_its_first_word():
    assert goes_to(command("slow What is mustard?"), [FAST, SLOW]) == ("slow", "What is mustard?")


def test_a_word_before_a_colon_that_is_no_deployment_belongs_to_the_question():
    assert goes_to(message("<@UBOT> Note: what is mustard?"), [FAST]) == ("fast", "Note: what is mustard?")


@pytest.mark.parametrize(
    "question", [command("mixtral-8x7b hi"), command("Mixtral-8x7b: hi"), message("<@UBOT> mixtral-8x7b: hi")]
)
def test_what_is_for_one_that_has_ended_is_for_no_other(question):
    said = goes_to(question, [FAST], past={"mixtral-8x7b", "fast"})
    assert "mixtral-8x7b has ended, so the question was not sent. Running: fast." in said


@pytest.mark.parametrize("text", ["test whether it rains", "fast hi"])
def test_a_word_that_was_a_name_once_may_begin_a_question_and_a_name_that_runs_again_is_its_own(text):
    name, _ = goes_to(command(text), [FAST], past={"test", "fast"})
    assert name == "fast"


def test_of_several_the_one_that_is_ready_answers():
    waiting = asked_for("waiting").state
    assert goes_to(message("<@UBOT> Hi"), [FAST, waiting]) == ("fast", "Hi")
    assert "Several" in goes_to(message("<@UBOT> Hi"), [FAST, SLOW, waiting])
    assert "Several" in goes_to(message("<@UBOT> Hi"), [waiting, asked_for("too").state, OTHER]), "not another's"


def test_what_is_said_in_a_thread_whose_model_has_ended_is_for_no_other():
    said = goes_to(message("And then?", thread="1.0"), [FAST], SLOW.id)
    assert "answered in this thread has ended, so the question was not sent. Running: fast." in said
    assert goes_to(message("fast: And then?", thread="1.0"), [FAST], SLOW.id) == ("fast", "And then?")


def test_a_name_given_apart_from_the_text_counts():
    assert goes_to(replace(command("Hi"), deployment="slow"), [FAST, SLOW]) == ("slow", "Hi")


def test_unnamed_it_goes_to_who_answered_the_thread():
    assert goes_to(message("And then?", thread="1.0"), [FAST, SLOW], SLOW.id) == ("slow", "And then?")


def test_unnamed_it_goes_to_the_channels_one():
    assert goes_to(message("Hi"), [FAST, OTHER]) == ("fast", "Hi")


def test_unnamed_it_goes_to_the_only_one():
    assert goes_to(message("Hi", channel="D1"), [OTHER]) == ("other", "Hi")


def test_where_several_could_answer_they_are_listed_with_the_way_to_choose():
    sentence = goes_to(message("Hi"), [SLOW, FAST, OTHER])
    assert "fast, slow." in sentence
    assert "`@mixtral fast: Hi`" in sentence
    assert "`/mixtral ask fast Hi`" in sentence
    assert "`@mixtral fast: …`" in goes_to(message("a `b`"), [SLOW, FAST])


def test_where_nothing_runs_it_says_how_to_start_something():
    assert goes_to(message("Hi"), []) == NOTHING_RUNS
    assert goes_to(message("Hi"), [replace(FAST, stopped_by="U1")]) == NOTHING_RUNS


def test_an_unknown_name_is_told_the_known_ones():
    assert "Running: fast." in goes_to(replace(command("Hi"), deployment="fsat"), [FAST])


@pytest.mark.parametrize("asked", [message("<@UBOT> fast:"), command("fast")])
def test_a_name_without_a_question_is_answered_with_both_ways_to_write_one(asked):
    said = goes_to(asked, [FAST])
    assert said.startswith("There is no question after fast.")
    assert "`/mixtral ask fast Name three condiments.`" in said
    assert "`@mixtral fast: Name three condiments.`" in said


def test_the_default_of_the_channel_answers_what_names_none_and_begins_no_conversation():
    assert goes_to(message("<@UBOT> Hi"), [FAST, SLOW], default="slow") == ("slow", "Hi")
    assert goes_to(command("fast Hi"), [FAST, SLOW], default="slow") == ("fast", "Hi")
    assert goes_to(message("Hi", thread="1.0"), [FAST, SLOW], FAST.id, default="slow") == ("fast", "Hi")
    assert goes_to(message("<@UBOT> Hi"), [FAST], default="secret") == ("fast", "Hi"), "one that the asker cannot see"
    gone = goes_to(message("<@UBOT> Hi"), [FAST], past={"slow"}, default="slow")
    assert gone.startswith("slow, the default deployment here, has ended, so the question was not sent. Running: fast.")
    assert gone.endswith("or set another default with `/mixtral config`.")


@pytest.mark.parametrize("text", ["<@UBOT>", "  "])
def test_no_question_is_no_question(text):
    assert "The message contains no question" in goes_to(message(text), [FAST])


def test_a_prompt_of_a_hundred_thousand_characters_is_refused_with_the_limit():
    assert "at most 24,000" in goes_to(message("x" * 100_000), [FAST])


def test_a_deployment_that_answers_is_open():
    assert availability(FAST) == AnswersNow(url="http://127.0.0.1:1")


def test_one_that_starts_lets_the_question_wait():
    state = availability(asked_for("fast").state)
    assert isinstance(state, HasToWait)
    assert state.sentence.startswith("**fast** is looking for a machine. Your question waits")


def test_one_that_has_ended_says_why():
    state = availability(asked_for("fast").ended("No offer fits. Ask for less.").state)
    assert isinstance(state, HasEnded)
    assert "No offer fits. Ask for less." in state.sentence


def test_one_that_has_ended_is_started_again_with_its_own_recipe_and_name():
    ended = asked_for("fast").ended("No offer fits.").state
    state = availability(ended)
    assert isinstance(state, HasEnded)
    assert f"`/mixtral launch {ended.recipe.name} as fast`" in state.sentence


def test_one_question_told_by_two_events_is_one():
    mention = of_message({"channel": "C", "ts": "1.0", "user": "U", "text": "x"}, id_="E1", team="T", bot_user="UBOT")
    reply = of_message({"channel": "C", "ts": "1.0", "user": "U", "text": "x"}, id_="E2", team="T", bot_user="UBOT")
    assert mention.key == reply.key


def test_the_mention_of_the_bot_is_no_part_of_the_question():
    assert typed("<@UBOT>: hi", "UBOT") == "hi"
    assert typed("hi <@UBOT|mixtral>, x &lt; y", "UBOT") == "hi  x < y"


def test_a_replica_without_a_route_lets_the_question_wait():
    state = availability(replace(FAST, endpoint=None))
    assert isinstance(state, HasToWait)
    assert "is waiting for the gateway to open the route" in state.sentence


def test_no_question_goes_past_the_gateway_to_a_replica():
    assert address(FAST, ()) == "http://127.0.0.1:1"
    assert address(FAST, {"http://127.0.0.1:1"}) is None
    assert address(replace(FAST, endpoint=None), ()) is None


def test_inside_the_house_the_gateway_has_an_address_of_its_own():
    assert address(FAST, (), inside="http://haproxy:8000") == "http://haproxy:8000"
    assert address(FAST, {"http://haproxy:8000"}, inside="http://haproxy:8000") is None
    assert address(replace(FAST, endpoint=None), (), inside="http://haproxy:8000") is None


def test_what_sleeps_is_woken_and_what_somebody_ended_is_not():
    asleep = replace(answering("fast"), wanted=0, attempts=(), recipe=scaled_by(min_replicas=0))
    state = availability(asleep)
    assert isinstance(state, HasToWait)
    assert state.wake == "http://127.0.0.1:1"
    assert "your question wakes it" in state.sentence
    state = availability(replace(asleep, recipe=scaled_by(min_replicas=1)))
    assert isinstance(state, HasToWait)
    assert state.wake is None
    assert "`/mixtral scale fast 1`" in state.sentence


@pytest.mark.parametrize("text", ["what is salt?", "what's salt?", "what"])
def test_a_deployment_that_is_called_like_a_questions_first_word_does_not_capture_it(text):
    what = answering("what", ELSEWHERE)
    assert goes_to(command(text), [FAST, what]) == ("fast", text)
    assert goes_to(command(f"what: {text}"), [FAST, what]) == ("what", text), "with a colon it is addressed"
    assert goes_to(message(f"<@UBOT> what: {text}"), [FAST, what]) == ("what", text)
    assert goes_to(command("fast what is salt?"), [FAST, what]) == ("fast", "what is salt?")
    assert "/mixtral ask what: Hi" in goes_to(command("Hi"), [answering("what"), answering("zed")])
