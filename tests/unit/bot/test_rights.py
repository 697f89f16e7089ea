"""Every cell of the table of rights, by payloads as Slack sends them, through Bolt and the real listeners."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from redis import Redis
from slack_bolt import App, BoltRequest
from slack_bolt.authorization import AuthorizeResult

from bot.admission import NOBODY, REFUSED, Admission
from bot.commands.sight import Askable, Sight
from bot.commands.strangers import Home
from bot.language.confirmation import Confirmation
from bot.language.direct_request import Deed, DirectRequest, WantedDeed, value_of
from bot.language.question import Question
from bot.listeners import Listeners
from bot.prompting.drafts import AskDraft, ChoiceDraft, ConfigDraft, LaunchDraft
from bot.prompting.given_answers import GivenAnswer, GivenAnswers
from bot.prompting.routing import RoutedTo, route
from bot.prompting.store import Threads
from bot.sandbox.seed import (
    ACME,
    ACME_TEAM,
    ADA,
    BOT_TOKEN,
    BOT_USER,
    ENTERPRISE_ID,
    EVE,
    GRID,
    GUS,
    MIXTRAL,
    NOOR,
    OPS,
    ROBIN,
    SIBLING_TEAM,
    TEAM_ID,
)
from bot.slack.facts import ChannelFacts, PersonFacts
from bot.views.escape import unmarked
from tests.fakes.at_once import AtOnce
from tests.fakes.office import Office
from tests.fakes.outbox import SentAtOnce
from tests.person import words
from tests.rights import CELLS, COLUMNS, cells, rows
from workers.deployment.audit import AuditOutcome, decode, encode
from workers.deployment.audit_stream import AuditStream
from workers.deployment.events import DeploymentId
from workers.policy.schema import policy_of
from workers.policy.stored import StoredPolicy

BOSS = "U0BOSS00001"
NOWHERE = "nowhere-1"
UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
"""Later than the end of all tests: a module is imported long before its tests run."""
NOW = f"{time.time():.6f}"
CLEO, PAL, LIN, BART = "U0CLEO00001", "U0PAL000001", "U0LIN000001", "U0BART00001"
RULED, ROBIN_DIRECT = "C0RULED0001", "D0ROBIN0001"
PLACES = {"open-1": MIXTRAL, "closed-1": OPS, "joint-1": ACME, "over-1": MIXTRAL} | {
    "shared-1": OPS,
    "pact-9": RULED,
    "direct-1": ROBIN_DIRECT,
}
POLICY = f"""
groups:
  outsiders: [{BART}]
rules:
  - people: [outsiders]
    channels: [{RULED}]
    may: []
  - people: [S0LIMITED]
    channels: [{RULED}]
    may: [look]
