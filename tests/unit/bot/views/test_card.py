from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.language.command import Plan
from bot.sandbox.block_kit import check
from bot.views import alerts, details, home, logs, plan, recipes, status
from bot.views.amounts import moment
from bot.views.blocks import context
from bot.views.card import card, changes_every
from bot.views.endpoint import curl, endpoint
from bot.views.escape import clip
from bot.views.ladder import mends
from bot.views.offers import read_ago
from bot.views.words import cost, now_happening, title
from recipes.loader import find, load
from recipes.schema import Engine, Recipe
from tests.builders.events import BEGIN, KEY, PLACE
from tests.builders.offers import offer
from tests.builders.recipes import MIXTRAL
from tests.builders.story import GATEWAY, Story
from tests.gallery import (
    SPOT_OFFERS,
    Tail,
    asleep,
    at_zero,
    backing_off,
    by_load,
    cards,
    climbing,
    degraded,
    failed,
    house,
    in_the_cloud,
    no_machine,
    offers,
    rungs,
    short_of_quota,
    spot,
    two,
)
from tests.rendered import lines
from workers.deployment.events import Control, Failure
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.refusals import Scope

X, TO = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
NASTY = "<!channel> <@U1> <https://evil.example|bank> ``` @here & *b* \x00\u202e\n> " * 300


def shown(message):
    """All that Slack would show or act on."""
    return msgspec.json.encode(message).decode()


def texts(message):
    return "\n".join(text for block in message.blocks for text in _texts(block))


def _texts(value):
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def behind(story, found="no log"):
    """The text of the modal that *Details* opens."""
    return "\n".join(_texts(details.modal(story.state, story.now, found)))


def tasks(story):
    """The tasks of the card's plan: status, title, and details."""
    (found,) = (b for b in card(story.state, story.now).blocks if b["type"] == "plan")
    return [
        (task["status"], task["title"], "".join(p["text"] for e in _pieces(task) for p in e["elements"]))
        for task in found["tasks"]
    ]


def _pieces(task):
    return task.get("details", {}).get("elements", ())


def fits(message):
    assert 0 < len(message.text) <= 4000
    check.check_message_blocks(list(message.blocks))
    check.check_message_blocks(list(message.instead))


def cannot_act(message):
    for acting in ("<!channel>", "<!here>", "<@U1>", "<https://evil", "@here", "\x00", "\u202e"):
        assert acting not in message.text
        assert acting not in texts(message)
    assert texts(message).count("```") % 2 == 0


def test_what_the_eye_meets_first_is_the_name_and_the_status():
    blocks = card(two().state, two().now).blocks
    assert blocks[0]["type"] == "header"
    assert blocks[0]["text"]["text"] == "🟢 smollm2-135m is ready"


def test_the_card_says_which_offer_is_asked_now_and_for_how_long():
    sentence = now_happening(climbing().state, climbing().now)
    assert sentence == f"Asking *GCP us-east4-c* for *2 {X} A100-80GB* at *6.64 USD/h*: 4 s so far."


@pytest.mark.parametrize("name", cards())
def test_a_card_has_at_most_fifteen_lines(name):
    assert 1 < lines(cards()[name].blocks) <= 15
    assert lines(cards()[name].instead) <= 15


def test_the_ladder_tells_what_was_tried_what_is_asked_and_what_comes_next():
    assert tasks(climbing()) == [
        ("error", f"5.89{TO}6.49 USD/h, 2 {X} A100-80GB, GCP (3 zones in 2 regions): no capacity right now", ""),
        ("in_progress", f"6.64 USD/h, 2 {X} A100-80GB, GCP us-east4-c: asking now", ""),
        ("pending", f"9.71 USD/h, 4 {X} A100, GCP europe-west4 (2 zones)", ""),
        ("pending", f"10.47 USD/h, 4 {X} A100, GCP asia-southeast1 (3 zones)", ""),
        ("pending", f"9 more offers, 11.78{TO}27.45 USD/h", ""),
    ]
    ladder = behind(climbing())
    assert f"✕ *5.89{TO}6.49 USD/h* 2 {X} A100-80GB, GCP (3 zones in 2 regions): no capacity right now" in ladder
    assert f"▸ *6.64 USD/h* 2 {X} A100-80GB, GCP us-east4-c: asking now, 4 s" in ladder
    assert f"○ *9.71 USD/h* 4 {X} A100, GCP europe-west4 (2 zones)" in ladder
    assert "… and 7 more, up to 27.45 USD/h" in ladder


