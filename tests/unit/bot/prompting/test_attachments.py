"""What is attached is read while it is wanted, in limited memory; a file that is late takes no other with it."""

import threading
from datetime import timedelta

import pytest

from bot.prompting.attached import File, Forwarded, Kind
from bot.prompting.attachments import Attachments
from bot.prompting.conversation import Turn
from bot.prompting.withdrawal import Why, Withdrawn
from bot.slack.files import DownloadAbandoned, NoFile, SlackFiles
from tests.patience import PATIENCE

SOON = timedelta(seconds=0.3) * PATIENCE


class Files(SlackFiles):
    """Slack's files by their addresses; one whose name is `late` is not sent while anybody waits for it."""

    def __init__(self):
        super().__init__("xoxb-1", "https://slack.com/api/")

    def read(self, url, *, limit, size, is_page, is_wanted):
        if url == "late":
            while is_wanted():
                threading.Event().wait(0.01)
            raise DownloadAbandoned
        if url == "gone":
            raise NoFile("it was deleted")
        return url.encode() * 100


def file(name, size=100):
    return File(name=name, kind=Kind.TEXT, mimetype="text/plain", size=size, url=name)


def stopped():
    raise Withdrawn(Why.STOPPED)


def turn(*attached):
    return Turn(role="user", content="Why?", attached=attached)


def test_a_file_that_is_late_takes_neither_the_files_before_it_nor_a_forwarded_message_with_it():
    forwarded = Forwarded(label="Forwarded message", text="It fails")
    messages = [turn(file("a"), file("late"), forwarded)]
    with Attachments(Files(), within=SOON).read(messages, (), images=0, name="fast", channel="C1") as read:
        assert [text.name for text in read.question.texts] == ["`a`", "the forwarded message"]
        assert read.question.unread == ("`late`",)
        assert [(out.name, "did not send it" in out.why) for out in read.left_out] == [("`late`", True)]


def test_files_wait_for_the_memory_that_those_of_other_answers_take_until_they_end():
    attachments = Attachments(Files(), memory=150, within=timedelta(seconds=30))
    ended = threading.Event()
    second = []

    def answer():
        with attachments.read([turn(file("b"))], (), images=0, name="fast", channel="C1") as read:
            second.append((ended.is_set(), read.question.texts[0].text[0], read.left_out))

    with attachments.read([turn(file("a"))], (), images=0, name="fast", channel="C1"):
        other = threading.Thread(target=answer)
        other.start()
        other.join(0.2)
        ended.set()
    other.join()
    assert second == [(True, "b", [])]


def test_a_file_for_which_there_is_no_memory_is_named_with_the_cause_and_no_memory_is_lost():
    attachments = Attachments(Files(), memory=150, within=SOON)
    with attachments.read([turn(file("a"))], (), images=0, name="fast", channel="C1"):
        with attachments.read([turn(file("b"))], (), images=0, name="fast", channel="C1") as read:
            assert [out.why[:30] for out in read.left_out] == ["the bot reads too many other f"]
        with (
            pytest.raises(Withdrawn),
            attachments.read([turn(file("b"))], [stopped], images=0, name="fast", channel="C1"),
        ):
            pass
    for _ in range(3):
        with attachments.read([turn(file("b"))], (), images=0, name="fast", channel="C1") as read:
            assert read.left_out == []


def asked_in(attachments, channel, *attached):
    return attachments.read([turn(*attached)], (), images=0, name="fast", channel=channel)


def test_a_channel_that_holds_all_that_it_may_keeps_no_other_channel_waiting():
    attachments = Attachments(Files(), memory=1000, within=SOON)
    with asked_in(attachments, "C1", *map(file, "abcdefghi")) as first, asked_in(attachments, "C1", file("j")) as more:
        assert [text.name for text in first.question.texts] == ["`a`", "`b`", "`c`", "`d`"]
        assert [out.why[:30] for out in more.left_out] == ["the bot reads too many other f"]
        with asked_in(attachments, "C2", file("k", size=300)) as other, asked_in(attachments, "C3", file("l")) as third:
            assert [each.left_out for each in (other, third)] == [[], []]


def test_what_a_file_did_not_need_is_given_back_at_once():
    attachments = Attachments(Files(), memory=1000, within=SOON)
    with (
        asked_in(attachments, "C1", file("gone", size=900), file("a", size=700)) as first,
        asked_in(attachments, "C2", file("b", size=700)) as second,
    ):
        assert [out.why for out in first.left_out] == ["it was deleted"]
        assert second.left_out == []
    with asked_in(attachments, "C1", file("c", size=1000)) as all_:
        assert all_.left_out == []