"""
ABOUT = {"guest": "open-1", "sibling": "open-1", "external": "joint-1", "invited": "joint-1", "stale": "over-1"} | {
    "co-owner": "shared-1",
    "limited": "pact-9",
    "barred": "pact-9",
    "direct": "direct-1",
}
"""The deployment that a column is about; `closed-1` unless it is here."""
PEOPLE = {
    "launcher": (ROBIN, TEAM_ID, MIXTRAL),
    "admin": (BOSS, TEAM_ID, MIXTRAL),
    "member": (ADA, TEAM_ID, MIXTRAL),
    "colleague": (NOOR, TEAM_ID, MIXTRAL),
    "guest": (GUS, TEAM_ID, MIXTRAL),
    "sibling": (GRID, SIBLING_TEAM, MIXTRAL),
    "external": (EVE, ACME_TEAM, ACME),
    "invited": (EVE, ACME_TEAM, ACME),
    "forged": (NOOR, TEAM_ID, MIXTRAL),
    "co-owner": (CLEO, TEAM_ID, MIXTRAL),
    "limited": (LIN, TEAM_ID, RULED),
    "barred": (BART, TEAM_ID, RULED),
    "direct": (NOOR, TEAM_ID, MIXTRAL),
    "stale": (ROBIN, TEAM_ID, MIXTRAL),
    "nobody": ("", "", MIXTRAL),
}


class Slack:
    """Keeps what is shown to one person."""

    def __init__(self):
        self.shown = []
        self.outbox = SentAtOnce()

    def whisper(self, channel, user, message, *, thread=None):
        self.shown.append((user, words({"text": message.text, "blocks": list(message.blocks)})))

    def open_view(self, trigger, view):
        self.shown.append(("", words(view)))
        return view | {"id": "V1", "hash": "1.a"}

    def update_view(self, view_id, view, *, shown):
        self.shown.append(("", words(view)))

    def post(self, channel, message):
        self.shown.append(("", message.text))

    def publish_home(self, user, view):
        self.shown.append((user, words(view)))


def authorize():
    return AuthorizeResult(enterprise_id=ENTERPRISE_ID, team_id=TEAM_ID, bot_user_id=BOT_USER, bot_token=BOT_TOKEN)


@pytest.fixture(scope="module")
def launched(valkey_url):
    """The ids of four deployments of Robin's, and the content of Redis with them."""
    with Redis.from_url(valkey_url) as redis:
        redis.flushall()
        office = Office(redis)
        ids = {name: office.running.put(name, "http://127.0.0.1:1", at, user=ROBIN) for name, at in PLACES.items()}
        for id_ in ids.values():
            office.requests.share(id_, PAL, by=ROBIN)
        office.running.append(office.running.story(ids["over-1"]).stopped().ended())
        office.running.append(office.running.story(ids["closed-1"]).kept_until(UNTIL))
        office.running.append(office.running.story(ids["shared-1"]).kept_until(UNTIL))
        office.requests.share(ids["shared-1"], CLEO, by=ROBIN)
        office.running.append(office.running.story(ids["direct-1"]).kept_until(UNTIL))
        office.running.append(office.running.story(ids["pact-9"]).kept_until(UNTIL))
        StoredPolicy(redis).put(policy_of(POLICY.encode(), "policy.yaml"))
        return ids, {key: redis.dump(key) for key in redis.scan_iter()}


