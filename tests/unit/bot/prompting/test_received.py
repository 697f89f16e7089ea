"""What is received of an answer is counted by its chunks, and by its characters where chunks are large."""

import pytest

from bot.prompting.received import MOST_CHARACTERS, Received
from bot.prompting.sse import Choice, Chunk, Delta, Usage


def received(answer_tokens=100, thought_tokens=1000):
    return Received("fast", lambda: 0.0, answer_tokens=answer_tokens, thought_tokens=thought_tokens)


def says(content="", **more):
    return Chunk(choices=(Choice(delta=Delta(content=content, **more)),))


def until_full(it, chunk, most):
    """Give the same chunk until there is enough of it; return the text of the answer and how often it was given."""
    text = ""
    for given in range(1, most + 1):
        text += it.text(chunk)
        if it.is_full:
            return text, given
    return text, None


@pytest.mark.parametrize("token", ["a", "condiment", " " * 128])
def test_a_chunk_is_a_token_however_long_a_single_token_is(token):
    it = received()
    for chunk in [says("I am "), *[says(" a word")] * 95, says(token)]:
        it.text(chunk)
    assert (it.tokens, it.is_full) == (97, False)


def test_a_model_that_uses_its_room_to_the_end_is_not_cut():
    it = received(answer_tokens=100, thought_tokens=1000)
    for chunk in [*[says(reasoning="Hm. ")] * 1000, *[says("word ")] * 100]:
        it.text(chunk)
    assert (it.finish().thoughts, it.tokens, it.is_full) == (1000, 100, False)


def test_large_chunks_are_counted_by_their_characters_and_the_answer_is_no_longer_than_its_room():
    it = received()
    text, given = until_full(it, says("x" * 1_000_000), 5)
    assert given == 1
    assert len(text) == 100 * MOST_CHARACTERS
    assert it.finish().tokens >= 100


def test_an_answer_that_was_cut_says_so_also_if_the_engine_has_ended_it():
    it = received()
    it.text(Chunk(choices=(Choice(delta=Delta(content="x" * 1_000_000), finish_reason="stop"),)))
    assert it.finish().reason == "length"


def test_a_whole_answer_in_one_chunk_is_whole():
    it = received(answer_tokens=1024)
    assert it.text(says("word " * 1024)) == "word " * 1024
    assert not it.is_full


def test_what_the_engine_counts_is_what_is_shown():
    it = received()
    it.text(says("x" * 1000))
    it.text(Chunk(usage=Usage(completion_tokens=250)))
    assert it.finish().tokens == 250


@pytest.mark.parametrize("thought", [{"reasoning": "x" * 10_000}, {"content": "<think>" + "x" * 10_000}])
def test_thoughts_are_limited_to_all_the_room_that_there_is(thought):
    it = received(answer_tokens=100, thought_tokens=1000)
    text, given = until_full(it, says(**thought), 1000)
    assert text == ""
    assert given == 1100 * MOST_CHARACTERS // 10_000 + 1
    assert len(it.finish().said) <= 1100 * MOST_CHARACTERS + 10_000


def test_blanks_that_are_kept_back_are_limited_too():
    it = received(answer_tokens=100, thought_tokens=0)
    assert until_full(it, says(" " * 1000), 1000) == ("", 4)


def test_a_long_chunk_that_ends_the_thoughts_is_cut_behind_them():
    it = received(answer_tokens=1, thought_tokens=1000)
    it.text(says("<think>Hm."))
    assert it.text(says("</think>" + "x" * 100)) == "x" * MOST_CHARACTERS
    assert it.is_full
