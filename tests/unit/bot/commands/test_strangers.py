"""Senders that are let in, by the fields of the payload."""

import pytest

from bot.commands.strangers import Home, Sender, Standing, once_asked, sender_of, standing
from bot.slack.facts import PersonFacts

OURS, THEIRS, SIBLING, GRID, THEIR_GRID = "T0OURS", "T0THEIRS", "T0SIBLING", "E0OURS", "E0THEIRS"
ALONE = Home(team=OURS)
ON_GRID = Home(team=OURS, enterprise=GRID)


def event(*, shared, team_id=OURS, enterprise_id=None, **fields):
    return {
        "type": "event_callback",
        "team_id": team_id,
        "enterprise_id": enterprise_id,
        "context_team_id": OURS,
        "authorizations": [{"team_id": OURS}],
        "is_ext_shared_channel": shared,
        "event": {"type": "message", "user": "U1", "channel": "C1", **fields},
    }


def click(team_id, *, installed=OURS, enterprise=None):
    return {
        "type": "block_actions",
        "team": {"id": installed, "enterprise_id": enterprise} if installed else None,
        "enterprise": {"id": enterprise} if enterprise else None,
        "user": {"id": "U1", "team_id": team_id},
        "container": {"channel_id": "C1"},
    }


def command(team_id, enterprise_id=None):
    about = {"command": "/mixtral", "team_id": team_id, "user_id": "U1", "channel_id": "C1"}
    return about | ({"enterprise_id": enterprise_id} if enterprise_id else {})


@pytest.mark.parametrize(
    ("home", "body", "found"),
    [
        (ALONE, command(OURS), Standing.OURS),
        (ALONE, command(THEIRS), Standing.STRANGER),
        (ON_GRID, command(SIBLING, GRID), Standing.OURS),
        (ON_GRID, command(THEIRS, THEIR_GRID), Standing.UNCLEAR),
        (ALONE, click(OURS), Standing.OURS),
        (ALONE, click(THEIRS), Standing.STRANGER),
        # `team` and `enterprise` of a click are the installation's: they do not let a stranger in.
        (ON_GRID, click(THEIRS, enterprise=GRID), Standing.UNCLEAR),
        (ON_GRID, click(SIBLING, enterprise=GRID), Standing.UNCLEAR),
        (ON_GRID, click(SIBLING, installed=SIBLING, enterprise=GRID), Standing.OURS),
        (ON_GRID, click(SIBLING, installed=None, enterprise=GRID), Standing.UNCLEAR),
        (ALONE, event(shared=False, team=OURS), Standing.OURS),
        (ALONE, event(shared=True, team=OURS), Standing.OURS),
        (ALONE, event(shared=True, team=OURS, user_team=THEIRS), Standing.STRANGER),
        (ALONE, event(shared=True, team=THEIRS, team_id=THEIRS), Standing.STRANGER),
        # The bot's workspace may have been moved into a Grid since the start: Slack is asked.
        (ALONE, event(shared=True, team=THEIR_GRID), Standing.UNCLEAR),
        (ALONE, event(shared=False), Standing.OURS),
        # Slack may leave the team out, also of one's own people.
        (ALONE, event(shared=True), Standing.UNCLEAR),
        (ALONE, event(shared=None), Standing.UNCLEAR),
        (ON_GRID, event(shared=True, user_team=GRID, team=SIBLING), Standing.OURS),
        (ON_GRID, event(shared=True, team=SIBLING, team_id=SIBLING, enterprise_id=GRID), Standing.OURS),
        (ON_GRID, event(shared=True, team=THEIRS, team_id=THEIRS, enterprise_id=THEIR_GRID), Standing.UNCLEAR),
        (ON_GRID, event(shared=False, team=SIBLING), Standing.OURS),
        (ALONE, event(shared=False, team=GRID), Standing.OURS),
        # A direct message: whether Slack calls that of a stranger shared is not certain.
        (ALONE, event(shared=False, channel="D1", channel_type="im", team=OURS), Standing.OURS),
        (ALONE, event(shared=False, channel="D1", channel_type="im", team=THEIRS), Standing.STRANGER),
        (ALONE, event(shared=False, channel="D1", channel_type="im", team=THEIR_GRID), Standing.UNCLEAR),
        (ALONE, event(shared=False, channel="D1", channel_type="im"), Standing.UNCLEAR),
        (ON_GRID, event(shared=False, channel="D1", channel_type="im", team=SIBLING), Standing.UNCLEAR),
        (ALONE, event(shared=True, user_team=THEIRS, bot_id="B1"), Standing.OURS),
        (ALONE, event(shared=True, user=None), Standing.OURS),
    ],
)
def test_a_payload_is_judged_by_what_it_says_of_the_person(home, body, found):
    assert standing(sender_of(body), home) is found