class Workspace:
    """The bot with four deployments of Robin's, and a person who acts."""

    def __init__(self, redis, launched, who):
        self.who = who
        self.user, self.team, self.channel = PEOPLE[who]
        slack: Any = Slack()
        self.redis, self.slack, self.office = redis, slack, Office(redis)
        directory = self.office.directory
        directory.channels = {OPS: ChannelFacts(), ACME: ChannelFacts(is_public=True, is_shared=True)}
        directory.joined = {
            OPS: frozenset({ROBIN, ADA}),
            MIXTRAL: frozenset({ROBIN, ADA, NOOR, GUS, GRID, BOSS, CLEO}),
            ACME: frozenset({ROBIN, ADA, EVE}),
            RULED: frozenset({ROBIN, LIN, BART}),
        }
        directory.groups = {"S0LIMITED": frozenset({LIN})}
        directory.people = dict.fromkeys((ROBIN, ADA, NOOR, BOSS, CLEO, LIN, BART), PersonFacts(team=TEAM_ID)) | {
            GUS: PersonFacts(team=TEAM_ID, is_guest=True),
            GRID: PersonFacts(team=SIBLING_TEAM, enterprise=ENTERPRISE_ID),
            EVE: PersonFacts(team=ACME_TEAM),
        }
        self.ids, content = launched
        with redis.pipeline() as together:
            for key, value in content.items():
                together.restore(key, 0, value)
            together.execute()
        sight = Sight(directory, {BOSS}, self.office.context.policy)
        context = replace(self.office.context, admins={BOSS}, sight=sight, askable=Askable(self.office.requests, sight))
        others = frozenset({ACME_TEAM}) if who == "invited" else frozenset()
        home = Home(team=TEAM_ID, enterprise=ENTERPRISE_ID, others=others)
        later = AtOnce()
        admission = Admission(home, directory=directory, slack=self.slack, redis=redis, later=later, bot_user=BOT_USER)
        self.context = context
        self.app = App(
            name="rights",  # without a name, Bolt reads the whole stack
            signing_secret="",
            authorize=authorize,
            process_before_response=True,
            raise_error_for_unhandled_request=True,
        )
        Listeners(context, Threads(redis), BOT_USER, later, self.slack, admission=admission).register(self.app)

    def sends(self, body):
        """What the person is shown."""
        before = len(self.slack.shown)
        response = self.app.dispatch(BoltRequest(body=json.dumps(body), mode="socket_mode"))
        assert response.status == 200
        said = [text for _, text in self.slack.shown[before:]]
        said += [words(view) for view in self.office.channels.opened]
        if response.body:
            ack = json.loads(response.body)
            said += [words(ack), words(ack.get("view") or {}), *(ack.get("errors") or {}).values()]
        return "\n".join(text.strip() for text in said if text.strip())

    def types(self, text):
        body = {
            "command": "/mixtral",
            "text": text,
            "team_id": self.team,
            "channel_id": self.channel,
            "user_id": self.user,
            "trigger_id": "1.2.command",
        }
        if self.team in (TEAM_ID, SIBLING_TEAM):
            body["enterprise_id"] = ENTERPRISE_ID
        return self.sends(body)

    def _interaction(self, kind):
        # `team` and `enterprise` are those of the installation, whoever acts.
        user = {"id": self.user, "team_id": self.team} if self.user else {}
        team = {"id": TEAM_ID, "domain": "sandbox", "enterprise_id": ENTERPRISE_ID}
        return {
            "type": kind,
            "user": user,
            "team": team,
            "enterprise": {"id": ENTERPRISE_ID},
            "trigger_id": "1.2.click",
        }

    def presses(self, action, value):
        body = self._interaction("block_actions") | {
            "channel": {"id": self.channel},
            "container": {"type": "message", "channel_id": self.channel, "message_ts": NOW},
            "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value}],
        }
        return self.sends(body)

    def presses_in_modal(self, action, value):
        body = self._interaction("block_actions") | {
            "container": {"type": "view", "view_id": "V1"},
            "view": {"type": "modal", "id": "V1", "hash": "1.a", "private_metadata": value},
            "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value}],
        }
        return self.sends(body)

    def submits(self, value, replicas, callback="scale_deployment"):
        values = {"replicas": {"replicas": {"type": "number_input", "value": replicas}}}
        view = {
            "type": "modal",
            "callback_id": callback,
            "private_metadata": value,
            "state": {"values": values},
        }
        return self.sends(self._interaction("view_submission") | {"view": view})

    def asks_by_form(self, name):
        by, channel = (ROBIN, OPS) if self.who == "forged" else (self.user, self.channel)
        draft = AskDraft(channel=channel, deployment=self.ids.get(name, "d-none"))
        values = {"question": {"question": {"type": "plain_text_input", "value": "Hi"}}}
        view = {
            "type": "modal",
            "callback_id": "ask_form",
            "private_metadata": self.context.drafts.add(by, draft),
            "state": {"values": values},
        }
        said = self.sends(self._interaction("view_submission") | {"view": view})
        return self._routed() or said

    def uses_shortcut(self):
        body = self._interaction("message_action") | {
            "callback_id": "ask_about_message",
            "channel": {"id": self.channel},
            "message_ts": NOW,
            "message": {"type": "message", "user": NOOR, "text": "Mayonnaise is a dressing.", "ts": "5.0"},
        }
        return self.sends(body)

    def configures(self, name):
        view = {
            "type": "modal",
            "callback_id": "channel_config",
            "private_metadata": self._config_draft(name),
            "state": {"values": {"system": {"system": {"type": "plain_text_input", "value": "You are a cook."}}}},
        }
        return self.sends(self._interaction("view_submission") | {"view": view})

    def _config_draft(self, name):
        return self.context.drafts.add(self.user, ConfigDraft(channel=PLACES[name]))

    def resets(self, name):
        body = self._interaction("block_actions") | {
            "container": {"type": "view", "view_id": "V1"},
            "view": {"id": "V1", "hash": "h", "type": "modal"},
            "actions": [{"type": "button", "action_id": "config_reset", "value": self._config_draft(name)}],
        }
        return self.sends(body)

    def sends_form(self, channel):
        values = {
            "recipe": {"launching_recipe": {"selected_option": {"value": "scripted"}}},
            "name": {"name": {"value": "new-1"}},
        }
        view = {
            "type": "modal",
            "callback_id": "launch_a_model",
            "private_metadata": self.context.drafts.add(self.user, LaunchDraft(channel=channel, asks=False)),
            "state": {"values": values},
        }
        return self.sends(self._interaction("view_submission") | {"view": view})

    def confirms(self, value, callback="end_deployment"):
        view = {"type": "modal", "callback_id": callback, "private_metadata": value, "state": {"values": {}}}
        return self.sends(self._interaction("view_submission") | {"view": view})

    def denies(self, id_):
        values = {"reason": {"reason": {"type": "plain_text_input", "value": "Use spot."}}}
        view = {
            "type": "modal",
            "callback_id": "deny_request_modal",
            "private_metadata": id_,
            "state": {"values": values},
        }
        return self.sends(self._interaction("view_submission") | {"view": view})

    def _event(self, **event):
        ours = self.team == TEAM_ID
        event |= {"channel": event.get("channel", self.channel), "user": self.user, "event_ts": NOW}
        if event["type"] in {"message", "app_mention"}:
            event |= {"ts": NOW, "team": self.team} | ({} if ours else {"user_team": self.team})
        if not self.user:
            event = {name: value for name, value in event.items() if name not in {"user", "team", "user_team"}}
        return self.sends(
            {
                "type": "event_callback",
                "team_id": TEAM_ID,
                "enterprise_id": ENTERPRISE_ID,
                "event_id": "Ev1",
                "is_ext_shared_channel": self.channel == ACME,
                "authorizations": [{"team_id": TEAM_ID, "enterprise_id": ENTERPRISE_ID, "user_id": BOT_USER}],
                "event": event,
            }
        )

    def says(self, text, **more):
        self._event(type="message", text=text, **more)
        return self._routed() or "\n".join(text for _, text in self.slack.shown)

    def mentions(self, text):
        self._event(type="message", channel_type="channel", text=f"<@{BOT_USER}> {text}")
        self._event(type="app_mention", text=f"<@{BOT_USER}> {text}")
        return self._routed() or "\n".join(text for _, text in self.slack.shown)

    def replies(self, name):
        self.redis.hset(f"mixtral:thread:{self.channel}:3.0", "deployment", self.ids.get(name, "d-none"))
        return self.says("And without salt?", thread_ts="3.0", channel_type="channel")

    def stops(self):
        self._event(type="agent_session_stopped", thread_ts="3.0", streaming_message_ts=[])
        return "stopped" if self.office.answers.stopped == ["3.0"] else ""

    def opens_home(self):
        return self._event(type="app_home_opened", tab="home", channel="D0HOME00001")

    def _routed(self):
        """The result of routing the question that was stored; "" if there is none."""
        asked = self.office.answers.asked
        if not asked:
            return ""
        question, askable = asked[-1], self.context.askable
        before = self.ids[ABOUT.get(self.who, "closed-1")] if question.thread_ts else None
        found = route(question, askable.running(question, before), before, askable.ended(question))
        if not isinstance(found, RoutedTo):
            return found.sentence
        return askable.forbids(question, found.deployment) or f"Asked {found.deployment.name}"