def test_a_slack_without_plan_blocks_gets_the_ladder_as_text():
    made = card(climbing().state, climbing().now)
    assert f"✕ *5.89{TO}6.49 USD/h*" in "\n".join(text for block in made.instead for text in _texts(block))
    assert [b["type"] for b in made.blocks if b not in made.instead] == ["plan"]
    ready = card(Story().served().state, BEGIN)
    assert ready.instead == ()


def test_a_refusal_for_a_whole_region_bars_its_other_offers_on_the_card():
    story = Story("mixtral", MIXTRAL).planned(*offers()).asked(offers()[0])
    story.refused("your quota of A2 machines is used up", code="QUOTA_EXCEEDED", scope=Scope.REGION).wait(1)
    story.asked(offers()[2])
    refused, asked, *_ = tasks(story)
    barred = f"5.89{TO}23.57 USD/h, 2 {X} A100-80GB, 4 {X} A100-80GB and 1 other kind, GCP us-central1 (2 zones)"
    assert refused == ("error", f"{barred}: your quota of A2 machines is used up", "")
    assert asked[1].startswith("6.49 USD/h")


def test_one_reason_is_said_once_with_one_link_and_what_the_quota_saves():
    story = short_of_quota()
    quota, asked, after = tasks(story)
    reason = 'The quota "All P4, P3 and P2 Spot Instance Requests" in us-east-1 is 0 vCPUs, and this machine needs 96'
    assert quota[1].endswith("AWS (6 zones in 6 regions): quota is missing")
    assert quota[2] == f"{reason}; 5 other quotas are too small, too"
    assert [quota[0], asked[0], after[0]] == ["error", "in_progress", "pending"]
    made = card(story.state, story.now)
    line = (
        f"8 {X} A100, spot at AWS us-east-1-az1 would cost 16.26 USD/h less, but quota is missing. <https://us-east-1."
    )
    assert line in texts(made)
    assert shown(made).count("Request quota") == 2, "in the blocks, and in those that are sent instead"
    assert texts(made).count("Request quota") == 1


def test_once_ready_the_quota_that_would_save_most_stays_in_one_line():
    story = short_of_quota().created().wait(300).ready().published().tested()
    line = (
        f"8 {X} A100, spot at AWS us-east-1-az1 would cost 16.26 USD/h less, but quota is missing. <https://us-east-1."
    )
    later = card(story.state, story.now + timedelta(hours=5))
    for made in (card(story.state, story.now), later):
        assert line in texts(made)
        assert texts(made).count("|Request quota>") == 1
    cheapest = Story("mixtral", MIXTRAL).planned(*offers()).asked(offers()[0]).created().ready().published()
    assert "Request quota" not in texts(card(cheapest.state, cheapest.now))


def test_an_address_is_never_cut():
    page = "https://us-east-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-7212CCBC"
    sentence = f"x {page} and more"
    for limit in range(4, len(sentence)):
        assert page in clip(sentence, limit) or "https://" not in clip(sentence, limit)
    assert clip(page, 20) == f"{page[:19]}…", "a text of nothing else"


@pytest.mark.parametrize("mark", [moment(BEGIN), "<https://quotas.example/L-72|Request quota>", "<@U0ROBIN0001>"])
def test_a_date_a_link_or_a_mention_is_never_cut(mark):
    sentence = f"The next attempt starts {mark} and more"
    for limit in range(4, len(sentence)):
        assert mark in clip(sentence, limit) or "<" not in clip(sentence, limit)


def test_a_refusal_for_a_whole_cloud_leaves_the_other_cloud_next():
    story = Story("mixtral", MIXTRAL).planned(*offers()).asked(offers()[0])
    story.refused("the credentials were refused. Log in again", code="401", scope=Scope.CLOUD).wait(1)
    refused, then, *_ = tasks(story)
    assert refused[1].endswith(": the credentials were refused")
    assert refused[2] == "Log in again"
    assert then == ("pending", f"21.96 USD/h, 8 {X} A100, AWS (4 zones in 3 regions)", "")


