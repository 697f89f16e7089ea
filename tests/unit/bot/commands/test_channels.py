"""What commands ask of Slack before they are answered."""

import pytest

from bot.commands.channels import SlackChannels
from bot.commands.errors import NotShown
from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from bot.slack.message import Message
from tests.person import MIXTRAL, ROBIN, Person

KEY = Message(text="It is below.", blocks=({"type": "section", "text": {"type": "mrkdwn", "text": "The key"}},))


def test_a_key_whose_blocks_are_refused_is_not_shown_and_its_text_does_not_stand_for_it(redis):
    with start(Settings(rate_scale=0)) as running, Person(running.url, ROBIN) as robin:
        calls = SlackCalls(web_client(BOT_TOKEN, running.api_url), Budgets(redis))
        channels = SlackChannels(calls, redis)
        robin.fault("refuse", method="chat.postEphemeral", error="invalid_blocks")
        with pytest.raises(NotShown, match="invalid_blocks"):
            channels.whisper(MIXTRAL, ROBIN, KEY)
        assert robin.ephemerals(MIXTRAL) == []