def asks_by_button(it, name):
    question = Question(id="E1", team="T", channel=it.channel, user=ROBIN, text="Hi")
    draft = it.context.drafts.add(it.user, ChoiceDraft(question=question))
    return it.presses("ask_of_0", f"{draft} {it.ids.get(name, 'd-none')}")


def requested(deed, it, id_, to=ROBIN):
    """A request of the member to the launcher, or a key for the member."""
    request = DirectRequest(
        id="r-1",
        deed=deed,
        deployment=id_,
        name="closed-1",
        launcher=ROBIN,
        asker=ADA if to == ROBIN else ROBIN,
        to=to,
        made_at=datetime.now(UTC),
        replicas=2,
    )
    return it.context.direct_requests.add(request)


def confirmed(it, name):
    """The value of the button that confirms a scale."""
    id_ = it.ids.get(name, "d-none")
    command = f"/mixtral scale {name} 2"
    asked = Confirmation(usd=Decimal(100), command=command, deployment=id_, channel=it.channel)
    return it.context.drafts.add(it.user, asked)


def to_approve(it):
    """A launch that the member asked for, and that an admin may approve."""
    request = DirectRequest(
        id="r-2",
        deed=Deed.APPROVE_LAUNCH,
        deployment=DeploymentId(""),
        name="new-1",
        launcher=ADA,
        asker=ADA,
        to="",
        channel=MIXTRAL,
        team=TEAM_ID,
        made_at=datetime.now(UTC),
        replicas=1,
        approvers=(BOSS,),
        command="/mixtral launch as new-1",
    )
    return it.context.direct_requests.add(request)