def test_a_company_on_the_list_is_let_in_by_its_workspace_or_its_enterprise():
    body = event(shared=True, team=THEIRS, team_id=THEIRS, enterprise_id=THEIR_GRID)
    for listed in (THEIRS, THEIR_GRID):
        assert standing(sender_of(body), Home(team=OURS, others=frozenset({listed}))) is Standing.INVITED
    assert standing(sender_of(command(OURS)), Home(team=OURS, others=frozenset({OURS}))) is Standing.OURS


@pytest.mark.parametrize(
    ("person", "shared", "found"),
    [
        (PersonFacts(team=SIBLING, enterprise=GRID), True, Standing.OURS),
        (PersonFacts(team=THEIRS), True, Standing.STRANGER),
        (PersonFacts(team=THEIRS), False, Standing.STRANGER),
        (PersonFacts(team=THEIRS, enterprise=THEIR_GRID), None, Standing.STRANGER),
        (None, False, Standing.OURS),
        (None, True, Standing.UNCLEAR),
        (None, None, Standing.UNCLEAR),
        (PersonFacts(team=OURS), True, Standing.OURS),
        (PersonFacts(), True, Standing.UNCLEAR),
    ],
)
def test_where_the_payload_leaves_it_open_slack_decides_and_its_silence_leaves_it_open(person, shared, found):
    sender = Sender(user="U1", team=SIBLING, channel="C1")
    assert once_asked(sender, person, shared, ON_GRID) is found


def test_a_payload_without_a_team_in_a_shared_channel_is_nobodys_until_slack_says_whose():
    sender = sender_of(event(shared=True))
    assert once_asked(sender, PersonFacts(team=OURS), True, ALONE) is Standing.OURS
    assert once_asked(sender, None, True, ALONE) is Standing.UNCLEAR
    assert once_asked(sender, PersonFacts(team=THEIRS), True, ALONE) is Standing.STRANGER


def test_without_the_scope_that_tells_of_people_the_home_tab_opens_for_ones_own():
    opened = event(shared=False) | {"event": {"type": "app_home_opened", "user": "U1", "channel": "D1", "tab": "home"}}
    sender = sender_of(opened)
    assert standing(sender, ALONE) is Standing.UNCLEAR
    assert once_asked(sender, None, False, ALONE) is Standing.OURS
    assert once_asked(sender, PersonFacts(team=THEIRS), False, ALONE) is Standing.STRANGER


def test_an_enterprise_that_is_let_in_is_known_by_what_slack_says_where_the_payload_names_a_workspace_alone():
    home = Home(team=OURS, others=frozenset({THEIR_GRID}))
    for body in (event(shared=True, team=THEIRS, user_team=THEIRS), click(THEIRS)):
        assert standing(sender_of(body), home) is Standing.UNCLEAR
        assert once_asked(sender_of(body), PersonFacts(team=THEIRS, enterprise=THEIR_GRID), True, home) is (
            Standing.INVITED
        )
        assert once_asked(sender_of(body), PersonFacts(team=THEIRS), True, home) is Standing.STRANGER
        assert once_asked(sender_of(body), None, False, home) is Standing.UNCLEAR
    assert standing(sender_of(click(THEIRS)), ALONE) is Standing.STRANGER


def test_the_team_of_a_question_is_the_persons():
    assert sender_of(event(shared=True, team=OURS, user_team=SIBLING)).team == SIBLING
    assert sender_of(click(SIBLING)).team == SIBLING