def test_a_doubtful_price_is_marked():
    doubtful = offer("us-central1-a", "5.89", "A100-80GB:2", doubtful="on demand is below spot")
    story = Story("mixtral", MIXTRAL).planned(doubtful).asked(doubtful).wait(1)
    assert "5.89 USD/h (price uncertain)" in now_happening(story.state, story.now)


def read(days, **more):
    day = (BEGIN.date() - timedelta(days=days)).isoformat()
    return offer("us-central1-a", "10.14", "A100-80GB:2", read_on=day, **more)


@pytest.mark.parametrize(("days", "said"), [(7, None), (8, "8 days ago"), (118, "118 days ago")])
def test_a_price_older_than_a_week_has_its_age_on_the_card(days, said):
    taken, newer = read(days), offer("us-east5-a", "11.13", "A100-80GB:2", read_on=BEGIN.date().isoformat())
    story = Story("mixtral", MIXTRAL).planned(taken, newer).asked(taken).wait(1)
    on_ladder = f"The oldest of these prices was read {said}."
    assert (on_ladder in behind(story)) == bool(said)
    story.created().wait(60).ready().published()
    assert (f"(price read {said})" in texts(card(story.state, story.now))) == bool(said)
    assert (f"(price read {said})" in texts(status.detail(story.state, story.now))) == bool(said)


def test_a_price_of_an_unknown_day_and_one_of_a_month_are_told_as_far_as_they_are_known():
    unknown = offer("us-central1-a", "10.14", "A100-80GB:2")
    assert read_ago([unknown], BEGIN) == ""
    month = offer("us-central1-a", "10.14", "A100-80GB:2", read_on="2026-01")
    assert read_ago([unknown, month, read(8)], BEGIN).startswith("up to ")


def test_what_is_not_applied_as_written_stands_in_the_details():
    recipe = load(find("mixtral-8x7b-skypilot"), {})
    story = Story("mixtral", recipe).planned(*offers()).asked(offers()[0]).wait(1)
    assert "*Not applied as written*\n• setup: megablocks requires torch < 2.7.1" in behind(story).replace("&lt;", "<")
    assert "megablocks" not in texts(card(story.state, story.now))


def test_a_ladder_without_clouds_says_why_of_each_cloud_and_what_would_mend_it():
    story = Story("mixtral-8x7b", MIXTRAL).planned(*rungs(usable=False)).ended(failed="No machine could be asked for.")
    gcp, aws = tasks(story)
    assert [one[1].rpartition(": ")[2] for one in (gcp, aws)] == ["no credentials found"] * 2
    assert gcp[2] == "Run gcloud auth application-default login"
    said = texts(card(story.state, story.now))
    assert "*How to fix it*, then launch it again:\n• GCP: Run `gcloud auth application-default login`\n• AWS:" in said
    assert behind(story).count("no credentials found") == behind(story).count("⊘ *") == 2
    assert "mixtral-8x7b could not be launched" in texts(card(story.state, story.now))


def test_the_key_never_stands_on_the_card_and_stands_in_the_whisper():
    story = Story().served()
    assert KEY not in shown(card(story.state, story.now))
    assert '-H "Authorization: Bearer $MIXTRAL_KEY"' in texts(card(story.state, story.now))
    assert f'-H "Authorization: Bearer {KEY}"' in texts(endpoint(story.state, KEY))
    assert f"`{GATEWAY}/v1`" in texts(endpoint(story.state, KEY))


def test_what_is_whispered_unasked_has_one_way_to_use_the_key_and_what_is_asked_for_has_two():
    story = Story().served()
    assert "from openai" not in texts(endpoint(story.state, KEY))
    assert "from openai" in texts(endpoint(story.state, KEY, python=True))


def test_no_line_of_the_command_is_wider_than_a_narrow_screen():
    lines = curl(Story().served().state, "$MIXTRAL_KEY").splitlines()
    assert max(len(line) for line in lines) <= 64
    assert "".join(lines[3:]).endswith('"content": "Name three condiments."}]}\'')


def test_what_was_ready_at_once_is_not_said_to_be_ready_after_nothing():
    quick = Story().planned().asked().created().wait(0.4).ready().published()
    assert now_happening(quick.state, quick.now).startswith("Ready in under a second. ")
    slow = Story().planned().asked().created().wait(7).ready().published()
    assert now_happening(slow.state, slow.now).startswith("Ready after 7 s. ")