def wanted(deed, id_, replicas=None):
    return value_of(WantedDeed(deed=deed, deployment=id_, replicas=replicas))


def of_answer(it, name, *, is_here=False):
    """The key of a question that was answered; a forged one is of another channel, unless `is_here`."""
    if name != NOWHERE:
        at = OPS if it.who == "forged" and not is_here else it.channel
        question = Question(id="E1", team="T", channel=at, user=ROBIN, text="Hi", message_ts="4.0", thread_ts="3.0")
        it.office.answers.running[question.key] = at
        deployment = it.ids[name]
        GivenAnswers(it.redis).keep(GivenAnswer(question=question, thread="3.0", deployment=deployment, name=name))
        return question.key
    return "C0NOWHERE01:4.0"


def stops_by_button(it, name):
    key = of_answer(it, name)
    said = it.presses("answer_stop", key)
    return "stopped" if it.office.answers.stopped == [key] else said


def asks_another(it, name):
    key = of_answer(it, "open-1", is_here=True)
    return it.presses("answer_other_0", f"{it.ids.get(name, 'd-none')} {key}")


def by_id(deed, it, name):
    return deed(it, it.ids.get(name, "d-none"))


DEEDS: dict[str, Callable[..., str]] = {
    "launch": lambda it, name: it.types("launch as new-1"),
    "status": lambda it, name: it.types("status"),
    "status by mention": lambda it, name: it.mentions("status"),
    "status NAME": lambda it, name: it.types(f"status {name}"),
    "ask NAME": lambda it, name: it.types(f"ask {name}: Hi"),
    "mention": lambda it, name: it.mentions(f"{name}: Hi"),
    "thread reply": lambda it, name: it.replies(name),
    "stop an answer": lambda it, name: it.stops(),
    "direct message": lambda it, name: it.says(f"{name}: Hi", channel="D0HOME00001", channel_type="im"),
    "logs": lambda it, name: it.types(f"logs {name}"),
    "details button": partial(by_id, lambda it, id_: it.presses("card_details", id_)),
    "details refresh": partial(by_id, lambda it, id_: it.presses_in_modal("details_refresh", id_)),
    "logs button": partial(by_id, lambda it, id_: it.presses("card_logs", id_)),
    "endpoint": lambda it, name: it.types(f"endpoint {name}"),
    "endpoint button": partial(by_id, lambda it, id_: it.presses("card_endpoint", id_)),
    "key new": lambda it, name: it.types(f"key {name} new"),
    "key list": lambda it, name: it.types(f"key {name} list"),
    "key revoke": lambda it, name: it.types(f"key {name} revoke first"),
    "scale": lambda it, name: it.types(f"scale {name} 2"),
    "scale button": partial(by_id, lambda it, id_: it.presses("card_scale", id_)),
    "scale modal": partial(by_id, lambda it, id_: it.submits(id_, "2")),
    "share": lambda it, name: it.types(f"share {name} <@{NOOR}|noor>"),
    "share list": lambda it, name: it.types(f"share {name}"),
    "unshare": lambda it, name: it.types(f"unshare {name} <@{PAL}|pal>"),
    "down": lambda it, name: it.types(f"down {name}"),
    "command button": lambda it, name: it.presses("do_command", f"{it.ids.get(name, 'd-none')} /mixtral down {name}"),
    "confirm button": lambda it, name: it.presses("confirm_command", confirmed(it, name)),
    "confirm modal": lambda it, name: it.confirms(confirmed(it, name), "confirm_command_modal"),
    "drop button": lambda it, name: it.presses("drop_command", "-"),
    "approve button": lambda it, name: it.presses("approve_request", to_approve(it)),
    "deny button": lambda it, name: it.presses("deny_request", to_approve(it)),
    "deny modal": lambda it, name: it.denies(to_approve(it)),
    "launch form": lambda it, name: it.presses("launch_form", "/mixtral launch scripted as new-1"),
    "form submitted": lambda it, name: it.sends_form(OPS if it.who == "forged" else it.channel),
    "down button": partial(by_id, lambda it, id_: it.presses("card_down", id_)),
    "down modal": partial(by_id, lambda it, id_: it.confirms(id_)),
    "keep trying": partial(by_id, lambda it, id_: it.presses("card_keep_trying", id_)),
    "keep button": partial(by_id, lambda it, id_: it.presses("card_keep", f"{id_} {int(UNTIL.timestamp())}")),
    "scale to 0": partial(by_id, lambda it, id_: it.presses("card_scale_to_zero", id_)),
    "ask the launcher": partial(by_id, lambda it, id_: it.presses("ask_launcher", wanted(Deed.END, id_))),
    "ask modal": partial(by_id, lambda it, id_: it.submits(wanted(Deed.SCALE, id_), "2", "ask_to_scale")),
    "grant button": partial(by_id, lambda it, id_: it.presses("grant_request", requested(Deed.SCALE, it, id_))),
    "decline button": partial(by_id, lambda it, id_: it.presses("decline_request", requested(Deed.SCALE, it, id_))),
    "key button": partial(by_id, lambda it, id_: it.presses("take_key", requested(Deed.TAKE_KEY, it, id_, ADA))),
    "choose button": asks_by_button,
    "ask button": partial(by_id, lambda it, id_: it.presses("card_ask", id_)),
    "ask form": lambda it, name: it.asks_by_form(name),
    "ask by shortcut": lambda it, name: it.uses_shortcut(),
    "config": lambda it, name: it.types("config"),
    "config form": lambda it, name: it.configures(name),
    "config reset": lambda it, name: it.resets(name),
    "stop button": stops_by_button,
    "regenerate button": lambda it, name: it.presses("answer_again", of_answer(it, name)),
    "model button": asks_another,
    "feedback button": lambda it, name: it.presses("answer_feedback", f"good {of_answer(it, name)}"),
    "cost": lambda it, name: it.types("cost"),
    "home": lambda it, name: it.opens_home(),
}

