"""The door of Slack: text of commands and messages, envelopes, and payloads of Block Kit, through Bolt's own app."""

import json
import time
from typing import Any

import pytest
from slack_bolt import BoltRequest

from bot.prompting.drafts import ConfigDraft, LaunchDraft
from bot.sandbox.seed import BOT_USER, TEAM_ID
from bot.slack.payload import Malformed, checked
from bot.views import alerts, answer, approval, ask_form, channel_config, end_question, launch_form, refusal, scale
from bot.views.escape import INVISIBLE_JOINER
from recipes.hidden import hidden
from tests.fuzz.fuzzing import fuzz
from tests.person import ADA, MIXTRAL, ROBIN

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(0)]

CARD = ("endpoint", "keep_trying", "scale_to_zero", "down", "scale", "details", "logs", "ask")
NOW = f"{time.time():.6f}"


def sends(bot, body):
    """Hand a payload to the bot as both doors do."""
    try:
        payload = checked(body)
    except Malformed:
        return None
    response = bot.app.dispatch(BoltRequest(mode="socket_mode", body=payload))
    assert response.status in (200, 503), response.status
    return response


def command(text, user=ROBIN):
    return {
        "token": "x",
        "team_id": TEAM_ID,
        "team_domain": "sandbox",
        "channel_id": MIXTRAL,
        "channel_name": "mixtral",
        "user_id": user,
        "user_name": "robin",
        "command": "/mixtral",
        "text": text,
        "api_app_id": "A1",
        "is_enterprise_install": "false",
        "response_url": "http://127.0.0.1:9/commands/x",
        "trigger_id": f"{time.monotonic_ns()}.1.x",
    }


def event(kind, **more):
    said = {"type": kind, "channel": MIXTRAL, "user": ROBIN, "ts": NOW, "event_ts": NOW, "team": TEAM_ID, "text": "Hi"}
    return {
        "type": "event_callback",
        "team_id": TEAM_ID,
        "api_app_id": "A1",
        "event": said | more,
        "event_id": f"Ev{time.monotonic_ns()}",
        "event_time": int(time.time()),
        "authorizations": [{"enterprise_id": None, "team_id": TEAM_ID, "user_id": BOT_USER, "is_bot": True}],
        "is_ext_shared_channel": False,
    }


def interaction(kind, **more):
    return {
        "type": kind,
        "user": {"id": ROBIN, "username": "robin", "name": "robin", "team_id": TEAM_ID},
        "team": {"id": TEAM_ID, "domain": "sandbox"},
        "api_app_id": "A1",
        "trigger_id": f"{time.monotonic_ns()}.1.x",
        "enterprise": None,
        "is_enterprise_install": False,
    } | more


def press(action, value, **more) -> dict[str, Any]:
    element = {"type": "button", "action_id": action, "block_id": "b", "value": value, "action_ts": NOW}
    return interaction(
        "block_actions",
        container={"type": "message", "message_ts": NOW, "channel_id": MIXTRAL, "is_ephemeral": False},
        channel={"id": MIXTRAL, "name": "mixtral"},
        message={"type": "message", "ts": NOW, "text": "Hi", "user": BOT_USER, "blocks": []},
        response_url="http://127.0.0.1:9/actions/x",
        actions=[element | more],
    )


def submission(callback, metadata, values):
    view = {"id": "V1", "type": "modal", "hash": "1.a", "callback_id": callback, "private_metadata": metadata}
    return interaction(
        "view_submission", view=view | {"blocks": [], "state": {"values": values}, "team_id": TEAM_ID}, response_urls=[]
    )