def test_how_long_a_launch_took_is_told_for_an_hour():
    story = in_the_cloud().ready(5)
    assert "Ready after" in texts(card(story.state, story.now))
    assert "Ready after" not in texts(card(story.state, story.now + timedelta(hours=1)))


def test_in_a_direct_message_the_card_does_not_say_to_mention_the_bot():
    story = Story(place=replace(PLACE, channel="D0ROBIN0001")).served()
    assert "To ask it something, write to the bot here." in texts(card(story.state, story.now))
    assert "mention" not in texts(card(story.state, story.now))
    assert "mention the bot here" in texts(card(Story().served().state, story.now))


def test_mends_name_variables_as_code_once():
    mend = "set GOOGLE_CLOUD_PROJECT, or run `export AWS_PROFILE=x`"
    barred = [Rung(offer=offers()[0], usable=False, reason="no", mend=mend)]
    assert "• GCP: set `GOOGLE_CLOUD_PROJECT`, or run `export AWS_PROFILE=x`" in mends(barred)
    assert "launch it again" not in mends(barred)
    assert mends(barred, over=True).endswith("\nThen launch it again.")


def test_the_ladder_of_this_machine_alone_is_left_out_of_a_status():
    assert "The ladder" not in texts(status.detail(two().state, two().now))
    assert "The ladder" in texts(status.detail(climbing().state, climbing().now))


def test_what_costs_nothing_is_free_and_what_is_ready_says_so_once():
    [line, sums] = texts(status.overview([two().state], two().now)).splitlines()
    assert "· 2/2 ready · free ·" in line
    assert "· ready ·" not in line
    assert sums.startswith("1 deployment, free. ")


def test_an_endpoint_that_answers_without_a_key_is_warned_of():
    story = Story().planned().asked().created().ready().published()
    assert "answers without a key" not in texts(card(story.state, story.now))
    assert "answers without a key" in texts(card(story.open_to_all().state, story.now))


def test_a_replica_without_a_gateway_is_no_endpoint_and_after_a_while_the_mend_is_said():
    story = Story().planned().asked().created().wait(5).ready().wait(4)
    assert title(story.state) == "🟡 smollm2-135m has no endpoint yet"
    assert now_happening(story.state, story.now) == "Waiting for the gateway to open the route."
    assert changes_every(story.state, story.now) == timedelta(seconds=5)
    story.wait(26)
    assert "Start a gateway with `mixtral-bot gateway`" in now_happening(story.state, story.now)
    assert "waits for the gateway" in texts(status.overview([story.state], story.now))
    assert now_happening(story.published().state, story.now).startswith("Ready after 5 s.")


def test_replicas_that_are_wanted_and_not_begun_are_pending():
    shown_ = behind(backing_off())
    assert "⚪️ replicas 2, 3, 4 · pending: the next attempt starts <!date^" in shown_
    many = Story(replicas=9).served()
    assert "⚪️ 8 replicas · pending: a machine is being chosen" in behind(many)


def test_no_machines_address_is_shown_to_people():
    story = in_the_cloud()
    for made in (card(story.state, story.now), status.detail(story.state, story.now)):
        assert "203.0.113" not in shown(made)
        assert GATEWAY in shown(made)


def test_a_replica_that_drains_says_so_until_it_is_gone():
    story = two().scaled(1).wait(1).draining(2).wait(4)
    assert "replica 2 answers its last requests, then ends" in now_happening(story.state, story.now)
    assert "draining since" in behind(story)


def test_how_a_replica_failed_is_said():
    for failure, said in (
        (Failure.PROVISION, "was not created"),
        (Failure.INITIAL_DELAY, "was not ready in time"),
        (Failure.PROBING, "failed its probe for too long"),
        (None, "was lost"),
    ):
        story = Story(replicas=2).served().asked().created().wait(5)
        story = story.given_up("so", failure=failure).gone("gone") if failure else story.gone("gone")
        assert f"· {said} <!date^" in behind(story)