DONE = {
    "launch": "Launching *new-1*",
    "status NAME": "is ready",
    "ask NAME": "Asked",
    "mention": "Asked",
    "thread reply": "Asked",
    "stop an answer": "stopped",
    "direct message": "Asked",
    "logs": "has no log yet",
    "details button": "has no log yet",
    "details refresh": "has no log yet",
    "logs button": "has no log yet",
    "endpoint": "Its key: `mxk_",
    "endpoint button": "Its key: `mxk_",
    "key new": "mxk_",
    "key list": "has 1 key",
    "key revoke": "is revoked",
    "scale": "from 1 replica to 2",
    "scale button": "Replicas",
    "scale modal": "",
    "share": "is a co-owner",
    "share list": f"was launched by <@{ROBIN}>",
    "unshare": "no longer a co-owner",
    "down": "End *NAME*?",
    "command button": "Ending",
    "confirm button": "from 1 replica to 2",
    "confirm modal": "",
    "drop button": "nothing was started or changed",
    "approve button": "",
    "deny button": "Reason",
    "deny modal": "",
    "launch form": "Recipe",
    "form submitted": "",
    "down button": "End *NAME*?",
    "down modal": "",
    "keep trying": "tries again every",
    "keep button": "Its thread announces it",
    "scale to 0": "from 1 replica to 0",
    "ask the launcher": "was asked to end",
    "ask modal": "was asked to scale",
    "grant button": "",
    "decline button": "",
    "key button": "mxk_",
    "choose button": "Asked",
    "ask button": "The answer follows in this channel",
    "ask form": "Asked",
    "config": "A change is announced here",
    "config form": "changed the settings",
    "config reset": "reset to the defaults",
    "stop button": "stopped",
    "regenerate button": "Asked",
    "model button": "Asked",
    "feedback button": "Thank you",
}
PLAIN = {"scale modal"}
"""Modals that show a refusal at their inputs, as plain text."""
SENTENCES = {
    "no guest": "Guests of the workspace cannot launch",
    "not in": "you are not in this channel",
    "own": "yourself: no request was sent",
    "theirs": "This key is for another person",
    "shown": "can change them",
}
NOT_THEIRS = dict.fromkeys(("config form", "config reset"), "can change these settings. Nothing was changed.") | (
    dict.fromkeys(("approve button", "deny button", "deny modal"), "approver")
)
OVER = ("ended", "is down", "There is no deployment", "no longer")


