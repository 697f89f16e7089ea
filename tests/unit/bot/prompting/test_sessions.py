"""The status of a thread while Slack is slow, and after it."""

import threading

import pytest

from bot.prompting.sessions import Sessions
from bot.slack.failures import SlackAway
from tests.patience import PATIENCE

SOON = 5 * PATIENCE


class SlowSlack:
    """Slack's two methods for a status. Each call for a thread in `slow` lasts until `answers` is set."""

    def __init__(self, slow=()):
        self.slow = slow
        self.answers = threading.Event()
        self.called = threading.Event()
        self.set = []

    def has(self, method, channel):
        return True

    def set_session(self, channel, thread, status):
        self.called.set()
        if thread in self.slow and not self.answers.wait(3 * SOON):
            raise SlackAway("no answer")
        self.set.append((thread, status))

    def set_status(self, channel, thread, words):
        self.set.append((thread, words))


def end(sessions, channel, thread):
    assert list(sessions.end(channel, thread)) == []


@pytest.fixture
def sessions_of():
    made = []

    def make(slack):
        made.append((Sessions(slack), slack))
        return made[-1][0]

    yield make
    for sessions, slack in made:
        slack.answers.set()
        sessions.close()


def test_a_question_ends_though_slack_is_slow_with_the_status_of_another_thread(sessions_of):
    slack = SlowSlack(slow={"1.0"})
    sessions = sessions_of(slack)
    sessions.begin("C1", "1.0")
    assert slack.called.wait(SOON)
    sessions.begin("C1", "2.0")
    ending = threading.Thread(target=end, args=(sessions, "C1", "2.0"), daemon=True)
    ending.start()
    ending.join(SOON)
    assert not ending.is_alive()
    assert slack.set == [("2.0", "active")]


def test_nothing_is_kept_of_a_question_whose_session_another_process_ends(sessions_of):
    slack = SlowSlack(slow={"1.0"})
    sessions = sessions_of(slack)
    for thread in ("1.0", "1.0", "2.0"):
        sessions.begin("C1", thread)
    assert slack.called.wait(SOON)
    assert sessions._beginnings.keys() == {("C1", "1.0"), ("C1", "2.0")}
    slack.answers.set()
    sessions._line.submit(print).result(SOON)  # the line is past them
    assert sessions._beginnings == {}


def test_no_beginning_of_an_earlier_question_of_the_thread_is_shown_after_the_end(sessions_of):
    slack = SlowSlack(slow={"1.0"})
    sessions = sessions_of(slack)
    sessions.begin("C1", "1.0")
    assert slack.called.wait(SOON)
    for thread in ("2.0", "2.0"):
        sessions.begin("C1", thread)
    end(sessions, "C1", "2.0")
    slack.answers.set()
    end(sessions, "C1", "1.0")
    sessions.begin("C1", "3.0")
    end(sessions, "C1", "3.0")
    assert [status for ts, status in slack.set if ts == "2.0"] == ["active"]


def test_a_status_that_is_late_is_not_shown_after_the_end(sessions_of):
    slack = SlowSlack(slow={"1.0"})
    sessions = sessions_of(slack)
    sessions.begin("C1", "1.0")
    assert slack.called.wait(SOON)
    sessions.begin("C1", "2.0")
    end(sessions, "C1", "2.0")  # while the one before it is on its way: the beginning of this one is not sent yet
    ending = threading.Thread(target=end, args=(sessions, "C1", "1.0"), daemon=True)
    ending.start()
    ending.join(0.05)
    slack.answers.set()
    ending.join(SOON)
    assert [status for ts, status in slack.set if ts == "2.0"] == ["active"]
    assert [status for ts, status in slack.set if ts == "1.0"] == ["processing", "active"]