def test_a_replica_that_was_taken_back_points_to_its_replacement():
    story = spot().wait(60).gone("taken back", 2, preempted=True).wait(1)
    assert "replica 2 was preempted at AWS use1-az2 in us-east-1; its replacement is being chosen" in (
        now_happening(story.state, story.now)
    )
    story.asked(SPOT_OFFERS[2]).wait(3).created().wait(4)
    assert "its replacement starts at AWS use1-az1 in us-east-1: 4 s so far" in now_happening(story.state, story.now)
    story.ready()
    assert "preempted" in behind(story)
    assert "its replacement is ready at AWS use1-az1" in behind(story)


def test_what_spot_saves_stands_beside_its_cost():
    cost = "14.80 USD/h (355.20 USD per day), 30.84 USD so far, 60.68 USD less than on demand"
    assert cost in texts(card(spot().state, spot().now))
    assert "less than on demand" not in texts(card(in_the_cloud().state, in_the_cloud().now))


def test_what_was_given_up_is_said_with_its_log_and_the_mend():
    shown_ = texts(card(degraded().state, degraded().now))
    assert "🟠 mixtral is degraded" in shown_
    assert "1 of 2 replicas is ready. Replicas failed 5 times in a row" in shown_
    assert "`/mixtral scale mixtral 2` tries again." in shown_
    assert "torch.OutOfMemoryError" in behind(degraded())
    assert "pending: no further attempts" in behind(degraded())


def test_where_all_was_given_up_and_the_last_one_dies_a_machine_is_looked_for_again():
    story = degraded().gone("its machine ended", 1).wait(5)
    assert title(story.state) == "🔵 mixtral is looking for a machine"


def test_the_load_says_why_it_moves_the_number():
    sentence = now_happening(by_load().state, by_load().now)
    assert sentence.startswith("2 → 3: 2.4 requests/s, 1 replica takes 1. 2 of 3 replicas are ready")
    story = by_load().ready()
    assert "requests/s" not in now_happening(story.state, story.now)
    assert "*Replicas*  3 of 3 ready, 1 to 5 by load" in texts(card(story.state, story.now))


def test_at_zero_it_is_said_whether_a_request_wakes_it_and_the_endpoint_stays():
    for story, said in (
        (asleep(), "The next request starts one"),
        (at_zero(Story().served()), "smollm2-135m 1` starts a replica."),
    ):
        made = card(story.state, story.now)
        assert "is scaled to zero" in made.text
        assert "nothing is billed" in texts(made)
        assert said in texts(made)
        assert f"`{GATEWAY}/v1`" in texts(made)
        assert changes_every(story.state, story.now) is None


def test_a_failure_shows_its_cause_and_the_end_of_the_log():
    shown_ = texts(card(failed().state, failed().now))
    assert "The engine failed to start 2 times in a row" in shown_
    assert "torch.OutOfMemoryError" in shown_
    assert "How to fix it" not in shown_


def test_a_deployment_that_is_down_says_how_long_it_ran_what_it_cost_and_who_ended_it_and_launches_again():
    story = Story().served().wait(712).stopped("U0ADA000001").gone("ended by request").ended()
    made = card(story.state, story.now)
    assert "Ran 11 min 59 s, free of charge. Ended by <@U0ADA000001>." in texts(made)
    assert "*Down since*  <!date^" in texts(made)
    paid = in_the_cloud().wait(3600).stopped().gone("ended by request", 4).gone("ended by request", 5).ended()
    assert "cost 17.74 USD. Ended by" in texts(card(paid.state, paid.now))
    [buttons] = [block["elements"] for block in made.blocks if block["type"] == "actions"]
    assert [(b["action_id"], b["text"]["text"]) for b in buttons] == [
        ("launch_form", "Launch again…"),
        ("card_details", "Details"),
    ]


def test_the_buttons_of_a_card_are_few_and_each_names_the_deployment():
    buttons = {"two": two(), "looking": climbing(), "failed": failed(), "dry": no_machine()}
    shown_ = {
        name: [
            (e["action_id"].removeprefix("card_"), e.get("style"))
            for b in card(told.state, told.now).blocks
            if b["type"] == "actions"
            for e in b["elements"]
            if e["value"] == told.id
        ]
        for name, told in buttons.items()
    }
    ends = [("scale", None), ("down", "danger"), ("details", None)]
    assert shown_ == {
        "two": [("ask", "primary"), ("endpoint", None), *ends],
        "looking": ends,
        "failed": [("details", None)],
        "dry": [("keep_trying", "primary"), *ends],
    }