@pytest.mark.parametrize("cell", [c for c in cells() if c.given != "-"], ids=lambda c: f"{c.deed}, {c.who}: {c.given}")
def test_the_table_is_what_happens(redis, launched, cell):
    it, name = Workspace(redis, launched, cell.who), ABOUT.get(cell.who, "closed-1")
    before = {state.name: state.version for state in it.office.requests.all()}
    recorded = len(audit_of(redis))
    said = DEEDS[cell.deed](it, name)
    check_audit(audit_of(redis)[recorded:], it, cell)
    match cell.given:
        case "yes":
            assert DONE[cell.deed].replace("NAME", name) in said
            assert "refused" not in said
            if cell.deed == "form submitted":
                assert it.office.requests.get("new-1").place.channel == it.channel
            if cell.deed in {"scale modal", "grant button", "confirm button", "confirm modal"}:
                assert it.office.requests.get(name).wanted == 2
            if cell.deed == "approve button":
                assert it.office.requests.get("new-1").place.user == ADA
            ended = it.office.requests.get(name).stopped_by is not None
            assert ended is (cell.deed in {"down modal", "command button"})
        case "listed":
            assert name in said
        case "hidden":
            assert "open-1" in said
            assert name not in said
        case "unknown":
            elsewhere = DEEDS[cell.deed](Workspace(_emptied(redis), launched, cell.who), NOWHERE)
            assert said.replace(name, NOWHERE) == elsewhere
            assert said
            assert cell.deed != "choose button" or not it.office.answers.asked
        case "others":
            sentence = NOT_THEIRS.get(cell.deed, f"<@{ROBIN}> launched *{name}*: only they, <@{PAL}> or an admin")
            assert (unmarked(sentence) if cell.deed in PLAIN else sentence) in said
        case "policy":
            assert "The policy of this installation does not let you" in said
            assert f"@{ROBIN}" in said or f"@{BOSS}" in said
        case "no guest" | "not in" | "own" | "theirs" | "shown":
            assert SENTENCES[cell.given] in said
        case "stranger":
            assert said == REFUSED.text
        case "silent":
            assert said == ""
        case "ended" | "end":
            assert any(word in said for word in OVER), said
        case "who":
            assert said == NOBODY.text
        case never:
            raise AssertionError(never)
    if cell.given not in {"yes", "listed", "hidden"}:
        assert {s.name: s.version for s in it.office.requests.all()} in (before, {})
        assert "mxk_" not in said


