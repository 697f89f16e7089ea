"""A launch that costs much is confirmed and approved: the real Bolt and Valkey, and a strict stand-in for Slack."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from bot.screens.direct_messages import DirectMessages
from tests.builders.offers import ladder, offer
from tests.person import ADA, MIXTRAL, ROBIN, words
from tests.scenario import test_commands as commands
from tests.scenario.test_ask_launcher import has_button, in_dm, window
from workers.deployment.audit import decode
from workers.deployment.audit_stream import AuditStream
from workers.policy.approvals import Approvals
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

slack, robin, ada = commands.slack, commands.robin, commands.ada


@pytest.fixture
def bot(redis, slack, robin, tmp_path):
    rungs = ladder(offer("gcp r-a", 22), offer("aws use1-az1", 40))
    robin.wait_disconnected()
    it = commands.Bot(redis, slack, tmp_path, ladder=lambda *_: (rungs, ""))
    robin.wait_connected()
    yield it
    it.close()


def governed(bot, **limits):
    StoredPolicy(bot.redis).put(Policy(approvals=Approvals(**limits)))


def passes(bot, later=timedelta(0)):
    """A pass of a process that has just started."""
    context = replace(bot.context, now=lambda: datetime.now(UTC) + later)
    DirectMessages(context, bot.calls, bot.redis).deliver()


def typed(person, text, action=None):
    """The private answer to a command."""
    before = {m["ts"] for m in person.ephemerals(MIXTRAL)}
    person.command(MIXTRAL, text)
    return person.wait_for_ephemeral(
        lambda m: m["ts"] not in before and (not action or has_button(m, action)), channel=MIXTRAL
    )


def audited(bot):
    found = (decode(raw) for _, raw in AuditStream(bot.redis).read())
    return [(entry.who, entry.how or entry.what, entry.outcome.value, entry.why) for entry in found]


def names(bot):
    return [state.name for state in bot.requests.all()]


def test_a_dear_launch_asks_its_person_privately_and_confirm_starts_it_and_drop_does_not(bot, robin, ada):
    asked = typed(robin, "/mixtral launch as dear --replicas 3", "confirm_command")
    assert "66.00 USD/h (1,584.00 USD per day)" in words(asked)
    assert not [m for m in ada.ephemerals(MIXTRAL) if "66.00" in words(m)]
    robin.press(asked, "drop_command")
    robin.wait_for_ephemeral("nothing was started or changed", channel=MIXTRAL)
    assert names(bot) == []
    again = typed(robin, "/mixtral launch as dear --replicas 3", "confirm_command")
    robin.press(again, "confirm_command")
    said = robin.wait_for_ephemeral("Launching *dear*", channel=MIXTRAL)
    assert "Its ceiling is 120.00 USD/h" in words(said)
    assert names(bot) == ["dear"]


def test_a_scale_in_the_window_is_confirmed_in_the_window(bot, robin):
    bot.card("wide")
    robin.press(
        robin.wait_for_message(MIXTRAL, lambda m: "wide" in words(m) and has_button(m, "card_scale")), "card_scale"
    )
    form = robin.wait_for(lambda p: window(p, "*wide*"))
    robin.submit(form, {"replicas": "5"})
    question = robin.wait_for(lambda p: window(p, "110.00 USD/h"))
    assert bot.requests.get("wide").wanted == 1
    robin.submit(question, {})
    robin.wait_for(lambda _: bot.requests.get("wide").wanted == 5)


def test_an_approved_launch_starts_and_a_denied_one_does_not_and_each_is_told(bot, robin, ada):
    governed(bot, usd_per_hour=Decimal(30), approvers=(ADA,))
    said = words(typed(robin, "/mixtral launch as big --replicas 2"))
    assert f"<@{ADA}> can approve it" in said
    assert names(bot) == []
    passes(bot)
    passes(bot)
    asked = in_dm(ada, "asks for an approval to launch *big* with 2 replicas", "approve_request")
    for price in ("44.00 USD/h (1,056.00 USD per day), 31,680.00 USD in 30 days", "Ceiling  80.00 USD/h"):
        assert price in words(asked).replace("*", "")
    assert len([m for m in ada.messages(ada.dm()) if "launch *big*" in words(m)]) == 1
    ada.press(asked, "approve_request")
    ada.wait_for(lambda _: names(bot) == ["big"])
    passes(bot)
    in_dm(robin, f"<@{ADA}> approved it")
    assert not has_button(in_dm(ada, "asked for an approval to launch *big*"), "approve_request")
    assert bot.requests.get("big").place.user == ROBIN

    typed(robin, "/mixtral launch as more --replicas 2")
    passes(bot)
    ada.press(in_dm(ada, "to launch *more* with", "deny_request"), "deny_request")
    ada.submit(ada.wait_for(lambda p: window(p, "to launch *more*")), {"reason": "Use <spot>."})
    ada.wait_for(lambda _: any(r.stage == "declined" for r in bot.context.direct_requests.all()))
    passes(bot)
    assert "The reason: Use" in words(in_dm(robin, "denied it"))
    assert names(bot) == ["big"]
    assert bot.context.direct_requests.all() == []
    robin.wait_for(lambda _: any(one[1] == "modal deny" for one in audited(bot)))  # it is written after the deed
    found = audited(bot)
    [approved] = [one for one in found if one[1] == "button approve"]
    assert approved[:3] == (ADA, "button approve", "done")
    assert f"approved by {ADA}" in approved[3]
    assert [one for one in found if one[1] == "modal deny"] == [(ADA, "modal deny", "done", "Use spot.")]


def test_what_nobody_decides_expires_and_buys_nothing(bot, robin, ada):
    governed(bot, usd_per_hour=Decimal(30), approvers=(ADA,), expires=timedelta(hours=1))
    typed(robin, "/mixtral launch as late --replicas 2")
    passes(bot)
    in_dm(ada, "to launch *late* with", "approve_request")
    passes(bot, later=timedelta(hours=2))
    in_dm(robin, "without a decision: nothing was started")
    assert audited(bot)[-1] == ("mixtral-bot", "request expired", "refused", "")
    assert names(bot) == []
