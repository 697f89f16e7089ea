"""Samples of the bot's messages and views, made from the log of a deployment that does not exist."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bot.language.command import Plan
from bot.slack.message import JSON, Message
from bot.views import details, endpoint, home, launch_form, plan, recipes, scale, status
from bot.views import help as help_view
from bot.views.answer import Below, ShownThoughts, buttons, growing
from bot.views.card import card
from bot.views.echo import echo
from bot.views.price_now import price_now
from bot.views.refusal import refusal
from recipes.loader import find, load
from workers.deployment.events import (
    AnyEvent,
    DeploymentEnded,
    DeploymentId,
    EndpointPublished,
    LadderPlanned,
    LaunchIntended,
    MachineCreated,
    OfferRefused,
    Place,
    ReplicaReady,
    Requested,
    TestCompletionAnswered,
)
from workers.deployment.log import stamp
from workers.deployment.state import Deployment, fold
from workers.machines import Machine, MachineRequest, Token
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.offer import Offer
from workers.placement.refusals import Refusal, Scope
from workers.serving.boot import boot_of

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=1)
RECIPE = load(find("mixtral-8x7b"), {})
OFFERS = tuple(
    Offer(
        cloud="aws",
        region="us-east-1",
        zone=f"use1-az{number}",
        instance_type="p4d.24xlarge",
        accelerator="A100",
        count=8,
        spot=False,
        usd_per_hour=Decimal("21.96"),
    )
    for number in (1, 2)
)
RUNGS = tuple(Rung(offer=one, usable=True) for one in OFFERS)


def samples() -> Iterator[tuple[str, Message | JSON]]:
    """Yield messages and views, each with its name."""
    states = {"looking": _looking(), "ready": _ready(), "failed": _failed()}
    for name, state in states.items():
        yield f"card ({name})", card(state, NOW)
    ready = states["ready"]
    yield "status", status.overview([*states.values()], NOW)
    yield "status of one", status.detail(ready, NOW)
    yield "endpoint", endpoint.endpoint(ready, "mxk_sample", python=True)
    yield "plan", plan.plan(RECIPE, RUNGS, Plan())
    yield "recipes", recipes.recipes([RECIPE])
    yield "question", echo("U0SAMPLE001", "sample", "Why does `a * b` fail?\n```\na * b\n```", {})
    yield "help", help_view.help(None)
    yield "answer", _answer()
    yield (
        "answer that is being written",
        Message("Mustard", ({"type": "markdown", "text": "Mustard"}, *growing("C0:1"))),
    )
    yield "refusal", refusal("This is a sample.", hint="/mixtral help")
    yield "Home tab", home.home(_house(states), NOW)
    yield "Launch form", _launch_form()
    yield "Details", details.modal(ready, NOW)
    yield "Scale form", scale.modal(ready, NOW)


def _answer() -> Message:
    thoughts = ShownThoughts(text="The user wants one condiment.", seconds=12)
    steering = buttons("C0SAMPLE001:1.0", [("other", "d-other")])
    below = Below(footer="sample · 3 tokens", thoughts=thoughts, buttons=steering, rates="C0SAMPLE001:1.0")
    return Message("Mustard.", ({"type": "markdown", "text": "Mustard."}, *below.shapes(1000)[0]))


def _house(states: Mapping[str, Deployment]) -> home.HomeContent:
    return home.HomeContent(user="U0SAMPLE001", running=(states["looking"], states["ready"]), ended=(states["failed"],))


def _launch_form() -> JSON:
    entered = launch_form.Entered(recipe=RECIPE.name, spot=True, max_price="30")
    offered = launch_form.Offered(
        recipes=((RECIPE.name, "from 21.96 USD/h"),),
        name="sample",
        replicas=(1, 0, 50),
        gpus=("A100:8", "L4:8"),
        clouds=("aws", "gcp"),
        variables=("SAMPLE",),
        price=price_now(RUNGS, ""),
    )
    return launch_form.modal(entered, offered, draft="d-1", asks_channel=True)


def _state(*events: AnyEvent) -> Deployment:
    state = fold(DeploymentId("d-sample"), events)
    if state is None:
        raise ValueError("no event, no state")
    return state


def _begun() -> tuple[AnyEvent, ...]:
    place = Place(team="T0SAMPLE001", channel="C0SAMPLE001", user="U0SAMPLE001")
    asked = Requested(**stamp(BEGAN), name="sample", recipe=RECIPE, replicas=1, place=place, limits=Limits())
    return asked, LadderPlanned(**stamp(BEGAN), rungs=RUNGS), LaunchIntended(**stamp(BEGAN), request=_request(1))


def _request(attempt: int) -> MachineRequest:
    return MachineRequest(
        token=Token(f"sample-{attempt}"),
        installation="i-sample",
        deployment="d-sample",
        replica=1,
        attempt=attempt,
        offers=OFFERS[attempt - 1 : attempt],
        boot=boot_of(RECIPE, "sample"),
        expires_at=NOW,
    )


def _looking() -> Deployment:
    reason = Refusal(
        offers=OFFERS[:1],
        sentence="no capacity right now",
        code="InsufficientInstanceCapacity",
        scope=Scope.ZONE,
        lasts=timedelta(minutes=5),
    )
    refused = OfferRefused(**stamp(BEGAN), attempt=1, refusals=(reason,))
    return _state(*_begun(), refused, LaunchIntended(**stamp(BEGAN), request=_request(2)))


def _ready() -> Deployment:
    address = "http://203.0.113.20:8000"
    made = Machine(
        token=Token("sample-1"), id="i-0123456789", cloud="aws", offer=OFFERS[0], address=address, created_at=BEGAN
    )
    return _state(
        *_begun(),
        MachineCreated(**stamp(BEGAN), attempt=1, machine=made),
        ReplicaReady(**stamp(BEGAN), attempt=1, address=address),
        EndpointPublished(**stamp(BEGAN), url="http://models.example.com:8000"),
        TestCompletionAnswered(**stamp(BEGAN), prompt="My favourite condiment is", text=" mustard.", seconds=0.4),
    )


def _failed() -> Deployment:
    return _state(*_begun()[:2], DeploymentEnded(**stamp(BEGAN), failed="No machine could be requested."))
