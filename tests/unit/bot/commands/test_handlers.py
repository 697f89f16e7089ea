"""What each command does, with the real log and the real door to the workers."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.commands import config_handler, handlers
from bot.commands.context import Caller
from bot.commands.errors import CommandError
from bot.commands.scale_handler import scale_to
from bot.commands.settle import settle
from bot.language.channel_settings import ChannelSettings
from bot.language.command import Ask, Down, Endpoint, Help, Launch, Logs, Plan, Recipes, Scale, Status, UsageError
from bot.language.grammar import parse
from bot.language.question import Question
from bot.prompting.drafts import AskDraft, ChoiceDraft
from bot.slack.facts import ChannelFacts, PersonFacts
from bot.views import alerts, clock_alerts
from bot.views.amounts import moment
from bot.views.answer_choice import chosen
from tests.fakes.office import Office
from workers.api import LogsGone
from workers.deployment.events import Clock, EndAnnounced
from workers.deployment.log import Log, stamp
from workers.placement.limits import Limits
from workers.policy.approvals import Approvals
from workers.policy.clocks import Clocks
from workers.policy.rules import Rule
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy


@pytest.fixture
def office(redis):
    return Office(redis)


def test_a_launch_is_appended_before_it_is_answered(office):
    assert "Launching *fast*" in office.says(Launch(name="fast", replicas=3))
    state = office.requests.get("fast")
    assert (state.wanted, state.place.channel, state.place.user) == (3, "C0HERE", "U1")
    assert office.nudged == [state.id]


def test_without_a_name_it_is_called_like_its_recipe(office):
    office.says(Launch())
    assert office.requests.get("scripted").recipe.name == "scripted"


def test_told_twice_it_starts_once(office):
    office.says(Launch(name="fast"), once="1.same")
    assert "Launching *fast*" in office.says(Launch(name="fast"), once="1.same")
    assert len(office.requests.all()) == 1


def test_a_taken_name_is_refused_with_who_has_it_and_a_free_one(office):
    office.says(Launch(name="fast"))
    office.says(Launch(name="fast-2"))
    office.channels.link = "https://slack.example/card"
    limits = Limits(spot=True, gpus=("A100:8",), clouds=("aws",), max_price=Decimal("12.50"))
    said = office.says(Launch(name="fast", replicas=2, limits=limits), user="U2")
    assert "*fast* is taken" in said
    assert "<@U1> launched it in <#C0HERE>" in said
    assert "<https://slack.example/card|Its card.>" in said
    flags = "--replicas 2 --spot --gpus A100:8 --clouds aws --max-price 12.50"
    assert f"/mixtral launch as fast-3 {flags}" in said
    assert len(office.requests.all()) == 2


def test_where_several_could_answer_there_is_a_button_for_each_which_puts_the_question_once(office):
    for name in ("fast", "slow"):
        office.running.put(name, f"http://127.0.0.1:{len(name)}")
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="trigger", response_url="https://respond")
    shown = handlers.handle(Ask(text="What is salt?"), caller, office.context)
    buttons = shown.blocks[-1]["elements"]
    assert [b["text"]["text"] for b in buttons] == ["Ask fast", "Ask slow"]
    draft, id_ = chosen(buttons[1]["value"])
    assert id_ == office.requests.get("slow").id
    for said in ("Asked *slow*", "*slow* has been asked this already"):
        question = handlers.written(draft, caller, office.context)
        assert said in handlers.ask_again(question, office.requests.get("slow"), caller, office.context).text
    put = office.context.answers.asked[-1]
    assert (put.deployment, put.text, put.channel, put.user) == ("slow", "What is salt?", "C0HERE", "U1")
    assert put.key == "trigger:slow"
    long = handlers.handle(Ask(text="long " * 400), caller, office.context)
    assert len(long.blocks[-1]["elements"]) == 2


def test_a_forged_choice_asks_nothing_and_a_question_is_asked_by_who_wrote_it_where_they_did(office):
    office.running.put("fast", "http://127.0.0.1:1")
    state = office.requests.get("fast")
    written = Question(
        id="E1", team="T9", channel="C0HERE", user="UADMIN", text="Hi", response_url="http://127.0.0.1/elsewhere"
    )
    caller = Caller(team="T1", channel="C0HERE", user="U2", once="1.1", response_url="http://r")
    drafts = office.context.drafts
    of_another = drafts.add("UADMIN", ChoiceDraft(question=written))
    elsewhere = drafts.add("U2", ChoiceDraft(question=replace(written, channel="C0OTHER")))
    of_another_kind = drafts.add("U2", AskDraft(channel="C0HERE"))
    json_ = msgspec.json.encode(written).decode()
    for value in ("", "{}", json_, "../x", of_another, elsewhere, of_another_kind):
        with pytest.raises(CommandError, match="no longer valid"):
            handlers.written(value, caller, office.context)
    assert office.answers.asked == []
    found = handlers.written(drafts.add("U2", ChoiceDraft(question=written)), caller, office.context)
    handlers.ask_again(found, state, caller, office.context)
    [asked] = office.answers.asked
    assert (asked.user, asked.team, asked.response_url, asked.deployment) == ("U2", "T1", None, "fast")


def test_a_name_whose_log_is_gone_says_what_may_run_on_and_that_the_name_is_not_free(office, redis):
    office.says("launch as fast")
    redis.delete(f"mixtral:d:{office.requests.get('fast').id}")
    for command in ("status fast", "down fast", "scale fast 2", "endpoint fast", "logs fast", "key fast list"):
        said = office.says(command)
        assert "The log of fast is no longer in Redis" in said
        assert "cost money until their leases end" in said
        assert "mixtral-bot machines" in said
    said = office.says("launch as fast")
    assert "The name *fast* is that of a deployment whose log is no longer in Redis" in said
    assert "cost money until their leases end" in said
    assert "end that one first" not in said
    assert "/mixtral launch as fast-2" in said


def test_a_name_taken_by_a_hidden_deployment_is_refused_without_details(office):
    office.running.put("fast", "http://127.0.0.1:1", "C0OPS")
    office.directory.channels["C0OPS"] = ChannelFacts()
    office.directory.joined["C0OPS"] = frozenset({"U1", "U3"})
    office.channels.link = "https://slack.example/card"
    said = office.says(Launch(name="fast"), user="U2")
    assert "The name *fast* is taken. Choose another name." in said
    assert "/mixtral launch as fast-2" in said
    for secret in ("U1", "C0OPS", "slack.example"):
        assert secret not in said
    assert "<@U1> launched it in <#C0OPS>" in office.says(Launch(name="fast"), user="U3")


def test_a_deployment_that_ended_in_a_private_channel_is_unknown_to_people_outside_it(office):
    id_ = office.running.put("fast-1", "http://127.0.0.1:1", "C0OPS")
    office.running.append(office.running.story(id_).stopped().ended())
    office.running.put("open", "http://127.0.0.1:2")
    office.directory.channels["C0OPS"] = ChannelFacts()
    office.directory.joined["C0OPS"] = frozenset({"U3"})
    assert office.says("status fast-1", user="U2") == office.says("status fast-2", user="U2").replace(
        "fast-2", "fast-1"
    )
    assert "*fast-1* ended" in office.says("status fast-1", user="U3")
    assert "Asked *open*" in office.says("ask fast-1 Hello", user="U2")
    assert "fast-1 has ended" in office.says("ask fast-1 Hello", user="U3")


def test_where_slack_does_not_say_who_reads_a_channel_only_the_launcher_and_the_admins_see_it(office):
    office.running.put("fast", "http://127.0.0.1:1", "C0OPS")
    office.directory.channels["C0OPS"] = None
    assert "There is no deployment `fast`" in office.says("logs fast", user="U2")
    assert "has no log yet" in office.says("logs fast", user="UADMIN")
    assert "has no log yet" in office.says("logs fast", user="U2", channel="C0OPS")  # who types there reads it
    office.directory.asked.clear()
    assert office.says("down fast", user="U1") == ""
    assert "End *fast*?" in str(office.channels.opened)
    assert set(office.directory.asked) <= {"C0OPS"}


def test_the_holder_of_a_key_sees_the_deployment_that_it_opens(office):
    office.running.put("fast", "http://127.0.0.1:1", "C0OPS")
    office.directory.channels["C0OPS"] = ChannelFacts()
    office.requests.issue_key(office.requests.get("fast").id, user="U2", by="U1")
    assert "You have a key to it" in office.says("endpoint fast", user="U2")
    assert "There is no deployment" in office.says("endpoint fast", user="U3")


def test_a_launch_in_a_shared_channel_names_the_companies_that_read_it(office):
    office.channels.companies = ("Acme (T0ACME)", "T0OTHER")
    said = office.says(Launch(name="fast"))
    assert (
        "People of Acme (T0ACME) and T0OTHER read this channel: they see the card, its thread and the answers." in said
    )
    assert office.requests.get("fast").place.shared_with == ("Acme (T0ACME)", "T0OTHER")


def test_where_the_card_cannot_be_shown_nothing_is_started(office):
    office.channels.joined = False
    assert "/invite @mixtral" in office.says(Launch())
    assert office.requests.all() == []


@pytest.mark.parametrize("command", ["launch scripted", "ask Hello", "ask fast Hello"])
def test_where_the_bot_cannot_write_the_mend_is_reported_before_anything_starts(office, command):
    office.running.put("fast", "http://127.0.0.1:9", "C0HERE")
    office.running.put("slow", "http://127.0.0.1:9", "C0HERE")
    office.channels.joined = False
    assert "/invite @mixtral" in office.says(command)
    said = office.says(command, channel="D0PAIR00001")
    assert "/invite" not in said
    assert "your own direct message with the bot" in said
    assert office.answers.asked == []
    assert len(office.requests.all()) == 2


def test_an_unknown_recipe_starts_nothing(office):
    assert "There is no recipe `scriptd`" in office.says(Launch(recipe="scriptd"))
    assert "/mixtral launch scripted --spot" in office.says(Launch(recipe="scriptd", limits=Limits(spot=True)))
    assert "/mixtral plan scripted" in office.says(Plan(recipe="scriptd"))
    assert office.requests.all() == []


@pytest.mark.parametrize("command", [Status(), Status(name="fast"), Recipes(), Plan(), Help(), Help(command="launch")])
def test_what_only_reads_changes_nothing(office, command):
    office.running.put("fast", "http://127.0.0.1:1")
    before = office.requests.get("fast").version
    assert office.says(command, user="U2")
    assert office.requests.get("fast").version == before
    assert office.nudged == []


def test_a_plan_without_a_recipe_that_exists_names_the_nearest(office):
    assert "mixtral-8x7b" in office.says(Plan(recipe="mixtral-8x7"))


@pytest.mark.parametrize("word", ["status", "down", "endpoint", "logs"])
def test_an_unknown_name_is_answered_with_the_nearest(office, word):
    office.running.put("fast", "http://127.0.0.1:1")
    said = office.says(f"{word} fats")
    assert "There is no deployment `fats`" in said
    assert f"/mixtral {word} fast" in said


@pytest.mark.parametrize(
    ("command", "nearest"),
    [
        ("scale fats 2", "scale fast 2"),
        ("key fats list", "key fast list"),
        ("key fats new", "key fast new"),
        ("key fats new <@U2>", "key fast new @PERSON"),
        ("key fats revoke k-{}", "key fast revoke k-{}"),
    ],
)
def test_the_nearest_name_is_suggested_with_the_rest_of_the_command(office, command, nearest):
    office.running.put("fast", "http://127.0.0.1:1")
    assert f"Try `/mixtral {nearest}`." in office.says(command)
    assert "Try" not in office.says("scale llama 2"), "a name that is like no other"


def test_who_may_not_keep_trying_is_told_who_may_keep_trying(office):
    state = office.requests.by_id(office.running.start("fast"))
    caller = Caller(team="T1", channel="C0HERE", user="U2", once="1.1")
    told = settle("test", caller, lambda: handlers.keep_trying(state, caller, office.context)).text
    assert "only they or an admin (<@UADMIN>) may let it keep trying. Ask them." in told


def test_it_scales_and_says_from_what_to_what(office):
    office.running.put("fast", "http://127.0.0.1:1")
    assert "from 1 replica to 2" in office.says(Scale(name="fast", replicas=2))
    assert office.requests.get("fast").wanted == 2
    assert "nothing changes" in office.says(Scale(name="fast", replicas=2))


def test_what_changes_a_deployment_never_guesses_which(office):
    office.running.put("fast", "http://127.0.0.1:1")
    assert "/mixtral down fast" in office.says(Down())
    assert "/mixtral scale fast 2" in office.says(Scale(replicas=2))
    assert office.requests.get("fast").stopped_by is None


def test_only_the_launcher_and_admins_change_it_or_see_its_key(office):
    office.running.put("fast", "http://127.0.0.1:1")
    for command in (Scale(name="fast", replicas=2), Down(name="fast"), Endpoint(name="fast")):
        said = office.says(command, user="U2")
        assert "<@U1> launched *fast*" in said
        assert "<@UADMIN>" in said
        assert "mxk_" not in said
    assert "mxk_" in office.says(Endpoint(name="fast"), user="UADMIN")
    assert office.channels.opened == []
    assert office.says(Down(name="fast"), user="UADMIN") == ""
    [asked] = office.channels.opened
    assert asked["private_metadata"] == office.requests.get("fast").id
    assert office.requests.get("fast").stopped_by is None
    office.requests.stop(office.requests.get("fast").id, by="UADMIN")
    assert "already" in office.says(Down(name="fast"))


def test_where_slack_opens_no_modal_a_button_asks_before_the_end(office):
    office.running.put("fast", "http://127.0.0.1:1")
    office.channels.refuses = "expired_trigger_id"
    assert "End *fast*? Its replica and its endpoint are removed" in office.says("down fast")
    assert "only they" in office.says("down fast", user="U2")
    assert office.requests.get("fast").stopped_by is None


@pytest.mark.parametrize("typed", ["launch --gpu L4", "launch as what", "lanch"])
def test_a_launch_that_is_misunderstood_leads_to_the_form(typed):
    wrong = parse(typed)
    assert isinstance(wrong, UsageError)
    assert "launch_form" in str(handlers.misunderstood(wrong).blocks)


def test_the_slash_command_alone_opens_the_form_or_shows_the_help(office):
    assert office.says("") == ""
    assert office.channels.opened[0]["callback_id"] == "launch_a_model"
    office.channels.refuses = "expired_trigger_id"
    assert "`/mixtral launch [RECIPE] [as NAME]`" in office.says("")
    office.channels.refuses = None
    office.directory.people["U2"] = PersonFacts(team="T1", is_guest=True)
    assert "`/mixtral launch [RECIPE] [as NAME]`" in office.says("", user="U2")


def test_the_only_deployment_needs_no_name_for_its_endpoint(office):
    assert "Nothing is running" in office.says(Endpoint())
    office.running.put("fast", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1/v1" in office.says(Endpoint())
    office.running.put("slow", "http://127.0.0.1:2")
    assert "Give the name of a deployment: fast, slow" in office.says(Endpoint())


def test_without_an_endpoint_there_is_no_key_to_see(office):
    office.running.start("fast")
    said = office.says(Endpoint())
    assert "no endpoint yet" in said
    assert "mxk_" not in said


def test_logs_that_nobody_wrote_are_said_to_be_none(office):
    office.running.put("fast", "http://127.0.0.1:1")
    assert "has no log yet" in office.says(Logs())


def test_the_card_of_what_ended_shows_no_logs_of_what_others_launched_under_its_name(office):
    over = office.running.put("fast", "http://127.0.0.1:1")
    card = office.requests.by_id(over)
    office.running.append(office.running.story(over).stopped().ended())
    office.running.put("fast", "http://127.0.0.1:2", "C0OPS", user="U3")
    with pytest.raises(LogsGone, match="fast has ended"):
        handlers.logs_of(card, Caller(team="T1", channel="C0HERE", user="U1", once="1.1"), office.context)


def test_a_question_is_passed_on_with_where_to_answer(office):
    office.running.put("fast", "http://127.0.0.1:1")
    assert "Asked *fast*" in office.says(Ask(text="fast Hello"), once="1.q")
    [question] = office.answers.asked
    assert (question.id, question.text, question.response_url) == ("1.q", "fast Hello", "http://r")


def test_a_question_that_nobody_can_answer_is_refused_at_once(office):
    assert "No deployment is running" in office.says(Ask(text="Hello"))
    assert office.answers.asked == []


def test_a_text_that_is_no_command_is_answered_with_what_was_meant(office):
    said = office.says("lanch <!channel>")
    assert "There is no command `lanch`." in said
    assert "Did you mean `/mixtral launch" in said
    assert "--max-price" not in said
    assert "Usage: `/mixtral help [COMMAND]`" in office.says("xyzzy")
    assert "<!channel>" not in said


def test_no_words_of_theirs_reach_slack_as_markup(office):
    office.running.put("fast", "http://127.0.0.1:1")
    for text in ("&lt;!channel&gt;", "launch &lt;!here&gt;", "status &lt;!channel&gt;", "help &lt;@U1&gt;"):
        said = office.says(text)
        assert "<!" not in said
        assert "<@" not in said


def test_a_redis_that_is_away_is_said(office):
    def away(*_, **__):
        raise RedisConnectionError("refused")

    office.context = replace(office.context, deployments=type("Gone", (), {"all": away, "launch": away})())
    assert "Redis" in office.says(Status())
    assert "Redis" in office.says(Launch())


def test_what_nobody_expected_gets_an_incident_and_no_details(office, caplog):
    office.context = replace(office.context, recipes=None)
    said = office.says(Recipes())
    assert "incident" in said
    assert "NoneType" not in said
    [logged] = [r for r in caplog.records if r.exc_info]
    assert logged.args[0] in said


def test_what_is_permitted_on_one_deployment_never_hits_the_next_of_its_name(office):
    office.says(Launch(name="fast"))
    old = office.requests.get("fast")
    office.running.append(office.running.story(old.id).ended())
    office.says(Launch(name="fast"), user="U2")
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="1.late")
    for deed in (
        lambda: scale_to(old, 3, caller, office.context),
        lambda: handlers.end(old, caller, office.context),
        lambda: handlers.keep_trying(old, caller, office.context),
    ):
        told = settle("test", caller, deed).text
        assert "is down" in told
    after = office.requests.get("fast")
    assert (after.wanted, after.stopped_by, after.keep_trying) == (1, None, None)


def test_who_scales_what_another_has_just_ended_is_told_so(office):
    office.running.put("fast", "http://127.0.0.1:1")
    before = office.requests.get("fast")
    office.requests.stop(before.id, by="UADMIN")
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="1.late")
    told = settle("test", caller, lambda: scale_to(before, 3, caller, office.context)).text
    assert "it can no longer be scaled" in told
    assert "shutting down already" in settle("test", caller, lambda: handlers.end(before, caller, office.context)).text


def test_a_name_whose_log_is_gone_is_not_told_to_another_company(office, redis):
    office.says(Launch(name="fast"))
    redis.delete(f"mixtral:d:{office.requests.get('fast').id}")
    caller = Caller(team="T9", channel="C0HERE", user="U9", once="1.1", outside=True)
    for command in (Status(), Down(name="fast"), Logs(name="fast")):
        told = settle("test", caller, partial(handlers.handle, command, caller, office.context)).text
        assert "log" not in told
        assert "Nothing is running" in told


def test_a_name_whose_log_is_gone_is_said_in_status_and_by_the_command(office, redis):
    office.says(Launch(name="fast"))
    office.says(Launch(name="slow"))
    redis.delete(f"mixtral:d:{office.requests.get('fast').id}")
    said = office.says(Status())
    assert "The log of *fast* cannot be read from Redis" in said
    assert "`mixtral-bot machines` lists them" in said
    assert "*slow*" in said
    redis.delete(f"mixtral:d:{office.requests.get('slow').id}")
    assert "Nothing is running" not in office.says(Status())
    assert "The log of fast is no longer in Redis" in office.says(Down(name="fast"))


def test_a_launch_for_some_hours_ends_then_and_the_reply_says_when(office):
    office.directory.people["U1"] = PersonFacts(tz="Europe/Paris")
    said = office.says(Launch(name="fast", lasts=timedelta(hours=8)))
    state = office.requests.get("fast")
    assert state.until - state.requested_at == pytest.approx(timedelta(hours=8), abs=timedelta(minutes=1))
    assert f"It ends {moment(state.until)}." in said


def test_a_time_of_the_day_is_one_of_the_callers_zone(office):
    office.directory.people["U1"] = PersonFacts(tz="Asia/Tokyo")
    at = (datetime.now(ZoneInfo("Asia/Tokyo")) + timedelta(hours=3)).replace(second=0, microsecond=0)
    office.says(Launch(name="fast", until=at.time()))
    assert office.requests.get("fast").until == at


def test_an_end_that_is_almost_now_starts_nothing(office):
    near = (datetime.now(UTC) + timedelta(minutes=5)).time().replace(second=0, microsecond=0)
    assert "less than 30 minutes away" in office.says(Launch(name="fast", until=near))
    assert office.requests.all() == []


def test_a_deployment_launched_for_some_hours_is_kept_by_the_button_of_its_announcement_and_once(office, redis):
    office.says(Launch(name="fast", lasts=timedelta(hours=1)))
    state = office.requests.get("fast")
    announced = EndAnnounced(**stamp(state.until - timedelta(minutes=15)), until=state.until)
    assert Log(redis).append(state.id, state.version, [announced])
    state = office.requests.get("fast")
    pressed = alerts.ends(state, announced).blocks[-1]["elements"][0]["value"]
    seconds = int(pressed.split(" ")[1])
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="t", response_url="https://respond")
    for said in ("now ends", "was already kept"):
        kept = handlers.keep(office.requests.get("fast"), datetime.fromtimestamp(seconds, UTC), caller, office.context)
        assert said in kept.text
    assert office.requests.get("fast").until == state.until + alerts.KEPT_FOR


def test_nobody_keeps_a_deployment_for_longer_than_the_policy_allows(office, redis):
    StoredPolicy(redis).put(Policy(clocks=Clocks(most_lasts=timedelta(hours=2), stop_after_idle=timedelta(hours=1))))
    office.says(Launch(name="fast", lasts=timedelta(hours=1)))
    state = office.requests.get("fast")
    assert state.stop_after_idle == timedelta(hours=1)
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="t", response_url="https://respond")
    assert "now ends" in handlers.keep(state, state.until, caller, office.context).text
    state = office.requests.get("fast")
    assert state.until == state.requested_at + timedelta(hours=2)
    assert "cannot be kept" in handlers.keep(state, state.until, caller, office.context).text
    assert office.requests.get("fast").until == state.until


def test_a_launch_below_the_threshold_of_hours_is_not_kept_beyond_it_but_by_an_approver(office, redis):
    office.says(Launch(name="fast", lasts=timedelta(hours=1)))
    approvals = Approvals(hours=Decimal(2), approvers=("U9",))
    StoredPolicy(redis).put(Policy(approvals=approvals, rules=(Rule(people=("U9",), of_others=True),)))
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="t", response_url="https://respond")
    state = office.requests.get("fast")
    assert "now ends" in handlers.keep(state, state.until, caller, office.context).text
    state = office.requests.get("fast")
    assert state.until == state.requested_at + timedelta(hours=2)
    said = handlers.keep(state, state.until, caller, office.context).text
    assert "cannot be kept" in said
    assert "A co-owner who may approve can keep it." in said
    assert "now ends" in handlers.keep(state, state.until, replace(caller, user="U9"), office.context).text
    assert office.requests.get("fast").until > state.until


def test_a_deployment_that_would_end_for_lack_of_requests_is_kept_by_its_button_and_once(office, redis):
    said = office.says(Launch(name="fast", stop_after_idle=timedelta(hours=1)))
    assert "It ends after 1 h without a request." in said
    state, until = office.requests.get("fast"), datetime.now(UTC) + timedelta(minutes=15)
    assert state.stop_after_idle == timedelta(hours=1)
    announced = EndAnnounced(**stamp(datetime.now(UTC)), until=until, clock=Clock.IDLE)
    assert Log(redis).append(state.id, state.version, [announced])
    state = office.requests.get("fast")
    pressed = clock_alerts.idle_ends(state, announced).blocks[-1]["elements"][0]["value"]
    at, clock = datetime.fromtimestamp(int(pressed.split(" ")[1]), UTC), Clock(pressed.split(" ")[2])
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="t", response_url="https://respond")
    for said in ("does not end for lack of requests before", "no longer holds, so nothing was changed"):
        assert said in handlers.hold(office.requests.get("fast"), clock, at, caller, office.context).text
    after = office.requests.get("fast")
    assert (after.idle_held.until, after.until) == (until + alerts.KEPT_FOR, None)


def test_a_launch_outside_its_hours_says_when_it_starts(office):
    zone = "Pacific/Kiritimati"
    closed = f"{datetime.now(ZoneInfo(zone)) + timedelta(days=2):%a}".lower()
    said = office.says(Launch(name="fast", hours=f"{closed} 09:00-19:00 {zone}"))
    assert f"It pauses outside {closed} 09:00-19:00 {zone}. It starts " in said
    assert office.requests.get("fast").hours == f"{closed} 09:00-19:00 {zone}"


def test_a_change_of_the_settings_asks_slack_only_about_a_new_default_before_the_form_closes(office):
    office.running.put("fast", "http://127.0.0.1:1", channel="C0HERE")
    office.running.put("far", "http://127.0.0.1:2", channel="C0FAR", user="U2")
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="t", response_url=None)
    assert config_handler.change("C0HERE", ChannelSettings(temperature=0.5), caller, office.context) is not None
    assert "C0FAR" not in office.directory.asked
    assert config_handler.change("C0HERE", ChannelSettings(default="far"), caller, office.context) is not None
    assert "C0FAR" in office.directory.asked


def test_who_has_left_a_private_channel_changes_its_settings_no_more(office):
    office.running.put("fast", "http://127.0.0.1:1", channel="C0HERE")
    caller = Caller(team="T1", channel="", user="U1", once="t", response_url=None)
    office.directory.channels["C0HERE"] = ChannelFacts()
    office.directory.joined["C0HERE"] = frozenset({"U2"})
    with pytest.raises(CommandError, match="no longer in this channel"):
        config_handler.change("C0HERE", ChannelSettings(temperature=0.5), caller, office.context)
    assert office.context.settings.of("C0HERE", "U1") == ChannelSettings()
    office.directory.joined["C0HERE"] = frozenset({"U1", "U2"})
    assert config_handler.change("C0HERE", ChannelSettings(temperature=0.5), caller, office.context) is not None


def test_the_cost_of_a_name_that_nobody_had_is_no_zero(office):
    office.running.put("fast", "http://127.0.0.1:1")
    office.running.put("secret", "http://127.0.0.1:1", "D0OTHER")
    assert "of *fast*" in office.says("cost fast")
    assert "No deployment `yesterday` is in the ledger" in office.says("cost yesterday")
    assert "The periods are today, week, month" in office.says("cost yesterday")
    assert "No deployment `secret` is in the ledger" in office.says("cost secret", user="U9")
