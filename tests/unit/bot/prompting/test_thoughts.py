"""Thoughts within the text of an answer are found, however its tokens are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.prompting.thoughts import Thoughts

PIECES = st.lists(st.sampled_from(["<", "think", ">", "<think>", "</think>", "</", "a", " ", "\n"]), max_size=12)


def divided(pieces):
    thoughts = Thoughts()
    found = [*(thoughts.divided(piece) for piece in pieces), thoughts.rest()]
    return "".join(piece.thought for piece in found), "".join(piece.text for piece in found)


@pytest.mark.parametrize(
    ("said", "thought", "text"),
    [
        ("<think>Hm.</think>Mustard.", "Hm.", "Mustard."),
        ("\n<think>\nHm. a < b</think>\n\nMustard.", "\nHm. a < b", "\n\nMustard."),
        ("Mustard.", "", "Mustard."),
        ("The tag <think>x</think> is text.", "", "The tag <think>x</think> is text."),
        ("<thing>", "", "<thing>"),
        ("<think>Hm.</think>A</think>", "Hm.", "A</think>"),
        ("<think>Hm.</thi", "Hm.</thi", ""),
        ("  <thi", "", "  <thi"),
    ],
)
def test_thoughts_stand_before_the_answer(said, thought, text):
    assert divided([said]) == (thought, text)
    assert divided(said) == (thought, text), "a character at a time"


@given(PIECES)
def test_the_cuts_change_nothing(pieces):
    assert divided(pieces) == divided(["".join(pieces)])