def seeds(bot):
    """A payload of each kind, as Slack sends it."""
    state = bot.requests.get("fast")
    id_, key = state.id, f"{MIXTRAL}:{NOW}"
    draft = bot.context.drafts.add(ROBIN, LaunchDraft(channel=MIXTRAL, asks=True))
    config = bot.context.drafts.add(ROBIN, ConfigDraft(channel=MIXTRAL))
    text = {"type": "plain_text_input", "value": "3"}
    chosen = {
        "type": "static_select",
        "selected_option": {"text": {"type": "plain_text", "text": "x"}, "value": "scripted"},
    }
    form: dict[str, Any] = {
        "recipe": {"launching_recipe": chosen},
        "name": {"name": text | {"value": "new-1"}},
        "replicas": {"replicas": text},
        "max_price": {"max_price": text},
        "gpus:scripted": {"launching_gpus": {"type": "multi_static_select", "selected_options": [{"value": "A100:1"}]}},
        "until": {"until": {"type": "datetimepicker", "selected_date_time": int(time.time()) + 9_000}},
        "env:scripted:X": {"env": text},
        "channel": {"channel": {"type": "conversations_select", "selected_conversation": MIXTRAL}},
    }
    cards = (
        "card_endpoint",
        "card_keep_trying",
        "card_scale_to_zero",
        "card_down",
        "card_scale",
        "card_details",
        "card_logs",
    )
    yield from (press(action, id_) for action in (*cards, "card_ask", "details_refresh"))
    yield press(alerts.KEEP, f"{id_} {int(time.time()) + 900} idle")
    yield press("do_command", f"{id_} /mixtral scale fast 2")
    yield press("launch_form", "/mixtral launch scripted as new-1 --replicas 2 --for 2h")
    yield press("ask_of_0", f"{draft} {id_}")
    yield press("confirm_command", draft)
    yield press(refusal.ASK, f'{{"deed":"scale","deployment":"{id_}","replicas":2}}')
    yield from (press(action, "r-1") for action in (approval.APPROVE, approval.DENY, "grant_request", "take_key"))
    yield press(channel_config.RESET, config)
    yield from (press(action, key) for action in (answer.STOP, answer.AGAIN))
    yield press(f"{answer.OTHER}0", f"{id_} {key}")
    yield press(answer.FEEDBACK, f"good {key}")
    for action, value in (
        (f"{launch_form.ACTION}_recipe", form["recipe"]["launching_recipe"]),
        ("launching_name", text),
    ):
        change = press(action, "x") | {"view": submission(launch_form.CALLBACK, draft, form)["view"]}
        change["actions"][0] |= value
        yield change
    yield submission(launch_form.CALLBACK, draft, form)
    yield submission(scale.CALLBACK, id_, {scale.BLOCK: {scale.ACTION: text}})
    yield submission(scale.ASKING, f'{{"deed":"scale","deployment":"{id_}"}}', {scale.BLOCK: {scale.ACTION: text}})
    yield submission(end_question.CALLBACK, id_, {})
    yield submission(approval.CALLBACK, "r-1", {approval.REASON: {approval.REASON: text}})
    yield submission(ask_form.CALLBACK, draft, {ask_form.QUESTION: {ask_form.QUESTION: text}})
    yield submission(
        channel_config.CALLBACK,
        config,
        {block: {block: text} for block in (channel_config.SYSTEM, channel_config.TEMPERATURE)},
    )
    yield submission("confirm_command_modal", draft, {})
    message = {"type": "message", "user": ADA, "text": "Hello", "ts": NOW, "blocks": [], "files": [], "attachments": []}
    yield interaction(
        "message_action", callback_id=ask_form.SHORTCUT, channel={"id": MIXTRAL}, message_ts=NOW, message=message
    )
    yield event("message", channel_type="channel", text=f"<@{BOT_USER}> fast: Hi")
    yield event("app_mention", text=f"<@{BOT_USER}> status")
    yield event("message", channel="D0ROBIN0001", channel_type="im", text="launch scripted as new-1")
    yield event("message", thread_ts=NOW, files=[{"id": "F1", "name": "a", "mimetype": "text/plain", "size": 3}])
    yield event("message", subtype="message_changed", message={"ts": NOW, "subtype": "tombstone", "text": ""})
    yield event("message", subtype="message_deleted", deleted_ts=NOW)
    yield event("message", edited={"user": ROBIN, "ts": NOW}, text=f"<@{BOT_USER}> again")
    yield event("app_home_opened", tab="home")
    yield event("agent_session_stopped", thread_ts=NOW, streaming_message_ts=[])
    yield event("channel_id_changed", old_channel_id="C1", new_channel_id="C2")
    yield event("tokens_revoked", tokens={"oauth": ["U1"], "bot": []})
    yield event("reaction_added", item={"type": "message"}, reaction="x")
    yield command("status fast")


def lasting(bot):
    """The kinds of keys that do not expire, with their number."""
    found: dict[str, int] = {}
    for key in bot.redis.scan_iter(count=1000):
        if bot.redis.ttl(key) == -1:
            kind = b":".join(key.split(b":")[:2]).decode(errors="replace")
            found[kind] = found.get(kind, 0) + 1
    return found


def check_keys(bot):
    launched = len(bot.requests.all()) + 2
    grown = {kind: many for kind, many in lasting(bot).items() if many > launched + 20}
    assert grown == {}, f"keys that do not expire, with {launched} deployments"


@pytest.fixture
def seeded(bot):
    found = list(seeds(bot))
    for body in found:
        assert checked(body), "what Slack sends is not rejected"
    return found


def test_text_of_commands_and_messages(bot, errors, seeded):
    known = [
        "launch scripted as fast --replicas 2 --spot --gpus A100-80GB:2 --clouds aws,gcp --max-price 12.50 --env A=b",
        "launch --for 8h --hours 'mon-fri 09:00-19:00 Europe/Paris' --stop-after-idle 2h",
        *(
            "scale fast 3",
            "ask fast: Name three condiments.",
            "key fast new @robin --per-minute 3",
            "share fast <@U0ADA000001|ada>",
        ),
        *(
            "cost week",
            "config",
            "help scale",
            "plan mixtral-8x7b",
            "logs fast",
            "down fast",
            "endpoint fast",
            "status",
            "",
        ),
    ]

    def once(mutator):
        text = mutator.text(mutator.rng.choice(known)) if mutator.rng.random() < 0.6 else mutator.sentence()
        mutator.shown.append(text)
        match mutator.rng.randrange(3):
            case 0:
                sends(bot, event("app_mention", text=f"<@{BOT_USER}> {text}", ts=f"{time.time():.6f}"))
            case _:
                said = sends(bot, command(text, mutator.rng.choice((ROBIN, ADA))))
                assert said is None or said.body is not None
                shown = json.loads(said.body)["text"] if said and said.body else ""
                assert not hidden(shown.replace(INVISIBLE_JOINER, ""))

    fuzz("slash", once, errors, grown=lambda: check_keys(bot))


def test_envelopes_and_payloads_of_block_kit(bot, errors, seeded):
    def once(mutator):
        body = mutator.payload(mutator.rng.choice(seeded))
        mutator.shown.append(body)
        sends(bot, body)

    fuzz("payloads", once, errors, grown=lambda: check_keys(bot))
