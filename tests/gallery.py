"""Every view in its representative states: `python -m tests.gallery` prints them as JSON."""

import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bot.language.channel_settings import ChannelSettings
from bot.language.command import Plan
from bot.language.direct_request import Deed, DeedStage, DirectRequest, WantedDeed
from bot.language.question import Question
from bot.language.quoted_message import QuotedMessage
from bot.slack.message import Message
from bot.views import alerts as notices
from bot.views import (
    ask_form,
    card_refusals,
    channel_config,
    details,
    end_question,
    endpoint,
    home,
    launch_form,
    logs,
    plan,
    recipes,
    refusal,
    scale,
    status,
)
from bot.views import help as help_view
from bot.views import key_messages as keys
from bot.views import request_message as requested
from bot.views.answer_choice import choice
from bot.views.card import card
from bot.views.price_now import from_price, price_now
from recipes.schema import Note, Recipe
from tests import governing_gallery, outage_gallery
from tests.builders.events import BEGIN, KEY, PLACE
from tests.builders.offers import offer, spot_offer
from tests.builders.recipes import MIXTRAL, SMOLLM2, scaled_by
from tests.builders.story import Story
from tests.governing_gallery import DRAFT
from workers.deployment.events import Control, DeploymentId, Failure, KeyId, LaunchIntended, NewerEvent
from workers.deployment.ledger import Use, entry_of
from workers.deployment.ledger import fold as book_of
from workers.deployment.state import Deployment, fold
from workers.machines import BootPhase
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.offer import Offer
from workers.placement.refusals import Scope

GIVEN_UP = (
    "Replicas failed 5 times in a row, so no further one is tried. The last time: its engine exited with status 1."
)

HF_ID = MIXTRAL.engine.model if MIXTRAL.engine else ""
LADDER = (
    ("gcp us-central1-a", "A100-80GB:2", "5.89"),
    ("gcp us-central1-c", "A100-80GB:2", "5.89"),
    ("gcp europe-west4-a", "A100-80GB:2", "6.49"),
    ("gcp us-east4-c", "A100-80GB:2", "6.64"),
    ("gcp europe-west4-a", "A100:4", "9.71"),
    ("gcp europe-west4-b", "A100:4", "9.71"),
    ("gcp asia-southeast1-a", "A100:4", "10.47"),
    ("gcp asia-southeast1-b", "A100:4", "10.47"),
    ("gcp asia-southeast1-c", "A100:4", "10.47"),
    ("gcp us-central1-a", "A100-80GB:4", "11.78"),
    ("gcp us-central1-c", "A100-80GB:4", "11.78"),
    ("gcp europe-west4-a", "A100:8", "19.42"),
    ("aws use1-az1", "A100:8", "21.96"),
    ("aws use1-az2", "A100:8", "21.96"),
    ("aws use2-az1", "A100:8", "21.96"),
    ("aws usw2-az1", "A100:8", "21.96"),
    ("gcp us-central1-a", "A100-80GB:8", "23.57"),
    ("aws usw2-az2", "A100-80GB:8", "27.45"),
)


class Tail(Struct, frozen=True, kw_only=True):
    """The end of a replica's log, as `Deployments.logs` returns it."""

    replica: int
    place: str
    tail: str


NO_STOCK = "no capacity right now"
LOG = """INFO 11-23 14:05:09 api_server.py:1032] vLLM API server version 0.33.0
INFO 11-23 14:05:12 config.py:542] Defaulting to use mp for distributed inference
ERROR 11-23 14:05:31 engine.py:389] CUDA out of memory. Tried to allocate 448.00 MiB.
Traceback (most recent call last):
  File "vllm/engine/multiprocessing/engine.py", line 380, in run_mp_engine
    engine = MQLLMEngine.from_engine_args(engine_args=engine_args)
torch.OutOfMemoryError: CUDA out of memory. GPU 0 has a total capacity of 79.15 GiB of which 201.19 MiB is free."""