EFFECTS = {
    "launch": "launch",
    "form submitted": "launch",
    "scale": "scale",
    "scale modal": "scale",
    "confirm button": "scale",
    "confirm modal": "scale",
    "grant button": "scale",
    "approve button": "launch",
    "scale to 0": "scale",
    "down modal": "end",
    "command button": "end",
    "keep trying": "keep trying",
    "keep button": "set the end",
    "key new": "issue a key",
    "key button": "issue a key",
    "key revoke": "revoke a key",
    "share": "share",
    "unshare": "unshare",
}
"""What an event says of a deed that is done; of the others, the audit has the request alone."""
EVENTS = {"status by mention", "mention", "thread reply", "stop an answer", "direct message", "home"}
ROUTED_LATER = {"mention", "thread reply", "direct message"}
DENIALS = {"unknown", "others", "no guest", "not in", "theirs", "stranger"}
IMPOSSIBLE = {"ask NAME", "ask form", "stop button", "regenerate button", "model button", "feedback button"}
"""Where what is hidden does not differ from what does not exist: it is refused before anything is looked for."""


def audit_of(redis):
    return [decode(entry) for _, entry in AuditStream(redis).read()]


def check_audit(entries, it, cell):
    """Each deed is in the audit exactly once, with who, where, what, and the right outcome."""
    if cell.given == "silent" and (cell.who != "nobody" or cell.deed in EVENTS):
        assert entries == []  # no deed: a message to others, or of no person
        return
    assert len(entries) == 1, (cell, entries)
    (entry,) = entries
    if cell.deed == "logs" and cell.given == "yes":
        assert entry.outcome is AuditOutcome.REFUSED  # no machine has a log yet
    elif cell.given in {"yes", "listed", "hidden", "shown", "end"}:
        assert entry.outcome is AuditOutcome.DONE
        assert entry.what == EFFECTS.get(cell.deed, entry.what)
        assert (cell.deed in EFFECTS) is bool(entry.how)
    elif cell.given in DENIALS and cell.deed not in ROUTED_LATER | IMPOSSIBLE:
        assert entry.outcome is AuditOutcome.DENIED
        assert entry.why
    elif cell.given in {"who", "own"}:
        assert entry.outcome is AuditOutcome.REFUSED
    assert entry.who == it.user
    assert entry.where in (it.channel, "", "D0HOME00001")
    written = encode(entry).decode()
    assert not any(secret in written for secret in ("mxk_", "Hi", "You are a cook.", "without salt"))


@pytest.mark.parametrize(
    ("deed", "who"),
    [
        *(("launch", "member"), ("scale", "launcher"), ("scale", "member"), ("endpoint", "launcher")),
        *(("down modal", "launcher"), ("key new", "launcher"), ("mention", "member"), ("mention", "external")),
        *(("keep button", "launcher"), ("grant button", "launcher"), ("home", "member"), ("config", "external")),
    ],
)
def test_what_slack_delivers_again_is_in_the_audit_once(redis, launched, deed, who):
    it, name = Workspace(redis, launched, who), ABOUT.get(who, "closed-1")
    recorded = len(audit_of(redis))
    DEEDS[deed](it, name)
    DEEDS[deed](it, name)
    assert len(audit_of(redis)) == recorded + 1


def _emptied(redis):
    redis.flushall()
    return redis


def test_the_table_has_each_action_each_person_and_each_word_once():
    assert [row[0] for row in rows()] == list(DEEDS)
    assert set(PEOPLE) == set(COLUMNS)
    assert {cell.given for cell in cells()} == set(CELLS)