def test_the_button_to_end_asks_nobody_by_itself():
    """Its modal asks, and only those who may end it."""
    (actions,) = (b for b in card(two().state, two().now).blocks if b["type"] == "actions")
    (end,) = (e for e in actions["elements"] if e.get("style") == "danger")
    assert end["action_id"] == "card_down"
    assert end["value"] == two().id
    assert "confirm" not in end


def test_paid_machines_show_their_price_and_what_they_have_cost():
    story = in_the_cloud().wait(3600)
    assert "*Cost*  16.35 USD/h (392.40 USD per day), 17.74 USD so far" in texts(card(story.state, story.now))
    day = "16.35 USD/h (392.40 USD per day)"
    assert day in texts(status.detail(story.state, story.now))
    assert texts(status.overview([story.state], story.now)).count(day) == 2, "in its line and in the sum"
    planned = texts(plan.plan(MIXTRAL, rungs(usable=True), Plan()))
    assert f"1. *5.89 USD/h (141.36 USD per day)* 2 {X} A100-80GB" in planned


def test_time_alone_changes_a_card_while_somebody_waits_and_hardly_afterwards():
    starting = Story().planned().asked().created().wait(3)
    assert changes_every(starting.state, starting.now) == timedelta(seconds=5)
    starting.wait(600)
    assert changes_every(starting.state, starting.now) == timedelta(seconds=15)
    assert changes_every(two().state, two().now) is None
    paid = in_the_cloud().wait(1).ready(5)
    assert changes_every(paid.state, paid.now) == timedelta(minutes=5)
    down = Story().served().stopped().gone("ended by request").ended()
    assert changes_every(down.state, down.now) is None


def test_what_models_engines_and_clouds_say_cannot_act():
    story = Story("x", Recipe(name="x", engine=Engine(kind="vllm", model=NASTY))).planned(*offers())
    story.asked(offers()[0]).refused(NASTY).asked(offers()[1]).created(NASTY).progressed(NASTY)
    for told in (story, story.ready().published().tested(NASTY), story.not_ready(NASTY).gone(NASTY, log=NASTY)):
        fits(card(told.state, told.now))
        cannot_act(card(told.state, told.now))
        cannot_act(status.detail(told.state, told.now))
        check.check_view(details.modal(told.state, told.now, NASTY), "modal")
    story.ended(failed=NASTY)
    fits(card(story.state, story.now))
    cannot_act(card(story.state, story.now))


def test_a_small_text_is_cut_to_what_slack_takes():
    check.check_message_blocks([context("word " * 1000)])


def test_a_long_life_fits_into_one_message():
    story = Story("mixtral", MIXTRAL, replicas=50, limits=Limits(gpus=("A100:8",) * 90, max_price=Decimal(9999)))
    ladder = [
        Rung(offer=offer(f"aws r{n}-1", f"{n}.5"), usable=n % 2 == 0, reason="no " * 400, mend=f"m{n} " * 90)
        for n in range(500)
    ]
    story.planned(*ladder)
    for rung in ladder[:120]:
        story.asked(rung.offer).refused("no stock " * 100, code=f"c{rung.offer.zone}")
    for rung in ladder[120:180]:
        story.asked(rung.offer).created("http://" + "x" * 400).progressed("p" * 5000).wait(1).ready()
    story.published().tested("word " * 5000)
    for made in (card(story.state, story.now), status.detail(story.state, story.now)):
        fits(made)
    found = [Tail(replica=n, place="local here", tail="<&>" * 40_000) for n in range(60)]
    check.check_view(details.modal(story.state, story.now, found), "modal")
    fits(plan.plan(MIXTRAL, ladder, Plan()))


def test_many_deployments_many_recipes_and_long_logs_fit_into_one_message():
    states = [two().state] * 500
    fits(status.overview(states, two().now))
    crowd = house(running=tuple(states), ended=tuple([failed().state] * 300))
    check.check_view(home.home(crowd, two().now), "home")
    fits(recipes.recipes([MIXTRAL] * 400, ["wrong " * 300] * 40))
    fits(logs.logs("x", [Tail(replica=n, place="local here", tail="<&>" * 40_000) for n in range(60)]))
    fits(logs.logs("x", [Tail(replica=1, place="local here", tail="")]))


