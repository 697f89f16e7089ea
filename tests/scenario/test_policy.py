"""A policy with a user group of Slack, and co-owners: the real Bolt and Valkey, and a strict stand-in for Slack."""

import pytest

from bot.commands.policy_file import PolicyFile
from tests.builders.offers import ladder, offer
from tests.person import ADA, MIXTRAL, ROBIN, words
from tests.scenario import test_commands as commands
from tests.scenario.test_approvals import typed
from tests.scenario.test_ask_launcher import window
from workers.policy.stored import StoredPolicy

slack, robin, ada = commands.slack, commands.robin, commands.ada

COOKS_LOOK = """
rules:
  - people: [S0COOKS0001]
    may: [look, ask]
"""
COOKS_END = COOKS_LOOK.replace("ask", "ask, end")


@pytest.fixture
def bot(redis, slack, robin, tmp_path):
    robin.wait_disconnected()
    it = commands.Bot(redis, slack, tmp_path, ladder=lambda *_: (ladder(offer("gcp r-a", 1)), ""))
    robin.wait_connected()
    yield it
    it.close()


@pytest.fixture
def policy(bot, tmp_path):
    """Writes the policy, and has it read as the bot does."""
    path = tmp_path / "policy.yaml"
    file = PolicyFile(path, StoredPolicy(bot.redis), bot.calls.user_groups)

    def holds(text):
        path.write_text(text)
        file.refresh()
        return file

    return holds


def test_a_user_group_is_held_to_its_rule_and_a_co_owner_ends_as_soon_as_the_rule_lets_them(bot, robin, ada, policy):
    policy(COOKS_LOOK)
    assert "does not let you launch a model" in words(typed(ada, "/mixtral launch as mine"))
    assert "Launching *fast*" in words(typed(robin, "/mixtral launch as fast"))
    assert f"<@{ROBIN}> can: ask them" in words(typed(ada, "/mixtral down fast", "ask_launcher"))
    assert f"<@{ADA}> is a co-owner" in words(typed(robin, "/mixtral share fast @ada"))
    assert "does not let you end *fast*" in words(typed(ada, "/mixtral down fast", "ask_launcher"))
    wrong = policy(COOKS_END.replace("end", "ned"))
    assert "did you mean end?" in wrong.fault()
    assert "does not let you end *fast*" in words(typed(ada, "/mixtral down fast", "ask_launcher"))
    assert policy(COOKS_END).fault() == ""
    ada.command(MIXTRAL, "/mixtral down fast")
    ada.wait_for(lambda person: window(person, "End fast?") or window(person, "End *fast*"))
    assert "no longer a co-owner" in words(typed(robin, "/mixtral unshare fast @ada"))
    assert f"<@{ROBIN}> launched *fast*" in words(typed(ada, "/mixtral down fast", "ask_launcher"))


def test_a_user_group_that_slack_does_not_have_changes_nothing(bot, robin, policy):
    policy(COOKS_LOOK)
    wrong = policy(COOKS_LOOK.replace("S0COOKS0001", "S0UNKNOWN01"))
    assert "policy.yaml:3: rules[0].people[0]: Slack has no user group S0UNKNOWN01" in wrong.fault()
    assert StoredPolicy(bot.redis).current().rules[0].people == ("S0COOKS0001",)