def rungs(*, usable: bool) -> tuple[Rung, ...]:
    """The ladder of Mixtral 8x7B, shortened; `clouds`: whether clouds are configured."""
    reasons = {
        "gcp": ("GCP: no credentials found", "run `gcloud auth application-default login`"),
        "aws": ("AWS: no credentials found", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"),
    }
    found = []
    for place, gpu, usd in LADDER:
        made = offer(place, usd, gpu)
        reason, mend = (None, None) if usable else reasons[made.cloud]
        found.append(Rung(offer=made, usable=usable, reason=reason, mend=mend))
    return tuple(found)


def offers() -> tuple[Offer, ...]:
    return tuple(rung.offer for rung in rungs(usable=True))


def climbing() -> Story:
    """Mixtral on the clouds: three zones refused, the fourth call is in progress."""
    told = Story("mixtral", MIXTRAL, limits=Limits(max_price=Decimal(25)), replicas=2).planned(*offers())
    for tried in offers()[:3]:
        told.wait(1).asked(tried).wait(4).refused(NO_STOCK)
    return told.wait(0.4).asked(offers()[3]).wait(4)


QUOTA = (
    'the quota "All P4, P3 and P2 Spot Instance Requests" in {} is 0 vCPUs, and this machine needs 96. Request more at '
    "https://{}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-7212CCBC"
)


def short_of_quota() -> Story:
    """Spot quota is missing in six regions of AWS, and GCP gives a machine that costs more."""
    regions = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "ap-south-1", "ap-northeast-1")
    cheap = [
        offer(f"aws {region}-az1", f"5.7{n}", "A100:8", spot=True, region=region) for n, region in enumerate(regions)
    ]
    dearer = offer("gcp us-central1-a", "21.96", "A100:8", spot=True)
    last = offer("gcp europe-west4-a", "23.50", "A100:8", spot=True)
    told = Story("mixtral", MIXTRAL, limits=Limits(spot=True)).planned(*cheap, dearer, last)
    for tried in cheap:
        sentence = QUOTA.format(tried.region, tried.region)
        told.asked(tried).wait(1).refused(sentence, code="MaxSpotInstanceCountExceeded", scope=Scope.REGION)
    return told.asked(dearer).wait(3)


def in_the_cloud() -> Story:
    """Mixtral with two replicas, of which one is ready."""
    told = climbing().created("http://203.0.113.20:8000").wait(2).asked(offers()[4]).wait(9)
    told.created("http://203.0.113.31:8000").wait(300).ready(4).published().wait(1)
    return told.tested(" aioli, though <!channel> a good <https://example.com|harissa> comes close.")


SHARED = replace(PLACE, shared_with=("Acme (T0ACME00001)", "T0OTHER0001"))


def cards() -> dict[str, Message]:
    """States of the card."""
    stories = {
        "card planning": Story().wait(1),
        "card looking": climbing(),
        "card in a shared channel": Story(place=SHARED).planned().asked(),
        "card with doubtful weights": Story("mixtral", MIXTRAL).planned(*offers()).weights_checked(
            f"The download of the weights of {HF_ID} could not be checked: huggingface.co gave no answer "
            "within 3 s."
        ).asked(offers()[0]).wait(4),
        "card without clouds": Story("mixtral-8x7b", MIXTRAL).planned(*rungs(usable=False)).ended(
            failed="No machine could be asked for."
        ),
        "card asking here": Story().planned().asked().wait(1),
        "card starting": Story().planned().asked().wait(0.4).created().progressed("engine is loading").wait(3),
        "card installing": Story("fast", MIXTRAL).planned().asked().wait(1).created()
        .progressed("installing vLLM 0.33.0 (once): 412 of 613 MB").wait(134),
        "card ready": Story().served().wait(60),
        "card open to all": Story().planned().asked().created().wait(5).ready().published().open_to_all()
        .test_failed("HTTP 500: the model has no chat template").wait(2),
        "card in the cloud, one of two": in_the_cloud(),
        "card in the cloud, two of two": in_the_cloud().wait(41).ready(5).wait(3600),
        "card short of quota": short_of_quota(),
        "card ready, short of quota": short_of_quota().created().wait(300).ready().published().tested().wait(60),
        "card in a direct message": Story(place=replace(PLACE, channel="D0ROBIN0001")).served().wait(60),
        "card no machine": no_machine(),
        "card scaling up": Story().served().wait(40).scaled(2).asked().wait(0.3).created().wait(2),
        "card two of two": two(),
        "card scaling down": two().scaled(1).wait(1).given_up("scaled down", 2).wait(1),
        "card not ready": Story().served().wait(200).not_ready("/health gave no answer within 15 s").wait(25),
        **more_cards(),
        "card preempted": two().wait(60).gone("preempted by its cloud", 2, log="", preempted=True).wait(3),
        "card failed": failed(),
        "card ending": two().stopped().wait(2),
        "card ending, host away": on_a_host(Story("words", SMOLLM2), "h-0123456789ab").stopped().wait(120),
        "card down": Story().served().wait(720).stopped().wait(1).gone("ended by request").ended().wait(5),
    }  # fmt: skip
    return {name: card(story.state, story.now) for name, story in stories.items()}