def test_a_log_is_cut_at_its_beginning():
    lines = "\n".join(f"line {n}" for n in range(2000))
    shown_ = texts(logs.logs("x", [Tail(replica=1, place="local here", tail=lines)]))
    assert "line 1999" in shown_
    assert "line 3\n" not in shown_


@pytest.mark.parametrize("replicas", [0, 1, 3])
def test_every_beginning_of_a_story_has_a_card(replicas):
    whole = in_the_cloud().scaled(replicas).wait(1).stopped().gone("ended by request", 4).ended()
    for length in range(1, len(whole.events) + 1):
        part = Story(events=whole.events[:length])
        fits(card(part.state, whole.now))
        assert title(part.state)


STEPS = {
    "asked": lambda s: s.asked(offers()[len(s.state.attempts) % 18]),
    "refused": lambda s: s.refused("no stock"),
    "created": lambda s: s.created(),
    "progressed": lambda s: s.progressed("loading"),
    "ready": lambda s: s.ready(),
    "not_ready": lambda s: s.not_ready("no answer"),
    "given_up": lambda s: s.given_up("late", failure=Failure.INITIAL_DELAY),
    "gone": lambda s: s.gone("gone", log="x\n" * 30),
    "preempted": lambda s: s.gone("taken back", preempted=True),
    "published": lambda s: s.published() if s.state.ready else s,
    "tested": lambda s: s.tested(),
    "draining": lambda s: s.draining(),
    "abandoned": lambda s: s.abandoned("Replicas failed 5 times in a row."),
    "moved": lambda s: s.moved(0, "no request for 20 min"),
    "exhausted": lambda s: s.exhausted("All said no."),
    "scaled": lambda s: s.scaled(3),
    "stopped": lambda s: s.stopped(),
    "ended": lambda s: s.ended(),
    "failed": lambda s: s.ended("The engine failed."),
    "wait": lambda s: s.wait(31),
}
ALONE = frozenset({"abandoned", "moved", "asked", "exhausted", "scaled", "stopped", "ended", "failed", "wait"})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=25))
def test_whatever_happens_there_is_a_card(steps):
    story = Story("mixtral", MIXTRAL, replicas=2).planned(*offers())
    for step in steps:
        if story.state.attempts or step in ALONE:
            STEPS[step](story)
    fits(card(story.state, story.now))
    fits(status.detail(story.state, story.now))
    fits(status.overview([story.state], story.now))
    changes_every(story.state, story.now)
    check.check_view(details.modal(story.state, story.now), "modal")


def test_places_that_fail_in_the_same_second_are_both_said():
    told = Story("m", replicas=2).planned(offer("r-a"), offer("s-a"))
    told.asked(offer("r-a")).created().asked(offer("s-a")).created()
    told.control_lost(Control.LIST, "denied", attempt=1).control_lost(Control.LIST, "denied", attempt=2).wait(61)
    said = alerts.lost(told.state, told.now)
    assert len(said) == 2
    assert "r-a has not listed its machines" in str(said)
    assert "s-a has not listed its machines" in str(said)


def test_machines_of_an_alert_are_not_said_again_when_the_first_of_them_is_gone():
    told = Story("m", replicas=2).planned(offer("r-a"))
    told.asked(offer("r-a")).created().asked(offer("r-a")).created()
    told.control_lost(Control.LIST, "denied", attempt=1).wait(5).control_lost(Control.LIST, "denied", attempt=2)
    told.wait(61)
    said = alerts.lost(told.state, told.now)
    assert ["replicas 1 and 2" in str(message) for message in said.values()] == [True]
    told.control_regained(Control.LIST, attempt=1)
    assert alerts.lost(told.state, told.now, said) == {}
    later = told.control_regained(Control.LIST, attempt=2).wait(600).control_lost(Control.LIST, "denied", attempt=2)
    assert len(alerts.lost(later.wait(61).state, later.now, [*said, "mixtral_lost_list_gcp_r_1"])) == 1


def test_the_sum_per_hour_and_day_is_that_of_the_exact_prices_which_are_billed():
    told = Story("fast", MIXTRAL).planned(offer(usd="7.9771"), offer("r-b", usd="7.9771")).asked().wait(9).created()
    assert told.state.usd_per_hour == Decimal("7.9771")
    assert cost(told.state, told.now).startswith("7.98 USD/h (191.45 USD per day), ")
