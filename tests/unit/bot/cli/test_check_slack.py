"""`mixtral-bot check` on Slack: the granted scopes, and whether Slack accepts the bot's messages."""

import json

import pytest

from bot.cli import check_slack
from bot.cli.check_slack import MANIFEST, NEEDED, NOT_USED_YET, REINSTALL, WITHOUT, blocks, scopes, slack
from bot.cli.sample_views import samples
from bot.sandbox.block_kit import check_message_blocks, check_view
from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN
from bot.sandbox.server import start
from bot.slack.message import Message
from bot.views.blocks import section
from tests.person import Person

WANTED = frozenset(json.loads(MANIFEST.read_text(encoding="utf-8"))["oauth_config"]["scopes"]["bot"])


@pytest.fixture(scope="module")
def stand_in():
    with start() as running:
        yield running


@pytest.fixture
def environ(stand_in):
    return {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": stand_in.api_url}


def test_each_scope_of_the_manifest_has_its_consequence():
    assert {*WITHOUT, *NOT_USED_YET} == WANTED
    assert not WITHOUT.keys() & NOT_USED_YET
    assert WITHOUT.keys() >= NEEDED


def test_the_scopes_of_the_manifest_are_all_that_is_needed():
    [told] = scopes(WANTED)
    assert (told.works, told.says) == (True, f"all {len(WANTED)} of the manifest are granted")


def test_a_missing_scope_is_reported_with_its_consequence_and_the_mend():
    [told] = scopes(WANTED - {"users:read", "team:read"})
    assert told.works is None
    assert "users:read (guests can launch)" in told.says
    assert "team:read (" in told.says
    assert told.mend == REINSTALL


def test_without_the_scopes_that_everything_needs_the_check_fails():
    for scope in NEEDED:
        [told] = scopes(WANTED - {scope})
        assert told.works is False
        assert scope in told.says


def test_a_scope_of_later_versions_needs_no_mend_today():
    [told] = scopes(WANTED - NOT_USED_YET)
    assert told.works is None
    assert told.mend == ""
    assert "which this version does not use" in told.says


def test_a_surplus_scope_is_harmless():
    surplus, all_there = scopes({*WANTED, "reactions:write"})
    assert surplus.works is None
    assert surplus.says == "the token also has reactions:write: not used; nothing has to be done"
    assert all_there.works is True


def test_slack_that_names_no_scopes_is_no_failure():
    [told] = scopes(())
    assert told.works is None


def test_the_scopes_of_the_token_are_read_from_slacks_answer(stand_in, environ):
    told = {finding.what: finding for finding in slack(environ)}
    assert told["bot token"].says == "mixtral in Sandbox"
    assert told["scopes"].works is True
    with Person(stand_in.url) as admin:
        admin.administer("scope", scope="users:read", granted=False)
        try:
            told = {finding.what: finding for finding in slack(environ)}
        finally:
            admin.administer("scope", scope="users:read", granted=True)
    assert "guests can launch" in told["scopes"].says


def test_an_app_that_was_uninstalled_is_reported_as_such(stand_in, environ):
    with Person(stand_in.url) as admin:
        admin.fault("refuse", method="auth.test", error="account_inactive")
        told = {finding.what: finding for finding in slack(environ)}
    assert told["bot token"].works is False
    assert "account_inactive (the app was uninstalled, or the workspace was deleted)" in told["bot token"].says
    assert "Install the app again" in told["bot token"].mend


def test_the_samples_are_messages_and_views_that_the_stand_in_takes():
    names = [name for name, _ in samples()]
    assert {"card (ready)", "plan", "help", "Home tab", "Scale form"} <= set(names)
    for _, shown in samples():
        if isinstance(shown, Message):
            check_message_blocks(list(shown.blocks))
        else:
            check_view(shown, shown["type"])


def test_slack_validates_samples_of_our_messages(environ):
    [told] = blocks(environ)
    assert (told.works, told.says) == (
        True,
        f"Slack accepts {len([*samples()])} samples of the bot's messages and views",
    )


def test_a_fault_that_slack_finds_is_reported_with_its_place(environ, monkeypatch):
    wrong = Message(text="x", blocks=(section("x") | {"text": {"type": "mrkdwn", "text": "x" * 3001}},))
    monkeypatch.setattr(check_slack, "samples", lambda: iter([("card", wrong)]))
    [told] = blocks(environ)
    assert told.works is False
    assert "card at /" in told.says
    assert told.mend


def test_a_workspace_that_does_not_validate_is_no_failure(stand_in, environ):
    with Person(stand_in.url) as admin:
        admin.fault("refuse", method="blocks.validate", error="unknown_method")
        [told] = blocks(environ)
    assert told.works is None
    assert told.says == "Slack does not validate them here (unknown_method)"


def test_validations_that_slack_limits_are_counted(stand_in, environ):
    with Person(stand_in.url) as admin:
        admin.fault("rate_limited", method="blocks.validate", seconds=30)
        [told] = blocks(environ)
    assert told.works is None
    assert told.says.startswith("0 messages were validated; then Slack requires a pause of 30.0 s")


def test_without_a_token_or_with_a_refused_one_the_blocks_are_not_checked(environ):
    assert blocks({}) == []
    assert blocks(environ | {"SLACK_BOT_TOKEN": "xoxb-wrong"}) == []


def test_tokens_in_each_other_s_variable_are_reported_before_slack_is_called(environ):
    found = slack(environ | {"SLACK_BOT_TOKEN": APP_TOKEN, "SLACK_APP_TOKEN": BOT_TOKEN})
    assert [(each.works, each.says) for each in found] == [
        (False, "SLACK_BOT_TOKEN has an app-level token"),
        (False, "SLACK_APP_TOKEN has no app-level token"),
    ]
    assert all(each.mend.startswith("set it to the ") for each in found)


def test_a_signing_secret_is_not_reported_as_tested(environ):
    *_, told = slack(environ | {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": "abc"})
    assert told.works is None
    assert "Slack's first request tests the secret" in told.says