def more_cards() -> dict[str, Story]:
    """States of the card with several replicas, or behind a gateway."""
    ready = Story().planned().asked().created().wait(5).ready()
    unrouted = Story().planned().asked().created().wait(5).ready()
    return {
        "card waiting for the gateway": ready.wait(4),
        "card without a gateway": unrouted.wait(45),
        "card booting in the cloud": booting().progressed("pulling vllm/vllm-openai:v0.33.0").wait(64),
        "card pulling": pulling().wait(20),
        "card downloading weights": pulling().wait(100).progressed("starting " + HF_ID, BootPhase.LOADING).wait(70)
        .progressed("starting " + HF_ID, BootPhase.LOADING, 34_500_000_000, 93_400_000_000).wait(12),
        "card starting again": booting().progressed(f"starting {HF_ID}").wait(90)
        .engine_ended("the engine exited with status 1", 2).wait(8),
        "card not ready, started again": served_in_the_cloud().wait(3600).not_ready("nothing listens there")
        .engine_ended("the engine was killed by SIGKILL", 1).wait(25),
        "card machine gave up": gave_up(),
        "card whose engine stumbles": stumbling(),
        "card not listed": silent(),
        "card not ended": protected(),
        "card without a lease": served_in_the_cloud().wait(25 * 3600),
        "card draining": two().scaled(1).wait(1).draining(2).wait(4),
        "card scaled to zero": at_zero(Story().served()),
        "card asleep": asleep(),
        "card waking": asleep().wait(3600).moved(1, "a request waits").asked().wait(0.3).created().wait(2),
        "card scaled by load": by_load(),
        "card degraded": degraded(),
        "card given up": degraded().wait(7200).gone("its engine exited with status 1", 1, log=LOG)
        .abandoned(GIVEN_UP).wait(5),
        "card backing off": backing_off(),
        "card spot": spot(),
        "card spot, taken back": spot().wait(7200).gone("preempted by its cloud", 2, preempted=True)
        .wait(1).asked(SPOT_OFFERS[2]).wait(3).created("http://203.0.113.9:8000").wait(40),
        "card spot, dry": dry(),
    }  # fmt: skip


def dry() -> Story:
    """All spot replicas were preempted, and no zone has spot capacity."""
    told = spot().wait(7200)
    for attempt in (1, 2):
        told.gone("preempted by its cloud", attempt, preempted=True).wait(1)
    for taken in SPOT_OFFERS:
        told.asked(taken).wait(2).refused("no spot capacity at the moment")
    return told.wait(1).exhausted("No machine is available. 3 offers: no spot capacity at the moment.").wait(9)


def at_zero(told: Story) -> Story:
    return told.wait(60).scaled(0).draining(1).wait(2).given_up("scaled down", 1).gone("ended by request", 1).wait(9)


def asleep() -> Story:
    """Scaled to zero without load, then started by a request."""
    told = Story("smollm2", scaled_by(SMOLLM2, min_replicas=0)).served().wait(1200)
    told.moved(0, "no request for 20 min").draining(1, "no request for 20 min").wait(1)
    return told.given_up("no request for 20 min", 1).gone("ended by request", 1).wait(60)


def by_load() -> Story:
    """Three replicas, of which the autoscaler added the last."""
    recipe = scaled_by(MIXTRAL, min_replicas=1, max_replicas=5, target_qps_per_replica=1.0)
    told = Story("mixtral", recipe, replicas=2).planned(*offers())
    for taken in offers()[:2]:
        told.asked(taken).wait(2).created().wait(200).ready()
    told.published().wait(1).tested().wait(900).moved(3, "2.4 requests/s, 1 replica takes 1")
    return told.wait(1).asked(offers()[2]).wait(3).created().wait(61)


def booting() -> Story:
    """One cloud machine whose engine does not answer yet."""
    told = Story("mixtral", MIXTRAL).planned(*offers())
    return told.wait(1).asked(offers()[0]).wait(20).created("http://203.0.113.20:8000").wait(40)


