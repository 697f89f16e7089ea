"""MIXTRAL_ADMINS: the people who may do everything."""

import pytest

from bot.settings import from_environ
from workers.settings import SettingsError

ENVIRON = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "REDIS_URL": "redis://not-used"}


def test_it_lists_ids_of_people():
    assert from_environ(ENVIRON | {"MIXTRAL_ADMINS": " U0ADA000001,W0BOB000001, "}).admins == {
        "U0ADA000001",
        "W0BOB000001",
    }


@pytest.mark.parametrize("text", ["@ada", "<@U0ADA000001> U0BOB000001", "S0GROUP0001", "ada@acme.com", "*"])
def test_what_is_no_id_is_refused_at_start_with_the_place_where_ids_are_found(text):
    with pytest.raises(SettingsError, match=r"MIXTRAL_ADMINS contains .* Copy member ID"):
        from_environ(ENVIRON | {"MIXTRAL_ADMINS": text})
