"""MIXTRAL_SLACK_TEAMS: the companies that are let in."""

import pytest

from bot.settings import from_environ
from workers.settings import SettingsError

ENVIRON = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "REDIS_URL": "redis://not-used"}


@pytest.mark.parametrize(
    ("text", "teams"),
    [("", set()), ("T0ACME00001", {"T0ACME00001"}), (" T0ACME00001 , E0OTHER0001,", {"T0ACME00001", "E0OTHER0001"})],
)
def test_it_lists_ids_of_workspaces_and_enterprises(text, teams):
    assert from_environ(ENVIRON | {"MIXTRAL_SLACK_TEAMS": text}).teams == teams


@pytest.mark.parametrize("text", ["acme", "acme.slack.com", "U0EVE000001", "T0ACME00001;T0OTHER0001", "*"])
def test_what_is_no_id_is_refused_with_the_place_where_ids_are_found(text):
    with pytest.raises(SettingsError, match=r"MIXTRAL_SLACK_TEAMS contains .* app\.slack\.com/client/T"):
        from_environ(ENVIRON | {"MIXTRAL_SLACK_TEAMS": text})