def pulling() -> Story:
    """One cloud machine that has reported the phases of its boot, and pulls its image."""
    told = booting().progressed("waiting for the GPU driver", BootPhase.BOOTING).wait(182)
    told.progressed("installing Docker", BootPhase.INSTALLING).wait(48)
    image = "pulling vllm/vllm-openai:v0.33.0"
    return (
        told.progressed(image, BootPhase.PULLING)
        .wait(140)
        .progressed(image, BootPhase.PULLING, 6_100_000_000, 9_800_000_000)
    )


def served_in_the_cloud() -> Story:
    return booting().wait(300).ready().published().wait(1).tested()


def silent() -> Story:
    """The cloud denies the calls to a region."""
    told = served_in_the_cloud().wait(11 * 3600)
    since, why = told.now, "AWS returned an error in us-east-1: UnauthorizedOperation: You are not authorized"
    told.wait(30).control_lost(Control.LIST, why, since)
    return told.wait(3600).control_lost(Control.EXTEND, why, since + timedelta(hours=1)).wait(60)


def protected() -> Story:
    """The end of a machine is refused."""
    told = served_in_the_cloud().wait(3600).stopped()
    why = (
        "AWS returned an error in us-east-1: OperationNotPermitted: The instance may not be terminated. Remove the "
        "instance's termination protection in the AWS console"
    )
    return told.control_lost(Control.END, why).wait(90)


def stumbling() -> Story:
    """Two replicas, of which one has an engine that is restarted repeatedly."""
    told = Story("mixtral", MIXTRAL, replicas=2).planned(*offers())
    for taken in offers()[:2]:
        told.asked(taken).wait(2).created().wait(200).ready()
    told.published().wait(1).tested().wait(3600)
    for start in (1, 2):
        told.not_ready("nothing listens there").engine_ended("the engine was killed by SIGKILL", start)
        told.wait(90).ready().wait(3600)
    return told


def gave_up() -> Story:
    """A second machine is requested, because the engine on the first one failed."""
    told = (
        booting().engine_ended("the engine exited with status 1 at each of its last 3 starts", 2, again=False).wait(1)
    )
    told.given_up("the engine exited with status 1 at each of its last 3 starts", failure=Failure.CRASHED).wait(3)
    return told.gone("ended", log=LOG).wait(1).asked(offers()[1]).wait(2)


def no_machine() -> Story:
    """No machine, and every rung of the ladder was refused."""
    told = Story("mixtral", MIXTRAL).planned(*offers()[:2])
    for taken in offers()[:2]:
        told.asked(taken).wait(4).refused(NO_STOCK)
    return told.exhausted("No machine is available. 2 offers: no capacity right now.").wait(3)


def newer(story: Story) -> Deployment:
    """The state after an event that this version cannot read."""
    state = fold(story.id, [NewerEvent(type="ReplicaMoved")], onto=story.state)
    assert state is not None
    return state


def on_a_host(story: Story, host: str) -> Story:
    """A replica that is a process of this worker host."""
    story.planned().asked()
    intended = story.events[-1]
    assert isinstance(intended, LaunchIntended)
    story.events[-1] = replace(intended, request=replace(intended.request, host=host))
    return story.created().ready()


def gone_down() -> Story:
    told = served_in_the_cloud().wait(3600).stopped(by="U0ADA000001").wait(9)
    return told.gone("ended by request").ended().wait(1)


SEVERAL = "Several deployments could answer: fast, mixtral-8x7b. Name one: `@mixtral fast: What is ketchup?`."


def question() -> Question:
    return Question(
        id="Ev0001",
        team="T1",
        channel="C0GENERAL01",
        user="U0ROBIN0001",
        text="What is ketchup?",
        message_ts="1795442700.1",
    )


def backing_off() -> Story:
    """Four replicas: one answers, another crashed twice."""
    told = Story("mixtral", MIXTRAL, replicas=4).planned(*offers())
    told.asked(offers()[0]).wait(2).created().wait(200).ready().published().tested()
    for taken in offers()[1:3]:
        told.asked(taken).wait(2).created().wait(90).gone("its engine exited with status 1", log=LOG)
    return told.wait(5)


def _scaled(told: Story, replicas: int) -> Message:
    before = told.state
    return scale.changed(before, told.scaled(replicas).state, told.now)


def _ends_soon() -> Message:
    told = served_in_the_cloud().wait(3600)
    until = told.now + timedelta(minutes=15)
    state = told.kept_until(until).announced(until).state
    assert state.end_announced is not None
    return notices.ends(state, state.end_announced)


