"""Chunks come out whole, however the bytes are cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.prompting.sse import MOST_BYTES, Events, Garbled

WORDS = ["Mustard", ", ", "кетчуп", " 🙂", "\n\ndata: "]


def event(payload):
    return f"data: {json.dumps(payload, ensure_ascii=False)}\r\n\r\n".encode()


STREAM = (
    b": a comment keeps the line open\n\n"
    + b"".join(event({"choices": [{"delta": {"content": w}, "index": 0}], "id": "x", "more": [1]}) for w in WORDS)
    + event({"choices": [{"delta": {"role": "assistant", "content": None}, "finish_reason": "stop"}]})
    + event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}})
    + b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_a_stream_says_the_same_however_it_is_cut(cuts):
    places = [0, *sorted(cuts), len(STREAM)]
    events = Events()
    chunks = [c for a, b in pairwise(places) for c in events.feed(STREAM[a:b])]
    assert [c.choices[0].delta.content for c in chunks if c.choices][:5] == WORDS
    assert [c.choices[0].finish_reason for c in chunks if c.choices][5] == "stop"
    assert chunks[-1].usage.completion_tokens == 5
    assert events.done


def test_what_is_no_chunk_is_said_to_be_none():
    with pytest.raises(Garbled, match="<html>"):
        Events().feed(b"data: <html>\n")


@pytest.mark.parametrize("piece", [1000, 2**16, MOST_BYTES + 1])
def test_a_line_without_an_end_is_given_up_however_it_is_cut(piece):
    events = Events()
    for _ in range(MOST_BYTES // piece):
        assert events.feed(b"x" * piece) == []
    with pytest.raises(Garbled, match="longer than 1 MiB"):
        events.feed(b"x" * piece)


def test_an_event_of_nearly_a_mebibyte_is_read_also_a_byte_at_a_time():
    whole = event({"choices": [{"delta": {"content": "x" * (MOST_BYTES - 100)}}]})
    events = Events()
    found = [chunk for at in range(len(whole)) for chunk in events.feed(whole[at : at + 1])]
    assert [len(chunk.choices[0].delta.content) for chunk in found] == [MOST_BYTES - 100]
