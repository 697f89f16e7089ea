"""A person asks the launcher by a button, and is offered a key: the real Bolt, and a strict stand-in for Slack."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from bot.commands import asking
from bot.commands.context import Caller
from bot.screens.direct_messages import DirectMessages
from tests.person import MIXTRAL, NOOR, ROBIN, Person, words
from tests.scenario import test_commands as commands
from workers.deployment.events import KeyIssued, ScaleRequested
from workers.deployment.log import Log

slack, robin, ada, bot = commands.slack, commands.robin, commands.ada, commands.bot
answered = commands.answered


class Post:
    """The thread that sends direct messages, one pass at a time."""

    def __init__(self, bot):
        self.bot = bot
        self.context = bot.context
        self.passes()

    def passes(self, later=timedelta(0)):
        """A pass of a process that has just started."""
        context = replace(self.context, now=lambda: datetime.now(UTC) + later)
        DirectMessages(context, self.bot.calls, self.bot.redis).deliver()


@pytest.fixture
def post(bot):
    bot.put("fast")
    return Post(bot)


def refused(person, text):
    """The private refusal of a command."""
    before = {m["ts"] for m in person.ephemerals(MIXTRAL)}
    person.command(MIXTRAL, text)
    return person.wait_for_ephemeral(lambda m: m["ts"] not in before, channel=MIXTRAL)


def has_button(message, action):
    return any(e.get("action_id") == action for block in message["blocks"] for e in block.get("elements", []))


def window(person, where):
    """The open modal with these words."""
    return next((view for view in person.modals() if where in words(view)), None)


def in_dm(person, where, action=None):
    return person.wait_for_message(person.dm(), lambda m: where in words(m) and (not action or has_button(m, action)))


def asks(person, text, post):
    """Type what is refused, press *Ask the launcher*, and wait for the reply."""
    refusal = refused(person, text)
    person.press(refusal, "ask_launcher")

    def replaced(message):
        """Of this press: an earlier test may have left the same sentence."""
        return message["ts"] == refusal["ts"] and "The answer follows in your direct messages" in words(message)

    said = person.wait_for_ephemeral(replaced, channel=MIXTRAL)
    assert not has_button(said, "ask_launcher")
    post.passes()
    return words(said)


def events(post, kind):
    return [e for e in Log(post.bot.redis).read(post.bot.requests.get("fast").id) if isinstance(e, kind)]


def test_a_refused_scale_is_asked_granted_with_one_press_and_told(post, robin, ada):
    assert f"<@{ROBIN}> was asked to scale *fast* to 2 replicas." in asks(ada, "/mixtral scale fast 2", post)
    asked = in_dm(robin, "asks you to scale *fast* to 2 replicas.", "grant_request")
    assert f"<@{ada.user}>" in words(asked)
    assert "It has 1 replica now." in words(asked)
    assert "because you launched it" in words(asked)
    assert "Scale to 2" in words(asked)
    robin.press(asked, "grant_request")
    robin.wait_for(lambda _: post.bot.requests.get("fast").wanted == 2)
    post.passes()
    closed = in_dm(robin, "granted it")
    assert closed["ts"] == asked["ts"]
    assert not has_button(closed, "grant_request")
    in_dm(ada, "You asked")
    assert "it is done" in words(in_dm(ada, f"<@{ROBIN}> granted it"))
    assert post.bot.redis.hgetall("mixtral:direct") == {}
    [scaled] = events(post, ScaleRequested)
    assert scaled.by == ROBIN


def test_declined_is_told_and_not_asked_again_on_the_same_day(post, robin, ada):
    asks(ada, "/mixtral down fast", post)
    robin.press(in_dm(robin, "asks you to end *fast*", "decline_request"), "decline_request")
    robin.wait_for(lambda _: post.bot.context.direct_requests.all()[0].stage == "declined")
    post.passes()
    in_dm(ada, f"<@{ROBIN}> declined it")
    ada.press(refused(ada, "/mixtral down fast"), "ask_launcher")
    ada.wait_for_ephemeral("nothing was sent again", channel=MIXTRAL)
    assert post.bot.context.direct_requests.all() == []


def test_the_scale_button_of_somebody_without_the_right_asks_for_the_number(post, robin, ada):
    post.bot.card("more")
    shown = ada.wait_for_message(MIXTRAL, lambda m: "more" in words(m) and has_button(m, "card_scale"))
    ada.press(shown, "card_scale")
    said = ada.wait_for_ephemeral(lambda m: "may scale it" in words(m) and has_button(m, "ask_launcher"))
    ada.press(said, "ask_launcher")
    form = ada.wait_for(lambda p: window(p, "*more*"))
    assert form["submit"]["text"] == "Ask the launcher"
    ada.submit(form, {"replicas": "3"})
    post.passes()
    in_dm(robin, "asks you to scale *more* to 3 replicas", "grant_request")


def test_a_request_that_expires_says_so_to_both(post, robin, ada):
    asks(ada, "/mixtral scale fast 4", post)
    asked = in_dm(robin, "to scale *fast* to 4 replicas", "grant_request")
    post.passes(timedelta(hours=25))
    assert not has_button(robin.wait_for(lambda p: _same(p, asked, "It expired")), "grant_request")
    in_dm(ada, "without an answer: nothing was changed")
    assert events(post, ScaleRequested) == []


def _same(person, message, where):
    return next((m for m in person.messages(person.dm()) if m["ts"] == message["ts"] and where in words(m)), None)


def test_a_process_that_dies_after_the_post_or_after_the_grant_posts_and_does_nothing_twice(post, robin, ada):
    asks(ada, "/mixtral scale fast 5", post)
    asked = in_dm(robin, "to scale *fast* to 5 replicas", "grant_request")
    [request] = post.context.direct_requests.all()
    post.context.direct_requests.change(request.id, lambda r: replace(r, ts="", dm=""))
    post.passes()
    assert len([m for m in robin.messages(robin.dm()) if "to scale *fast* to 5 replicas" in words(m)]) == 1
    # Above, it died before it noted the post; here, it dies after the grant is stored, and after the deed.
    post.context.direct_requests.change(
        request.id, lambda r: replace(r, stage="granted", decided_by=ROBIN, decided_at=datetime.now(UTC))
    )
    granted = post.context.direct_requests.get(request.id)
    asking._carry_out(granted, post.context)
    post.passes()
    post.passes()
    assert [e.replicas for e in events(post, ScaleRequested)] == [5]
    robin.wait_for(lambda p: _same(p, asked, "granted it"))
    assert len([m for m in ada.messages(ada.dm()) if "to scale *fast* to 5 replicas" in words(m)]) == 1


def test_a_key_for_another_person_is_shown_to_them_once_and_nowhere_else(post, robin, ada):
    said = answered(robin, f"/mixtral key fast new <@{ada.user}>")
    assert "with a button that shows them their key" in said
    post.passes()
    offer = in_dm(ada, "offers you a key to *fast*", "take_key")
    assert "mxk_" not in str(offer)
    assert events(post, KeyIssued) == []
    ada.press(offer, "take_key")
    shown = ada.wait_for(lambda p: window(p, "mxk_"))
    key = next(word for word in words(shown).replace("`", " ").split() if word.startswith("mxk_"))
    assert key.encode() in post.bot.redis.hvals(f"mixtral:keys:{post.bot.requests.get('fast').id}")
    ada.wait_for(lambda _: post.context.direct_requests.all()[0].done)
    ada.dismiss(shown)
    ada.press(offer, "take_key")  # before the button is gone
    ada.wait_for_ephemeral("The key was shown already", channel=ada.dm())
    post.passes()
    closed = ada.wait_for(lambda p: _same(p, offer, "It was shown to you"))
    assert not has_button(closed, "take_key")
    assert len(events(post, KeyIssued)) == 1
    assert window(ada, "mxk_") is None
    everything = str(ada.state()["messages"]) + str(robin.state()["messages"])
    assert key not in everything


def test_a_window_that_does_not_open_costs_the_key_and_the_button_shows_another(post, robin, ada):
    answered(robin, f"/mixtral key fast new <@{ada.user}>")
    post.passes()
    offer = in_dm(ada, "offers you a key to *fast*", "take_key")
    ada.fault("refuse", method="views.open", error="expired_trigger_id")
    ada.press(offer, "take_key")
    ada.wait_for_ephemeral("The key was revoked. Press the button again.", channel=ada.dm())
    assert [k.user for k in post.bot.requests.get("fast").keys] == [ROBIN]
    ada.press(offer, "take_key")
    ada.dismiss(ada.wait_for(lambda p: window(p, "mxk_")))
    assert [k.user for k in post.bot.requests.get("fast").keys] == [ROBIN, ada.user]


def test_a_process_that_dies_while_it_shows_a_key_leaves_no_key_and_a_button_that_works(post, slack, robin, ada):
    with Person(slack.url, NOOR) as noor:
        answered(robin, f"/mixtral key fast new <@{NOOR}>")
        post.passes()
        offer = in_dm(noor, "offers you a key to *fast*", "take_key")
        [request] = post.context.direct_requests.all()
        caller = Caller(team="T", channel=noor.dm(), user=NOOR, once="1.2")
        asking.take_key(request.id, caller, post.context)  # and dies
        post.passes(timedelta(seconds=30))
        assert len(post.bot.requests.get("fast").keys) == 2
        post.passes(timedelta(minutes=2))
        assert len(post.bot.requests.get("fast").keys) == 1
        again = noor.wait_for(lambda p: _same(p, offer, "An earlier press was interrupted"))
        noor.press(again, "take_key")
        noor.wait_for(lambda p: window(p, "mxk_"))
        assert len(post.bot.requests.get("fast").keys) == 2


def test_a_person_to_whom_slack_delivers_nothing_is_reported_to_who_offered_the_key(post, robin, ada):
    answered(robin, f"/mixtral key fast new <@{ada.user}>")
    robin.fault("refuse", method="conversations.open", error="user_disabled")
    post.passes()
    in_dm(robin, "was not taken. Nothing was changed: Slack refused the direct message")