def degraded() -> Story:
    """Two replicas: one answers, the other crashed repeatedly."""
    told = Story("mixtral", MIXTRAL, replicas=2).planned(*offers())
    told.asked(offers()[0]).wait(2).created().wait(200).ready().published().tested()
    for taken in offers()[1:6]:
        told.asked(taken).wait(2).created().wait(90).gone("its engine exited with status 1", log=LOG).wait(60)
    return told.abandoned(GIVEN_UP).wait(5)


SPOT_OFFERS = tuple(spot_offer(f"aws use1-az{n}", "7.40", on_demand="21.96", region="us-east-1") for n in (4, 2, 1))


def spot() -> Story:
    """Two spot replicas in two zones."""
    told = Story("mixtral", MIXTRAL, replicas=2, limits=Limits(spot=True))
    told.planned(*SPOT_OFFERS)
    for taken in SPOT_OFFERS[:2]:
        told.asked(taken).wait(2).created().wait(200).ready()
    return told.published().wait(1).tested().wait(7200)


def two() -> Story:
    """Two ready replicas on this machine."""
    return Story(replicas=2).served().asked().created().wait(5).ready().wait(30)


def failed() -> Story:
    told = Story("mixtral", MIXTRAL).planned(*offers()[:2])
    told.wait(1).asked(offers()[0]).wait(20).created("http://203.0.113.20:8000").wait(90)
    told.gone("its engine exited with status 1", log=LOG).wait(2)
    told.asked(offers()[1]).wait(20).created("http://203.0.113.21:8000").wait(80).gone(
        "its engine exited with status 1", log=LOG
    )
    return told.ended(
        "The engine failed to start 2 times in a row; the last time its engine exited with status 1."
    ).wait(5)


def others() -> dict[str, Message]:
    """The messages that are not cards."""
    running = [two(), climbing(), in_the_cloud()]
    now = BEGIN + timedelta(hours=3)
    strange = Recipe(name="team-model", run="serve", secrets=("HF_TOKEN",), notes=(NOTE,))
    log = Tail(replica=1, place="gcp us-central1-a", tail=LOG)
    return {
        "status overview": status.overview([story.state for story in running], now),
        "status overview, nothing": status.overview([], now),
        "status overview, lost log": status.overview([running[0].state], now, lost=["fast"]),
        "status overview, newer": status.overview([newer(story) for story in running[:2]], now),
        "status detail, newer": status.detail(newer(running[0]), now),
        "card newer": card(newer(running[0]), now),
        "status detail": status.detail(climbing().state, climbing().now),
        "plan": plan.plan(MIXTRAL, rungs(usable=True), Plan(limits=Limits(spot=True)), "read in 2026-11"),
        "plan without clouds": plan.plan(strange, rungs(usable=False), Plan(), "read in 2026-11"),
        "recipes": recipes.recipes([SMOLLM2, MIXTRAL, strange], ["bad.yaml:3: resources.ports: abc is no port."]),
        "help": help_view.help(None),
        "help launch": help_view.help("deploy"),
        "endpoint": endpoint.endpoint(Story().served().state, KEY, python=True),
        "endpoint, unasked": endpoint.endpoint(Story().served().state, KEY),
        "endpoint, not yet": endpoint.endpoint(Story().planned().state, KEY),
        "endpoint, to who holds a key": endpoint.held(keyed().state, [KeyId("k-77c2e0")]),
        "endpoint, first key revoked": endpoint.endpoint(Story().served().key_revoked("first").state, None),
        "keys": keys.listing(keyed().state, {KeyId("k-77c2e0"): BEGIN + timedelta(hours=1)}),
        "keys, to others": keys.listing_to_others(keyed().state, {}, "U0NOOR00001"),
        "keys, none": keys.listing(Story().served().key_revoked("first").state, {}),
        "key handed over": keys.handed_over(keyed().state, KeyId("k-3f9a01"), KEY, by=None),
        "key from another": keys.handed_over(keyed().state, KeyId("k-77c2e0"), KEY, by="U0ROBIN0001"),
        **requests(),
        **governing_gallery.messages(),
        **outage_gallery.messages([served_in_the_cloud().state, spot().state]),
        "key revoked": keys.revoked(keyed().state, keyed().state.keys[0]),
        "scaled down": _scaled(spot(), 1),
        "scaled to nothing": _scaled(two(), 0),
        "ends soon": _ends_soon(),
        "scaled by hand": _scaled(by_load(), 4),
        "scaled again": _scaled(degraded(), 2),
        "status detail, backing off": status.detail(backing_off().state, backing_off().now),
        "logs": logs.logs("mixtral", [log]),
        "config shown": channel_config.shown(CONFIGURED, "C0MIXTRAL01", "Change them with `/mixtral config`."),
        "config changed": channel_config.announcement(ChannelSettings(), CONFIGURED, "C0MIXTRAL01", "U0ROBIN0001"),
        "refusal": refusal.refusal("There is no command `stauts`.", hint="Did you mean `/mixtral status`?"),
        "notice not listed": next(iter(notices.lost(silent().state, silent().now).values())),
        "notice not ended": next(iter(notices.lost(protected().state, protected().now).values())),
        "notice under control again": notices.regained(Story().served().state, f"{notices.LOST}list_1"),
        "notice lease ran out": lapsed(),
        "notice ready": notices.ready(Story().served().state),
        "notice failed": notices.failed(failed().state),
        "notice out": notices.out(dry().state, BEGIN, dry().now),
        "choice": choice(
            SEVERAL,
            DRAFT,
            (replace(two().state, name="fast"), replace(in_the_cloud().state, id="d-2")),
            "Several deployments can answer.",
        ),
        "notice dry": notices.dry(no_machine().state),
        "notice ended": notices.ended(gone_down().state, gone_down().now),
        "notice scaled": notices.scaled(
            two().scaled(1, by="U0ADA000001").state, two().scaled(1, by="U0ADA000001").scaling
        ),
        "notice scaled to zero": notices.scaled(two().scaled(0).state, two().scaled(0).scaling),
        "notice back": notices.back(dry().asked(SPOT_OFFERS[0]).created().wait(300).ready(6).state, BEGIN),
        "notice no room": card_refusals.notice(climbing().state, "not_in_channel", stands=False),
        "notice archived": card_refusals.notice(Story().served().state, "is_inactive", stands=True),
        "notice refused": card_refusals.notice(climbing().state, "quantum_error", stands=False),
    }


