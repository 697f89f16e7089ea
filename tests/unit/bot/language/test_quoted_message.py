"""The text of a message that a question is about, whatever its parts."""

import pytest

from bot.language.quoted_message import quoted_message

BLOCKS = [
    {"type": "header", "text": {"type": "plain_text", "text": "Disk full"}},
    {"type": "section", "text": {"type": "mrkdwn", "text": "on &lt;db-1&gt;, see <https://a.example|the log>"}},
]
SAID = "Disk full\non <db-1>, see the log"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"text": "Is &lt;b&gt; bold?", "blocks": BLOCKS}, "Is <b> bold?"),
        ({"text": "", "blocks": BLOCKS}, SAID),
        ({"text": "", "attachments": [{"fallback": "[no preview available]", "blocks": BLOCKS}]}, SAID),
        (
            {"text": "An alert", "attachments": [{"title": "Disk", "text": "full &amp; hot"}]},
            "An alert\n\nDisk\nfull & hot",
        ),
        ({"text": "", "attachments": [{"fallback": "Disk &gt; 90 %"}]}, "Disk > 90 %"),
        ({"text": "", "blocks": [{"type": "divider"}]}, ""),
    ],
)
def test_the_text_of_an_apps_message_is_read_from_its_blocks_where_it_has_none(message, text):
    assert quoted_message({"username": "Alerts", "ts": "1.0"} | message).text == text
