"""What Slack's composer makes of a text."""

import pytest

from bot.language.typed_text import plain, straight, unquoted


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("see <http://example.com|example.com>", "see example.com"),
        ("see <https://example.com>", "see https://example.com"),
        ("mail <mailto:a@b.org|a@b.org>", "mail a@b.org"),
        ("<@U1|robin> in <#C1|general> and <@U2>", "@robin in #general and @U2"),
        ("<!channel> <!here> <!subteam^S1|@ops>", "@channel @here @ops"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
        ("&amp;lt; stays", "&lt; stays"),
        ("a < b", "a < b"),
    ],
)
def test_it_is_what_was_typed(sent, typed):
    assert plain(sent) == typed


def test_a_dash_within_words_is_left_alone():
    assert straight("a\N{EM DASH}b \N{EM DASH} c \N{EN DASH}spot") == "a\N{EM DASH}b \N{EM DASH} c --spot"


def test_only_quotes_around_the_whole_are_taken_off():
    assert unquoted("'hi'") == "hi"
    assert unquoted("'") == "'"
    assert unquoted("it's") == "it's"
    assert unquoted("'a' 'b'") == "'a' 'b'"