def requests() -> dict[str, Message]:
    """Requests to the launcher, and a key that is offered, in each of their states."""
    running, now = in_the_cloud(), BEGIN + timedelta(hours=1)
    asked = DirectRequest(
        id="r-1",
        deed=Deed.SCALE,
        deployment=running.id,
        name="mixtral",
        launcher=PLACE.user,
        asker="U0ADA000001",
        to=PLACE.user,
        made_at=BEGIN,
        replicas=4,
    )
    as_admin = replace(asked, deed=Deed.END, to="U0NOOR00001")
    key = replace(asked, deed=Deed.TAKE_KEY, asker=PLACE.user, to="U0ADA000001")
    granted = replace(asked, stage=DeedStage.GRANTED, decided_by=PLACE.user, decided_at=BEGIN)
    return {
        "request to scale": requested.asked(asked, running.state, now),
        "request to end, as an admin": requested.asked(as_admin, running.state, now),
        "request for a key": requested.asked(replace(asked, deed=Deed.MAKE_KEY), running.state, now),
        "request granted": requested.settled(granted),
        "request expired": requested.outcome(replace(asked, stage=DeedStage.EXPIRED)) or Message(""),
        "refusal with a person to ask": refusal.refusal(
            "<@U0ROBIN0001> launched *mixtral*: only they may scale it. Ask them.",
            ask=WantedDeed(deed=Deed.SCALE, deployment=running.id, replicas=4),
        ),
        "key offered": requested.asked(key, running.state, now),
        "key shown": requested.settled(
            replace(key, stage=DeedStage.GRANTED, decided_at=BEGIN, done=True, key=KeyId("k-77c2e0"))
        ),
    }


CONFIGURED = ChannelSettings(
    default="fast",
    system_prompt="You are a <cook>.\nAnswer in one sentence.",
    temperature=0.2,
    unasked=False,
    digest=True,
)


def lapsed() -> Message:
    told = served_in_the_cloud().wait(25 * 3600)
    told.gone("its lease ran out, because no worker extended it", log="")
    return notices.lapsed(told.state, told.state.attempts[-1])


def keyed() -> Story:
    """A deployment with keys for two people."""
    return Story("fast").served().wait(60).key_issued("k-3f9a01", "U0ROBIN0001").key_issued("k-77c2e0", "U0ADA000001")


