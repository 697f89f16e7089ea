"""Builders of machines, and of requests for them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from workers.machines import Boot, Machine, MachineRequest, Token
from workers.placement.offer import Offer
from workers.placement.refusals import Refusal, Scope

SECRETS = {"VLLM_API_KEY": "mxk_of_a_test"}
INSTALLATION = "i-test"
SCRIPTED_BOOT = Boot(
    kind="scripted", model="words", served_names=("words", "w"), args={}, port=8000, secrets=("VLLM_API_KEY",)
)


def boot(**changes: Any) -> Boot:
    """A scripted engine that is ready after 0.1 seconds; `changes` are fields of Boot."""
    return replace(SCRIPTED_BOOT, **changes)


def request(token: str, offers: Iterable[Offer], **changes: Any) -> MachineRequest:
    """A request for a machine of replica 1, attempt 2, with an hour to live; `changes` are fields of MachineRequest."""
    plain = MachineRequest(
        token=Token(token),
        installation=INSTALLATION,
        deployment="d-1",
        replica=1,
        attempt=2,
        offers=tuple(offers),
        boot=SCRIPTED_BOOT,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
    return replace(plain, **changes)


def machine(asked: MachineRequest, taken: Offer | None = None, **changes: Any) -> Machine:
    """The machine of a request, from its first offer unless `taken` is given; `changes` are fields of Machine."""
    taken = taken or asked.offers[0]
    plain = Machine(
        token=asked.token,
        id=f"mixtral-{asked.token}",
        cloud=taken.cloud,
        offer=taken,
        address=None,
        created_at=datetime.now(UTC),
    )
    return replace(plain, **changes)


def refusal(offers: Iterable[Offer], sentence: str = "no capacity", **changes: Any) -> Refusal:
    """A refusal of these offers for lack of stock in their zone, valid 5 minutes; `changes` are fields of Refusal."""
    plain = Refusal(
        offers=tuple(offers),
        sentence=sentence,
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        scope=Scope.ZONE,
        lasts=timedelta(minutes=5),
    )
    return replace(plain, **changes)
