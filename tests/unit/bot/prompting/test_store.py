"""Which messages are reported for the first time."""

from datetime import UTC, datetime

from msgspec.structs import replace
from redis import Redis

from bot.language.question import Question, QuestionKey
from bot.prompting.store import DEDUPLICATED_FOR, QUESTIONS, Questions

OLDER = (
    '{"question":{"id":"1","team":"T","channel":"C0HERE","user":"U1","text":"Hi","deployment":null,"thread_ts":null,'
    '"message_ts":"1.0","response_url":null,"edited":null,"chosen":false,"outside":false},'
    '"asked_at":"2026-11-30T02:28:45.594450Z","deployment":null,"prompt":"","thread":null,"notice":"3.0",'
    '"begun":["2.0"],"starting":null,"tries":1,"failing_since":null,"not_before":null,"over":false}'
)
"""Asked without what stands below answers, attachments, and messages that are asked about."""


def question(ts, edited=None):
    return Question(id="E1", team="T1", channel="C0HERE", user="U1", text="help", message_ts=ts, edited=edited)


def test_a_message_is_taken_once_by_whoever_takes_it_first(redis):
    questions = Questions(redis)
    assert questions.claim(question("1.0").key)
    assert not questions.claim(question("1.0").key), "a mention comes as two events"
    assert not questions.add(question("1.0"))
    assert questions.add(question("2.0"))
    assert not questions.claim(question("2.0").key)
    assert 0 < redis.ttl(f"mixtral:asked:{question('1.0').key}") <= DEDUPLICATED_FOR.total_seconds()


def test_a_question_that_slack_repeats_after_it_was_edited_is_not_asked(redis):
    questions = Questions(redis)
    assert questions.add(question("1.0", edited="2.0"))  # the first event could not be stored
    assert questions.withdraw_earlier(question("1.0", edited="2.0")) == []
    assert not questions.add(question("1.0"))


def test_an_edit_that_is_reported_after_the_deletion_is_not_answered(redis):
    questions = Questions(redis)
    assert questions.add(question("1.0"))
    questions.withdraw_message("C0HERE", "1.0")
    assert not questions.add(question("1.0", edited="2.0"))
    assert questions.add(question("3.0", edited="4.0"))


def test_a_message_is_taken_also_if_redis_answers_only_the_repeated_call(redis):
    class Late(Redis):
        def set(self, *args, **more):
            super().set(*args, **more)  # its reply comes after the client's timeout
            return super().set(*args, **more)

    late = Questions(Late(connection_pool=redis.connection_pool))
    assert late.claim(question("1.0").key)
    assert not late.claim(question("1.0").key)


def test_a_stop_that_slack_repeats_does_not_end_an_answer_that_was_asked_again_after_it(redis):
    questions, before = Questions(redis), datetime.now(UTC).timestamp()
    again = replace(question("1.0"), thread_ts="1.0", replaces=question("1.0").key, deployment="fast", chosen=True)
    assert questions.add(again)
    assert questions.withdraw_in_thread("C0HERE", "1.0", f"{before - 60}") == []
    after = datetime.now(UTC).timestamp()
    assert questions.withdraw_in_thread("C0HERE", "1.0", f"{after + 1}") == [again.key]


def test_a_question_of_the_version_before_can_still_be_read(redis):
    redis.hset(QUESTIONS, "C0HERE:1.0", OLDER)
    asked = Questions(redis).get(QuestionKey("C0HERE:1.0"))
    assert asked is not None
    assert (asked.question.key, asked.begun, asked.shown, asked.question.attached) == (
        "C0HERE:1.0",
        ("2.0",),
        "",
        False,
    )
