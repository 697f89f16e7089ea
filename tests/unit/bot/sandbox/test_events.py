"""What a person's typing becomes."""

import pytest

from bot.sandbox import seed
from bot.sandbox.events import rich_text, typed

USERS, CHANNELS = (*seed.PEOPLE, seed.BOT), seed.CHANNELS


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("@mixtral hi", "<@U0MIXTRAL01> hi"),
        ("@Mixtral: hi", "<@U0MIXTRAL01>: hi"),
        ("ask @mixtral.", "ask <@U0MIXTRAL01>."),
        ("<@U0MIXTRAL01> hi", "<@U0MIXTRAL01> hi"),
        ("me@mixtral.com", "me@mixtral.com"),
        ("@nobody", "@nobody"),
        ("1 < 2 && 3 > 2", "1 &lt; 2 &amp;&amp; 3 &gt; 2"),
        ("<!channel>", "&lt;!channel&gt;"),
        ("@channel", "<!channel>"),
        ("see #general", "see <#C0GENERAL01|general>"),
        ("#nowhere", "#nowhere"),
        ("https://a.example/?b=1&c=2", "<https://a.example/?b=1&amp;c=2>"),
    ],
)
def test_typing_is_stored_as_slack_stores_it(text, stored):
    assert typed(text, USERS, CHANNELS) == stored


def test_the_rich_text_beside_it_names_people_and_reads_as_typed():
    [block] = rich_text("<@U0MIXTRAL01> 1 &lt; 2")
    assert block["elements"][0]["elements"] == [
        {"type": "user", "user_id": "U0MIXTRAL01"},
        {"type": "text", "text": " 1 < 2"},
    ]
