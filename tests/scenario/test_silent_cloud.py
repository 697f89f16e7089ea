"""Launches on the clouds' stand-ins that answer late, or never."""

import statistics
from collections import Counter
from contextlib import closing
from itertools import pairwise

import pytest

from tests.fakes.aws import AwsCloud
from tests.fakes.gcp import GcpCloud
from tests.fakes.ladder import rungs
from tests.fakes.launching import launched
from workers.deployment.attempt import Phase
from workers.deployment.events import LadderExhausted, LaunchIntended, MachineCreated, OfferRefused
from workers.deployment.log import Log

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(600)]

WITHIN = 20.0
"""Seconds: 15 pass before the next rung is asked; a launch that waits for the silent call takes its timeout of 30."""
SLOW = 2.0
RUNGS = 17
"""Of SkyPilot's five candidates for Mixtral 8x7B, in 13 regions. Each needs a launch call of its own."""
ONCE = 3
"""Calls one after another before the first launch call: look, make a security group, make a template."""
SPARE = 1.5
"""Of a machine with other work. The figure is `make bench`'s, and its limit 45 s."""


def regions(state):
    return {attempt.offer.region for attempt in state.attempts}


def kinds(redis, id_, kind):
    return [event for event in Log(redis).read(id_) if isinstance(event, kind)]


def test_a_launch_of_which_one_call_of_gce_is_silent_for_ever_ends_on_the_next_rung(redis):
    usable = rungs("gcp")
    first = usable[0].offer
    with closing(GcpCloud()) as gcp:
        gcp.fault("slow", machine_type=first.instance_type, seconds=3600, times=1)
        state, _ = launched(redis, {"gcp": gcp.driver}, usable)
    (made,) = kinds(redis, state.id, MachineCreated)
    assert (made.at - kinds(redis, state.id, LaunchIntended)[0].at).total_seconds() <= WITHIN
    silent, taken = state.attempts[0], state.live[-1]
    assert (taken.beside, taken.replica) == (silent.number, silent.replica)
    assert taken.offer.region != first.region
    assert silent.phase in (Phase.PROVISIONING, Phase.SHUTTING_DOWN, Phase.ENDED)


def test_a_dry_ladder_on_an_aws_that_takes_2_seconds_a_call_takes_no_45(redis):
    with closing(AwsCloud()) as aws:
        for code in ("L-417A185B", "L-DB2E81BA"):
            aws.quota(code, 0)
        aws.fault("slow", action="*", seconds=SLOW)
        state, took = launched(redis, {"aws": aws.driver}, rungs("aws", recipe="mixtral-8x7b"), recipe="mixtral-8x7b")
        calls = Counter(call["action"] for call in aws.calls())
    assert state.exhausted is not None
    assert took <= 45, f"{took:.0f} s, {calls}"
    assert calls["GetServiceQuota"] * SLOW > 45, "one call after the other would take longer"
    assert sum(a.phase is Phase.REFUSED for a in state.attempts) <= 3


def test_on_an_aws_without_capacity_each_rung_after_the_first_costs_one_call(redis):
    """Quotas, images, networks, groups and templates are ready when their turn comes."""
    with closing(AwsCloud()) as aws:
        aws.fault("InsufficientInstanceCapacity")
        aws.fault("slow", action="*", seconds=SLOW)
        state, _ = launched(redis, {"aws": aws.driver}, rungs("aws"))
        calls = Counter(call["action"] for call in aws.calls())
        left = [found for region in regions(state) for found in aws.templates(region)]
    answered = [event.at for event in kinds(redis, state.id, OfferRefused)]
    took = (kinds(redis, state.id, LadderExhausted)[0].at - state.requested_at).total_seconds()
    each = [(after - before).total_seconds() for before, after in pairwise(answered)]
    assert len(answered) == calls["CreateFleet"] == calls["CreateLaunchTemplate"] == RUNGS
    assert statistics.median(each) < 1.5 * SLOW, each
    assert took < (RUNGS + ONCE) * SLOW * SPARE, f"{took:.0f} s, {each}"
    assert left == []
