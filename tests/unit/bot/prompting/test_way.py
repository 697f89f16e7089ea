"""Where an answer is a stream."""

import pytest

from bot.prompting.way import AnswerPlace, is_streamed


@pytest.mark.parametrize(
    ("channel", "is_direct"), [("D0ROBIN0001", True), ("C0MIXTRAL01", False), ("G0GROUP0001", False)]
)
def test_only_direct_messages_have_one_reader_and_so_streams(channel, is_direct):
    place = AnswerPlace(channel=channel, thread="1.0", team="T1", user="U1")
    assert is_streamed(place, in_channels=False, is_available=True, is_resumed=False) == is_direct
    assert is_streamed(place, in_channels=True, is_available=True, is_resumed=False)
    assert not is_streamed(place, in_channels=True, is_available=False, is_resumed=False)
    assert not is_streamed(place, in_channels=True, is_available=True, is_resumed=True)