NOTE = Note(field="workdir", line=4, meaning="files are not copied to the machine; put them into its image")


def launching() -> tuple[launch_form.Entered, launch_form.Offered]:
    """A form with each of its inputs."""
    entered = launch_form.Entered(recipe="mixtral-8x7b", spot=True, max_price="12.50", channel="D0HOME00001")
    usable = tuple(Rung(offer=o, usable=True) for o in (spot_offer("aws use1-az1", "3.80", "L4:4"), offer(usd="8.80")))
    offered = launch_form.Offered(
        recipes=(("mistral-7b", "from 0.70 USD/h"), ("mixtral-8x7b", from_price(usable[1:]))),
        name="mixtral-8x7b",
        replicas=(1, 0, 50),
        gpus=("L4:8", "A100-80GB:2"),
        clouds=("aws", "gcp"),
        variables=("MODEL_REVISION",),
        secrets=("THE_KEY_ID",),
        price=price_now(usable, "", replicas=2),
    )
    return entered, offered


def views() -> dict[str, dict[str, Any]]:
    """The modal and the Home tab."""
    return {
        **_details(),
        "modal end": end_question.modal(two().state),
        "modal launch": launch_form.modal(*launching(), draft=DRAFT, asks_channel=True),
        "modal scale": scale.modal(two().state, two().now),
        "modal scale, by load": scale.modal(by_load().state, by_load().now),
        "modal ask": ask_form.modal("d1", [two().state], "The answer follows in this channel, in a thread."),
        "modal ask, which waits": ask_form.modal("d2", [climbing().state], "The answer follows here."),
        "modal ask, about a message": ask_form.modal(
            "d3",
            [two().state, climbing().state],
            "The answer follows in the thread of the message.",
            QuotedMessage(author="U0ADA000001", text="Mayonnaise is a <dressing>.\nIsn't it?"),
        ),
        "modal config": channel_config.modal(CONFIGURED, DRAFT, "C0MIXTRAL01", ["fast", "mixtral-8x7b"]),
        "modal config, of a person": channel_config.modal(ChannelSettings(), DRAFT, "D0ROBIN0001", []),
        "home": home.home(house(), BEGIN + timedelta(hours=1)),
        "home, empty": home.home(house(running=(), ended=()), BEGIN + timedelta(hours=1)),
    }


def _details() -> dict[str, dict[str, Any]]:
    log = Tail(replica=1, place="gcp us-east4-c", tail=LOG)
    stories: dict[str, tuple[Story, list[Tail] | str]] = {
        "modal details": (in_the_cloud(), [log]),
        "modal details, looking": (climbing(), "mixtral has no log yet: none of its machines has printed anything."),
        "modal details, being read": (short_of_quota(), details.READING),
        "modal details, failed": (failed(), "mixtral has ended. Its logs were deleted with its machines."),
        "modal details, ended": (gone_down(), "mixtral has ended. Its logs were deleted with its machines."),
    }
    return {name: details.modal(told.state, told.now, found) for name, (told, found) in stories.items()}


def uses_of(*stories: Story) -> tuple[Use, ...]:
    """What the ledger contains of stories."""
    entries = [entry_of(story.id, event) for story in stories for event in story.events]
    return tuple(book_of(entry for entry in entries if entry is not None).uses.values())


def house(
    running: tuple[Deployment, ...] | None = None, ended: tuple[Deployment, ...] | None = None, user: str = PLACE.user
) -> home.HomeContent:
    """What a person sees: two deployments and two ends, unless given."""
    is_down = Story("fast", MIXTRAL, limits=Limits(spot=True)).planned(*offers()).asked(offers()[0]).created()
    is_down.wait(1800).ready().published().wait(60).stopped().wait(1).gone("ended by request").ended()
    past = (failed().state, is_down.state) if ended is None else ended
    return home.HomeContent(
        user=user,
        running=(two().state, in_the_cloud().state) if running is None else running,
        ended=past,
        uses=() if ended == () else uses_of(two(), in_the_cloud(), failed(), is_down),
        links={DeploymentId("d0123456789ab"): "https://sandbox.slack.com/archives/C0GENERAL01/p1"},
    )


def main() -> None:
    """Print {name: {text, blocks} | view}."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode({**cards(), **others(), **views()}), indent=1))


if __name__ == "__main__":
    main()
